// A running service moves between tabs while it is used.

import assert from "node:assert/strict";
import { test } from "node:test";

import { endCalls, leaders, move, volunteer } from "../lib/moves.mjs";
import { joinPage, moreReplies, publish, soon, startCalls } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const HZ = 50;

test("ten handovers among three tabs under 50 calls a second: nothing lost, doubled or reordered", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [hosts, callers] = [await world.browser(), await world.browser()];
    const tabs = [];
    for (const name of ["a", "b", "c"]) tabs.push(await volunteer(world, hosts, relay, name));
    const caller = await joinPage(await world.page(callers, "caller"), relay, { name: "caller" });
    const service = await publish(tabs[0], "counter");
    await startCalls(caller, service, { hz: HZ });
    let term = 0;
    for (let round = 0; round < 10; round++) {
      const [from, to] = [tabs[round % 3], tabs[(round + 1) % 3]];
      await moreReplies(caller, HZ / 2);
      const report = await move(from, to, service);
      assert.equal(report.uncertain, false);
      assert.deepEqual([report.from, report.to], [from.id, to.id]);
      assert.ok(report.term > term, `term ${report.term} after ${term}`);
      assert.ok(report.bytes > 0 && report.stateBytes > 0);
      term = report.term;
      await soon(caller, (id) => calling.session.server === id, to.id);
    }
    await moreReplies(caller, HZ);
    const calls = await endCalls(caller, tabs[10 % 3]);
    assert.ok(calls.moved >= 10, `${calls.moved} moves were told to the session`);
    assert.deepEqual((await leaders(tabs, service)).map((page) => page.id), [tabs[10 % 3].id]);
  }));

inBoth("three callers at once, and messages of a chat room, across handovers", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const a = await volunteer(world, browser, relay, "a");
    const b = await volunteer(world, browser, relay, "b");
    const chat = await publish(a, "chat");
    const talkers = [];
    for (const name of ["x", "y", "z"]) {
      const page = await joinPage(await world.page(browser, name), relay, { name });
      await page.evaluate(async (chat) => {
        window.room = await peer.open(chat);
        window.heard = [];
        room.addEventListener("message", (event) => heard.push(new TextDecoder().decode(event.detail)));
      }, chat);
      talkers.push(page);
    }
    const say = (page, from, count) =>
      page.evaluate(async ([from, count]) => {
        for (let n = from; n < from + count; n++) {
          room.send(new TextEncoder().encode(`${peer.id.slice(-6)} says ${n}`));
          await new Promise((done) => setTimeout(done, 5));
        }
      }, [from, count]);
    await Promise.all(talkers.map((page) => say(page, 0, 40)));
    const speaking = Promise.all(talkers.map((page) => say(page, 40, 60)));
    await move(a, b, chat);
    await move(b, a, chat);
    await speaking;
    for (const page of talkers) {
      await soon(page, (total) => heard.filter((line) => line.includes(" says ")).length >= total, 300);
      const heard = await page.evaluate(() => heard.filter((line) => line.includes(" says ")));
      for (const talker of talkers) {
        const mine = heard.filter((line) => line.includes(`${talker.id.slice(-6)} says `)).map((line) => Number(/ says (\d+)/.exec(line)[1]));
        assert.deepEqual(mine, Array.from({ length: 100 }, (_, n) => n), "each once and in order");
      }
      assert.deepEqual(heard, await talkers[0].evaluate(() => heard.filter((line) => line.includes(" says "))), "everybody hears the same order");
    }
  }));

test("a call from a second browser process, by WebRTC, to a service that a volunteer pulled", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [one, two] = [await world.browser(), await world.browser()];
    const publisher = await joinPage(await world.page(one, "publisher"), relay);
    const service = await publish(publisher, "kv");
    const host = await volunteer(world, two, relay, "volunteer");
    // As a person would: host what the catalogue shows as served, by a peer that is met.
    await soon(host, async () => (await peer.find({ name: "kv" }))[0]?.hosts.length > 0);
    await soon(host, (id) => peer.status().peers.some((each) => each.id === id), publisher.id);
    await host.evaluate((service) => peer.host(service), service);
    const caller = await joinPage(await world.page(two, "caller"), relay);
    const answer = await caller.evaluate(async (service) => {
      const session = await peer.open(service);
      const bytes = (text) => new TextEncoder().encode(text);
      // It may have begun over the relay's circuit.
      await until(() => peer.status().sessions.some((each) => each.id === session.id && each.path === "direct"), 30_000, "a direct path");
      const info = await peer.find({ name: "kv" });
      const { manifest } = await peer.package(service);
      return { found: info.map((each) => each.id), complete: info.complete, name: manifest.name, length: bytes("x").length };
    }, service);
    assert.deepEqual(answer, { found: [service], complete: true, name: "kv", length: 1 });
  }));

test("a service that nobody calls for a minute sleeps, moves asleep, and the next call finds its state", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [a, b] = [await volunteer(world, browser, relay, "a"), await volunteer(world, browser, relay, "b")];
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(a, "counter");
    const add = () => caller.evaluate(async (service) => decode(await (window.session ??= await peer.open(service)).call("add", encode(1))), service);
    assert.deepEqual([await add(), await add()], [1, 2]);
    await soon(a, (service) => peer.status().hosting.find((each) => each.service === service)?.standbys.length === 1, service);
    const workers = () => a.workers().length + b.workers().length;
    const awake = workers();
    const asleep = (page) => soon(page, (service) => peer.status().hosting.find((each) => each.service === service)?.asleep, service, 100_000);
    await asleep(a);
    await asleep(b);
    assert.equal(workers(), awake - 2, "those of the host and of its standby have ended");
    assert.equal(await add(), 3);
    await asleep(a);
    await move(a, b, service);
    assert.equal(await add(), 4);
  }, 240_000));
