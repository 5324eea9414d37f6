// The compiler's caller: one worker, one job at a time, replaced when it takes too long.

/** How long a compilation may take; a first one takes 3 s, on a busy machine ten times that. */
const TIMEOUT_MS = 60_000;
/** A superseded compilation that has taken this long is stopped rather than waited for. */
const LONG_MS = 15_000;
/** A source without problems that rests for this long is optimized ahead, so that publishing it takes no time. */
const AHEAD_MS = 1_000;
/** The longest source that is compiled, in UTF-16 units. */
const MAX_SOURCE = 1_000_000;

let worker = null;
/** Has the worker loaded its compiler; what is posted earlier could be lost. */
let ready = false;
/** The job under way: `{ id, source, optimize, resolve, timer, started }`. */
let running = null;
let ahead = 0;
/** The last optimized result: `{ source, result }`. */
let cached = null;
let lastId = 0;

/**
 * Compiles AssemblyScript. Resolves, never rejects, to `{ module, diagnostics, ms }`: `module` is a Uint8Array or null;
 * a diagnostic is `{ line, column, length, severity, message }`, 1-based, line 0 when it belongs to no line of the
 * source. A newer call supersedes one that is under way, which then resolves to `{ superseded: true }`.
 *
 * `optimize` asks for a small and fast module, otherwise the check is quick.
 */
export function compile(source, optimize) {
  clearTimeout(ahead);
  if (source.length > MAX_SOURCE) {
    const message = `The source has ${source.length.toLocaleString("en")} characters; at most ${MAX_SOURCE.toLocaleString("en")} are compiled. Make it shorter.`;
    return Promise.resolve(failure(message));
  }
  if (optimize && cached?.source === source) return Promise.resolve(cached.result);
  return new Promise((resolve) => {
    if (running?.source === source && running.optimize === optimize) {
      // The same is under way, perhaps ahead of being asked for.
      running.resolve(superseded);
      running.resolve = resolve;
      return;
    }
    begin(source, optimize, resolve);
  });
}

/** Loads the compiler before it is needed. */
export function warm() {
  start();
}

const superseded = { superseded: true, module: null, diagnostics: [], ms: 0 };

function begin(source, optimize, resolve) {
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
  running = { id: ++lastId, source, optimize, resolve, timer, started: 0 };
  start();
  post();
}

function start() {
  if (worker) return;
  worker = new Worker(new URL("./compiler-worker.js", import.meta.url), { type: "module", name: "assemblyscript" });
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
  const { id, source, optimize } = running;
  worker.postMessage({ id, source, optimize });
}

function finish(result) {
  const { source, optimize } = running;
  if (optimize && result.module) cached = { source, result };
  settle(result);
  if (!optimize && result.module && cached?.source !== source) {
    ahead = setTimeout(() => running ?? begin(source, true, () => {}), AHEAD_MS);
  }
}

function stop() {
  worker?.terminate();
  worker = null;
  ready = false;
}

function settle(result) {
  const job = running;
  running = null;
  if (!job) return;
  clearTimeout(job.timer);
  job.resolve(result);
}

function failure(message) {
  return { module: null, diagnostics: [{ line: 0, column: 0, length: 0, severity: "error", message }], ms: 0 };
}
