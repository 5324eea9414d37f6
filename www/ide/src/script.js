// The caller of the compiler for TypeScript and JavaScript: one worker, replaced when it takes too long. It and the
// engine are loaded at the first call.

/** How long a compilation may take; an ordinary one takes some milliseconds, the first one a second. */
const TIMEOUT_MS = 30_000;
/** The longest sources that are compiled, together, in UTF-16 units. */
const MAX_SOURCE = 1_000_000;

let worker = null;
/** Has the worker loaded; what is posted earlier could be lost. */
let ready = false;
/** Jobs in order, the first one under way: `{ id, files, entry, resolve, timer }`. */
let jobs = [];
let lastId = 0;

/**
 * Compiles a service in TypeScript or JavaScript: `files` is an object of texts by path, `entry` the path of the file
 * that exports the service. Resolves, never rejects, to `{ module, diagnostics, ms }`: `module` is a Uint8Array or
 * null; a diagnostic is `{ line, column, length, severity, message, file }`, 1-based, line 0 when it belongs to no line.
 * A newer call supersedes those that have not begun, which then resolve to `{ superseded: true }`.
 */
export function compileScript(files, entry) {
  const length = Object.values(files).reduce((sum, text) => sum + text.length, 0);
  if (length > MAX_SOURCE) {
    const message = `The sources have ${length.toLocaleString("en")} characters; at most ${MAX_SOURCE.toLocaleString("en")} are compiled. Leave something out.`;
    return Promise.resolve(failure(message));
  }
  for (const job of jobs.splice(1)) job.resolve({ superseded: true, module: null, diagnostics: [], ms: 0 });
  return new Promise((resolve) => {
    jobs.push({ id: ++lastId, files: { ...files }, entry, resolve, timer: 0 });
    if (jobs.length === 1) begin();
  });
}

/** Loads the compiler and the engine before they are needed. */
export function warmScript() {
  start();
}

function start() {
  if (worker) return;
  worker = new Worker(new URL("./script-worker.js", import.meta.url), { type: "module", name: "script" });
  worker.onmessage = ({ data }) => {
    if (data.ready) {
      ready = true;
      post();
    } else if (jobs[0]?.id === data.id) {
      finish(data.result);
    }
  };
  worker.onerror = (event) => {
    event.preventDefault();
    stop();
    finish(failure(`The compiler failed to run (${event.message || "it could not be loaded"}). Reload the page and try again.`));
  };
}

function begin() {
  const [job] = jobs;
  job.timer = setTimeout(() => {
    stop();
    finish(failure(`The compiler was stopped after ${TIMEOUT_MS / 1000} s.`));
  }, TIMEOUT_MS);
  start();
  if (ready) post();
}

function post() {
  const [job] = jobs;
  if (job) worker.postMessage({ id: job.id, files: job.files, entry: job.entry });
}

function finish(result) {
  const job = jobs.shift();
  if (!job) return;
  clearTimeout(job.timer);
  job.resolve(result);
  if (jobs.length > 0) begin();
}

function stop() {
  worker?.terminate();
  worker = null;
  ready = false;
}

function failure(message) {
  return { module: null, diagnostics: [{ line: 0, column: 0, length: 0, severity: "error", message, file: "" }], ms: 0 };
}
