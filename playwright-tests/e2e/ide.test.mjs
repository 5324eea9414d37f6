// The IDE before anything is published: trying a draft in its tab, checks while typing, and a text that is never lost.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { callMethod, keptText, openApp, openService, publishFromIde, typeSource, view } from "../lib/app.mjs";
import { joinPage, SOON_MS, soon } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const shots = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
mkdirSync(shots, { recursive: true });

const SOURCE = `import { Service, Cx, Session, serve, text, bytes } from "tabfarm";

class Tally extends Service {
  total: i32 = 0;

  open(cx: Cx, session: Session): void {
    cx.send(session, bytes("welcome"));
  }

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "grow") {
      this.total += 1;
      cx.log("grown to " + this.total.toString());
      return bytes(this.total.toString());
    }
    if (method == "burst") throw new Error("it burst");
    if (method == "hoard") {
      kept.push(new Uint8Array(1 << 20));
      return bytes("kept");
    }
    return cx.unknown(method);
  }
}

const kept: Uint8Array[] = [];

serve(new Tally());
`;
const METHODS = '{ "grow": {}, "burst": {}, "hoard": {} }';

/** Bytes of a figure like `1.4 MiB`. */
function bytesIn(text) {
  const [, value, unit] = /([\d.]+) (B|KiB|MiB) memory/.exec(text) ?? assert.fail(`no memory in “${text}”`);
  return Number(value) * { B: 1, KiB: 1 << 10, MiB: 1 << 20 }[unit];
}

async function write(page, source) {
  await typeSource(page, source);
  await page.getByTestId("ide-name").fill("tally");
  await page.getByTestId("ide-state").selectOption("single");
  await page.getByTestId("ide-interface").evaluate((area) => (area.closest("details").open = true));
  await page.getByTestId("ide-interface").fill(METHODS);
}

inBoth("a draft is tried in its tab: calls, replies, messages, logs, gas, memory and traps; nobody else sees it", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await openApp(await world.page(browser, "author"), relay);
    const other = await joinPage(await world.page(browser, "other"), relay);
    await view(page, "ide");
    await write(page, SOURCE);
    const tryIt = async () => {
      await page.getByTestId("ide-try").click();
      await page.getByTestId("ide-output").filter({ hasText: "in this tab alone" }).waitFor({ timeout: SOON_MS });
      await page.getByTestId("trial").locator("form").first().waitFor({ timeout: SOON_MS });
    };
    await tryIt();
    const log = page.getByTestId("trial").getByTestId("session-log");
    await log.filter({ hasText: "welcome" }).waitFor({ timeout: SOON_MS });
    assert.equal((await callMethod(page, "grow")).reply, "1");
    assert.equal((await callMethod(page, "grow")).reply, "2");
    const gas = await page.locator('[data-method="grow"] [data-testid="method-gas"]').innerText();
    assert.match(gas, /[1-9]\S* ?k? gas/, gas);
    const memory = async (method) => bytesIn(await page.locator(`[data-method="${method}"] [data-testid="method-memory"]`).innerText());
    const before = await memory("grow");
    assert.ok(before >= 1 << 16, "a page at least");
    assert.equal((await callMethod(page, "hoard")).reply, "kept");
    assert.ok((await memory("hoard")) >= before + (1 << 20) * 0.9, "what it keeps is seen");
    await log.filter({ hasText: "grown to 2" }).waitFor({ timeout: SOON_MS });
    assert.match((await callMethod(page, "burst")).text, /it burst \(service\.ts:16:\d+\)/, "a trap names its line");
    assert.equal((await callMethod(page, "grow")).reply, "3", "the state is as before the trap");
    for (const [width, colorScheme] of [[1280, "light"], [360, "dark"]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      await page.screenshot({ path: `${shots}trial-${width}.png`, fullPage: true });
    }
    assert.deepEqual(await page.evaluate(() => tabfarm.status().hosting), [], "the joined peer serves nothing");
    assert.deepEqual(await other.evaluate(async () => (await peer.find({})).length), 0, "nobody finds it");

    // Once more: a fresh state, and one sandbox, not two.
    await tryIt();
    await log.filter({ hasText: "welcome" }).waitFor({ timeout: SOON_MS });
    assert.equal((await callMethod(page, "grow")).reply, "1");
    await soon(page, () => document.querySelectorAll('iframe[src*="sandbox/frame.html"]').length === 1);
    await page.getByTestId("trial-stop").click();
    await page.getByTestId("trial").waitFor({ state: "detached" });
    await soon(page, () => document.querySelectorAll('iframe[src*="sandbox/frame.html"]').length === 0);
    assert.deepEqual(page.problems, []);
  }));

