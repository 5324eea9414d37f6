// A service in AssemblyScript: compiled with the npm compiler as the IDE does, instrumented, run, moved.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

import { inPage, prepare } from "./lib/sandbox.mjs";

const root = new URL("../../", import.meta.url);
const { default: asc } = await import(new URL("www/ide/node_modules/assemblyscript/dist/asc.js", root)).catch(() => ({}));
const skip = asc ? false : "needs the compiler: npm ci in www/ide";

/** Compiles a service with the SDK of the tree. */
async function compile(source, level) {
  const sdk = new URL("service-modules/assemblyscript/assembly/", root);
  const files = { "service.ts": source, "entry.ts": 'import "./service";\nexport { handle } from "tabfarm";\n' };
  for (const name of await readdir(sdk)) files[`node_modules/tabfarm/${name}`] = await readFile(new URL(name, sdk), "utf8");
  let module = null;
  const options = ["entry.ts", "--outFile", "module.wasm", "--runtime", "incremental", "--exportStart", "_initialize",
    "--use", "abort=~lib/tabfarm/index/abort", "--optimizeLevel", level];
  const { error, stderr } = await asc.main(options, {
    readFile: (name) => files[name] ?? null,
    writeFile: (name, contents) => { if (name === "module.wasm") module = contents; },
    listFiles: () => [],
  });
  assert.equal(error, null, String(stderr));
  return [...module];
}

for (const level of ["0", "2"]) {
  test(`an AssemblyScript counter at -O${level} counts, traps without a trace, moves with its garbage and outlives its module`, { skip }, () =>
    inPage(async (page) => {
      const source = await readFile(new URL("www/ide/src/templates/counter.ts", root), "utf8");
      // A method that throws after a change, to see the change undone.
      const module = await compile(source.replace('if (method == "add")', 'if (method == "spoil") { this.total = 999; assert(false, "spoilt"); }\n    if (method == "add")'), level);
      assert.deepEqual(await prepare(page, 1, module), { type: "prepared", package: 1 });
      const got = await page.evaluate(async () => {
        const got = [(await create(1, 1)).type, short(await run(1, 0))];
        for (let i = 0; i < 500; i++) await call(1, "add", "2");
        got.push(await call(1, "spoil"), await query(1, "read"));
        const { state } = await snapshot(1);
        got.push((await create(2, 1, state)).type);
        for (let i = 0; i < 500; i++) {
          const [here, there] = [await call(1, "add", "3"), await call(2, "add", "3")];
          if (String(here) !== String(there)) got.push([here, there]);
        }
        const [first, second] = [(await snapshot(1)).state, (await snapshot(2)).state];
        got.push(first.length === second.length && first.every((byte, index) => byte === second[index]));
        got.push(await query(2, "read"), await call(2, "add", "no"), await call(2, "nope"));
        // A newer version: memory is fresh, what was stored is there. Kind 7 tells the module.
        await upgrade(2, 1);
        got.push(await query(2, "read"), short(await run(2, 7)), await query(2, "read"));
        return got;
      });
      assert.deepEqual(got, [
        "created", ["done", "", got[1][2], "Send 1 0"], ["trapped", "unreachable: spoilt (service.ts:15:48)"], ["done", "1000"], "created",
        true, ["done", "2500"], ["failed", "give me a whole number, at most a billion"], ["failed", 'unknown method "nope"'],
        ["done", "0"], ["done", ""], ["done", "2500"],
      ]);
    }));
}
