// P3b: a 64-byte call to an echo service of one copy, from tab to tab. Its bar is 1.25 × (a stream's echo, P3a, + a bare message
// to the sandboxed worker and back, P14). P3c: the same call to a service of three replicas; its bar is 2 × P3b. All are measured in each
// round, so that other work on the machine hits them alike.

import { volunteer } from "../lib/moves.mjs";
import { joinPage, publish } from "../lib/peer.mjs";
import { whole } from "../lib/replicas.mjs";
import { inWorld } from "../lib/world.mjs";
import { buildPages } from "../webrtc/lib/build.mjs";
import { openBrowser, serve, startRelay, until } from "../webrtc/lib/tabs.mjs";
import { inEchoWorker } from "./worker.mjs";

const [ROUNDS, CALLS] = [21, 200];
const [BAR, BAR_REPLICATED] = [1.25, 2];

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

/** Runs `body(call)`; `call(count)` resolves with the mean time of so many calls from one tab to another, in µs. With `replicas` the service
 * has so many, in tabs of their own. */
function inOverlay(body, replicas = 1) {
  return inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const host = await joinPage(await world.page(browser, "host"), relay);
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    const hosts = [host];
    for (let n = 1; n < replicas; n += 1) hosts.push(await volunteer(world, browser, relay, `replica ${n}`));
    const state = replicas === 1 ? "single" : `replicated-${replicas}`;
    const service = await publish(host, "echo", { state, interface: { echo: {} }, qos: { standby: 0 } });
    if (replicas > 1) await whole(hosts, service, replicas);
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
  const round = async (call, replicated, echo, page) => ({
    call: await call(CALLS),
    replicated: await replicated(CALLS),
    stream: await echo(CALLS),
    bare: await page.evaluate((count) => bare(count), CALLS),
  });
  await inOverlay((call) =>
    inOverlay((replicated) =>
      inTwoTabs((echo) =>
        inEchoWorker(async (page) => {
          // The first rounds warm up.
          for (let i = -3; i < ROUNDS; i++) {
            const one = await round(call, replicated, echo, page);
            if (i >= 0) rounds.push(one);
          }
        }),
      ), 3),
  );
  const names = ["call", "replicated", "stream", "bare"];
  const [call, replicated, stream, bare] = names.map((name) => Math.round(median(rounds.map((one) => one[name]))));
  const ratioOf = (ratio) => Number(median(rounds.map(ratio)).toFixed(2));
  const [ratio, more] = [ratioOf((one) => one.call / (one.stream + one.bare)), ratioOf((one) => one.replicated / one.call)];
  return [
    { bar: "P3b", unit: "µs", rounds: ROUNDS, call, stream, bare, ratio, bar_ratio: BAR, met: ratio <= BAR },
    { bar: "P3c", unit: "µs", rounds: ROUNDS, replicated, call, ratio: more, bar_ratio: BAR_REPLICATED, met: more <= BAR_REPLICATED },
  ];
}
