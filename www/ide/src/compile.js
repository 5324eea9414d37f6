// The compilers' caller: one worker per language, one job at a time, replaced when it takes too long or is cancelled.

import { MODULE } from "./limits.js";
import { compileScript, warmScript } from "./script.js";

/** How long a compilation may take; a first one takes 3 s, on a busy machine ten times that. */
const TIMEOUT_MS = 60_000;
/** A superseded compilation that has taken this long is stopped rather than waited for. */
const LONG_MS = 15_000;
/** A source without problems that rests for this long is optimized ahead, so that publishing it takes no time. */
const AHEAD_MS = 1_000;

/** Languages that are compiled in a worker: its file, and whether a module can be optimized. */
const workers = {
  assemblyscript: { url: new URL("./compiler-worker.js", import.meta.url), optimizes: true },
  wat: { url: new URL("./wat-worker.js", import.meta.url), optimizes: false },
};

let worker = null;
/** The language whose worker it is. */
let speaks = "";
/** Has the worker loaded its compiler; what is posted earlier could be lost. */
let ready = false;
/** The job under way: `{ id, key, language, sources, optimize, resolve, timer, started }`. */
let running = null;
let ahead = 0;
/** The last optimized result: `{ key, result }`. */
let cached = null;
let lastId = 0;

/**
 * Compiles a project. Resolves, never rejects, to `{ module, diagnostics, ms }`: `module` is a Uint8Array or null; a
 * diagnostic is `{ file, line, column, length, severity, message }`, 1-based, line 0 when it belongs to no line. A newer
 * call supersedes one that is under way, which then resolves to `{ superseded: true }`; so does `cancel()`.
 *
 * `optimize` asks for a small and fast module, otherwise the check is quick.
 */
export function compile(project, optimize) {
  clearTimeout(ahead);
  const flaw = project.flawOfSize();
  if (flaw) return Promise.resolve(failure(`${flaw} Your text is kept, but nothing is compiled.`));
  const { language } = project;
  if (language === "wasm") return Promise.resolve(asItIs(project));
  if (!project.has(project.entry())) return Promise.resolve(failure(`There is no file “${project.entry()}”: that is where a service begins.`));
  const sources = project.sources();
  if (!Object.hasOwn(workers, language)) return script(project.entry(), sources);
  const wanted = optimize && workers[language].optimizes;
  const key = JSON.stringify([language, ...sources]);
  if (wanted && cached?.key === key) return Promise.resolve(cached.result);
  return new Promise((resolve) => {
    if (running?.key === key && running.optimize === wanted) {
      // The same is under way, perhaps ahead of being asked for.
      running.resolve(superseded);
      running.resolve = resolve;
      return;
    }
    begin({ key, language, sources, optimize: wanted, resolve });
  });
}

/** Stops what is being compiled. */
export function cancel() {
  clearTimeout(ahead);
  giveUp();
  if (!running) return;
  stop();
  settle(superseded);
}

/** Loads the compiler of a language before it is needed. */
export function warm(language) {
  if (language === "script") warmScript();
  else if (Object.hasOwn(workers, language) && !running) start(language);
}

const superseded = { superseded: true, module: null, diagnostics: [], ms: 0 };

function begin(job) {
  if (running) {
    const { started } = running;
    settle(superseded);
    // A worker cannot be interrupted: a compilation that may never end costs more than a fresh worker.
    if (started && performance.now() - started > LONG_MS) stop();
  }
  const timer = setTimeout(() => {
    stop();
    settle(failure(`The compiler was stopped after ${TIMEOUT_MS / 1000} s. Look for something endless in your types or constants.`));
  }, TIMEOUT_MS);
  running = { ...job, id: ++lastId, timer, started: 0 };
  start(job.language);
  post();
}

function start(language) {
  if (worker && speaks === language) return;
  stop();
  speaks = language;
  worker = new Worker(workers[language].url, { type: "module", name: language });
  worker.onmessage = ({ data }) => {
    if (data.ready) {
      ready = true;
      post();
    } else if (running?.id === data.id) {
      finish(data.result);
    }
  };
  worker.onerror = (event) => {
    event.preventDefault();
    stop();
    settle(failure(`The compiler failed to run (${event.message || "it could not be loaded"}). Reload the page and try again.`));
  };
}

function post() {
  if (!ready || !running || running.started) return;
  running.started = performance.now();
  const { id, sources, optimize } = running;
  worker.postMessage({ id, sources, optimize });
}

function finish(result) {
  const { key, language, sources, optimize } = running;
  if (optimize && result.module) cached = { key, result };
  settle(result);
  if (!optimize && workers[language].optimizes && result.module && cached?.key !== key) {
    ahead = setTimeout(() => running ?? begin({ key, language, sources, optimize: true, resolve: () => {} }), AHEAD_MS);
  }
}

function stop() {
  worker?.terminate();
  worker = null;
  speaks = "";
  ready = false;
}

function settle(result) {
  const job = running;
  running = null;
  if (!job) return;
  clearTimeout(job.timer);
  job.resolve(result);
}

/** A module that was put in: hosts inspect it, here nothing is done but to say what is plainly no module. */
function asItIs(project) {
  const module = project.content(MODULE);
  if (!(module instanceof Uint8Array)) return failure(`Put a wasm module in as “${MODULE}”: “Upload” takes one from this device.`);
  if (!isWasm(module)) return failure(`“${MODULE}” is no wasm module: it does not begin as one.`);
  return { module, diagnostics: [], ms: 0 };
}

/** Do bytes begin as a wasm module of version 1? A component begins otherwise. */
export function isWasm(bytes) {
  return bytes.byteLength >= 8 && [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0].every((byte, at) => bytes[at] === byte);
}

/** Gives up the script that is compiled; its worker is stopped by its own caller when it takes too long. */
let giveUp = () => {};

/** TypeScript and JavaScript are linked with their engine, see `script.js`. */
function script(entry, sources) {
  const cancelled = new Promise((resolve) => (giveUp = () => resolve(superseded)));
  return Promise.race([compileScript(Object.fromEntries(sources), entry), cancelled]);
}

function failure(message) {
  return { module: null, diagnostics: [{ line: 0, column: 0, length: 0, severity: "error", message }], ms: 0 };
}
