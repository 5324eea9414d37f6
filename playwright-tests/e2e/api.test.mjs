// The JavaScript API as embedders use it: every method and event that is promised, who may do what, newer versions.

import assert from "node:assert/strict";
import { test } from "node:test";

import { meets, move, volunteer } from "../lib/moves.mjs";
import { joinPage, publish, soon } from "../lib/peer.mjs";
import { manifestOf, MEMORY, moduleOf, onCall, tryPublish } from "../lib/wasm.mjs";
import { inWorld } from "../lib/world.mjs";

/** Adds one to the counter; the new value, or the code of the error. */
const add = (page, service) =>
  page.evaluate((service) => peer.call(service, "add", encode(1)).then(decode, (error) => error.code), service);

test("methods, properties and events are those of the promise", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const source = await volunteer(world, browser, relay, "source");
    const target = await volunteer(world, browser, relay, "target");
    const user = await joinPage(await world.page(browser, "user"), relay, { name: "user", store: "memory" });
    for (const page of [source, target, user]) {
      await page.evaluate(() => {
        window.heard = { status: 0, peer: [], hosting: [], moved: [], error: [] };
        peer.addEventListener("status", () => (heard.status += 1));
        for (const name of ["peer", "hosting", "moved", "error"]) peer.addEventListener(name, ({ detail }) => heard[name].push(structuredClone(detail)));
      });
    }
    const chat = await publish(source, "chat", { tags: ["example", "talk"], location: [52.52, 13.4] });
    assert.equal(chat, `chat@${source.id}`);
    await soon(source, (chat) => heard.hosting.some((each) => each.service === chat), chat);

    const found = await user.evaluate(async () => ({
      name: (await peer.find({ name: "chat" })).map((each) => each.id),
      tag: (await peer.find({ tag: "talk" })).map((each) => each.id),
      near: (await peer.find({ near: [52.4, 13.1, 50] })).map((each) => each.id),
      far: (await peer.find({ near: [48.1, 11.6, 50] })).length,
      other: (await peer.find({ tag: "nothing" })).length,
      record: (await peer.find({ name: "chat" }))[0],
      wrong: await codeOf(peer.find({ near: [1, 2] })),
    }));
    const { record, ...lists } = found;
    assert.deepEqual(lists, { name: [chat], tag: [chat], near: [chat], far: 0, other: 0, wrong: "refused" });
    const known = { id: chat, name: "chat", publisher: source.id, state: "single", tags: ["example", "talk"], hosts: [source.id] };
    for (const [field, value] of Object.entries(known)) assert.deepEqual(record[field], value, field);

    const opened = await user.evaluate(async (chat) => {
      window.session = await peer.open(chat);
      window.got = { message: [], moved: [], close: [] };
      session.addEventListener("message", ({ detail }) => got.message.push(new TextDecoder().decode(detail)));
      for (const name of ["moved", "close"]) session.addEventListener(name, ({ detail }) => got[name].push(structuredClone(detail)));
      await session.call("name", new TextEncoder().encode("Zoe"));
      session.send(new TextEncoder().encode("hello"));
      session.datagram(new Uint8Array([1]));
      const state = await session.query("state");
      return { id: session.id, server: session.server, epoch: session.epoch, term: session.term, state: state.length };
    }, chat);
    assert.equal(opened.server, source.id);
    assert.ok(opened.id.length > 0 && opened.epoch >= 1 && opened.term >= 1 && opened.state > 0, JSON.stringify(opened));
    await soon(user, () => got.message.some((text) => text.includes("hello")));

    const report = await move(source, target, chat);
    const { from, to, term, pauseMs, bytes, stateBytes } = report;
    assert.deepEqual([from, to], [source.id, target.id]);
    for (const figure of [term, pauseMs, bytes, stateBytes]) assert.ok(Number.isFinite(figure), JSON.stringify(report));
    await soon(user, () => got.moved.length > 0 && heard.moved.length > 0);
    assert.deepEqual(await user.evaluate(() => [session.server, got.moved[0].server]), [target.id, target.id]);
    await soon(target, (chat) => heard.hosting.some((each) => each.service === chat), chat);

    const end = await user.evaluate(async (chat) => {
      session.close();
      await until(() => got.close.length > 0, 10_000, "close");
      const after = await codeOf(session.call("state"));
      peer.rate(chat, 6);
      await until(() => heard.error.length > 0, 10_000, "rate's refusal");
      peer.volunteer({ cpu: 10, memoryMiB: 64, storageMiB: 0, services: ["chat"] });
      await until(() => peer.status().volunteer !== null, 10_000, "volunteering");
      const policy = peer.status().volunteer;
      peer.volunteer(false);
      await until(() => peer.status().volunteer === null, 10_000, "no volunteer");
      return { after, error: heard.error[0].code, reason: typeof got.close[0].reason, policy };
    }, chat);
    assert.equal(end.after, "disconnected");
    assert.equal(end.error, "refused");
    assert.equal(end.reason, "string");
    assert.deepEqual(end.policy, { cpu: 10, memoryMiB: 64, storageMiB: 0, upKbps: 2000, mains: true, services: ["chat"], publishers: [], tags: [] });

    const wrong = await user.evaluate(async (chat) => ({
      body: await codeOf(peer.call(chat, "name", 7)),
      pkg: await codeOf(peer.publish()),
      module: await codeOf(peer.publish({ manifest: { name: "a" } })),
      relay: await codeOf((await import("/tabfarm.js")).Peer.join({ relays: ["nonsense"], store: "memory" })),
      target: await codeOf(peer.handover(chat, "nobody")),
    }), chat);
    assert.deepEqual(wrong, { body: "refused", pkg: "invalid-package", module: "invalid-package", relay: "disconnected", target: "refused" });

    const codes = await user.evaluate(async () => {
      await peer.leave();
      return { call: await codeOf(peer.call("chat", "name")), joined: peer.status().joined, again: await codeOf(peer.leave()) };
    });
    assert.deepEqual(codes, { call: "disconnected", joined: false, again: "ok" });
    assert.ok(await user.evaluate(() => heard.status > 0 && heard.peer.every(({ id, connected }) => id && typeof connected === "boolean")));
    for (const page of [source, target, user]) assert.deepEqual(page.problems, []);
  }));

