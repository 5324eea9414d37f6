// Modules that mean harm, snapshots that are none, and commands in a wrong order.

import assert from "node:assert/strict";
import { test } from "node:test";

import { example, inPage, prepare } from "./lib/sandbox.mjs";
import { moduleOf } from "../lib/wasm.mjs";

const MEMORY = '(memory (export "memory") 1)';
const onCall = (body) => `(if (i32.eq (local.get $kind) (i32.const 3)) (then ${body})) (i32.const 0)`;
const START = "(func $start (loop $l (br $l))) (start $start)";

test("what traps leaves the state as it was, and the page stays responsive", () =>
  inPage(async (page) => {
    // Each event adds one to a word of memory, to a global and to the memory's size first; a message reads all three.
    const count = `(i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
      (global.set $g (i32.add (global.get $g) (i32.const 1)))`;
    const traps = [
      ["out of gas", "(loop $l (br $l))"],
      ["stack too deep", "(drop (call $handle (i32.const 3) (i32.const 0) (i32.const 0)))"],
      ["unreachable", "unreachable"],
      ["out of bounds", "(drop (i32.load (i32.const 0x7ffffff0)))"],
      ["out of bounds", "(call $reply (i32.const 0) (i32.const 0x40000000))"],
      ["out of bounds", "(call $reply (i32.const -16) (i32.const 4096))"],
      ["out of bounds", "(drop (memory.grow (i32.const 1))) (call $reply (i32.const 0) (i32.const -1))"],
      ["out of gas", "(loop $l (memory.fill (i32.const 64) (i32.const 7) (i32.const 60000)) (br $l))"],
      ["out of gas", "(loop $l (call $reply (i32.const 0) (i32.const 60000)) (br $l))"],
    ];
    for (const [reason, body] of traps) {
      const handle = `
        (if (i32.eq (local.get $kind) (i32.const 1)) (then
          (i32.store (i32.const 12) (global.get $g)) (i32.store (i32.const 16) (memory.size))
          (call $reply (i32.const 8) (i32.const 12)) (return (i32.const 0))))
        ${count} ${onCall(body)}`;
      assert.equal((await prepare(page, 1, moduleOf(handle, `${MEMORY} (global $g (mut i32) (i32.const 0))`))).type, "prepared");
      const { how, state, ms, ticks } = await page.evaluate(async () => {
        await create(1, 1);
        for (let i = 0; i < 3; i++) await run(1, 5);
        let ticks = 0;
        const ticking = setInterval(() => ticks++, 5);
        const start = performance.now();
        const how = await call(1, "go");
        const ms = performance.now() - start;
        clearInterval(ticking);
        const reply = (await run(1, 1)).outcome.Done.reply;
        sandbox.stop(1);
        return { how, ms, ticks, state: [...new Uint32Array(new Uint8Array(reply).buffer)] };
      });
      assert.deepEqual(how, ["trapped", reason], body);
      assert.deepEqual(state, [3, 3, 1], body);
      assert.ok(ms < 5_000, `${body}: ${ms} ms`);
      assert.ok(ms < 50 || ticks > 2, `${body}: the page ran on, ${ticks} ticks in ${ms} ms`);
    }
  }));

test("a reply beyond the output limit fails in words, a flood of messages is cut", () =>
  inPage(async (page) => {
    const parts = `(import "host" "send" (func $send (param i32 i32 i32) (result i32))) (memory (export "memory") 20)`;
    const handle = `(if (i32.eq (local.get $kind) (i32.const 3)) (then (call $reply (i32.const 0) (i32.const 600000))))
      (if (i32.eq (local.get $kind) (i32.const 1)) (then (loop $l
        (br_if $l (i32.eqz (call $send (local.get $session) (i32.const 0) (i32.const 1000)))))))
      (i32.const 0)`;
    await prepare(page, 1, moduleOf(handle, parts));
    const got = await page.evaluate(async () => {
      await create(1, 1);
      await run(1, 0);
      return [await call(1, "go"), short(await run(1, 1)).length - 2];
    });
    assert.deepEqual(got, [["failed", "the reply is too large"], 524]);
  }));

test("memory stops at the manifest's limit", () =>
  inPage(async (page) => {
    const handle = `(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (i32.store (i32.const 0) (memory.size)) (call $reply (i32.const 0) (i32.const 4)) (i32.const 0)`;
    await prepare(page, 1, moduleOf(handle, MEMORY), { pages: 16 });
    const reply = await page.evaluate(async () => {
      await create(1, 1);
      return [...(await run(1, 3)).outcome.Done.reply];
    });
    assert.deepEqual(reply, [16, 0, 0, 0]);
  }));

