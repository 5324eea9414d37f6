// The example services in the sandbox: created, run, moved to another worker, upgraded.

import assert from "node:assert/strict";
import { test } from "node:test";

import { example, inPage, prepare } from "./lib/sandbox.mjs";

const done = (...rest) => ["done", ...rest];

test("counter counts, moves to another worker and counts on", () =>
  inPage(async (page) => {
    assert.deepEqual(await prepare(page, 1, await example("counter")), { type: "prepared", package: 1 });
    const got = await page.evaluate(async () => {
      const got = [];
      got.push((await create(1, 1)).type, short(await run(1, 0)));
      got.push(await call(1, "add", "5"), await call(1, "add", "-7"), await query(1, "read"), await call(1, "add", "x"));
      const { state } = await snapshot(1);
      got.push(await call(1, "add", "100"));
      got.push((await create(2, 1, state)).type, await query(2, "read"), await call(2, "add", "1"));
      sandbox.stop(1);
      const again = await snapshot(2);
      got.push(await query(2, "read"), again.state.length === state.length);
      return got;
    });
    assert.deepEqual(got, [
      "created", done(""),
      done("5"), done("-2"), done("-2"), ["failed", "the body must be an integer"],
      done("98"),
      "created", done("-2"), done("-1"),
      done("-1"), true,
    ]);
  }));

test("echo echoes calls, queries and messages", () =>
  inPage(async (page) => {
    await prepare(page, 1, await example("echo"));
    const got = await page.evaluate(async () => {
      await create(1, 1);
      await run(1, 0, 7);
      const text = "x".repeat(100_000);
      const large = await call(1, "echo", text, 7);
      const message = short(await run(1, 1, 7, new TextEncoder().encode("hi")));
      await run(1, 2, 7);
      return [await call(1, "echo", "ä", 7), await query(1, "echo", ""), large[1] === text, message, short(await run(1, 1, 7))];
    });
    assert.deepEqual(got, [done("ä"), done(""), true, done("", "Send 7 hi"), done("", "Log 1")].with(4, got[4]));
    assert.match(got[4].join(), /^done,,Log/, "a closed session cannot be sent to; the service logs it");
  }));

test("kv keeps what it stores across snapshot, restore and upgrade; queries leave no trace", () =>
  inPage(async (page) => {
    await prepare(page, 1, await example("kv"));
    const got = await page.evaluate(async () => {
      const put = (instance, key, value) => call(instance, "put", new Uint8Array([key.length, 0, ...new TextEncoder().encode(key + value)]));
      const got = [];
      await create(1, 1);
      await run(1, 0);
      for (const [key, value] of [["b", "2"], ["a", "1"], ["c", ""], ["b", "two"]]) got.push(await put(1, key, value));
      got.push(await query(1, "list"), await query(1, "get", "b"), await call(1, "delete", "a"), await call(1, "delete", "a"));
      const { state } = await snapshot(1);
      await create(2, 1, state);
      const same = await snapshot(2);
      got.push(same.state.every((byte, index) => byte === state[index]));
      await upgrade(2, 1);
      got.push(await run(2, 7).then(short), await query(2, "list"), await query(2, "get", "b"));
      return got;
    });
    assert.deepEqual(got, [
      done(""), done(""), done(""), done(""),
      done('["a","b","c"]'), done("two"), done(""), ["failed", "no such key"],
      true,
      done(""), done('["b","c"]'), done("two"),
    ]);
  }));

test("chat: names, rooms and history move with it; equal histories give equal snapshots", () =>
  inPage(async (page) => {
    await prepare(page, 1, await example("chat"));
    const got = await page.evaluate(async () => {
      const script = async (instance) => {
        await run(instance, 0, 1);
        await run(instance, 0, 2);
        const renamed = await call(instance, "name", "Ann", 1);
        const said = short(await run(instance, 1, 1, new TextEncoder().encode("hello")));
        return [renamed, said];
      };
      // The run numbers decide time and seed, so both instances get theirs from the same counter in turn.
      await create(1, 1);
      const first = await script(1);
      const { state } = await snapshot(1);
      await create(2, 1, state);
      const before = await query(2, "state", "", 2);
      const { state: moved } = await snapshot(2);
      const equal = moved.length === state.length && moved.every((byte, index) => byte === state[index]);
      return [first, JSON.parse(before[1]), equal];
    });
    const [[renamed, said], state, equal] = got;
    assert.equal(renamed[1], "Ann");
    assert.match(said[2], /^Broadcast \d+ \{"type":"say","from":"Ann","text":"hello","at":1700000000\d+\}$/);
    assert.deepEqual(state.people, ["Ann", "guest-2"]);
    assert.equal(state.history[0].text, "hello");
    assert.equal(equal, true);
  }));

test("runs that are commanded together are answered in order", () =>
  inPage(async (page) => {
    await prepare(page, 1, await example("counter"));
    const got = await page.evaluate(async () => {
      await create(1, 1);
      const calls = await Promise.all(Array.from({ length: 1_000 }, () => call(1, "add", "1")));
      return calls.every(([how, value], index) => how === "done" && Number(value) === index + 1);
    });
    assert.equal(got, true);
  }));
