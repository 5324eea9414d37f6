// TypeScript and JavaScript to a service module: sucrase takes the types out, the engine itself says whether the rest is
// JavaScript (it compiles every file and runs nothing), and the linker puts both together. Types are not checked.

import { transform } from "sucrase";

import { encodeProgram, link, LinkError, roomOf } from "./link.js";

/** The most diagnostics that are handed back: nobody reads more. */
const MAX_DIAGNOSTICS = 50;

/** Files that may be part of a program. */
const SCRIPT = /(?<!\.d)\.[jt]s$/;

/**
 * Compiles `files`, an object of texts by path, from `entry` on.
 * @param {{ bytes: Uint8Array, module: WebAssembly.Module }} engine
 * @returns {{ module: Uint8Array | null, diagnostics: object[] }} diagnostics as `compileScript` describes them.
 */
export function compileFiles(files, entry, engine) {
  const sources = new Map(Object.entries(files).filter(([path]) => SCRIPT.test(path)));
  if (!sources.has(entry)) return failed([whole("", `There is no file "${entry}", where the service should begin.`)]);
  const stripped = new Map();
  const diagnostics = [];
  for (const path of reachable(entry, sources, stripped, diagnostics)) {
    if (!stripped.has(path)) return failed(diagnostics);
  }
  try {
    const program = encodeProgram([...stripped]);
    const module = link(engine.bytes, program);
    diagnostics.push(...check(engine, program).map((problem) => locate(problem, sources, stripped)));
    return diagnostics.length > 0 ? failed(diagnostics) : { module, diagnostics };
  } catch (error) {
    if (!(error instanceof LinkError)) throw error;
    return failed([...diagnostics, whole("", `${error.message[0].toUpperCase()}${error.message.slice(1)}.`)]);
  }
}

/** The paths that the entry leads to, itself first. Fills `stripped` with their texts as JavaScript. */
function reachable(entry, sources, stripped, diagnostics) {
  const paths = [entry];
  for (let at = 0; at < paths.length; at += 1) {
    const code = strip(paths[at], sources.get(paths[at]), diagnostics);
    if (code === null) continue;
    stripped.set(paths[at], code);
    for (const [, name] of code.matchAll(/\b(?:from|import)\s*(?:\(\s*)?["'](\.\.?\/[^"'\n]+)["']/g)) {
      const found = candidates(paths[at], name).find((path) => sources.has(path));
      if (found !== undefined && !paths.includes(found)) paths.push(found);
    }
  }
  return paths;
}

/** Where an import may lead. The engine decides, by the same rule (`resolve` in its prelude); here a file too many does no harm. */
function candidates(base, name) {
  const parts = base.split("/").slice(0, -1);
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  const plain = parts.join("/");
  return [plain, plain.replace(/\.js$/, ".ts"), `${plain}.ts`, `${plain}.js`, `${plain}/index.ts`, `${plain}/index.js`];
}

/** The JavaScript of a file, line for line, or null. */
function strip(path, source, diagnostics) {
  if (path.endsWith(".js")) return source;
  try {
    return transform(source, { transforms: ["typescript"], disableESTransforms: true, filePath: path }).code;
  } catch (error) {
    const { line = 0, column = 0 } = error.loc ?? {};
    const message = String(error.message).replace(/^Error transforming .*?: /, "").replace(/ \(\d+:\d+\)$/, "");
    diagnostics.push({ line, column, length: 1, severity: "error", message, file: path });
    return null;
  }
}

/** What the engine finds wrong: `{ message, file, line, column, specifier }`. */
function check(engine, program) {
  const found = new Map();
  let memory = null;
  const nothing = () => 0;
  const log = (_, from, length) => {
    const text = new TextDecoder().decode(new Uint8Array(memory.buffer, from, length));
    if (found.size < MAX_DIAGNOSTICS) found.set(text, text);
  };
  const imports = WebAssembly.Module.imports(engine.module).map(({ name }) => [name, name === "log" ? log : nothing]);
  const { exports } = new WebAssembly.Instance(engine.module, { host: Object.fromEntries(imports) });
  memory = exports.memory;
  try {
    exports._initialize();
    new Uint8Array(memory.buffer).set(program, roomOf(engine.bytes).address);
    exports.check();
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
    return [{ message: `the engine gave up (${[...found.keys()].at(-1) ?? error.message})`, file: "", line: 0, column: 0 }];
  }
  return [...found.keys()].map((text) => JSON.parse(text));
}

/** A problem of the engine's in terms of what the author wrote. */
function locate({ message, file, line, column, specifier }, sources, stripped) {
  const source = sources.get(file);
  if (source === undefined) return whole(file, message);
  const lines = source.split("\n");
  if (specifier !== undefined) {
    const at = lines.findIndex((text) => text.includes(`"${specifier}"`) || text.includes(`'${specifier}'`));
    if (at < 0) return whole(file, message);
    return { line: at + 1, column: lines[at].indexOf(specifier) + 1, length: specifier.length, severity: "error", message, file };
  }
  const text = lines[line - 1];
  if (text === undefined) return whole(file, message);
  // Types that were taken out move what follows them in the line: then the line as a whole is marked.
  const same = stripped.get(file).split("\n")[line - 1] === text && column > 0;
  return { line, column: same ? column : 1, length: same ? 1 : text.length, severity: "error", message, file };
}

function whole(file, message) {
  return { line: 0, column: 0, length: 0, severity: "error", message, file };
}

function failed(diagnostics) {
  return { module: null, diagnostics: diagnostics.slice(0, MAX_DIAGNOSTICS) };
}
