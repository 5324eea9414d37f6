// The whole path as people walk it: write a service in the page, publish it, use it from another browser, let it move.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { callMethod, moveInApp, openApp, openService, publishFromIde, typeSource, view, volunteerInApp } from "../lib/app.mjs";
import { endCalls } from "../lib/moves.mjs";
import { SOON_MS, joinPage, moreReplies, soon, startCalls } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const shots = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
mkdirSync(shots, { recursive: true });

/** A service that nobody has written before: it counts in steps of seven. */
const SOURCE = `import { Service, Cx, Session, serve, text, bytes } from "tabfarm";

class Sevens extends Service {
  total: i64 = 0;

  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    if (method == "step") {
      this.total += 7;
      return bytes(this.total.toString());
    }
    return cx.unknown(method);
  }
}

serve(new Sevens());
`;
const METHODS = '{ "step": { "reply": { "type": "integer" } } }';

/** Fills the form: name, kind of state, methods. */
async function fillForm(page, name) {
  await page.getByTestId("ide-name").fill(name);
  await page.getByTestId("ide-state").selectOption("single");
  await page.getByTestId("ide-interface").evaluate((area) => (area.closest("details").open = true));
  await page.getByTestId("ide-interface").fill(METHODS);
}

inBoth("a service is typed into the IDE, called from a second browser, and moves to a third while it is called", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [first, second, third] = [await world.browser(), await world.browser(), await world.browser()];
    const author = await openApp(await world.page(first, "author"), relay);
    await view(author, "ide");
    await typeSource(author, SOURCE);
    await fillForm(author, "sevens");
    await author.getByTestId("ide-name").click();
    const { id, text } = await publishFromIde(author);
    assert.equal(id, `sevens@${author.id}`, text);
    await author.screenshot({ path: `${shots}ide.png` });

    const consumer = await openApp(await world.page(second, "consumer"), relay);
    await openService(consumer, "sevens");
    assert.equal((await callMethod(consumer, "step")).reply, "7");
    await soon(consumer, (id) => document.querySelector('[data-testid="session-server"]').dataset.peer === id, author.id);

    const helper = await openApp(await world.page(third, "helper"), relay);
    await volunteerInApp(helper);
    await moveInApp(author, "sevens", helper.id);
    await author.getByTestId("handover-report").first().waitFor({ timeout: SOON_MS });
    await author.screenshot({ path: `${shots}handover.png` });
    await soon(consumer, (id) => document.querySelector('[data-testid="session-server"]').dataset.peer === id, helper.id);
    assert.equal((await callMethod(consumer, "step")).reply, "14", "the state moved along");
    await consumer.screenshot({ path: `${shots}session.png` });
    await helper.locator('[data-testid="hosted-service"][data-service="sevens"][data-role="leader"]').waitFor({ timeout: SOON_MS });
    await view(helper, "network");
    await helper.getByTestId("network-map").waitFor();
    await helper.screenshot({ path: `${shots}network.png` });

    // The author goes home. The consumer notices nothing.
    await author.close();
    assert.equal((await callMethod(consumer, "step")).reply, "21");
    assert.deepEqual([...consumer.problems, ...helper.problems], []);
  }));

test("a caller of a service moved by clicks loses nothing", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const a = await openApp(await world.page(browser, "a"), relay);
    const b = await openApp(await world.page(browser, "b"), relay);
    await volunteerInApp(a);
    await volunteerInApp(b);
    await view(a, "services");
    await a.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await a.locator('[data-testid="service-card"][data-service="counter"]').waitFor({ timeout: SOON_MS });
    const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
    await startCalls(caller, "counter", { hz: 50 });
    await moveInApp(a, "counter", b.id);
    await soon(caller, (id) => calling.session.server === id, b.id);
    await moveInApp(b, "counter", a.id);
    await soon(caller, (id) => calling.session.server === id, a.id);
    await moreReplies(caller, 25);
    await endCalls(caller);
  }));

test("an error in the source is shown at its line, nothing is published, and the text is kept across a reload", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await openApp(await world.page(browser, "author"), relay);
    await view(page, "ide");
    await typeSource(page, SOURCE.replace("this.total += 7", "this.totl += 7"));
    const { id, text } = await publishFromIde(page);
    assert.equal(id, undefined, text);
    assert.match(text, /line 8\b/, text);
    assert.match(text, /totl/, text);
    await page.reload();
    await openApp(page, relay, "/#/ide");
    await view(page, "ide");
    await page.locator(".cm-content", { hasText: "this.totl += 7" }).waitFor({ timeout: SOON_MS });
  }));