test("one name of two publishers is ambiguous, and the error names both", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [a, b, user] = await Promise.all(["a", "b", "user"].map(async (name) => joinPage(await world.page(browser, name), relay)));
    const ids = [await publish(a, "counter"), await publish(b, "counter")];
    const error = await user.evaluate(async () => {
      await until(async () => (await peer.find({ name: "counter" })).length === 2, 30_000, "both are found");
      return peer.open("counter").then(() => null, ({ name, code, candidates, message }) => ({ name, code, candidates, message }));
    });
    assert.deepEqual([error.name, error.code, [...error.candidates].sort()], ["TabfarmError", "ambiguous", [...ids].sort()]);
    assert.deepEqual([await add(user, ids[0]), await add(user, ids[0]), await add(user, ids[1])], [1, 2, 1], "each by its whole name");
  }));

test("access names the consumers, hosts the hosts: others are refused", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const source = await volunteer(world, browser, relay, "source");
    const friend = await volunteer(world, browser, relay, "friend");
    const stranger = await volunteer(world, browser, relay, "stranger");
    const closed = await publish(source, "counter", { name: "closed", access: [friend.id] });
    assert.deepEqual([await add(source, closed), await add(friend, closed)], [1, 2], "the publisher and who is named");
    const refused = await stranger.evaluate((closed) => peer.call(closed, "read").then(() => null, ({ code, message }) => ({ code, message })), closed);
    assert.equal(refused?.code, "not-permitted", refused?.message);
    assert.ok(refused.message.length > 10, refused.message);

    const homely = await publish(source, "counter", { name: "homely", hosts: [friend.id] });
    assert.equal(await add(stranger, homely), 1, "anyone may use it");
    await meets(source, stranger);
    const host = (page) => page.evaluate((homely) => codeOf(peer.host(homely)), homely);
    assert.equal(await host(stranger), "not-permitted");
    const moved = await source.evaluate(([homely, to]) => codeOf(peer.handover(homely, to)), [homely, stranger.id]);
    assert.match(moved, /^(not-permitted|refused)$/);
    await move(source, friend, homely);
    assert.equal(await add(stranger, homely), 2, "it moved to the friend with its state");
  }));

test("a newer version takes the place of the running one, here and in another tab, and keeps what is stored", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [first, second] = [await world.browser(), await world.browser()];
    const profile = await world.profile();
    const author = await joinPage(world.watch(await profile.context.newPage(), "author"), relay);
    const user = await joinPage(await world.page(first, "user"), relay);
    const helper = await volunteer(world, second, relay, "helper");
    const service = await publish(author, "counter", { version: "1.0.0" });
    assert.deepEqual([await add(user, service), await add(user, service)], [1, 2]);
    await user.evaluate(async (service) => void (window.session = await peer.open(service)), service);
    await publish(author, "counter", { version: "1.1.0" });
    const step = () => user.evaluate(async () => decode(await session.call("add", encode(1))));
    assert.equal(await step(), 3, "the session goes on, the count is kept");

    await move(author, helper, service);
    await publish(author, "counter", { version: "1.2.0" });
    // What a tab finds while the news is on its way is an older version, or nobody who has the newer one.
    const becomes = (page, version) =>
      soon(page, ([service, version]) => peer.package(service).then(({ manifest }) => manifest.version === version, () => false), [service, version]);
    await becomes(helper, "1.2.0");
    assert.equal(await step(), 4);

    const before = author.id;
    await joinPage(author, relay);
    assert.equal(author.id, before, "a reload keeps the publisher's key");
    await publish(author, "counter", { version: "1.3.0" });
    await becomes(user, "1.3.0");
    assert.equal(await step(), 5, "one count, one service");
    for (const page of [author, user, helper]) assert.deepEqual(page.problems, []);
  }));

