// New versions of a running service, and the trial that comes before any of them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { move, volunteer } from "../lib/moves.mjs";
import { joinPage, publish, soon } from "../lib/peer.mjs";
import { manifestOf, MEMORY, moduleOf, tryPublish } from "../lib/wasm.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

/** Counts calls in its memory and answers the count as one character from `first` on; `upgrade` is what it does with kind 7. */
const counting = (first, upgrade) =>
  moduleOf(
    `(if (i32.eq (local.get $kind) (i32.const 7)) (then ${upgrade}))
     (if (i32.eq (local.get $kind) (i32.const 3)) (then
       (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
       (i32.store8 (i32.const 8) (i32.add (i32.const ${first.charCodeAt(0) - 1}) (i32.load8_u (i32.const 0))))
       (call $reply (i32.const 8) (i32.const 1))))
     (i32.const 0)`,
    MEMORY,
  );

const go = (page, service) => page.evaluate(async (service) => new TextDecoder().decode(await peer.call(service, "go")), service);

inBoth("a new version takes over; one that traps or fails when it meets the state is taken back with nothing lost", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
    const published = async (version, first, upgrade) =>
      tryPublish(host, manifestOf("counting", { version }), counting(first, upgrade));
    const { id } = await published("1.0.0", "a", "");
    const session = caller.evaluateHandle((id) => peer.open(id), id);
    const inSession = async () =>
      caller.evaluate(async (session) => new TextDecoder().decode(await session.call("go")), await session);
    assert.deepEqual([await inSession(), await inSession()], ["a", "b"]);
    for (const [upgrade, why] of [["unreachable", "unreachable"], ['(call $reply (i32.const 0) (i32.const 0)) (return (i32.const 1))', "refused"]]) {
      const { code, message } = await published("2.0.0", "A", upgrade);
      assert.equal(code, "invalid-package", why);
      assert.match(message, new RegExp(`did not take the state over \\(${why}\\); the one before goes on`));
    }
    assert.deepEqual([await inSession(), await inSession()], ["c", "d"], "the old module with its memory");
    // It goes on as the old one elsewhere, too.
    const second = await volunteer(world, await world.browser(), relay, "second");
    await move(host, second, id);
    assert.equal(await inSession(), "e");
    await move(second, host, id);
    assert.deepEqual((await published("3.0.0", "A", "")).id, id);
    assert.equal(await inSession(), "A", "the new module begins with a fresh memory");
    // The same once more changes nothing.
    assert.deepEqual((await published("3.0.0", "A", "")).id, id);
    assert.equal(await inSession(), "B");
  }));

test("a standby that was upgraded along serves the new version, and can hand it on", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    const second = await volunteer(world, await world.browser(), relay, "second");
    const service = await publish(host, "counter");
    const add = () => host.evaluate(async (service) => decode(await peer.call(service, "add", encode(1))), service);
    assert.equal(await add(), 1);
    const stands = ([service, id]) => peer.status().hosting.find((each) => each.service === service)?.standbys.includes(id);
    await soon(host, stands, [service, second.id]);
    await publish(host, "counter", { version: "2.0.0" });
    assert.equal(await add(), 2);
    await move(host, second, service);
    assert.equal(await add(), 3);
    await move(second, host, service);
    assert.equal(await add(), 4);
  }));

test("a version that is taken back on another's host leaves a service that moves on", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const author = await volunteer(world, await world.browser(), relay, "author");
    const host = await volunteer(world, await world.browser(), relay, "host");
    const { id } = await tryPublish(author, manifestOf("counting"), counting("a", ""));
    assert.equal(await go(author, id), "a");
    await move(author, host, id);
    assert.equal(await go(author, id), "b");
    const { message } = await tryPublish(author, manifestOf("counting", { version: "2.0.0" }), counting("A", "unreachable"));
    assert.match(message, /those who serve it did not take the new version \(unreachable\); the one before goes on/);
    await soon(host, (id) => peer.status().hosting.find((each) => each.service === id)?.traps > 0, id);
    for (const page of [author, host]) {
      const versions = await page.evaluate(async () => (await peer.find({ name: "counting" })).map(({ version }) => version));
      assert.deepEqual(versions, ["1.0.0"]);
    }
    assert.equal(await go(author, id), "c");
    const third = await volunteer(world, await world.browser(), relay, "third");
    await move(host, third, id);
    assert.equal(await go(author, id), "d");
  }));

