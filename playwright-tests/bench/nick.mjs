// How long the search for a nick name takes in the DHT of real tabs and one relay, all on one machine.

import { joinPage } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const TABS = 10;
const ROUNDS = 5;

const at = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
const round = (value) => Number(value.toFixed(1));

/** The rows of this benchmark: names that one tab uses, and names that nobody uses. */
export async function bench() {
  return inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    for (let n = 0; n < TABS; n += 1) {
      const page = await joinPage(await world.page(browser, `tab ${n}`), relay);
      await page.evaluate((nick) => peer.announce(nick), `nick ${n}`);
    }
    const seeker = await joinPage(await world.page(browser, "seeker"), relay);
    const searches = (nicks, wanted) =>
      seeker.evaluate(
        async ([nicks, wanted]) => {
          const times = [];
          for (const nick of nicks) {
            const begin = performance.now();
            const found = await peer.lookup(nick);
            if (found.length === wanted) times.push(performance.now() - begin);
          }
          return times;
        },
        [nicks, wanted],
      );
    const known = Array.from({ length: TABS }, (_, n) => `nick ${n}`);
    // Until every announcement is in the DHT.
    for (let tries = 0; (await searches(known, 1)).length < TABS; tries += 1) {
      if (tries === 20) throw new Error("not every nick name was found");
      await seeker.waitForTimeout(1_000);
    }
    const rows = [];
    for (const [what, nicks, wanted] of [["used", known, 1], ["unused", known.map((nick) => `no ${nick}`), 0]]) {
      const times = [];
      for (let n = 0; n < ROUNDS; n += 1) times.push(...(await searches(nicks, wanted)));
      rows.push({
        bench: "nick", name: what, tabs: TABS + 1, searches: ROUNDS * TABS, answered: times.length, unit: "ms",
        p50: round(at(times, 0.5)), p95: round(at(times, 0.95)), max: round(Math.max(...times)),
      });
    }
    return rows;
  }, 600_000);
}
