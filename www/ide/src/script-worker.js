// The compiler for TypeScript and JavaScript in a worker of its own, with the engine that it links with.

import { compileFiles } from "./script-compiler.js";

/** The engine's bytes and its compiled module, fetched once. */
let engine = null;

async function fetchEngine() {
  const response = await fetch(new URL("./engines/quickjs.wasm", import.meta.url));
  if (!response.ok) throw new Error(`the engine could not be loaded (${response.status})`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { bytes, module: await WebAssembly.compile(bytes) };
}

onmessage = async ({ data: { id, files, entry } }) => {
  const started = performance.now();
  let result;
  try {
    engine ??= fetchEngine();
    result = compileFiles(files, entry, await engine);
  } catch (error) {
    // What could not be fetched may be there the next time.
    engine = null;
    const message = `The compiler gave up: ${error?.message ?? error}.`;
    result = { module: null, diagnostics: [{ line: 0, column: 0, length: 0, severity: "error", message, file: "" }] };
  }
  postMessage({ id, result: { ...result, ms: performance.now() - started } });
};
postMessage({ ready: true });
