// The compiler for TypeScript and JavaScript without a browser: what it links, and what it says of what it cannot.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { compiler, loadEngine, template } from "./lib/script.mjs";

const compileFiles = await compiler();

/** `[file, line, column, message]` of each diagnostic. */
const told = (files, entry) => compileFiles(files, entry).diagnostics.map(({ file, line, column, message }) => [file, line, column, message]);

test("the engine is the one that is written down, whichever machine built it", async () => {
  const { bytes } = await loadEngine();
  const wanted = await readFile(new URL("../../service-modules/quickjs/engine.sha256", import.meta.url), "utf8");
  assert.equal(createHash("sha256").update(bytes).digest("hex"), wanted.trim());
});

test("packages on one engine share all chunks but those of their data", async () => {
  const CHUNK = 64 * 1024;
  const modules = await Promise.all(["counter", "game-of-life"].map(async (name) => compileFiles({ "main.ts": await template(name) }).module));
  const chunks = modules.map((module) => Array.from({ length: Math.ceil(module.length / CHUNK) }, (_, at) => Buffer.from(module.subarray(at * CHUNK, (at + 1) * CHUNK)).toString("base64")));
  const different = chunks[0].filter((chunk, at) => chunk !== chunks[1][at]).length;
  assert.ok(chunks[0].length > 8 && different <= 3, `${different} of ${chunks[0].length} chunks differ`);
  for (const module of modules) assert.ok(WebAssembly.validate(module));
});

test("files are found by TypeScript's rules, and only those that the entry leads to count", () => {
  const main = 'import { one } from "./one";\nimport two from "./lib/two.js";\nimport * as three from "./three";\nexport default { one, two, three };';
  const files = { "main.ts": main, "one.ts": "export const one: number = 1;", "lib/two.ts": 'export { one as default } from "../one.js";', "three/index.js": "export {};" };
  const { module } = compileFiles({ ...files, "ui/page.js": "not a (script", "main.d.ts": "(((" });
  assert.ok(WebAssembly.validate(module));
  assert.deepEqual(module, compileFiles(files).module, "the same program is the same bytes");
  const odd = { "main.ts": 'export { default } from "./ü/50% off?.js";', "ü/50% off?.ts": "export default {};" };
  assert.deepEqual(told(odd), []);
  assert.deepEqual(told({ ...files, "one.ts": "export const one = ;" }), [["one.ts", 1, 20, "Unexpected token"]]);
});

test("problems are told in words, with their place", () => {
  assert.deepEqual(told({}), [["", 0, 0, 'There is no file "main.ts", where the service should begin.']]);
  assert.deepEqual(told({ "a.js": "export default {};\n  foo(;" }, "a.js"), [["a.js", 2, 7, "SyntaxError: unexpected token in expression: ';'"]]);
  assert.deepEqual(told({ "main.ts": "import fs from 'node:fs'; export default { fs };" }), [
    ["main.ts", 1, 17, 'ReferenceError: there is no package "node:fs" here, only "tabfarm" and files of the project, as "./node:fs"'],
  ]);
  const [[, line, , message]] = told({ "main.ts": `export default "${"x".repeat(300_000)}";` });
  assert.deepEqual([line, message], [0, "The program has 293 KiB; at most 256 KiB fit, so leave something out."]);
  assert.equal(told({ "main.js": "(".repeat(100_000) }, "main.js").length, 1, "deep nesting ends in words");
  assert.equal(told({ "main.ts": "(".repeat(100_000) }).length, 1);
  assert.match(told({ "main.ts": "export default {}; // \0" })[0][3], /zero byte/);
});

test("broken sources end in words with a place inside them", async () => {
  const sources = await Promise.all(["chat", "shared-list", "game-of-life"].map(template));
  const pieces = ["{", "}", "(", "`", "${", "/*", "\\u{110000}", "enum", "await ", "import.meta", "<T>", "/(?<a>/", "0n.", "'\u2028", "#x", "yield*", "\ud800"];
  // A small generator of the test's own, so that a failure comes back.
  let state = 1;
  const below = (limit) => (state = Math.imul(state, 1_103_515_245) + 12_345 & 0x7fffffff) % limit;
  let refused = 0;
  for (let round = 0; round < 150; round += 1) {
    const source = sources[below(sources.length)];
    const [from, length] = [below(source.length), below(12)];
    const broken = source.slice(0, from) + pieces[below(pieces.length)] + source.slice(from + length);
    const { module, diagnostics } = compileFiles({ "main.ts": broken }, "main.ts");
    assert.equal(module === null, diagnostics.length > 0, broken);
    refused += diagnostics.length > 0 ? 1 : 0;
    const lines = broken.split("\n");
    for (const { file, line, column, message } of diagnostics) {
      assert.ok(message.length > 0 && ["main.ts", ""].includes(file), JSON.stringify(diagnostics));
      assert.ok(line >= 0 && line <= lines.length && column >= 0, `${line}:${column} of ${lines.length} lines: ${message}`);
    }
  }
  assert.ok(refused > 50, `${refused} of 150 were refused`);
});
