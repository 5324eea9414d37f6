// Pictures of every view, from an app in which something happens: `node playwright-tests/run.mjs playwright-tests/screenshots.mjs` writes
// docs/img/NAME-{1280,360}.png. No test: look at them.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { moveInApp, openApp, openService, view, volunteerInApp } from "./lib/app.mjs";
import { SOON_MS, soon } from "./lib/peer.mjs";
import { inWorld } from "./lib/world.mjs";

const folder = fileURLToPath(new URL("../docs/img/", import.meta.url));
const SIZES = [{ width: 1280, height: 700 }, { width: 360, height: 740 }];
/** Long enough for plots that show something. */
const MEASURED_MS = 40_000;
/** Building up and taking all pictures. */
const LIMIT_MS = 240_000;

mkdirSync(folder, { recursive: true });

/** A tab of a person of this name. */
async function person(world, browser, relay, name, settings) {
  const page = await world.page(browser, name, settings);
  await page.addInitScript((name) => localStorage.setItem("tabfarm.name", name), name);
  return openApp(page, relay);
}

/** Takes a picture in both sizes. */
async function shoot(page, name, prepare = async () => {}) {
  for (const size of SIZES) {
    await page.setViewportSize(size);
    await page.evaluate(() => scrollTo(0, 0));
    await prepare();
    await page.locator(".notice button").evaluateAll((all) => all.forEach((each) => each.click()));
    await page.waitForTimeout(300);
    await page.screenshot({ path: `${folder}${name}-${size.width}.png` });
  }
  await page.setViewportSize(SIZES[0]);
}

/** Publishes an example from a page, with changes to its manifest. */
const publish = (page, example, change = {}) => page.evaluate(async ([example, change]) => {
  const [manifest, module] = [await (await fetch(`/services/${example}/manifest.json`)).json(), await (await fetch(`/services/${example}/module.wasm`)).arrayBuffer()];
  const paths = manifest.ui ? await (await fetch(`/services/${example}/ui.json`)).json() : [];
  const ui = Object.fromEntries(await Promise.all(paths.map(async (path) => [path, new Uint8Array(await (await fetch(`/services/${example}/ui/${path}`)).arrayBuffer())])));
  return tabfarm.publish({ manifest: { ...manifest, ...change }, module: new Uint8Array(module), ui });
}, [example, change]);

/** Writes a line into the chat of a page. */
async function say(page, line) {
  const input = page.getByTestId("service-ui").locator("iframe").contentFrame().locator("#text");
  await input.waitFor({ timeout: SOON_MS });
  await input.fill(line);
  await input.press("Enter");
}

/** The chat's own page, with a name chosen. */
async function enterChat(page, name) {
  await openService(page, "chat");
  const field = page.getByTestId("service-ui").locator("iframe").contentFrame().locator("#name");
  await field.waitFor({ timeout: SOON_MS });
  await field.fill(name);
  await field.press("Enter");
}

await inWorld(async (world) => {
  const relay = await world.relay();
  const browser = await world.browser();
  const ann = await person(world, browser, relay, "Ann", { viewport: SIZES[0], colorScheme: "light" });
  await ann.getByText("Nothing is published yet").waitFor({ timeout: SOON_MS });
  await shoot(ann, "welcome");

  const others = [];
  for (const name of ["Bob", "Cleo", "Dan", "Eve", "Finn"]) others.push(await person(world, browser, relay, name));
  const [bob, cleo, dan] = others;
  for (const page of [bob, cleo, dan]) await volunteerInApp(page);
  await publish(ann, "chat");
  const id = await publish(ann, "counter");
  await publish(bob, "kv", { name: "notes", state: "replicated-3", description: "Notes that outlive any one tab.", tags: ["storage"] });
  await publish(cleo, "echo", { name: "greetings", description: "Says hello in the way you like.", tags: ["example", "words"], interface: {
    echo: { readOnly: true, description: "Gives back what it gets.", reply: { type: "object" }, body: { type: "object", required: ["name", "times"], properties: {
      name: { type: "string", title: "Name", description: "Who is greeted", maxLength: 40 }, times: { type: "integer", title: "How often", minimum: 1, maximum: 9 },
      tone: { title: "Tone", enum: ["friendly", "formal", "short"] }, loud: { type: "boolean", title: "Loud" } } } } } });
  await soon(bob, () => tabfarm.status().hosting.some(({ replicas }) => replicas === 3));
  for (const page of [bob, cleo]) {
    await page.evaluate((id) => void setInterval(() => tabfarm.call(id, "add", "1").catch(() => {}), 60 + Math.random() * 60), id);
  }
  await ann.evaluate((id) => void setInterval(() => tabfarm.call(id, "add", "1").catch(() => {}), 120), id);

  await enterChat(bob, "Bob");
  await enterChat(ann, "Ann");
  for (const [page, line] of [[bob, "Is anybody here?"], [ann, "I am. This room runs in my tab."], [bob, "And when you close it?"], [ann, "Then it goes on in yours."]]) await say(page, line);
  await ann.waitForTimeout(MEASURED_MS);
  await shoot(ann, "chat");

  await openService(ann, "greetings");
  const field = (name) => ann.locator(`[data-field="${name}"]`).getByTestId("method-input");
  await field("name").fill("Tabfarm");
  await field("times").fill("3");
  await field("tone").selectOption({ label: "friendly" });
  await ann.getByTestId("method-call").click();
  await ann.getByTestId("method-reply").waitFor({ timeout: SOON_MS });
  await shoot(ann, "form");
  await ann.getByRole("button", { name: "← All services" }).click();
  await ann.getByRole("button", { name: "Close it" }).click();
  await ann.getByTestId("greeting-dismiss").click();
  await ann.getByTestId("service-card").nth(3).waitFor({ timeout: SOON_MS });
  await shoot(ann, "services");

  await volunteerInApp(ann);
  await moveInApp(ann, "counter", cleo.id);
  await view(ann, "network");
  await ann.locator('[data-testid="map-peer"]').nth(5).waitFor({ timeout: SOON_MS });
  await ann.locator(`[data-testid="map-peer"][data-peer="${cleo.id}"] [role="button"]`).hover();
  await shoot(ann, "network");
  await ann.getByTestId("plot-service").selectOption(id);
  await shoot(ann, "plots", () => ann.locator("#measured-title").evaluate((each) => scrollBy(0, each.getBoundingClientRect().top - 80)));
  await view(ann, "volunteer");
  await ann.getByTestId("handover-report").first().waitFor({ timeout: SOON_MS });
  await shoot(ann, "volunteer");
  await view(ann, "ide");
  await ann.locator(".cm-content").waitFor({ timeout: SOON_MS });
  await shoot(ann, "ide");
  for (const name of ["voice", "settings"]) {
    await view(ann, name);
    await shoot(ann, name);
  }
}, LIMIT_MS);
