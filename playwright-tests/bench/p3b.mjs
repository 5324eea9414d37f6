// P3b: a 64-byte call to an echo service of one copy, from tab to tab. Its bar is 1.25 × (a stream's echo, P3a, + a bare message
// to the sandboxed worker and back, P14). All three are measured in each round, so that other work on the machine hits them alike.

import { joinPage, publish } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";
import { buildPages } from "../webrtc/lib/build.mjs";
import { openBrowser, serve, startRelay, until } from "../webrtc/lib/tabs.mjs";
import { inEchoWorker } from "./worker.mjs";

const [ROUNDS, CALLS] = [21, 200];
const BAR = 1.25;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const mean = (values) => values.reduce((a, b) => a + b) / values.length;

/** Runs `body(echo)`; `echo(count)` resolves with the mean time of so many echoes over one stream between two tabs, in µs. */
async function inTwoTabs(body) {
  await buildPages();
  const [server, relay] = [await serve(), await startRelay()];
  const browser = await openBrowser(server.url);
  try {
    const [a, b] = [await browser.tab("rust"), await browser.tab("rust")];
    await a.reserve(relay);
    await a.dial(await b.reserve(relay));
    await until(async () => (await a.paths(b.id)).join() === "WebRtc", "only a direct connection");
    await body(async (count) => mean(await a.ping_pong(b.id, 64, count)));
  } finally {
    await browser.close();
    await relay.kill();
    server.close();
  }
}

/** Runs `body(call)`; `call(count)` resolves with the mean time of so many calls from one tab to another, in µs. */
function inOverlay(body) {
  return inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const service = await publish(host, "echo", { state: "single", interface: { echo: {} } });
    await caller.evaluate(async (service) => (window.session = await peer.open(service)), service);
    await body((count) =>
      caller.evaluate(async (count) => {
        const body = new Uint8Array(64);
        const start = performance.now();
        for (let i = 0; i < count; i++) await session.call("echo", body);
        return ((performance.now() - start) * 1000) / count;
      }, count),
    );
  }, 300_000);
}

/** The rows of this benchmark. */
export async function bench() {
  const rounds = [];
  const round = async (call, echo, page) => ({
    call: await call(CALLS),
    stream: await echo(CALLS),
    bare: await page.evaluate((count) => bare(count), CALLS),
  });
  await inOverlay((call) =>
    inTwoTabs((echo) =>
      inEchoWorker(async (page) => {
        // The first rounds warm up.
        for (let i = -3; i < ROUNDS; i++) {
          const one = await round(call, echo, page);
          if (i >= 0) rounds.push(one);
        }
      }),
    ),
  );
  const [call, stream, bare] = ["call", "stream", "bare"].map((name) => Math.round(median(rounds.map((one) => one[name]))));
  const ratio = Number(median(rounds.map((one) => one.call / (one.stream + one.bare))).toFixed(2));
  return [{ bar: "P3b", unit: "µs", rounds: ROUNDS, call, stream, bare, ratio, bar_ratio: BAR, met: ratio <= BAR }];
}
