// Services that come back with the tab that served them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { meets, volunteer } from "../lib/moves.mjs";
import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

/** All that the page's service has done is on its disk. */
const stored = (page, service) =>
  soon(page, (service) => peer.status().hosting.find((each) => each.service === service)?.unstored === 0, service);

/** The page serves the service, which came back from a checkpoint. */
const back = (page, service) =>
  soon(page, (service) => peer.status().hosting.find((each) => each.service === service)?.lostSince > 0, service);

const open = (page, service) =>
  page.evaluate(async (service) => {
    window.session = await peer.open(service);
    window.ended = "";
    session.addEventListener("close", ({ detail }) => (window.ended = detail.reason));
  }, service);

const add = (page, times) =>
  page.evaluate(async (times) => {
    let reply;
    for (let n = 0; n < times; n += 1) reply = decode(await session.call("add", encode(1)));
    return reply;
  }, times);

/** A counter in a tab whose profile keeps what it stores, and a caller in another browser with a session. */
async function called(world, change = {}) {
  const relay = await world.relay();
  const { context } = await world.profile();
  const host = await joinPage(world.watch(await context.newPage(), "host"), relay);
  const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
  const service = await publish(host, "counter", change);
  await open(caller, service);
  return { relay, context, host, caller, service };
}

inBoth("a publisher's tab is reloaded: its service is back, with its state, and sessions go on", (inWorld) =>
  inWorld(async (world) => {
    const { relay, host, caller, service } = await called(world);
    assert.equal(await add(caller, 5), 5);
    await stored(host, service);
    const { id } = host;
    await joinPage(host, relay);
    assert.equal(host.id, id);
    await back(host, service);
    assert.equal(await add(caller, 1), 6, "the session went on where it was");
    assert.equal(await caller.evaluate(() => ended), "");
  }));

test("a tab that leaves says who took over what it served, and keeps what nobody took", () =>
  inWorld(async (world) => {
    const { relay, host, caller, service } = await called(world, { qos: { standby: 0 } });
    assert.equal(await add(caller, 5), 5);
    // Nobody volunteers; the last call is in no checkpoint yet.
    const reason = "no tab that may take it is connected";
    assert.deepEqual(await host.evaluate(() => peer.leave()), [{ service, to: null, reason, stored: true }]);
    assert.deepEqual(await host.evaluate(() => peer.leave()), [], "it has left");
    await joinPage(host, relay);
    await back(host, service);
    const read = (page) => page.evaluate(async (service) => decode(await peer.call(service, "read")), service);
    assert.equal(await read(caller), 5);
    const other = await volunteer(world, await world.browser(), relay, "other");
    await meets(host, other);
    assert.deepEqual(await host.evaluate(() => peer.leave()), [{ service, to: other.id, reason: null, stored: false }]);
    assert.equal(await read(caller), 5);
  }));

test("a tab dies with calls that no checkpoint holds: their session ends in words, the service is back without them", () =>
  inWorld(async (world) => {
    const { relay, context, host, caller, service } = await called(world);
    assert.equal(await add(caller, 5), 5);
    await stored(host, service);
    // No checkpoint is taken between these calls and the end: the page has no time for it.
    assert.equal(await add(caller, 3), 8);
    await host.close();
    const again = await joinPage(world.watch(await context.newPage(), "host again"), relay);
    assert.equal(again.id, host.id);
    await back(again, service);
    const outcome = await caller.evaluate(() => codeOf(session.call("add", encode(1))));
    const count = await caller.evaluate(async (service) => decode(await peer.call(service, "read")), service);
    if (outcome === "ok") {
      assert.equal(count, 9, "a checkpoint was taken in the last moment");
    } else {
      assert.match(outcome, /^(unknown-outcome|disconnected)$/);
      assert.match(await caller.evaluate(() => ended), /last checkpoint/);
      assert.equal(count, 5);
    }
  }));

test("a durable service acknowledges nothing that is not on disk: its tab dies in the next moment, and nothing is lost", () =>
  inWorld(async (world) => {
    const { relay, context, host, caller, service } = await called(world, { durable: true });
    assert.equal(await add(caller, 8), 8);
    await host.close();
    const again = await joinPage(world.watch(await context.newPage(), "host again"), relay);
    await back(again, service);
    assert.equal(await add(caller, 1), 9, "the session went on where it was");
    assert.equal(await caller.evaluate(() => ended), "");
  }));

test("a service that moved away does not come back with its former host", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const { context } = await world.profile();
    const first = await joinPage(world.watch(await context.newPage(), "first"), relay);
    const second = await joinPage(await world.page(await world.browser(), "second"), relay);
    const service = await publish(first, "counter");
    await stored(first, service);
    await second.evaluate((service) => peer.host(service), service);
    await second.evaluate(async (service) => decode(await peer.call(service, "add", encode(7))), service);
    await joinPage(first, relay);
    const count = await first.evaluate(async (service) => decode(await peer.call(service, "add", encode(1))), service);
    assert.equal(count, 8);
    assert.deepEqual(await first.evaluate(() => peer.status().hosting), []);
  }));
