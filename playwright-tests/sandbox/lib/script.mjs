// Services in TypeScript, compiled as the IDE does it.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { LIMITS } from "./sandbox.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const web = process.env.TABFARM_WEB ?? join(root, "target/web-tree");
const ide = join(root, "www/ide/src");

/** The engine of the web tree. */
export async function loadEngine() {
  const bytes = new Uint8Array(await readFile(join(web, "app/engines/quickjs.wasm")));
  return { bytes, module: await WebAssembly.compile(bytes) };
}

/** `compileFiles` of the IDE with the engine: files by path, entry. */
export async function compiler() {
  const [{ compileFiles }, engine] = [await import(join(ide, "script-compiler.js")), await loadEngine()];
  return (files, entry = "main.ts") => compileFiles(files, entry, engine);
}

/** The source of a template in TypeScript. */
export const template = (name) => readFile(join(ide, `templates/script/${name}.ts`), "utf8");

/** Compiles a service of one file and prepares it as package `number`; the event. Fails when it does not compile. */
export async function prepareScript(page, number, source, limits = {}) {
  const { module, diagnostics } = (await compiler())({ "main.ts": source });
  if (module === null) throw new Error(JSON.stringify(diagnostics));
  // As text: half a million numbers take seconds on their way.
  const text = Buffer.from(module).toString("base64");
  return page.evaluate(
    ([number, text, limits]) => prepare(number, Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), limits),
    [number, text, { ...LIMITS, ...limits }],
  );
}
