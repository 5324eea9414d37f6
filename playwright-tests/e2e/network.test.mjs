// The Network view: what it draws and tells is what the peer knows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { moveInApp, openApp, view, volunteerInApp } from "../lib/app.mjs";
import { SOON_MS, joinPage, publish, soon, startCalls, stopCalls } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

/** How long frames are watched, in ms; nothing is asserted of their times. */
const WATCHED_MS = 4_000;

for (const reducedMotion of ["no-preference", "reduce"]) {
  test(`a handover is drawn as it happens, motion: ${reducedMotion}`, () =>
    inWorld(async (world) => {
      const relay = await world.relay();
      const browser = await world.browser({ media: { reducedMotion } });
      const a = await openApp(await world.page(browser, "a"), relay);
      const b = await openApp(await world.page(browser, "b"), relay);
      await volunteerInApp(b);
      await view(a, "services");
      await a.locator('[data-testid="publish-example"][data-service="counter"]').click();
      const id = `counter@${a.id}`;
      await soon(a, (id) => tabfarm.status().hosting.some(({ service }) => service === id), id);
      await view(a, "network");
      const group = a.locator(`[data-testid="group"][data-service="${id}"]`);
      await group.waitFor({ timeout: SOON_MS });
      assert.match(await group.locator('[data-label="Serves"]').innerText(), /this tab/);
      await a.locator(`[data-testid="map-peer"][data-peer="${b.id}"]`).waitFor({ timeout: SOON_MS });

      await moveInApp(a, "counter", b.id);
      await view(a, "network");
      const flight = a.getByTestId("map-flight").first();
      await flight.waitFor({ state: "attached", timeout: SOON_MS });
      const moving = await flight.evaluate((each) => each.getAnimations({ subtree: true }).length);
      assert.equal(moving, reducedMotion === "reduce" ? 0 : 1);
      await a.locator('[data-testid="flight"][data-step="done"]').waitFor({ timeout: SOON_MS });
      await a.locator(`[data-testid="group"][data-service="${id}"] [data-label="Serves"]`, { hasText: b.id.slice(-6) }).waitFor({ timeout: SOON_MS });
      // What ended is forgotten after a while.
      await flight.waitFor({ state: "detached", timeout: SOON_MS });
      assert.deepEqual([...a.problems, ...b.problems], []);
    }));
}

inBoth("groups are told with their followers; nodes tell their details to pointer, finger and keys", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const pages = [];
    for (const name of ["a", "b", "c"]) pages.push(await openApp(await world.page(browser, name, { hasTouch: true }), relay));
    const [a, b, c] = pages;
    await volunteerInApp(b);
    await volunteerInApp(c);
    const id = await a.evaluate(async () => {
      const [manifest, module] = [await (await fetch("/services/counter/manifest.json")).json(), await (await fetch("/services/counter/module.wasm")).arrayBuffer()];
      return tabfarm.publish({ manifest: { ...manifest, name: "three", state: "replicated-3" }, module: new Uint8Array(module) });
    });
    await soon(a, () => tabfarm.status().hosting[0]?.replicas === 3);
    await view(a, "network");
    const row = a.locator(`[data-testid="group"][data-service="${id}"]`);
    await row.locator('[data-label="Follow"] .peer').nth(1).waitFor({ timeout: SOON_MS });
    await a.getByTestId("map-service").selectOption(id);
    await a.locator(".map-group.follower").nth(1).waitFor({ state: "attached", timeout: SOON_MS });

    const details = a.getByTestId("map-details");
    const says = (text) => details.filter({ hasText: text }).waitFor({ timeout: SOON_MS });
    const node = (page) => a.locator(`[data-testid="map-peer"][data-peer="${page.id}"] [role="button"]`);
    await node(b).hover();
    await says(b.id.slice(-6));
    await says("follows three");
    // Firefox has no touch that a test could make.
    await (world.engine === "firefox" ? node(c).click() : node(c).tap());
    await says(c.id.slice(-6));
    assert.equal(await node(c).getAttribute("aria-pressed"), "true");
    // One stop in the tab order; arrow keys pass every node once and come back.
    assert.equal(await a.locator('[data-testid="network-map"] [tabindex="0"]').count(), 1);
    // Keys, and what follows a focus, are for the window that has it.
    await a.bringToFront();
    await a.locator('[data-testid="network-map"] [tabindex="0"]').focus();
    const seen = new Set();
    for (let presses = 0; presses < 4; presses++) {
      await a.keyboard.press("ArrowRight");
      seen.add(await a.evaluate(() => document.activeElement.getAttribute("aria-label")));
    }
    assert.equal(seen.size, 4, [...seen].join("; "));
    await says("serves three");
    assert.deepEqual(pages.flatMap((page) => page.problems), []);
  }));

