// The two browsers together, and what is asked of Firefox alone. What a tab does is tested in both by `inBoth` of lib/world.mjs, in the
// file of what it does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { elsewhere, serveElsewhere } from "../lib/elsewhere.mjs";
import { noFirefox as skip } from "../lib/firefox.mjs";
import { endCalls, meets, move, volunteer } from "../lib/moves.mjs";
import { joinPage, moreReplies, publish, soon, startCalls } from "../lib/peer.mjs";
import { manifestOf, MEMORY, moduleOf, onCall, tryPublish } from "../lib/wasm.mjs";
import { inWorld } from "../lib/world.mjs";

test("a service moves between Firefox and Chromium and back under calls from both, with its state", { skip }, () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [firefox, chromium] = [await world.firefox(), await world.browser()];
    const fox = await volunteer(world, firefox, relay, "fox");
    const chrome = await volunteer(world, chromium, relay, "chrome");
    const foxCaller = await joinPage(await world.page(firefox, "fox caller"), relay);
    const chromeCaller = await joinPage(await world.page(chromium, "chrome caller"), relay);
    const counter = await publish(fox, "counter");
    const second = await publish(fox, "counter", { name: "second" });
    await startCalls(foxCaller, counter, { hz: 20 });
    await startCalls(chromeCaller, second, { hz: 20 });
    for (const [from, to] of [[fox, chrome], [chrome, fox]]) {
      for (const service of [counter, second]) await move(from, to, service);
      for (const caller of [foxCaller, chromeCaller]) await moreReplies(caller, 20);
    }
    for (const caller of [foxCaller, chromeCaller]) await endCalls(caller, fox);
    const path = await chromeCaller.evaluate((id) => peer.status().peers.find((each) => each.id === id)?.path, fox.id);
    assert.equal(path, "direct", "Chromium and Firefox talk by WebRTC");
    assert.deepEqual([...fox.problems, ...chrome.problems, ...foxCaller.problems, ...chromeCaller.problems], []);
  }));

test("three replicas in two browsers: the leader's Firefox dies and nothing is lost", { skip }, () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [firefox, chromium] = [await world.firefox(), await world.browser()];
    const leader = await volunteer(world, firefox, relay, "leader");
    const others = [await volunteer(world, chromium, relay, "b"), await volunteer(world, await world.browser(), relay, "c")];
    const caller = await joinPage(await world.page(chromium, "caller"), relay);
    for (const other of others) await meets(leader, other);
    const service = await publish(leader, "counter", { state: "replicated-3" });
    await soon(leader, (service) => peer.status().hosting.find((each) => each.service === service)?.replicas === 3, service);
    await startCalls(caller, service, { hz: 20 });
    await moreReplies(caller, 20);
    await firefox.kill();
    await moreReplies(caller, 20, 60_000);
    await endCalls(caller);
  }));

test("modules that mean harm are contained in Firefox, too", { skip }, () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await joinPage(await world.page(await world.firefox(), "host"), relay);
    const good = await publish(host, "counter");
    const harmful = [
      ["loop", "(loop $l (br $l))", "out of gas"],
      ["recursion", "(drop (call $handle (i32.const 3) (i32.const 0) (i32.const 0)))", "stack too deep"],
      ["outside", "(drop (i32.load (i32.const 0x7fffffff)))", "out of bounds"],
      ["trap", "unreachable", "unreachable"],
    ];
    for (const [name, body, why] of harmful) {
      const { id, message } = await tryPublish(host, manifestOf(name), moduleOf(onCall(body), MEMORY));
      assert.ok(id, message);
      const ended = await host.evaluate((id) => peer.call(id, "go").catch(({ code, message }) => `${code}: ${message}`), id);
      assert.equal(ended, `trapped: the service failed: ${why}`, name);
    }
    assert.equal(await host.evaluate(async (good) => decode(await peer.call(good, "add", encode(1))), good), 1);
  }));

test("a tab of Firefox keeps its id over a reload, and a second one gets its own", { skip }, () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const context = await (await world.firefox()).context();
    const first = await joinPage(world.watch(await context.newPage(), "first"), relay);
    const second = await joinPage(world.watch(await context.newPage(), "second"), relay);
    const [firstId, secondId] = [first.id, second.id];
    assert.notEqual(firstId, secondId);
    await first.reload();
    assert.equal((await joinPage(first, relay)).id, firstId);
  }));

test("the app in Firefox: open, try, publish, use, see the map", { skip }, () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.firefox(), "app");
    await page.goto(relay.url);
    await soon(page, () => document.querySelector('[data-testid="status"]')?.textContent.startsWith("joined"));
    await page.goto(`${relay.url}/#/ide`);
    await soon(page, () => document.querySelector('[data-testid="ide-publish"]:not([disabled])'));
    await soon(page, () => document.querySelector('[data-testid="ide-output"]')?.textContent.includes("No problems"));
    await page.getByTestId("ide-publish").click();
    await soon(page, () => document.querySelector('[data-testid="ide-open"]'));
    await page.getByTestId("ide-open").click();
    await soon(page, () => document.querySelector('[data-testid="method-call"]'));
    const other = await joinPage(await world.page(await world.browser(), "other"), relay, { name: "Chromium" });
    const [service] = await page.evaluate(() => window.tabfarm.status().hosting.map((each) => each.service));
    const reply = await other.evaluate(async (service) => new TextDecoder().decode(await peer.call(service, "greet", "Ada")), service);
    assert.match(reply, /Ada/);
    await page.goto(`${relay.url}/#/network`);
    await soon(page, (id) => document.querySelector(`[data-testid="map-peer"][data-peer="${id}"]`), other.id);
    assert.deepEqual(page.problems, []);
  }));

test("a service that runs elsewhere is registered in Firefox and called from it", { skip }, () =>
  inWorld(async (world) => {
    const server = await serveElsewhere(world);
    const relay = await world.relay();
    const fox = await joinPage(await world.page(await world.firefox(), "fox"), relay);
    await fox.evaluate((manifest) => peer.publish({ manifest }), elsewhere("weather", server.url));
    const codes = await fox.evaluate(async () => {
      const session = await peer.open("weather");
      const text = (bytes) => new TextDecoder().decode(bytes);
      const answers = [text(await session.call("greet", '"Ada"')), text(await session.query("now"))];
      for (const method of ["huge", "redirect", "drops", "wall"]) answers.push(await codeOf(session.call(method)));
      answers.push(await codeOf(session.call("slow", "", { deadlineMs: 300 })));
      return answers;
    });
    assert.deepEqual(codes, ['"Hello Ada"', '{"sky":"clear"}', "trapped", "refused", "unknown-outcome", "unknown-outcome", "deadline"]);
    const { headers } = server.seen[0];
    assert.deepEqual([headers.origin, headers.referer, headers.cookie], ["null", undefined, undefined]);
    assert.ok(!server.seen.some(({ path }) => path === "/v1/wall"));
  }));
