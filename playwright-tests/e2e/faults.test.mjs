// Tabs and relays that die at the worst moment.

import assert from "node:assert/strict";
import { test } from "node:test";

import { endCalls, leaders, meets, move, tryMove, volunteer } from "../lib/moves.mjs";
import { callsNow, joinPage, moreReplies, publish, soon, startCalls } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const HZ = 50;
/** Longer than killing a process takes. */
const HOLD_MS = 300;

// Not at "release": by then the target may lead alone, and a `single` service dies with its only host (the simulator
// covers that step, with the rule that tells a lost host from a lost state).
for (const step of ["offer", "seed", "join", "warm", "take-over"]) {
  test(`the target's browser is killed at the handover's step ${step}: the calls go on`, () =>
    inWorld(async (world) => {
      const relay = await world.relay();
      const [safe, doomed] = [await world.browser(), await world.browser()];
      const source = await volunteer(world, safe, relay, "source");
      const target = await volunteer(world, doomed, relay, "target");
      const caller = await joinPage(await world.page(safe, "caller"), relay);
      // Without a standby, so that all steps are taken.
      const service = await publish(source, "counter", { qos: { standby: 0 } });
      await startCalls(caller, service, { hz: HZ });
      await moreReplies(caller, HZ / 2);
      // The source holds still at the step until the target's process is gone, without a goodbye.
      let reached;
      const atStep = new Promise((resolve) => (reached = resolve));
      await source.exposeFunction("reached", () => reached());
      await source.evaluate(([step, ms]) => {
        const hold = ({ detail }) => {
          if (detail.step !== step) return;
          peer.removeEventListener("handover", hold);
          reached();
          for (const end = performance.now() + ms; performance.now() < end; );
        };
        peer.addEventListener("handover", hold);
      }, [step, HOLD_MS]);
      await meets(source, target);
      const moving = tryMove(source, target, service);
      await Promise.race([atStep, moving]);
      await doomed.kill();
      const end = await moving;
      await moreReplies(caller, HZ);
      const calls = await endCalls(caller);
      assert.equal(calls.server, source.id, `somebody alive serves; the handover ended with ${JSON.stringify(end)}`);
      assert.equal((await leaders([source], service)).length, 1);
      // The service is whole: it can move to somebody else.
      const next = await volunteer(world, safe, relay, "next");
      assert.equal((await move(source, next, service)).to, next.id);
    }));
}

test("the relay is killed: calls go on, and the service moves without it", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const tabs = [];
    for (const name of ["a", "b", "c"]) tabs.push(await volunteer(world, browser, relay, name));
    const [a, b, c] = tabs;
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(a, "counter");
    await startCalls(caller, service, { hz: HZ });
    // Everybody meets everybody while there is a relay.
    await move(a, b, service);
    await move(b, c, service);
    await move(c, a, service);
    await moreReplies(caller, HZ / 2);
    const before = await callsNow(caller);
    await relay.kill();
    await moreReplies(caller, HZ);
    await move(a, b, service);
    await moreReplies(caller, HZ / 2);
    await move(b, c, service);
    await moreReplies(caller, HZ / 2);
    const calls = await endCalls(caller);
    assert.ok(calls.sent > before.sent + HZ);
    assert.equal(calls.server, c.id);
  }));

test("the publisher's tab is closed after a handover: a new tab still finds the service and calls it", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const publisher = await joinPage(await world.page(browser, "publisher"), relay);
    const host = await volunteer(world, browser, relay, "host");
    const service = await publish(publisher, "counter");
    assert.equal(await publisher.evaluate(async () => decode(await peer.call("counter", "add", encode(41)))), 41);
    await move(publisher, host, service);
    await publisher.close();
    const stranger = await joinPage(await world.page(browser, "stranger"), relay);
    await soon(stranger, async () => (await peer.find({ name: "counter" })).length === 1);
    const found = await stranger.evaluate(() => peer.find({ name: "counter" }));
    assert.equal(found[0].hosts[0], host.id);
    assert.equal(await stranger.evaluate(async () => decode(await peer.call("counter", "add", encode(1)))), 42);
  }));

inBoth("a publisher that leaves hands over what it serves, state and all", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const publisher = await joinPage(await world.page(browser, "publisher"), relay);
    const host = await volunteer(world, browser, relay, "host");
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(publisher, "counter");
    await startCalls(caller, service, { hz: HZ });
    await meets(publisher, host);
    await publisher.evaluate(() => peer.leave());
    await publisher.close();
    await moreReplies(caller, HZ);
    await endCalls(caller, host);
  }));

test("a handover that cannot be is refused in words, and the service stays", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const source = await volunteer(world, browser, relay, "source");
    const unwilling = await joinPage(await world.page(browser, "unwilling"), relay);
    const service = await publish(source, "counter");
    assert.equal(await unwilling.evaluate(async (service) => decode(await peer.call(service, "add", encode(0))), service), 0);
    for (const [from, to] of [[source, unwilling], [unwilling, source], [source, source], [source, { id: "nobody" }]]) {
      const { report, code, message } = await tryMove(from, to, service);
      assert.equal(report, undefined);
      assert.match(code, /^(refused|not-found)$/, message);
      assert.ok(message.length > 10, `in words: ${message}`);
    }
    assert.equal(await unwilling.evaluate(async () => decode(await peer.call("counter", "add", encode(3)))), 3);
  }));