test("what is wrong in the form is said while it is typed, and neither a failed publish nor a reload loses the text", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await openApp(await world.page(browser, "author"), relay);
    await view(page, "ide");
    await write(page, SOURCE);
    await page.getByText("Limits and people").click();
    const wrong = [["name", "Not A Name", "tally"], ["version", "1 0", "1.0.1"], ["memory", "9999", "2"], ["storage", "-1", "1"], ["access", "somebody", page.id], ["interface", "{", METHODS]];
    for (const [field, bad, good] of wrong) {
      const input = page.getByTestId(`ide-${field}`);
      await input.fill(bad);
      await page.locator(`[data-testid="ide-${field}"][aria-invalid="true"]`).waitFor({ timeout: SOON_MS });
      await page.getByTestId("ide-publish").click();
      await page.getByTestId("ide-output").filter({ hasText: "Fix what is marked" }).waitFor({ timeout: SOON_MS });
      await input.fill(good);
      await page.locator(`[data-testid="ide-${field}"][aria-invalid="false"]`).waitFor({ timeout: SOON_MS });
    }
    // It compiles, but no host takes it: it wants more memory at its start than the form allows.
    await page.getByTestId("ide-memory").fill("1");
    const greedy = `${SOURCE}\nexport const greed: StaticArray<i64> = [${Array(300_000).fill(7).join(",")}];\n`;
    assert.ok(greedy.length < 1_000_000);
    await typeSource(page, greedy);
    const { id, text } = await publishFromIde(page);
    assert.equal(id, undefined, text);
    assert.match(text, /memory|pages/, text);
    assert.ok((await keptText(page)).includes("greed"), "kept after the failure");
    await typeSource(page, SOURCE);
    await page.reload();
    await openApp(page, relay, "/#/ide");
    await page.locator(".cm-content", { hasText: "class Tally" }).waitFor({ timeout: SOON_MS });
    assert.equal(await page.getByTestId("ide-access").inputValue(), page.id);
    const published = await publishFromIde(page);
    assert.equal(published.id, `tally@${page.id}`, published.text);
    await openService(page, "tally");
    assert.equal((await callMethod(page, "grow")).reply, "1");

    // The same name once more: the service goes on, and the page says what became of its state.
    await view(page, "ide");
    await page.getByTestId("ide-version").fill("1.1.0");
    const again = await publishFromIde(page);
    assert.match(again.text, /replaced the version that ran/, again.text);
    assert.deepEqual(page.problems, []);
  }));

test("the app keeps its strict policy: nothing in any view is blocked by it", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "visitor");
    await page.addInitScript(() => {
      window.blocked = [];
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) => blocked.push(`${violatedDirective} ${blockedURI} ${sample}`));
    });
    const response = await page.goto(relay.url);
    const policy = response.headers()["content-security-policy"];
    assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval(?<!wasm-unsafe-eval)/, policy);
    await openApp(page, relay);
    for (const name of ["volunteer", "ide", "network", "settings", "services"]) {
      await view(page, name);
      if (name === "ide") {
        await typeSource(page, SOURCE.replace("total += 1", "totl += 1"));
        await page.locator(".cm-lintRange-error").first().waitFor({ timeout: SOON_MS });
        await page.locator(".cm-lintRange-error").first().hover();
        await page.locator(".cm-tooltip").first().waitFor({ timeout: SOON_MS });
      }
    }
    await page.locator('[data-testid="publish-example"][data-service="chat"]').click();
    await openService(page, "chat");
    await page.getByTestId("service-ui").locator("iframe").waitFor({ timeout: SOON_MS });
    assert.deepEqual(await page.evaluate(() => blocked), []);
    assert.deepEqual(page.problems, []);
  }));
