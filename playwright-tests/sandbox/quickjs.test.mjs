// Services in TypeScript, linked with QuickJS, in the sandbox: events, moves, errors, limits, and that nothing in them
// comes from outside the log.

import assert from "node:assert/strict";
import { test } from "node:test";

import { inPage } from "./lib/sandbox.mjs";
import { prepareScript, template } from "./lib/script.mjs";

/** 16 MiB, which a manifest asks for by default. */
const ROOM = { pages: 256 };

/** A service that counts its calls and does what is asked. */
const TESTER = `
import { text, json } from "tabfarm";
const seen: number[] = [];
export default class {
  calls = 0;
  upgrade() {
    throw new Error("that state is strange to me");
  }
  call(cx, session, method, body) {
    this.calls += 1;
    switch (method) {
      case "calls": return this.calls;
      case "spin": for (;;);
      case "deep": { const down = (n) => 1 + down(n + 1); return down(0); }
      case "nested": return JSON.stringify(JSON.parse("[".repeat(1e5) + "]".repeat(1e5)));
      case "pattern": return /^(a+)+$/.test("a".repeat(100) + "b");
      case "bomb": { const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 16).fill(hoard.length)); }
      case "bug": return null.nothing;
      case "fail": throw new Error("no, for a reason");
      case "abort": cx.send(session, "never"); return cx.abort("undone");
      case "wait": return new Promise(() => {});
      case "later": return (async () => { await null; return { calls: this.calls }; })();
      case "chance": seen.push(Math.random()); return [seen, [...cx.random(4)], Date.now(), cx.now(), new Date(), performance.timeOrigin, new Date(0).getTimezoneOffset()];
      case "lone": return "\\ud800" + text(new Uint8Array([0xff, 0x41])) + new TextDecoder().decode(new TextEncoder().encode("é"));
      case "echo": return body;
    }
    throw cx.unknown(method);
  }
}`;

test("a counter in TypeScript counts, moves with its state byte for byte, and outlives its module", () =>
  inPage(async (page) => {
    assert.deepEqual(await prepareScript(page, 1, await template("counter"), ROOM), { type: "prepared", package: 1 });
    const got = await page.evaluate(async () => {
      const got = [(await create(1, 1)).type, short(await run(1, 0))];
      for (let i = 0; i < 300; i++) await call(1, "add", "2");
      got.push(await query(1, "read"), await call(1, "add", "no"), await call(1, "add", "1.5"), await call(1, "nope"));
      const { state } = await snapshot(1);
      got.push((await create(2, 1, state)).type);
      // The same numbers of runs for both: the state also holds what was random or of the time.
      const both = async (number, method, body) => {
        const answers = [1, 2].map((instance) => next((event) => event.instance === instance && event.run === number));
        for (const instance of [1, 2]) sandbox.run(instance, number, 3, 1, methodInput(method, body));
        return (await Promise.all(answers)).map((event) => JSON.stringify(short(event)));
      };
      for (let number = 10_000; number < 10_300; number++) {
        const [here, there] = await both(number, "add", "3");
        if (here !== there) got.push([here, there]);
      }
      const [first, second] = [(await snapshot(1)).state, (await snapshot(2)).state];
      got.push(first.length === second.length && first.every((byte, index) => byte === second[index]));
      got.push(await query(2, "read"));
      await upgrade(2, 1);
      got.push(await query(2, "read"), short(await run(2, 7)), await query(2, "read"));
      return got;
    });
    const [, opened] = got;
    assert.match(opened.join(), /^done,,Join 1 \d+,Send 1 0$/);
    assert.deepEqual(got, [
      "created", opened, ["done", "600"], ["failed", "the body must be JSON"], ["failed", "give me a whole number, at most a billion"],
      ["failed", 'unknown method "nope"'], "created", true, ["done", "1500"], ["done", "0"], ["done", ""], ["done", "1500"],
    ]);
  }));

test("a chat in TypeScript joins, broadcasts, names and remembers", () =>
  inPage(async (page) => {
    await prepareScript(page, 1, await template("chat"), ROOM);
    const got = await page.evaluate(async () => {
      await create(1, 1);
      const say = (text) => run(1, 1, 1, new TextEncoder().encode(text)).then(short);
      const got = [short(await run(1, 0))[2], await call(1, "name", " Ada "), await call(1, "name", ""), await say("größer <b>"), await query(1, "history")];
      return [...got, short(await run(1, 2)), (await say("gone"))[2]];
    });
    const room = Number(/^Join 1 (\d+)$/.exec(got[0])[1]);
    const line = (from, text, at) => JSON.stringify({ from, text, at });
    const at = JSON.parse(got[4][1])[0].at;
    assert.deepEqual(got.slice(1), [
      ["done", "Ada"], ["failed", "a name has 1 to 32 characters"], ["done", "", `Broadcast ${room} ${line("Ada", "größer <b>", at)}`],
      ["done", `[${line("Ada", "größer <b>", at)}]`], ["done", ""], got[6],
    ]);
    assert.match(got[6], /"from":"nobody"/);
  }));

test("an error fails its call in words, an abort undoes the event, and promises may be waited for within an event", () =>
  inPage(async (page) => {
    await prepareScript(page, 1, TESTER, ROOM);
    const got = await page.evaluate(async () => {
      await create(1, 1);
      await run(1, 0);
      const got = [];
      for (const method of ["fail", "bug", "abort", "wait", "later", "lone", "calls"]) got.push(await call(1, method));
      return [...got, await call(1, "echo", "a\u0000b"), short(await run(1, 7))];
    });
    const [log] = got[1].slice(2);
    assert.match(log, /^Log /);
    assert.deepEqual(got, [
      ["failed", "no, for a reason"], ["failed", "TypeError: cannot read property 'nothing' of null", log], ["trapped", "unreachable: undone"],
      ["failed", "TypeError: it waits for something that cannot happen within one event", got[3][2]], ["done", '{"calls":4}'],
      ["done", "\ufffd\ufffdAé"], ["done", "6"], ["done", "a\0b"],
      ["trapped", "refused: that state is strange to me"],
    ]);
  }));

