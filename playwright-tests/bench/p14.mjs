// P14: what a call into the sandbox costs above a bare message to the same worker and back; and how long snapshots take.
// `node playwright-tests/bench/p14.mjs` prints JSON lines to stdout.

import { fileURLToPath } from "node:url";

import { inPage, prepare } from "../sandbox/lib/sandbox.mjs";
import { moduleOf } from "../lib/wasm.mjs";
import { inEchoWorker } from "./worker.mjs";

/** A page's clock ticks in 0.1 ms, so a round is many calls; rounds of both kinds alternate. */
const [ROUNDS, CALLS] = [41, 100];
const BAR_US = 30;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const round = (value) => Number(value.toPrecision(4));

export async function bench() {
  const rows = [];
  await inEchoWorker(async (page) => {
    const pairs = await page.evaluate(async ([rounds, calls]) => {
      const pairs = [];
      for (let i = -5; i < rounds; i++) {
        const pair = [await bare(calls), await call(calls)];
        if (i >= 0) pairs.push(pair);
      }
      return pairs;
    }, [ROUNDS, CALLS]);
    const [bareUs, callUs] = [0, 1].map((index) => round(median(pairs.map((pair) => pair[index]))));
    const overheadUs = round(median(pairs.map(([bare, call]) => call - bare)));
    rows.push({ bar: "P14", unit: "µs", rounds: ROUNDS, bareUs, callUs, overheadUs, bar_us: BAR_US, met: overheadUs <= BAR_US });
  });
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