test("a version that allows less storage than is used is taken back", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    const filling = moduleOf(
      `(if (i32.eq (local.get $kind) (i32.const 3)) (then
         (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
         (drop (call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 60000)))
         (call $reply (i32.const 0) (i32.const 1))))
       (i32.const 0)`,
      `(import "host" "kv_put" (func $put (param i32 i32 i32 i32) (result i32))) ${MEMORY}`,
    );
    const published = (version, storageMiB) => tryPublish(host, manifestOf("filling", { version, requires: { memoryMiB: 1, storageMiB } }), filling);
    const { id } = await published("1.0.0", 8);
    for (let n = 0; n < 20; n += 1) await go(host, id);
    assert.match((await published("2.0.0", 1)).message, /did not take the state over \(more is stored than it allows\); the one before goes on/);
    assert.equal(await go(host, id), String.fromCharCode(21));
    assert.deepEqual((await published("3.0.0", 2)).id, id);
  }));

test("what a service stored with kv outlives its module, under calls", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    const service = await publish(host, "counter");
    const add = () => host.evaluate(async (service) => decode(await peer.call(service, "add", encode(1))), service);
    assert.equal(await add(), 1);
    for (let n = 2; n <= 4; n += 1) {
      assert.equal(await publish(host, "counter", { version: `${n}.0.0` }), service);
      assert.equal(await add(), n);
    }
  }));

test("examples are the trial: a package whose example ends otherwise is refused with both answers, one that holds its word runs", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    const examples = (reply) => [{ method: "add", body: 2, reply: 2 }, { method: "add", body: 40, reply }, { method: "read", reply: 42 }];
    const refused = await host.evaluate((examples) => publishExample("counter", { name: "wrong", examples }).catch(({ code, message }) => ({ code, message })), examples(41));
    assert.equal(refused.code, "invalid-package");
    assert.match(refused.message, /its example 2, add: it answers 42, not 41/);
    const service = await publish(host, "counter", { examples: examples(42) });
    const read = await host.evaluate(async (service) => decode(await peer.call(service, "add", encode(1))), service);
    assert.equal(read, 1, "the trial left nothing behind");
  }));

test("a volunteer takes what its person lets it take: publishers, tags, bandwidth", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    const other = await joinPage(await world.page(await world.browser(), "other"), relay);
    const service = await publish(host, "counter", { tags: ["maths"], requires: { upKbps: 100, energy: "mains" } });
    const offered = async (policy) => {
      await other.evaluate((policy) => peer.volunteer(policy), policy);
      await soon(host, (id) => peer.status().peers.some((each) => each.id === id && each.volunteer), other.id);
      return host.evaluate(([service, to]) => peer.handover(service, to).then(() => "moved", ({ code, message }) => `${code} ${message}`), [service, other.id]);
    };
    for (const policy of [{ publishers: [other.id] }, { tags: ["games"] }, { services: ["chat"] }]) {
      assert.match(await offered(policy), /takes other services only/, JSON.stringify(policy));
    }
    assert.match(await offered({ upKbps: 99 }), /it needs 100 kbit\/s up, 99 are known/);
    assert.match(await offered({ upKbps: 100, mains: false }), /it needs mains power/);
    assert.equal(await offered({ publishers: [host.id], tags: ["games", "maths"], services: ["counter"], upKbps: 100 }), "moved");
    const refused = await other.evaluate(() => new Promise((resolve) => {
      peer.addEventListener("error", (event) => resolve(event.detail.message), { once: true });
      peer.volunteer({ cpu: -1 });
    }));
    assert.match(refused, /policy cannot be read/);
  }));
