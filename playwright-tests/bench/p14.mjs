// P14: what a call into the sandbox costs above a bare message to the same worker and back; and how long snapshots take.
// `node playwright-tests/bench/p14.mjs` prints JSON lines to stdout.

import { fileURLToPath } from "node:url";

import { example, inPage, prepare } from "../sandbox/lib/sandbox.mjs";
import { moduleOf } from "../lib/wasm.mjs";

/** A page's clock ticks in 0.1 ms, so a round is many calls; rounds of both kinds alternate. */
const [ROUNDS, CALLS] = [41, 100];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const round = (value) => Number(value.toPrecision(4));

/** The worker also sends strings and small buffers that are marked as bare straight back. */
const change = (path, text) =>
  path === "/sandbox/frame.html"
    ? text.replace("port.onmessage = ({ data }) => {\n", "port.onmessage = ({ data }) => {\n    if (data.bare !== undefined) { port.postMessage(data); return; }\n")
    : text;

export async function bench() {
  const rows = [];
  await inPage(async (page) => {
    await prepare(page, 1, await example("echo"));
    const [bare, call] = await page.evaluate(async ([rounds, calls]) => {
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
      const bareSeries = async () => {
        const body = new Uint8Array(64);
        for (let i = 0; i < calls; i++) {
          await new Promise((done) => {
            answered = done;
            port.postMessage({ bare: body });
          });
        }
      };
      const callSeries = () => new Promise((done) => sandbox.series(1, calls, methodInput("echo", new Uint8Array(64)), done));
      const timed = async (series) => {
        const start = performance.now();
        await series();
        return (performance.now() - start) / calls;
      };
      const [bare, call] = [[], []];
      for (let i = -5; i < rounds; i++) {
        const [one, other] = [await timed(bareSeries), await timed(callSeries)];
        if (i >= 0) {
          bare.push(one);
          call.push(other);
        }
      }
      return [bare, call];
    }, [ROUNDS, CALLS]);
    const [bareUs, callUs] = [median(bare) * 1_000, median(call) * 1_000];
    const overheadUs = median(call.map((each, index) => (each - bare[index]) * 1_000));
    rows.push({ bench: "p14", bareUs: round(bareUs), callUs: round(callUs), overheadUs: round(overheadUs), barUs: 30 });
  }, { change });
  await inPage(async (page) => {
    for (const mib of [1, 4, 16, 64]) {
      const pages = mib * 16;
      // Writes a word into each 50th block of 4 KiB (2 %), then answers.
      const handle = `(local $i i32)
        (loop $l (i32.store (local.get $i) (i32.add (i32.load (local.get $i)) (i32.const 1)))
          (local.set $i (i32.add (local.get $i) (i32.const 204800)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const ${mib << 20})))) (i32.const 0)`;
      await prepare(page, mib, moduleOf(handle, `(memory (export "memory") ${pages})`), { pages });
      const [snapshots, restores, queries, bytes] = await page.evaluate(async (mib) => {
        const [snapshots, restores, queries] = [[], [], []];
        const instance = 100 * mib;
        await create(instance, mib);
        let bytes = 0;
        for (let i = 1; i <= 5; i++) {
          await run(instance, 1);
          let start = performance.now();
          const { state } = await snapshot(instance);
          snapshots.push(performance.now() - start);
          bytes = state.length;
          start = performance.now();
          await create(instance + i, mib, state);
          restores.push(performance.now() - start);
          sandbox.stop(instance + i);
          start = performance.now();
          await run(instance, 4);
          await run(instance, 4);
          queries.push((performance.now() - start) / 2);
        }
        sandbox.stop(instance);
        return [snapshots, restores, queries, bytes];
      }, mib);
      const [snapshotMs, restoreMs, queryMs] = [snapshots, restores, queries].map((times) => round(median(times)));
      rows.push({ bench: "p14-state", stateMiB: mib, bytes, snapshotMs, restoreWithWorkerMs: restoreMs, queryMs });
    }
  });
  return rows;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const row of await bench()) console.log(JSON.stringify(row));
}
