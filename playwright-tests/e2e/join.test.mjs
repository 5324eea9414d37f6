// A tab joins by opening a URL, and keeps who it is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

test("a tab joins through the API and hears of the relay and of another tab", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [a, b] = await Promise.all(["a", "b"].map(async (name) => joinPage(await world.page(browser, name), relay, { name })));
    assert.match(a.id, /^12D3KooW/);
    assert.notEqual(a.id, b.id);
    await publish(a, "counter");
    // A call connects the two.
    assert.equal(await b.evaluate(async () => decode(await peer.call("counter", "add", encode(4)))), 4);
    const status = await b.evaluate(() => peer.status());
    assert.equal(status.joined, true);
    assert.deepEqual(status.relays, [relay.info.peer_id]);
    const other = status.peers.find((each) => each.id === a.id);
    assert.equal(other?.role, "tab");
    await soon(b, (id) => peer.status().peers.find((each) => each.id === id)?.path === "direct", a.id);
  }));

test("what a relay tells a tab that wants to join", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const node = await (await fetch(`${relay.url}/api/node`)).json();
    assert.equal(node.peer_id, relay.info.peer_id);
    assert.ok(node.addresses.length > 0 && node.addresses.every((address) => address.includes("/ws")), node.addresses.join());
    assert.equal((await fetch(`${relay.url}/health`)).status, 200);
    assert.equal((await fetch(`${relay.url}/api/services`)).status, 200);
    assert.equal((await fetch(`${relay.url}/no-such-thing`)).status, 404);
    assert.equal(await relay.stop(), 0, "a relay that is asked to stop exits cleanly");
  }));

test("a reload keeps the id; two tabs of one profile have two; another profile has another", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const profile = await world.profile();
    const open = async (name) => joinPage(world.watch(await profile.context.newPage(), name), relay);
    const first = await open("first");
    const second = await open("second");
    assert.notEqual(first.id, second.id);
    const before = first.id;
    await joinPage(first, relay);
    assert.equal(first.id, before, "after a reload");
    await second.close();
    await first.close();
    const third = await open("third");
    assert.equal(third.id, before, "a new tab takes the profile's identity when nobody holds it");
    const browser = await world.browser();
    const other = await joinPage(await world.page(browser, "other"), relay);
    assert.notEqual(other.id, before);
  }));

test("an identity in memory is gone with its tab", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const profile = await world.profile();
    const page = await joinPage(world.watch(await profile.context.newPage(), "page"), relay, { store: "memory" });
    const before = page.id;
    await joinPage(page, relay, { store: "memory" });
    assert.notEqual(page.id, before);
  }));
