// P15: what services that nobody uses cost the tab that hosts them: as many as a tab takes, until all of them sleep. Their messages are
// counted in the simulator (`cargo test -p simulator --test idle -- --nocapture`).

import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

/** A tab takes 60 packages. */
const SERVICES = Number(process.env.SERVICES ?? 60);
const MEASURED_MS = 60_000;
/** A service sleeps after a minute. */
const ASLEEP_MS = 120_000;
const BAR = 5;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The rows of this benchmark. */
export async function bench() {
  return inWorld(async (world) => {
    const relay = await world.relay();
    const host = await joinPage(await world.page(await world.browser(), "host"), relay);
    const devtools = await host.context().newCDPSession(host);
    await devtools.send("Performance.enable");
    const metrics = async () => Object.fromEntries((await devtools.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
    /** Share of a core that the page's thread took, in percent, over some time. */
    const busy = async () => {
      const before = await metrics();
      await sleep(MEASURED_MS);
      const after = await metrics();
      return Number(((100 * (after.TaskDuration - before.TaskDuration)) / (after.Timestamp - before.Timestamp)).toFixed(2));
    };
    const without = await busy();
    for (let n = 0; n < SERVICES; n += 1) await publish(host, "counter", { name: `idle-${n}` });
    await soon(host, (count) => peer.status().hosting.filter(({ asleep }) => asleep).length === count, SERVICES, ASLEEP_MS);
    const cpu = await busy();
    const workers = host.workers().length;
    return [{ bar: "P15", unit: "% of a core", services: SERVICES, cpu, cpu_without: without, workers, bar_cpu: BAR, met: SERVICES >= 1000 && cpu <= BAR }];
  }, 900_000);
}
