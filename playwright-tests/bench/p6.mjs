// P6: from opening a page to being joined, caches warm, beside js-libp2p's page start to address ready. Both pages are empty
// and import one script; both are asked in the page itself every 20 ms whether they are there.

import { joinPage } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";
import { buildPages } from "../webrtc/lib/build.mjs";
import { openBrowser, serve, startRelay } from "../webrtc/lib/tabs.mjs";

const ROUNDS = 9;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function timed(run) {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** The rows of this benchmark. */
export async function bench() {
  await buildPages();
  const server = await serve();
  const pages = await openBrowser(server.url);
  const jsRelay = await startRelay();
  try {
    return await inWorld(async (world) => {
      const relay = await world.relay();
      const { browser } = await world.browser();
      const context = await browser.newContext();
      const ours = async () => {
        const page = await context.newPage();
        const ms = await timed(() => joinPage(page, relay, { store: "memory" }));
        await page.close();
        return ms;
      };
      const js = async () => {
        const page = await pages.newPage();
        const ms = await timed(async () => {
          await page.goto(new URL("/raw.mjs", server.url).href);
          await page.evaluate(async (relay) => {
            const { startJsPeer } = await import("/js-peer.js");
            const peer = await startJsPeer();
            await peer.listen(relay);
            while (!peer.addresses().some((address) => address.includes("/p2p-circuit/webrtc"))) {
              await new Promise((done) => setTimeout(done, 20));
            }
          }, jsRelay.address);
        });
        await page.close();
        return ms;
      };
      const times = { ours: [], js: [] };
      // The first round warms the caches.
      for (let round = 0; round <= ROUNDS; round++) {
        const [one, other] = [await ours(), await js()];
        if (round > 0) times.ours.push(one), times.js.push(other);
      }
      const ratio = median(times.ours.map((ms, round) => ms / times.js[round]));
      const [ms, jsMs] = [Math.round(median(times.ours)), Math.round(median(times.js))];
      return [{ bar: "P6", unit: "ms", rounds: ROUNDS, ours: ms, js_libp2p: jsMs, ratio: Number(ratio.toFixed(2)), bar_ratio: 1, met: ratio <= 1 }];
    }, 300_000);
  } finally {
    await pages.close();
    await jsRelay.kill();
    server.close();
  }
}
