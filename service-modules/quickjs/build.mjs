// Builds the engine: `node build.mjs QUICKJS_SOURCES OUT_DIR` writes OUT_DIR/quickjs.wasm.
//
// The compiler is clang as wasm, pinned like any other package, so that the same sources give the same bytes on every
// machine. Compiling QuickJS takes most of a minute: its objects are kept in OUT_DIR/objects as long as the sources,
// the compiler and the flags are the same.

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { commands, runLLVM } from "@yowasp/clang";

const here = fileURLToPath(new URL(".", import.meta.url));
const [sources, out] = process.argv.slice(2);
if (!out) {
  console.error("usage: node build.mjs QUICKJS_SOURCES OUT_DIR");
  process.exit(2);
}

const UNITS = ["dtoa", "libregexp", "libunicode", "quickjs"];
const OWN = ["engine", "libc", "natives", "program"];

const TARGET = ["--target=wasm32-wasip1"];
// QuickJS has no stack limit where it knows WASI; what it takes for Emscripten fits.
const ENGINE_FLAGS = ["-Os", "-std=gnu11", "-w", "-DNDEBUG", "-D_GNU_SOURCE", "-DEMSCRIPTEN", "-U__wasi__", "-funsigned-char", "-fwrapv"];
const OWN_FLAGS = ["-Os", "-std=gnu23", "-Wall", "-Wno-unused-parameter", "-Werror", "-Wno-c23-extensions"];
// No instruction beyond those of ABI 1.
const FEATURES = ["-mbulk-memory", "-msign-ext", "-mnontrapping-fptoint", "-mmutable-globals", "-mno-reference-types", "-mno-exception-handling"];
const LINK_FLAGS = [
  "-nostartfiles", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,--export=program", "-Wl,--export=program_capacity",
  "-Wl,--export-memory", "-Wl,--stack-first", "-Wl,-z,stack-size=262144",
];

// Reads the compiler from its package, which it would tell about at its first run.
await runLLVM(null, {}, { fetchProgress: () => {} });

async function run(args, files) {
  try {
    return await commands.clang(args, files);
  } catch (error) {
    throw new Error(`clang ${args.join(" ")} failed`, { cause: error });
  }
}

async function filesIn(dir, pattern) {
  const names = (await readdir(dir)).filter((name) => pattern.test(name)).sort();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name))])));
}

async function compile(unit, flags, files) {
  const made = await run([...TARGET, ...flags, ...FEATURES, "-c", `${unit}.c`, "-o", `${unit}.o`], files);
  return made[`${unit}.o`];
}

const cache = join(out, "objects");
await mkdir(cache, { recursive: true });
const stamp = JSON.stringify([await readFile(join(here, "package-lock.json"), "utf8"), sources, TARGET, ENGINE_FLAGS, FEATURES]);
const valid = (await readFile(join(cache, "stamp"), "utf8").catch(() => "")) === stamp;
const quickjs = await filesIn(sources, /\.[ch]$/);
const objects = {};
for (const unit of UNITS) {
  const kept = join(cache, `${unit}.o`);
  objects[`${unit}.o`] = valid ? await readFile(kept) : await compile(unit, ENGINE_FLAGS, quickjs);
  if (!valid) await writeFile(kept, objects[`${unit}.o`]);
}
await writeFile(join(cache, "stamp"), stamp);

const own = { ...(await filesIn(join(here, "src"), /\.(c|h|js)$/)), "quickjs.h": quickjs["quickjs.h"] };
for (const unit of OWN) objects[`${unit}.o`] = await compile(unit, OWN_FLAGS, own);

const linked = await run([...TARGET, ...LINK_FLAGS, ...Object.keys(objects), "-o", "quickjs.wasm"], objects);
const wasm = linked["quickjs.wasm"];
const foreign = WebAssembly.Module.imports(await WebAssembly.compile(wasm)).filter(({ module }) => module !== "host");
if (foreign.length > 0) throw new Error(`the engine imports ${foreign.map(({ module, name }) => `${module}.${name}`).join(", ")}`);
await writeFile(join(out, "quickjs.wasm"), wasm);
