// Run it here or call it there: a stateless service comes to a tab that calls it much, and its calls notice nothing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { joinPage, moreReplies, publish, soon, startCalls, stopCalls } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

test("a stateless service runs in the tab that calls it much, for as long as its person volunteers", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [host, caller, other] = await Promise.all(
      ["host", "caller", "other"].map(async (name) => joinPage(await world.page(browser, name), relay)),
    );
    const service = await publish(host, "echo");
    await caller.evaluate(() => {
      window.placed = [];
      peer.addEventListener("placed", ({ detail }) => placed.push(detail));
      peer.volunteer({});
    });
    const calls = { hz: 50, method: "echo", body: 7 };
    await Promise.all([startCalls(caller, service, calls), startCalls(other, service, calls)]);
    await soon(caller, (id) => calling.session.server === id, caller.id);
    const hosting = await caller.evaluate(() => peer.status().hosting.map(({ service, forOwnCalls }) => [service, forOwnCalls]));
    assert.deepEqual(hosting, [[service, true]]);
    await moreReplies(caller, 50);

    // Who takes the offer back makes its calls where they were made before.
    await caller.evaluate(() => peer.volunteer(false));
    await soon(caller, (id) => calling.session.server === id && peer.status().hosting.length === 0, host.id);
    await moreReplies(caller, 50);
    const [here, there] = await Promise.all([stopCalls(caller), stopCalls(other)]);
    for (const { errors, sent, replies } of [here, there]) {
      assert.deepEqual([errors, replies.length, replies.every((reply) => reply === 7)], [[], sent, true]);
    }
    assert.deepEqual([there.moved, there.server], [0, host.id], "who does not volunteer calls there");
    const placed = await caller.evaluate(() => placed);
    assert.deepEqual(placed.map(({ service, here }) => [service, here]), [[service, true], [service, false]]);
    const [came, went] = placed;
    assert.ok(came.rate > 0 && came.thereMs > 0 && came.costMs > 0 && went.hereMs !== null, JSON.stringify(placed));
  }));
