// Modules and packages that mean harm, or are broken: refused by name, or contained while the page stays usable.

import assert from "node:assert/strict";
import { test } from "node:test";

import { meets, volunteer } from "../lib/moves.mjs";
import { joinPage, publish } from "../lib/peer.mjs";
import { manifestOf, MEMORY, moduleOf, onCall, tryPublish } from "../lib/wasm.mjs";
import { inWorld } from "../lib/world.mjs";

/** Name, body of a call, further declarations. */
const TRAPPING = [
  ["endless loop", "(loop $l (br $l))"],
  ["recursion without end", "(drop (call $handle (i32.const 3) (i32.const 0) (i32.const 0)))"],
  ["trap", "unreachable"],
  ["read outside memory", "(drop (i32.load (i32.const 0x7fffffff)))"],
  ["reply from outside memory", "(call $reply (i32.const 0x7ffffff0) (i32.const 4096))"],
  ["reply of negative length", "(call $reply (i32.const 0) (i32.const -1))"],
  ["memory.fill in a loop", "(loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br $l))"],
];

test("modules that loop, recurse or trap: the caller is told, the page and other services stay responsive", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const good = await publish(host, "counter");
    let good_calls = 0;
    for (const [name, body] of TRAPPING) {
      const manifest = manifestOf(name.replaceAll(/[ .]/g, "-"));
      const { id, code, message } = await tryPublish(host, manifest, moduleOf(onCall(body), MEMORY));
      assert.ok(id, `${name}: ${code} ${message}`);
      const ended = await caller.evaluate(async (id) => {
        const start = performance.now();
        const code = await codeOf(peer.call(id, "go"));
        return { code, ms: performance.now() - start };
      }, id);
      assert.equal(ended.code, "trapped", name);
      good_calls += 1;
      const answer = await caller.evaluate(async (good) => decode(await peer.call(good, "add", encode(1))), good);
      assert.equal(answer, good_calls, `another service of the same host, after ${name}`);
    }
    assert.deepEqual([...host.problems, ...caller.problems], []);
  }));

test("a memory bomb gets no more than its manifest says", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    // Grows until it is refused and replies with the pages that it got.
    const body = `(local $n i32)
      (if (i32.eq (local.get $kind) (i32.const 3)) (then
        (block $done (loop $l (br_if $done (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (br $l)))
        (i32.store (i32.const 0) (memory.size))
        (call $reply (i32.const 0) (i32.const 4))))
      (i32.const 0)`;
    const { id, message } = await tryPublish(host, manifestOf("bomb"), moduleOf(body, '(memory (export "memory") 1)'));
    assert.ok(id, message);
    const pages = await host.evaluate(async (id) => new DataView((await peer.call(id, "go")).buffer).getUint32(0, true), id);
    assert.equal(pages, 16, "1 MiB");
  }));

test("packages that are refused before they run", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await joinPage(await world.page(browser, "publisher"), relay);
    const fine = moduleOf("(i32.const 0)", MEMORY);
    const flipped = fine.with(20, fine[20] ^ 0x40);
    const foreign = moduleOf("(i32.const 0)", `(import "env" "fetch" (func (param i32))) ${MEMORY}`);
    const unknown = moduleOf("(i32.const 0)", `(import "host" "fetch" (func (param i32))) ${MEMORY}`);
    const cases = [
      ["more data than memory", manifestOf("a"), moduleOf("(i32.const 0)", `${MEMORY} (data "${"x".repeat(70_000)}")`)],
      ["a trap when a session opens", manifestOf("a"), moduleOf("unreachable", MEMORY)],
      ["no wasm", manifestOf("a"), [1, 2, 3]],
      ["empty", manifestOf("a"), []],
      ["cut off", manifestOf("a"), fine.slice(0, fine.length - 3)],
      ["a flipped byte", manifestOf("a"), flipped],
      ["an import that is not of the host", manifestOf("a"), foreign],
      ["a host function that does not exist", manifestOf("a"), unknown],
      ["no memory", manifestOf("a"), moduleOf("(i32.const 0)")],
      ["memory beyond the manifest's", manifestOf("a"), moduleOf("(i32.const 0)", '(memory (export "memory") 64)')],
      ["a reserved export", manifestOf("a"), moduleOf("(i32.const 0)", `${MEMORY} (global (export "$g0") i32 (i32.const 1))`)],
      ["a name with a direction mark", manifestOf("a\u202eb"), fine],
      ["a name that is a path", manifestOf("../a"), fine],
      ["an unknown field", manifestOf("a", { secret: 1 }), fine],
      ["an unknown state", manifestOf("a", { state: "replicated-4" }), fine],
      ["an unknown format", manifestOf("a", { format: 99 }), fine],
      ["no interface", { name: "a", version: "1.0.0", engine: "wasm", state: "single" }, fine],
    ];
    for (const [name, manifest, bytes] of cases) {
      const { id, code, message } = await tryPublish(page, manifest, bytes);
      assert.equal(id, undefined, name);
      assert.equal(code, "invalid-package", `${name}: ${message}`);
      assert.ok(message.length > 10, `${name}: the error is in words: ${message}`);
    }
    assert.deepEqual(await page.evaluate(() => peer.status().hosting), [], "nothing of it is hosted");
    assert.deepEqual(page.problems, []);
  }));

