// Services in TypeScript: compiled in a page as the IDE does it, published, called, moved with their state, replicated.

import assert from "node:assert/strict";
import { test } from "node:test";

import { move, volunteer } from "../lib/moves.mjs";
import { joinPage, soon } from "../lib/peer.mjs";
import { whole } from "../lib/replicas.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

/** A counter whose value is a matter of chance and time as well: copies that differ would show it. */
const FILES = {
  "main.ts": `import { json, type Cx, type Session } from "tabfarm";
import { mix } from "./lib/mix.js";

export default class Tally {
  total = 0;
  trace: number[] = [];

  call(cx: Cx, session: Session, method: string, body: Uint8Array) {
    if (method === "add") {
      const amount: number = json(body);
      if (!Number.isInteger(amount)) throw new Error("give me a whole number");
      this.total += amount;
      this.trace.push(mix(Math.random(), Date.now()));
      return this.total;
    }
    if (method === "read") return { total: this.total, trace: this.trace };
    throw cx.unknown(method);
  }
}
`,
  "lib/mix.ts": "export const mix = (chance: number, now: number): number => (Math.floor(chance * 2 ** 32) ^ now) >>> 0;\n",
  "README.md": "not part of the program",
};

const MANIFEST = {
  name: "tally", version: "1.0.0", engine: "quickjs", state: "single", requires: { memoryMiB: 16 },
  interface: { add: { body: { type: "integer" }, reply: { type: "integer" } }, read: { reply: { type: "object" }, readOnly: true } },
};

/** Compiles in the page and publishes; the service's id. */
const publish = (page, files, change = {}) =>
  page.evaluate(async ([files, manifest]) => {
    const { compileScript } = await import("/app/script.js");
    const { module, diagnostics } = await compileScript(files, "main.ts");
    if (module === null) throw new Error(JSON.stringify(diagnostics));
    return peer.publish({ manifest, module });
  }, [files, { ...MANIFEST, ...change }]);

const open = (page, service) => page.evaluate(async (service) => void (window.session = await peer.open(service)), service);
const call = (page, method, body) =>
  page.evaluate(async ([method, body]) => {
    try {
      return decode(await session.call(method, encode(body)));
    } catch (error) {
      return `${error.code}: ${error.message}`;
    }
  }, [method, body]);

inBoth("a service in TypeScript is compiled and published in a tab, called from another, and moves with its state", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [a, b] = [await volunteer(world, browser, relay, "a"), await volunteer(world, browser, relay, "b")];
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(a, FILES);
    const { manifest } = await a.evaluate((service) => peer.package(service), service);
    assert.equal(manifest.engine, "quickjs");
    await open(caller, service);
    assert.deepEqual([await call(caller, "add", 2), await call(caller, "add", 3)], [2, 5]);
    assert.match(await call(caller, "add", "x"), /give me a whole number/);
    const before = await call(caller, "read", null);
    assert.equal(before.trace.length, 2);
    assert.notEqual(before.trace[0], before.trace[1]);
    const report = await move(a, b, service);
    assert.equal(report.to, b.id);
    assert.deepEqual(await call(caller, "read", null), before);
    assert.equal(await call(caller, "add", 10), 15);
    await move(b, a, service);
    assert.equal(await call(caller, "add", 1), 16);
  }));

test("replicas of a service in TypeScript are equal: whoever answers, and whoever is lost", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const hosts = [];
    for (const name of ["a", "b", "c"]) {
      const browser = await world.browser();
      hosts.push(Object.assign(await volunteer(world, browser, relay, name), { browserProcess: browser }));
    }
    const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
    const service = await publish(hosts[0], FILES, { state: "replicated-3" });
    const leader = await whole(hosts, service);
    await open(caller, service);
    for (let sum = 1; sum <= 30; sum += 1) assert.equal(await call(caller, "add", 1), sum);
    const reads = await caller.evaluate(async () => {
      const reads = new Map();
      await until(async () => {
        const { body, server } = await session.read("read");
        reads.set(server, JSON.stringify(decode(body)));
        return reads.size >= 2;
      }, 60_000, "more than one replica answers");
      return [...reads.values()];
    });
    assert.equal(new Set(reads).size, 1, "what was random and of the time is the same in all copies");
    const before = await call(caller, "read", null);
    assert.equal(JSON.stringify(before), reads[0]);
    await leader.browserProcess.kill();
    assert.deepEqual(await call(caller, "read", null), before);
    assert.equal(await call(caller, "add", 1), 31);
    await soon(caller, (old) => session.server !== old, leader.id);
  }));

test("what does not compile is told with file, line and column; what does not start is refused", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await joinPage(await world.page(await world.browser(), "author"), relay);
    const compile = (files) =>
      page.evaluate(async (files) => {
        const { compileScript } = await import("/app/script.js");
        const { module, diagnostics } = await compileScript(files, "main.ts");
        return { compiled: module instanceof Uint8Array, diagnostics };
      }, files);
    const told = async (files) => {
      const { compiled, diagnostics } = await compile(files);
      assert.equal(compiled, diagnostics.length === 0);
      return diagnostics.map(({ file, line, column, message }) => [file, line, column, message]);
    };
    assert.deepEqual(await told(FILES), []);
    assert.deepEqual(await told({ ...FILES, "lib/mix.ts": "export const mix = 1;\n  const = 2;\n" }), [["lib/mix.ts", 2, 9, "Unexpected token"]]);
    const [[file, line, , message], ...more] = await told({ "main.ts": "export default {};\nlet a = 1;\nlet a = 2;\n" });
    assert.deepEqual([file, line, more], ["main.ts", 3, []]);
    assert.match(message, /^SyntaxError: /);
    assert.deepEqual((await told({ "main.ts": 'import "./gone";\nexport default {};' })), [["main.ts", 1, 9, 'ReferenceError: there is no file "gone"']]);
    const refused = await publish(page, { "main.ts": "const gone: any = null;\nexport default gone.service;" }).catch((error) => error.message);
    assert.match(refused, /main\.ts:2:\d+: TypeError: cannot read property 'service' of null/);
    assert.deepEqual(page.problems, []);
  }));
