// P3b: a 64-byte call to an echo service of one copy, from tab to tab. Its bar is 1.25 × (a stream's echo, P3a, + a bare message
// to the sandboxed worker and back, P14); the table joins the three.

import { joinPage, publish } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const [ROUNDS, CALLS] = [21, 100];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The rows of this benchmark; `others` are the rows of those before it. */
export async function bench(others) {
  const rows = await inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(host, "echo", { state: "single", interface: { echo: {} } });
    const times = await caller.evaluate(async ([service, rounds, calls]) => {
      const session = await peer.open(service);
      const body = new Uint8Array(64);
      const times = [];
      // The first round warms up.
      for (let round = 0; round <= rounds; round++) {
        const start = performance.now();
        for (let call = 0; call < calls; call++) await session.call("echo", body);
        if (round > 0) times.push(((performance.now() - start) * 1000) / calls);
      }
      return times;
    }, [service, ROUNDS, CALLS]);
    return [{ bar: "P3b", unit: "µs", rounds: ROUNDS, call: Math.round(median(times)) }];
  }, 300_000);
  const stream = others.find((row) => row.bar === "P3a")?.ours;
  const bare = others.find((row) => row.bareUs !== undefined)?.bareUs;
  if (stream !== undefined && bare !== undefined) {
    const ratio = rows[0].call / (stream + bare);
    Object.assign(rows[0], { stream, bare, ratio: Number(ratio.toFixed(2)), bar_ratio: 1.25, met: ratio <= 1.25 });
  }
  return rows;
}
