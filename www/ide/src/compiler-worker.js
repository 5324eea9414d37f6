// The AssemblyScript compiler in a worker of its own: a source that takes long, or for ever, leaves the page alone.

import "./data-urls.js";
import asc from "assemblyscript/asc";
import sdk from "tabfarm:sdk";
import { ENTRY, entryText } from "./layout.js";

/** The most diagnostics that are handed back: nobody reads more, and a broken file can make thousands. */
const MAX_DIAGNOSTICS = 50;

/** The compiler asks for packages here and in every folder above. */
const PACKAGES = "node_modules/";

onmessage = async ({ data: { id, sources, optimize } }) => {
  postMessage({ id, result: await compile(sources, optimize) });
};
postMessage({ ready: true });

/** `sources` is a `Map` from path to text. */
async function compile(sources, optimize) {
  const started = performance.now();
  const diagnostics = [];
  let module = null;
  // The SDK last: no file of a project takes its place.
  const files = new Map([...sources, ...Object.entries(sdk), [ENTRY, entryText]]);
  const lines = new Map();
  const options = [ENTRY, "--outFile", "module.wasm", "--runtime", "incremental", "--exportStart", "_initialize", "--noColors", "--use", "abort=~lib/tabfarm/index/abort"];
  options.push(...(optimize ? ["--optimizeLevel", "2", "--shrinkLevel", "1"] : ["--optimizeLevel", "0"]));
  try {
    const { error, stderr } = await asc.main(options, {
      readFile: (name) => files.get(name.slice(Math.max(0, name.indexOf(PACKAGES)))) ?? null,
      writeFile: (name, contents) => {
        if (name === "module.wasm") module = contents;
      },
      listFiles: () => [],
      reportDiagnostic: (each) => {
        if (diagnostics.length < MAX_DIAGNOSTICS) diagnostics.push(toDiagnostic(each, sources, lines));
      },
    });
    if (error) {
      module = null;
      if (!diagnostics.some((each) => each.severity === "error")) diagnostics.push(plain(String(stderr) || error.message));
    }
    diagnostics.push(...foreignImports(module));
    if (diagnostics.some((each) => each.severity === "error")) module = null;
  } catch (error) {
    module = null;
    // It ends its process, which there is not, when it runs out of stack.
    const why = /^exit/.test(error?.message) ? "something in the source is nested too deeply or refers to itself without end" : error?.message;
    diagnostics.push(plain(`The compiler gave up: ${why ?? error}.`));
  }
  return { module, diagnostics, ms: performance.now() - started };
}

function toDiagnostic({ message, code, category, range }, sources, lines) {
  const severity = category === 3 ? "error" : category === 2 ? "warning" : "info";
  const file = range?.source?.normalizedPath;
  if (!range || !sources.has(file)) return plain(file && file !== ENTRY ? `${message} (in ${file})` : message, severity);
  if (!lines.has(file)) lines.set(file, lineStarts(sources.get(file)));
  const starts = lines.get(file);
  const line = lineOf(starts, range.start);
  return { file, line: line + 1, column: range.start - starts[line] + 1, length: range.end - range.start, severity, message: `${message} (AS${code})` };
}

/** What a service may not import, named in the author's words: hosts refuse anything but the ABI. */
function foreignImports(module) {
  if (!module) return [];
  const foreign = WebAssembly.Module.imports(new WebAssembly.Module(module)).filter((each) => each.module !== "host");
  return foreign.map(({ module, name }) => {
    const instead = { "console.log": "use cx.log", "Date.now": "use cx.now", seed: "Math.random is not the same on every replica; use cx.random" }[name];
    return plain(`A service cannot use ${name === "seed" ? "Math.random" : name} (${module}): ${instead ?? "it has no such host function"}.`);
  });
}

function plain(message, severity = "error") {
  return { line: 0, column: 0, length: 0, severity, message };
}

function lineStarts(source) {
  const starts = [0];
  for (let at = source.indexOf("\n"); at >= 0; at = source.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function lineOf(starts, offset) {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
