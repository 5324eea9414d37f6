// A sandboxed worker with the echo service, and a way to send it a bare message: what P14 and P3b are measured against.

import { example, inPage, prepare } from "../sandbox/lib/sandbox.mjs";

/** The worker also sends what is marked as bare straight back. */
const change = (path, text) =>
  path === "/sandbox/frame.html"
    ? text.replace("port.onmessage = ({ data }) => {\n", "port.onmessage = ({ data }) => {\n    if (data.bare !== undefined) { port.postMessage(data); return; }\n")
    : text;

/**
 * Runs `body(page)` with these functions in the page, which take a number of round trips of 64 bytes, one after the other, and
 * resolve with the mean time of one in µs: `bare` by a message to the worker and back, `call` by a call of the service.
 */
export function inEchoWorker(body) {
  return inPage(async (page) => {
    await prepare(page, 1, await example("echo"));
    await page.evaluate(async () => {
      // The port between page and worker, listened to before the host does.
      let port = null;
      let answered = () => {};
      const Original = MessageChannel;
      window.MessageChannel = class extends Original {
        constructor() {
          super();
          port = this.port1;
          port.addEventListener("message", (event) => {
            if (event.data.bare === undefined) return;
            event.stopImmediatePropagation();
            answered();
          });
        }
      };
      await create(1, 1);
      await run(1, 0);
      const timed = (series) => async (count) => {
        const start = performance.now();
        await series(count);
        return ((performance.now() - start) * 1000) / count;
      };
      const bytes = new Uint8Array(64);
      window.bare = timed(async (count) => {
        for (let i = 0; i < count; i++) {
          await new Promise((done) => {
            answered = done;
            port.postMessage({ bare: bytes });
          });
        }
      });
      window.call = timed((count) => new Promise((done) => sandbox.series(1, count, methodInput("echo", bytes), done)));
    });
    await body(page);
  }, { change });
}