inBoth("chat through its own page: two people read each other", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [ann, bob] = [await openApp(await world.page(browser, "ann"), relay), await openApp(await world.page(browser, "bob"), relay)];
    await ann.locator('[data-testid="publish-example"][data-service="chat"]').click();
    await openService(ann, "chat");
    await openService(bob, "chat");
    const room = (page) => page.getByTestId("service-ui").locator("iframe").contentFrame();
    const say = async (page, line) => {
      // Keys go to the window that has the focus.
      await page.bringToFront();
      const input = room(page).locator('input:not([type="hidden"]), textarea').last();
      await input.waitFor({ timeout: SOON_MS });
      await input.fill(line);
      await input.press("Enter");
    };
    await say(ann, "hello from ann");
    await room(bob).getByText("hello from ann").first().waitFor({ timeout: SOON_MS });
    await say(bob, "and from bob");
    await room(ann).getByText("and from bob").first().waitFor({ timeout: SOON_MS });
    await ann.screenshot({ path: `${shots}chat.png` });
    assert.deepEqual([...ann.problems, ...bob.problems], []);
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`every view fits 360 px and 1280 px, ${colorScheme}, without errors`, () =>
    inWorld(async (world) => {
      const relay = await world.relay();
      const browser = await world.browser({ media: { colorScheme } });
      const page = await openApp(await world.page(browser, "visitor"), relay);
      await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
      await page.locator('[data-testid="service-card"]').first().waitFor({ timeout: SOON_MS });
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        for (const name of ["services", "voice", "volunteer", "ide", "network", "settings"]) {
          await view(page, name);
          await page.locator(`#panel-${name}:not([hidden]) h1`).first().waitFor({ timeout: SOON_MS });
          if (name === "ide") await page.locator(".cm-content").waitFor({ timeout: SOON_MS });
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `${name} at ${width} px is ${overflow} px too wide`);
          await page.screenshot({ path: `${shots}${name}-${width}-${colorScheme}.png` });
        }
      }
      assert.deepEqual(page.problems, []);
    }));
}

test("by keyboard alone: to the tabs, along them, and into a view", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await openApp(await world.page(await world.browser(), "typist"), relay);
    await page.getByTestId("tab-services").focus();
    await page.keyboard.press("ArrowRight");
    await page.locator("#panel-voice:not([hidden])").waitFor();
    await page.keyboard.press("ArrowRight");
    await page.locator("#panel-volunteer:not([hidden])").waitFor();
    const toggle = page.getByTestId("volunteer-toggle");
    for (let presses = 0; presses < 20; presses++) {
      if (await toggle.evaluate((each) => each === document.activeElement)) break;
      await page.keyboard.press("Tab");
    }
    assert.ok(await toggle.evaluate((each) => each === document.activeElement), "Tab reaches the switch");
    await page.keyboard.press("Space");
    await soon(page, () => tabfarm.status().volunteer !== null);
    const outline = await toggle.evaluate((each) => getComputedStyle(each.nextElementSibling ?? each).outlineStyle);
    assert.notEqual(outline, "none", "the focus is visible");
  }));

test("the 30-line example page, of another origin, joins and calls", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await openApp(await world.page(browser, "host"), relay);
    await host.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await host.locator('[data-testid="service-card"][data-service="counter"]').waitFor({ timeout: SOON_MS });
    // From an origin of its own, as an embedder's page would be.
    const html = readFileSync(new URL("../../web-peer/examples/plain.html", import.meta.url), "utf8");
    assert.ok(html.trimEnd().split("\n").length <= 30, "it is short");
    const server = createServer((_, answer) => answer.setHeader("content-type", "text/html").end(html)).listen(0, "127.0.0.1");
    world.atEnd(() => server.close());
    await once(server, "listening");
    const page = await world.page(browser, "plain");
    await page.goto(`http://127.0.0.1:${server.address().port}/?relay=${relay.url}`);
    const shows = (text) => page.locator("#state", { hasText: text }).waitFor({ timeout: SOON_MS });
    await shows(`0, served by ${host.id}`);
    await page.locator("#add").click();
    await shows(`1, served by ${host.id}`);
    assert.deepEqual(page.problems, []);
  }));