test("endless loops, deep recursion and a memory bomb end their event alone; others go on", () =>
  inPage(async (page) => {
    await prepareScript(page, 1, TESTER, ROOM);
    const got = await page.evaluate(async () => {
      await create(1, 1);
      await create(2, 1);
      const got = {};
      for (const method of ["spin", "pattern", "bomb", "deep", "nested"]) {
        const [how, beside] = await Promise.all([call(1, method), call(2, "calls")]);
        got[method] = [how.slice(0, 2), beside];
      }
      return { ...got, calls: await call(1, "calls") };
    });
    const deep = ["failed", "RangeError: Maximum call stack size exceeded"];
    assert.deepEqual(got, {
      spin: [["trapped", "out of gas"], ["done", "1"]], pattern: [["trapped", "out of gas"], ["done", "2"]],
      bomb: [["trapped", "unreachable: out of memory"], ["done", "3"]], deep: [deep, ["done", "4"]], nested: [["trapped", "stack too deep"], ["done", "5"]],
      // A trap leaves nothing, a thrown error its changes.
      calls: ["done", "2"],
    });
  }));

test("chance and time come from the log entry and from nowhere else", () =>
  inPage(async (page) => {
    await prepareScript(page, 1, TESTER, ROOM);
    const got = await page.evaluate(async () => {
      const answers = {};
      for (const instance of [1, 2]) {
        await create(instance, 1);
        answers[instance] = [];
        for (const number of [500, 501, 900]) {
          const answer = next((event) => event.instance === instance && event.run === number);
          sandbox.run(instance, number, 3, 1, methodInput("chance"));
          answers[instance].push(JSON.parse(short(await answer)[1]));
        }
      }
      return answers;
    });
    assert.deepEqual(got[1], got[2]);
    const [[numbers], [, bytes], [, , now, same, date, origin, zone]] = [got[1][2], got[1][0], got[1][1]];
    assert.equal(new Set(numbers).size, 3);
    assert.ok(numbers.every((number) => number >= 0 && number < 1));
    assert.equal(bytes.length, 4);
    assert.deepEqual([now, same, date, zone], [1_700_000_000_501, 1_700_000_000_501, new Date(1_700_000_000_501).toISOString(), 0]);
    assert.ok(origin === undefined || origin === null || origin === 0, `${origin}`);
  }));

test("a program that does not start is refused in words, with file and line", () =>
  inPage(async (page) => {
    const cases = [
      ["const a = 1;\nundefined.x;\nexport default {};", /^the module could not be started: unreachable: main\.ts:2:\d+: TypeError: cannot read property 'x' of undefined$/],
      ["export const a = 1;", /main\.ts must export its service/],
      ["export default class { constructor() { throw new Error('größer') } }", /unreachable: main\.ts:1:\d+: größer$/],
      ["await new Promise(() => {});\nexport default {};", /waits for something that cannot happen/],
      ["import { nothing } from 'tabfarm';\nexport default { nothing };", /SyntaxError: .*nothing/],
      ["for (;;);\nexport default {};", /out of gas/],
      ["export default { open() { for (;;); } };", /trapped in its trial: out of gas/],
    ];
    for (const [source, reason] of cases) {
      const event = await prepareScript(page, 9, source, ROOM);
      assert.equal(event.type, "refused", source);
      assert.match(event.reason, reason, source);
    }
    const { reason } = await prepareScript(page, 9, "export default {}", { pages: 8 });
    assert.match(reason, /starts with \d+ pages/);
  }));

test("every template in TypeScript compiles, opens, answers and rests in four MiB", () =>
  inPage(async (page) => {
    const calls = {
      hello: ["greet", "Ada"], counter: ["add", "5"], chat: ["name", "Ada"], poll: ["vote", "tea"], "shared-list": ["add", '{"text":"milk"}'],
      "webhook-receiver": ["hook", '{"ok":true}'], "game-of-life": ["toggle", "[1,2]"],
    };
    const answers = {};
    for (const [name, [method, body]] of Object.entries(calls)) {
      const event = await prepareScript(page, 1, await template(name));
      assert.equal(event.type, "prepared", `${name}: ${event.reason}`);
      answers[name] = await page.evaluate(async ([method, body]) => {
        await create(1, 1);
        await run(1, 0);
        const answer = await call(1, method, body);
        const more = [await call(1, "step"), short(await run(1, 5))[0], short(await run(1, 7))[0]];
        sandbox.stop(1);
        return [answer[0], answer[1].slice(0, 60), ...more.map((each) => (Array.isArray(each) ? each[0] : each))];
      }, [method, body]);
    }
    assert.deepEqual(Object.fromEntries(Object.entries(answers).map(([name, [, reply]]) => [name, reply])), {
      hello: "Hello, Ada!", counter: "5", chat: "Ada", poll: '{"question":"Tea or coffee?","tea":1,"coffee":0,"neither":0}',
      "shared-list": '[{"id":1,"text":"milk","done":false}]', "webhook-receiver": '{"received":1}',
      "game-of-life": `{"generation":0,"rows":[${JSON.stringify("0".repeat(48))}`.slice(0, 60),
    });
    for (const [name, [how, , step, timer, upgrade]] of Object.entries(answers)) {
      assert.deepEqual([how, step, timer, upgrade], ["done", name === "game-of-life" ? "done" : "failed", "done", "done"], name);
    }
  }));
