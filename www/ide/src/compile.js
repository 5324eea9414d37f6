// The compiler's caller: one worker, one job at a time, replaced when it takes too long.

/** How long a compilation may take; a heavy service takes 2 s on a slow machine. */
const TIMEOUT_MS = 20_000;
/** The longest source that is compiled, in UTF-16 units. */
export const MAX_SOURCE = 1_000_000;

let worker = null;
let running = null;
let lastId = 0;

/**
 * Compiles AssemblyScript. Resolves, never rejects, to `{ module, diagnostics, ms }`: `module` is a Uint8Array or null;
 * a diagnostic is `{ line, column, length, severity, message }`, 1-based, line 0 when it belongs to no line of the
 * source. A newer call supersedes one that is under way, which then resolves to `{ superseded: true }`.
 *
 * `optimize` asks for a small and fast module, otherwise the check is quick.
 */
export function compile(source, optimize) {
  if (source.length > MAX_SOURCE) {
    const message = `The source has ${source.length.toLocaleString("en")} characters; at most ${MAX_SOURCE.toLocaleString("en")} are compiled. Make it shorter.`;
    return Promise.resolve(failure(message));
  }
  // A worker cannot be interrupted while it compiles. A check under way is worth waiting for only if it is the same.
  if (running) {
    const before = running;
    running = null;
    clearTimeout(before.timer);
    before.resolve({ superseded: true, module: null, diagnostics: [], ms: 0 });
    if (before.longRunning) stop();
  }
  return new Promise((resolve) => {
    const id = ++lastId;
    const timer = setTimeout(() => {
      stop();
      settle(failure(`The compiler was stopped after ${TIMEOUT_MS / 1000} s. Look for something endless in your types or constants.`));
    }, TIMEOUT_MS);
    const job = { id, resolve, timer, longRunning: false };
    setTimeout(() => (job.longRunning = true), 2_000);
    running = job;
    start().postMessage({ id, source, optimize });
  });
}

/** Loads the compiler before it is needed. */
export function warm() {
  start();
}

function start() {
  if (worker) return worker;
  worker = new Worker(new URL("./compiler-worker.js", import.meta.url), { type: "module", name: "assemblyscript" });
  worker.onmessage = ({ data }) => {
    if (running?.id === data.id) settle(data.result);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    stop();
    settle(failure(`The compiler failed to run (${event.message || "it could not be loaded"}). Reload the page and try again.`));
  };
  return worker;
}

function stop() {
  worker?.terminate();
  worker = null;
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