test("a start function without end does not take the publisher's page with it", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await joinPage(await world.page(browser, "publisher"), relay);
    const looping = moduleOf("(i32.const 0)", `${MEMORY} (func $s (loop $l (br $l))) (start $s)`);
    const { id, code } = await tryPublish(page, manifestOf("starter"), looping);
    assert.equal(id, undefined);
    assert.ok(["invalid-package", "refused", "trapped"].includes(code), code);
    const good = await publish(page, "counter");
    assert.equal(await page.evaluate(async (good) => decode(await peer.call(good, "add", encode(1))), good), 1);
  }));

test("calls that are wrong are refused by name", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(host, "counter");
    const codes = await caller.evaluate(async (service) => {
      const big = new Uint8Array(300 * 1024);
      return {
        noService: await codeOf(peer.call("no-such-service", "go")),
        noMethod: await codeOf(peer.call(service, "no-such-method")),
        notJson: await codeOf(peer.call(service, "add", new TextEncoder().encode("{"))),
        tooLarge: await codeOf(peer.call(service, "add", big)),
        longName: await codeOf(peer.call(service, "x".repeat(300))),
        notHosted: await codeOf(peer.handover(service, peer.id)),
        after: await codeOf(peer.call(service, "add", encode(1))),
      };
    }, service);
    assert.equal(codes.noService, "not-found");
    assert.equal(codes.after, "ok");
    for (const [name, code] of Object.entries(codes)) {
      if (name === "after") continue;
      assert.match(code, /^(not-found|refused|trapped|overloaded|not-permitted)$/, `${name}: ${code}`);
    }
  }));

test("limits that a person sets are kept: nothing beyond them is taken on", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const source = await volunteer(world, browser, relay, "source");
    const counter = await publish(source, "counter");
    const large = await publish(source, "kv", { name: "large", requires: { memoryMiB: 48, storageMiB: 16 } });
    const small = await joinPage(await world.page(browser, "small"), relay);
    const set = (policy) => small.evaluate((policy) => peer.volunteer(policy), policy);
    const host = (service) => small.evaluate((service) => codeOf(peer.host(service)), service);
    const moved = (service) => source.evaluate(([service, to]) => codeOf(peer.handover(service, to)), [service, small.id]);
    await set({ cpu: 50, memoryMiB: 32, storageMiB: 256, services: ["echo"] });
    await meets(source, small);
    assert.equal(await host(large), "refused", "more memory than the person gives, even when asked for here");
    assert.deepEqual([await moved(large), await moved(counter)], ["refused", "refused"], "not among the services taken");
    await set(false);
    assert.deepEqual([await moved(large), await moved(counter)], ["refused", "refused"], "takes nothing");
    await set({ cpu: 50, memoryMiB: 32, storageMiB: 8, services: "any" });
    await meets(source, small);
    assert.deepEqual([await moved(large), await moved(counter)], ["refused", "ok"], "what fits comes");
    const hosting = await small.evaluate(() => peer.status().hosting.map((each) => each.service));
    assert.deepEqual(hosting, [counter]);
    assert.equal(await small.evaluate(async (large) => decode(await peer.call(large, "list")).length, large), 0, "what was refused runs on where it was");
  }));
