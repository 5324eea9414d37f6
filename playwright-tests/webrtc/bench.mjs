// transport-webrtc against a raw RTCDataChannel and js-libp2p, side by side: JSON lines to stdout, medians over rounds.
//
//   P3a  64 B echo over one stream      ratio to the raw channel (bar: at most 1.4)
//   P4   32 MiB through one stream      throughput as a ratio to the raw channel (bar: at least 0.95)
//   P5   dial of a tab to usable stream ratio to js-libp2p (bar: at most 0.6)

import { buildPages } from "./lib/build.mjs";
import { openBrowser, serve, startRelay, until } from "./lib/tabs.mjs";

const MIB = 1 << 20;
const SIZE = 32 * MIB;
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const DIALS = Number(process.env.DIALS ?? 7);
const ECHOES = 2000;
const only = process.env.ONLY?.split(",") ?? ["P3a", "P4", "P5"];

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
/** A page's clock has steps of 100 µs: means over 100 echoes in a row, and the median of those. */
const typical = (times) => {
  const means = [];
  for (let i = 0; i < times.length; i += 100) means.push(times.slice(i, i + 100).reduce((a, b) => a + b) / 100);
  return median(means);
};
const round = (value, digits = 3) => Number(value.toFixed(digits));
const say = (line) => console.log(JSON.stringify(line));

if (!process.env.NOBUILD) await buildPages({ profile: process.env.PROFILE ?? "web" });
const server = await serve();
const browser = await openBrowser(server.url);
const relay = await startRelay();

/** Pairs of tabs: ours, js-libp2p's, and a raw channel. */
async function peers(kind) {
  const [a, b] = await Promise.all([browser.tab(kind), browser.tab(kind)]);
  const [, address] = await Promise.all([a.reserve(relay), b.reserve(relay)]);
  return { a, b, address };
}

async function connected(kind) {
  for (let left = 5; ; left--) {
    const { a, b, address } = await peers(kind);
    try {
      await a.dial(address);
    } catch (error) {
      // js-libp2p fails a dial of itself now and then, and the next one with it: other tabs get a chance.
      if (kind !== "js" || left === 0) throw error;
      await Promise.all([a.close(), b.close()]);
      continue;
    }
    await until(async () => (await a.paths(b.id)).join() === "WebRtc" || kind === "js", "only a direct connection");
    return { a, b };
  }
}

async function rawChannel() {
  const [a, b] = await Promise.all([browser.newPage(), browser.newPage()]);
  for (const page of [a, b]) {
    await page.goto(server.url);
    await page.waitForFunction("window.ready");
  }
  const offer = await a.evaluate(() => raw.offer());
  const answer = await b.evaluate(([offer, size]) => raw.answer(offer, size), [offer, SIZE]);
  await a.evaluate((answer) => raw.accept(answer), answer);
  return {
    pingPong: () => a.evaluate(([size, rounds]) => raw.pingPong(size, rounds), [64, ECHOES]),
    upload: () => a.evaluate((size) => raw.upload(size), SIZE),
    close: () => Promise.all([a.close(), b.close()]),
  };
}

/** Milliseconds from dialling to the echo of one byte, in fresh tabs. */
async function dialTime(kind) {
  const { a, b, address } = await peers(kind);
  const time = await a.page.evaluate(
    async ([peer, address]) => {
      const start = performance.now();
      await window.peer.dial(address);
      await window.peer.ping_pong(peer, 1, 1);
      return performance.now() - start;
    },
    [b.id, address],
  );
  await Promise.all([a.close(), b.close()]);
  return time;
}

if (only.includes("P5")) {
  const times = { rust: [], js: [] };
  for (let i = 0; i < DIALS; i++) {
    for (const kind of ["rust", "js"]) {
      // js-libp2p fails a dial now and then; such a round says nothing about speed.
      for (;;) {
        const time = await dialTime(kind).catch((error) => (kind === "js" ? null : Promise.reject(error)));
        if (time !== null) {
          times[kind].push(time);
          break;
        }
      }
    }
  }
  const [ours, js] = [median(times.rust), median(times.js)];
  say({ bar: "P5", unit: "ms", rounds: DIALS, ours: round(ours, 1), js_libp2p: round(js, 1), ratio: round(ours / js), bar_ratio: 0.6, met: ours / js <= 0.6, all: times });
}

if (only.includes("P3a") || only.includes("P4")) {
  const [ours, js, raw] = [await connected("rust"), await connected("js"), await rawChannel()];
  if (only.includes("P3a")) {
    const times = { ours: [], js: [], raw: [] };
    for (let i = 0; i <= ROUNDS; i++) {
      const one = {
        raw: typical(await raw.pingPong()),
        ours: typical(await ours.a.ping_pong(ours.b.id, 64, ECHOES)),
        js: typical(await js.a.ping_pong(js.b.id, 64, ECHOES)),
      };
      // The first round warms up.
      if (i > 0) for (const name of Object.keys(one)) times[name].push(one[name]);
    }
    const ratio = median(times.ours.map((time, i) => time / times.raw[i]));
    const jsRatio = median(times.js.map((time, i) => time / times.raw[i]));
    say({ bar: "P3a", unit: "µs", rounds: ROUNDS, ours: round(median(times.ours), 1), raw: round(median(times.raw), 1), js_libp2p: round(median(times.js), 1), ratio: round(ratio), js_ratio: round(jsRatio), bar_ratio: 1.4, met: ratio <= 1.4 });
  }
  if (only.includes("P4")) {
    const rates = { ours: [], js: [], raw: [] };
    for (let i = 0; i <= ROUNDS; i++) {
      const one = {
        raw: await raw.upload(),
        ours: await ours.a.upload(ours.b.id, SIZE),
        js: process.env.NOJS ? NaN : await js.a.upload(js.b.id, SIZE),
      };
      if (i > 0) for (const name of Object.keys(one)) rates[name].push(SIZE / MIB / (one[name] / 1000));
    }
    const ratio = median(rates.ours.map((rate, i) => rate / rates.raw[i]));
    const jsRatio = median(rates.js.map((rate, i) => rate / rates.raw[i]));
    say({ bar: "P4", unit: "MiB/s", rounds: ROUNDS, ours: round(median(rates.ours), 1), raw: round(median(rates.raw), 1), js_libp2p: round(median(rates.js), 1), ratio: round(ratio), js_ratio: round(jsRatio), bar_ratio: 0.95, met: ratio >= 0.95, all: rates });
  }
}

await browser.close();
await relay.kill();
server.close();
process.exit(0);
