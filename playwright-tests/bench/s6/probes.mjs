// What others feel of an attack: health by a new connection each, joining by websocket, the relay's memory.

import { readFileSync } from "node:fs";
import { connect } from "node:net";

/** Later answers are failures, and count as this. */
const LATE_MS = 5_000;
const HEALTH = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const UPGRADE =
  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/** multistream's hello and the offer of Noise in one masked frame: what a tab says first. */
const HELLO = (() => {
  const said = Buffer.from("\x13/multistream/1.0.0\n\x07/noise\n", "latin1");
  return Buffer.concat([Buffer.from([0x82, 0x80 | said.length, 0, 0, 0, 0]), said]);
})();

/** How long until what a socket hears satisfies `done`, which may answer it; `null` if it never does. */
function exchange({ host, port }, localAddress, first, done) {
  return new Promise((resolve) => {
    const begin = performance.now();
    let heard = "";
    const socket = connect({ host, port, localAddress }, () => socket.write(first));
    const end = (value) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(value);
    };
    const timer = setTimeout(() => end(null), LATE_MS);
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1");
      if (done(heard, socket)) end(performance.now() - begin);
    });
    socket.on("error", () => end(null));
    socket.on("close", () => end(null));
  });
}

const health = (target, address) => exchange(target, address, HEALTH, (heard) => heard.startsWith("HTTP/1.1 200"));

/** As far as the relay's answer that it speaks Noise. */
const join = (target, address) => {
  let greeted = false;
  return exchange(target, address, UPGRADE, (heard, socket) => {
    if (!greeted && heard.startsWith("HTTP/1.1 101") && heard.includes("\r\n\r\n")) {
      greeted = true;
      socket.write(HELLO);
    }
    return greeted && heard.includes("/noise\n");
  });
};

const at = (values, share) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
const round = (ms) => Number(ms.toFixed(1));

/** Times of a probe that is begun every `everyMs`, whether or not the last one has ended. */
function series(probe, everyMs) {
  const [times, under] = [[], new Set()];
  const timer = setInterval(() => {
    const one = probe().then((ms) => {
      times.push(ms);
      under.delete(one);
    });
    under.add(one);
  }, everyMs);
  return async () => {
    clearInterval(timer);
    await Promise.all(under);
    const ms = times.map((each) => each ?? LATE_MS);
    return { count: ms.length, p50: round(at(ms, 0.5)), p99: round(at(ms, 0.99)), max: round(Math.max(...ms)), failed: times.filter((each) => each === null).length };
  };
}

/** Memory that the process holds, in MiB. */
export function rss(pid) {
  const resident = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+) kB/);
  if (!resident) throw new Error("the relay has ended");
  return Number(resident[1]) / 1024;
}

/** Watches for `ms`; `from` is whose address asks. */
export async function watch({ http, ws, pid }, from, ms) {
  let most = rss(pid);
  const memory = setInterval(() => {
    try {
      most = Math.max(most, rss(pid));
    } catch {
      most = Infinity;
    }
  }, 100);
  const ends = [series(() => health(http, from), 20), series(() => join(ws, from), 200)];
  await new Promise((done) => setTimeout(done, ms));
  const [healthy, joined] = await Promise.all(ends.map((end) => end()));
  clearInterval(memory);
  return { health: healthy, join: joined, most };
}
