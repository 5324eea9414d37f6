// Replicated services: a group of three tabs that loses its leader while it is called.

import assert from "node:assert/strict";
import { test } from "node:test";

import { endCalls, move, volunteer } from "../lib/moves.mjs";
import { SOON_MS, joinPage, moreReplies, publish, soon, startCalls, stopCalls } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const HZ = 50;
const REPLICATED = { state: "replicated-3" };

/** Waits until one of `pages` leads the service with `count` replicas, none of which lags; that page. */
async function whole(pages, service, count = 3) {
  const leads = ([service, count]) => {
    const own = peer.status().hosting.find((each) => each.service === service);
    return own?.role === "leader" && own.replicas === count && own.members.length === count;
  };
  return Promise.any(pages.map((page) => soon(page, leads, [service, count]).then(() => page)));
}

/** Relay, a browser process for each of `count` volunteers, a caller in another, a service with three replicas under calls. */
async function replicated(world, count) {
  const relay = await world.relay();
  const hosts = [];
  for (let n = 0; n < count; n += 1) {
    const browser = await world.browser();
    const page = await volunteer(world, browser, relay, `host ${n}`);
    hosts.push(Object.assign(page, { browserProcess: browser }));
  }
  const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
  const service = await publish(hosts[0], "counter", REPLICATED);
  const leader = await whole(hosts, service);
  assert.equal(leader.id, hosts[0].id, "the publisher's tab leads first");
  await startCalls(caller, service, { hz: HZ });
  await moreReplies(caller, HZ / 2);
  return { relay, hosts, caller, service, leader };
}

test("the leader's browser is killed: no call is lost, and a fourth tab takes the place", () =>
  inWorld(async (world) => {
    const { hosts, caller, service, leader } = await replicated(world, 4);
    await leader.browserProcess.kill();
    await moreReplies(caller, 2 * HZ);
    const rest = hosts.filter((host) => host !== leader);
    const next = await whole(rest, service);
    await endCalls(caller, next);
  }));

test("two leaders after each other close their tabs: no call is lost", () =>
  inWorld(async (world) => {
    const { hosts, caller, service, leader } = await replicated(world, 4);
    await leader.close();
    await moreReplies(caller, HZ);
    const rest = hosts.filter((host) => host !== leader);
    const second = await whole(rest, service);
    await second.close();
    await moreReplies(caller, HZ);
    await endCalls(caller);
  }));

test("a replicated service moves to a replica and to a stranger while it is called", () =>
  inWorld(async (world) => {
    const { hosts, caller, service, leader } = await replicated(world, 4);
    const members = await leader.evaluate((service) => peer.status().hosting.find((each) => each.service === service).members, service);
    const replica = hosts.find((host) => host !== leader && members.includes(host.id));
    const stranger = hosts.find((host) => !members.includes(host.id));
    const report = await move(leader, replica, service);
    assert.equal(report.to, replica.id);
    await whole(hosts, service);
    assert.equal((await move(replica, stranger, service)).to, stranger.id);
    await moreReplies(caller, HZ);
    await whole(hosts, service);
    await stranger.evaluate(() => peer.leave());
    await moreReplies(caller, HZ);
    const calls = await endCalls(caller);
    assert.notEqual(calls.server, stranger.id);
  }));

test("a replicated service whose code is published anew keeps running on all its replicas", () =>
  inWorld(async (world) => {
    const { hosts, caller, service, leader } = await replicated(world, 3);
    await endCalls(caller);
    await publish(leader, "counter", { ...REPLICATED, version: "1.1.0" });
    const session = await caller.evaluateHandle((service) => peer.open(service), service);
    const add = () => session.evaluate(async (session) => decode(await session.call("add", encode(1))));
    const first = await add();
    const next = hosts.find((host) => host !== leader);
    await whole(hosts, service);
    await move(leader, next, service);
    assert.equal(await add(), first + 1, "the replica ran the same code on the same state");
  }));

test("the leader's browser is frozen and thawed: others go on meanwhile, and it acknowledges nothing afterwards", () =>
  inWorld(async (world) => {
    const { hosts, caller, service, leader } = await replicated(world, 3);
    leader.browserProcess.freeze();
    try {
      await moreReplies(caller, 3 * HZ);
    } finally {
      leader.browserProcess.thaw();
    }
    await moreReplies(caller, 2 * HZ);
    const calls = await endCalls(caller);
    assert.notEqual(calls.server, leader.id);
    const next = await whole(hosts.filter((host) => host !== leader), service);
    assert.equal(calls.server, next.id, "and the thawed one is a replica again");
  }));

test("reads are answered by all copies, and see every call that was acknowledged before", () =>
  inWorld(async (world) => {
    const { caller, service, hosts } = await replicated(world, 3);
    await stopCalls(caller);
    // The first round trips to new peers were measured while all of them were busy, so that some look far away.
    const reads = await caller.evaluate(async ([service, ms]) => {
      const session = await peer.open(service);
      const reads = [];
      const spread = () => new Set(reads.map(({ server }) => server)).size >= 2;
      await until(async () => {
        const total = decode(await session.call("add", encode(1)));
        const { body, server, ageMs } = await session.read("read");
        reads.push({ total, read: decode(body), server, ageMs });
        return reads.length >= 40 && spread();
      }, ms, "others than the leader answer");
      return reads;
    }, [service, SOON_MS]);
    for (const { total, read, ageMs } of reads) {
      assert.ok(read >= total, `${read} was read after ${total} was acknowledged`);
      assert.ok(ageMs >= 0);
    }
    const servers = new Set(reads.map(({ server }) => server));
    assert.ok([...servers].every((id) => hosts.some((host) => host.id === id)));
  }));