test("modules are refused by name before a service of theirs runs, by inspection or in their trial", () =>
  inPage(async (page) => {
    const fine = moduleOf("(i32.const 0)", MEMORY);
    const cases = [
      ["[1,2,3]", [1, 2, 3], /not valid/],
      ["empty", [], /not valid/],
      ["foreign import", moduleOf("(i32.const 0)", `(import "env" "fetch" (func)) ${MEMORY}`), /imports env\.fetch/],
      ["unknown import", moduleOf("(i32.const 0)", `(import "host" "fetch" (func)) ${MEMORY}`), /imports host\.fetch/],
      ["flipped byte", fine.with(12, fine[12] ^ 0x40), /not valid|must export|imports/],
      ["cut short", fine.slice(0, -3), /not valid/],
      ["too much memory", moduleOf("(i32.const 0)", '(memory (export "memory") 100)'), /starts with 100 pages/],
      ["more data than memory", moduleOf("(i32.const 0)", `${MEMORY} (data "${"x".repeat(70_000)}")`), /data has 70000 bytes, more than its memory/],
      ["a trap when a session opens", moduleOf("unreachable", MEMORY), /trapped in its trial: unreachable/],
      ["a start that loops", moduleOf("(i32.const 0)", `${MEMORY} ${START}`), /^the module could not be started: out of gas$/],
    ];
    for (const [name, module, reason] of cases) {
      const event = await prepare(page, 9, module);
      assert.equal(event.type, "refused", name);
      assert.match(event.reason, reason, name);
    }
    // What was refused is not there to be started.
    assert.deepEqual(await page.evaluate(() => create(1, 9)), { type: "failed", instance: 1, reason: "the package is not prepared" });
    const huge = await page.evaluate(() => prepare(2, new Uint8Array(100 << 20), { pages: 16, gas: 1e6, output: 1e5, kv: 0 }));
    assert.match(huge.reason, /more than 16777216/);
  }));

test("snapshots that are none are refused", () =>
  inPage(async (page) => {
    await prepare(page, 1, await example("kv"));
    await prepare(page, 2, await example("kv"), { pages: 1 }).then(({ type }) => assert.equal(type, "refused"));
    const reasons = await page.evaluate(async () => {
      const put = (key, value) => call(1, "put", new Uint8Array([key.length, 0, ...new TextEncoder().encode(key + value)]));
      await create(1, 1);
      await run(1, 0);
      await put("key", "value");
      const { state } = await snapshot(1);
      const reasons = new Set();
      let instance = 10;
      const restore = async (bytes) => {
        const event = await create(++instance, 1, bytes);
        sandbox.stop(instance);
        return event.type === "failed" ? event.reason : "restored";
      };
      const cuts = [0, 3, 15, 16, 70_000, ...Array.from({ length: 40 }, (_, i) => state.length - 1 - i * 2)];
      for (const cut of cuts) reasons.add(await restore(state.slice(0, cut)));
      const changed = (at, ...bytes) => { const copy = state.slice(); copy.set(bytes, at); return copy; };
      const tail = 16 + 65_536 * state[8];
      const others = [
        await restore(changed(0, 0)), await restore(changed(4, 2)), await restore(changed(8, 0xff, 0xff, 0xff, 0xff)),
        await restore(changed(8, 1)), await restore(changed(tail, 77)), await restore(new Uint8Array([...state, 0])),
        await restore(state),
      ];
      return [[...reasons], others];
    });
    const refused = (why) => `the snapshot cannot be restored: ${why}`;
    assert.deepEqual(reasons[0].filter((reason) => !/cut short|not of this module/.test(reason)), []);
    assert.deepEqual(reasons[1].slice(0, 3), [
      refused("it has an unknown format"), refused("it has an unknown format"), refused("its memory is larger than the service's limit"),
    ]);
    assert.deepEqual(reasons[1].slice(3).map((reason) => reason.startsWith("the snapshot cannot")), [true, true, true, false]);
  }));

test("commands in a wrong order are answered in words and harm nothing", () =>
  inPage(async (page) => {
    await prepare(page, 1, await example("counter"));
    const got = await page.evaluate(async () => {
      const got = [await run(1, 3).then(short), (await snapshot(2)).reason, (await upgrade(3, 1)).reason, (await create(4, 200)).reason];
      await create(5, 1);
      got.push((await upgrade(5, 200)).reason, await call(5, "add", "1"));
      await create(6, 1);
      sandbox.stop(99);
      got.push((await create(6, 1)).reason, await run(6, 3, 1, new Uint8Array([9, 9, 9])).then(short));
      await create(7, 1);
      got.push(await run(7, 3, 1, new Uint8Array([9, 9, 9])).then(short), await call(7, "add", "3"));
      return got;
    });
    const none = "there is no such instance";
    assert.deepEqual(got, [
      ["failed", none], none, none, "the package is not prepared",
      "the package is not prepared", ["failed", none],
      "the instance exists already", ["failed", none],
      ["failed", "malformed call"], ["done", "3"],
    ]);
  }));