test("a call that never returns: the caller is told at its deadline or before, others are served, the page stays usable", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
    const good = await publish(host, "counter");
    const { id, message } = await tryPublish(host, manifestOf("spinner"), moduleOf(onCall("(loop $l (br $l))"), MEMORY));
    assert.ok(id, message);
    assert.equal(await add(caller, good), 1);
    const seen = await caller.evaluate(async ([id, good]) => {
      const start = performance.now();
      const ended = [];
      const calls = Array.from({ length: 8 }, () => peer.call(id, "go", undefined, { deadlineMs: 1_000 }).catch(({ code }) => ended.push({ code, ms: performance.now() - start })));
      const beside = decode(await peer.call(good, "add", encode(1)));
      const besideMs = performance.now() - start;
      await Promise.all(calls);
      return { ended, beside, besideMs };
    }, [id, good]);
    assert.equal(seen.beside, 2, "another service of the same host answers meanwhile");
    assert.equal(seen.ended.length, 8);
    for (const { code } of seen.ended) assert.match(code, /^(trapped|deadline|unknown-outcome|overloaded)$/);
    const late = seen.ended.filter(({ ms }) => ms > 1_500);
    assert.deepEqual(late, [], "nobody waits longer than half a second past the deadline");
    assert.equal(await host.evaluate(() => 1 + 1), 2);
    assert.equal(await add(caller, good), 3);
    assert.deepEqual([...host.problems, ...caller.problems], []);
  }));

test("a peer that is alone runs what it publishes, and nobody hears of it", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const other = await joinPage(await world.page(browser, "other"), relay);
    const page = await joinPage(await world.page(browser, "page"), relay);
    const tried = await page.evaluate(async () => {
      const { Peer } = await import("/tabfarm.js");
      const joined = peer;
      window.peer = await Peer.alone();
      const id = await publishExample("counter", { name: "secret" });
      const value = decode(await peer.call(id, "add", encode(4)));
      const { peers, joined: reachable, hosting } = peer.status();
      await peer.leave();
      window.peer = joined;
      return { id, value, peers, reachable, hosting: hosting.length };
    });
    assert.deepEqual([tried.value, tried.peers, tried.reachable, tried.hosting], [4, [], false, 1]);
    assert.ok(!tried.id.endsWith(page.id), "under a key of its own");
    assert.deepEqual(await other.evaluate(async () => (await peer.find({})).map((each) => each.id)), []);
    assert.equal(await other.evaluate((id) => codeOf(peer.open(id)), tried.id), "not-found");
  }));

test("stars of peers are found with a service, one rating of each peer", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [author, one, two] = await Promise.all(
      ["author", "one", "two"].map(async (name) => joinPage(await world.page(browser, name), relay)),
    );
    const service = await publish(author, "counter");
    const rating = async (page) => (await page.evaluate(() => peer.find({ name: "counter" })))[0]?.rating;
    const rates = (page, stars) => page.evaluate(([service, stars]) => peer.rate(service, stars), [service, stars]);
    const becomes = async (expected) => {
      for (const page of [author, one, two]) {
        await soon(page, async (expected) => JSON.stringify((await peer.find({ name: "counter" }))[0]?.rating) === expected, JSON.stringify(expected));
      }
    };
    assert.equal(await rating(one), null);
    await rates(one, 5);
    await becomes({ mean: 5, count: 1 });
    await rates(two, 2);
    await becomes({ mean: 3.5, count: 2 });
    await rates(two, 4);
    await becomes({ mean: 4.5, count: 2 });
    await rates(one, 0);
    await becomes({ mean: 4, count: 1 });
    const { services: [listed] } = await (await fetch(`${relay.url}/api/services?q=counter`)).json();
    assert.deepEqual(listed.rating, { mean: 4, count: 1 });
    const refused = await author.evaluate(async (service) => {
      const errors = [];
      peer.addEventListener("error", ({ detail }) => errors.push(detail.code));
      peer.rate(service, 5);
      peer.rate("nothing-of-the-kind", 5);
      await until(() => errors.length === 2, 20_000, "two refusals");
      return errors.sort();
    }, service);
    assert.deepEqual(refused, ["not-found", "not-permitted"], "nobody rates a service of its own");
  }));