test("plots show what was measured of this tab's calls, and a table tells the same", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await openApp(await world.page(browser, "host"), relay);
    await host.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await soon(host, () => tabfarm.status().hosting.length === 1);
    const page = await openApp(await world.page(browser, "caller"), relay, "/#/network");
    const id = `counter@${host.id}`;
    await page.evaluate((id) => {
      window.calls = setInterval(() => void tabfarm.call(id, "add", "1"), 50);
    }, id);
    await soon(page, (id) => tabfarm.measured().some(({ service, calls }) => service === id && calls > 100), id);
    await page.getByTestId("plot-service").selectOption(id);
    const plot = (title) => page.locator(`[data-testid="plot"][data-plot="${title}"]`);
    await plot("Delay of calls from here").locator("polyline").first().waitFor({ timeout: SOON_MS });
    assert.match(await plot("Calls from here").locator("figcaption").innerText(), /[1-9]\d* per second/);
    assert.match(await plot("Servers").locator("figcaption").innerText(), /1 tab\b/);
    assert.match(await plot("Events handled here").locator("figcaption").innerText(), /nothing yet/, "it does not run here");
    assert.match(await plot("Delay of calls from here").locator("svg").getAttribute("aria-label"), /in ms, over the last 5 minutes: .* now/);
    await page.getByText("The same as a table").click();
    const first = page.getByTestId("plot-table").locator("tbody tr").first();
    assert.match(await first.locator('[data-label="Calls per second"]').innerText(), /\d/);
    // The delay is the calls' own: what the API sums up.
    const mean = await page.evaluate((id) => {
      clearInterval(calls);
      const { calls: count, failed, totalMs } = tabfarm.measured().find(({ service }) => service === id);
      return { count, failed, mean: totalMs / count };
    }, id);
    assert.ok(mean.count > 100 && mean.failed === 0 && mean.mean > 0, JSON.stringify(mean));
    await view(host, "network");
    await host.getByTestId("plot-service").selectOption(id);
    await host.locator('[data-plot="Events handled here"] polyline').first().waitFor({ timeout: SOON_MS });
    assert.deepEqual([...page.problems, ...host.problems], []);
  }));

test("calls that fail are counted as such", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await joinPage(await world.page(await world.browser(), "tab"), relay);
    const id = await publish(page, "counter");
    await startCalls(page, id, { hz: 20 });
    const { sent } = await stopCalls(page);
    const measured = await page.evaluate(async (id) => {
      await peer.call(id, "no-such-method").catch(() => {});
      return peer.measured();
    }, id);
    assert.deepEqual(measured.map(({ service, calls, failed }) => ({ service, calls, failed })), [{ service: id, calls: sent + 1, failed: 1 }]);
  }));

test("the time line is filtered by kind and by text", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await view(page, "network");
    const lines = page.getByTestId("timeline").locator("li");
    const kind = (name) => page.getByTestId("timeline-kind").filter({ hasText: name }).click();
    await lines.filter({ hasText: "counter is served by this tab" }).waitFor({ timeout: SOON_MS });
    const other = await joinPage(await world.page(browser, "other"), relay);
    await lines.filter({ hasText: `${other.id.slice(-6)} connected` }).waitFor({ timeout: SOON_MS });
    await kind("Peers");
    assert.equal(await lines.filter({ hasText: "counter is served" }).count(), 0);
    assert.ok((await lines.count()) > 0);
    await kind("Services");
    const told = await lines.allInnerTexts();
    assert.ok(told.length > 0 && told.every((line) => line.includes("counter")), told.join("; "));
    await page.getByTestId("timeline-filter").fill("something else");
    await page.getByText("Nothing of this kind has happened.").waitFor();
    await page.getByTestId("timeline-filter").fill("COUNTER is served");
    await kind("All");
    assert.equal(await lines.count(), 1);
  }));

test("a hundred peers are drawn, each once, and the page goes on painting", (t) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await openApp(await world.page(await world.browser(), "visitor", { viewport: { width: 1280, height: 800 } }), relay);
    await view(page, "network");
    // What the component gets comes from `status()`: a hundred peers whose figures change each time it is read.
    await page.evaluate(() => {
      const real = tabfarm.status.bind(tabfarm);
      tabfarm.status = () => {
        const peers = Array.from({ length: 100 }, (_, n) => ({
          id: `12D3KooWSynthetic${String(n).padStart(3, "0")}`, name: `peer ${n}`, role: n < 3 ? "relay" : "tab", path: n % 7 === 0 ? "relayed" : "direct",
          rttMs: 1 + Math.random() * 100, volunteer: n % 3 === 0, busy: (Math.random() * 100) | 0, hosting: n % 5 === 0 ? [`service${n}@x`] : [],
        }));
        return { ...real(), peers };
      };
    });
    await soon(page, () => document.querySelectorAll('[data-testid="map-peer"]').length === 100);
    const frames = await page.evaluate((ms) => new Promise((done) => {
      const gaps = [];
      let last = performance.now();
      const end = last + ms;
      const frame = (now) => {
        gaps.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(frame);
        else done(gaps.slice(1).sort((one, other) => one - other));
      };
      requestAnimationFrame(frame);
    }), WATCHED_MS);
    const at = (share) => frames[Math.min(frames.length - 1, Math.floor(frames.length * share))].toFixed(1);
    t.diagnostic(`${frames.length} frames with 100 peers: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms`);
    const places = await page.locator('[data-testid="map-peer"] .map-node').evaluateAll((all) => all.map((each) => {
      const { x, y } = each.getBoundingClientRect();
      return `${Math.round(x)} ${Math.round(y)}`;
    }));
    assert.equal(new Set(places).size, 100, "no node covers another");
    assert.equal(await page.getByTestId("peer").count(), 100, "the table has them all");
    await page.locator('[data-peer="12D3KooWSynthetic042"] [role="button"]').hover();
    await page.getByTestId("map-details").filter({ hasText: "peer 42" }).waitFor();
    assert.deepEqual(page.problems, []);
  }));
