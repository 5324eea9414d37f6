// S6: a relay under attack. Thousands of sockets from many addresses, and from one, while others ask for its health and join by
// websocket; then requests that try to get out of the gateway. Attackers, probes and relay share the machine.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { publish } from "../lib/peer.mjs";
import { volunteer } from "../lib/moves.mjs";
import { inWorld } from "../lib/world.mjs";
import { listen } from "../sandbox/lib/canary.mjs";
import { giants } from "./s6/giants.mjs";
import { tryAll } from "./s6/hostile.mjs";
import { rss, watch } from "./s6/probes.mjs";

const WATCH_MS = Number(process.env.WATCH_MS ?? 15_000);
/** Until a flood has opened its sockets. */
const RISE_MS = 3_000;
/** Until the relay has closed what an attack has left. */
const REST_MS = 2_000;
const [BAR_MS, BAR_MIB] = [100, 64];

const MANY = Array.from({ length: 32 }, (_, n) => `127.0.0.${n + 2}`);
const ONE = ["127.0.0.2"];
const US = "127.0.0.1";

/** What is opened again each second sends what the sockets' buffers take: together about what a gigabit line carries. */
const GIANTS = 50;

/** [name, door, attack, sockets, from, who asks]. */
const FLOODS = [
  ["HTTP, half-open", "http", "silent", 5_000, MANY, US],
  ["HTTP, half-open, one address", "http", "silent", 5_000, ONE, US],
  ["HTTP, half-open, asked from the address that attacks", "http", "silent", 5_000, ONE, ONE[0]],
  ["HTTP, slowloris", "http", "drip", 5_000, MANY, US],
  ["HTTP, slowloris behind a whole request", "http", "second", 5_000, MANY, US],
  ["HTTP, heads of 15 kB without an end", "http", "heads", 5_000, MANY, US],
  ["websocket, half-open", "ws", "handshake", 5_000, MANY, US],
  ["websocket, half-open, one address", "ws", "handshake", 5_000, ONE, US],
  ["websocket, half-open, asked from the address that attacks", "ws", "handshake", 5_000, ONE, ONE[0]],
  ["websocket, frames of 256 MiB", "ws", "frames", GIANTS, MANY, US],
  ["websocket, giant multistream and Noise messages", "ws", "lines", GIANTS, MANY, US],
  ["HTTP, giant heads", "http", "giantHead", GIANTS, MANY, US],
  ["HTTP, bodies of 10 GiB", "http", "giantBody", GIANTS, MANY, US],
];
/** With a service that takes bodies. */
const SERVED = [["HTTP, bodies of 256 KiB but for a byte", "http", "slowBody", 5_000, MANY, US]];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function place(url) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

/** A flood that runs until it is ended; what it has seen. */
function flood(world, target, attack, count, addresses) {
  const script = fileURLToPath(new URL("s6/flood.mjs", import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify({ attack, count, addresses, ...target })], { stdio: ["pipe", "pipe", "inherit"] });
  world.atEnd(() => child.kill("SIGKILL"));
  return async () => {
    let said = "";
    child.stdout.on("data", (bytes) => (said += bytes));
    child.stdin.end();
    await once(child, "exit");
    return JSON.parse(said);
  };
}

/** The rows of this benchmark. */
export async function bench() {
  const only = process.env.ONLY;
  return inWorld(async (world) => {
    const relay = await world.relay();
    const [, , ip, , port] = relay.info.addresses[0].split("/");
    const doors = { http: place(relay.url), ws: { host: ip, port: Number(port) }, pid: relay.pid };
    const before = await watch(doors, US, WATCH_MS);
    const base = before.most;
    const rows = [];
    const row = (name, felt, more) => {
      const growth = Number((felt.most - base).toFixed(1));
      const met = felt.health.p99 <= BAR_MS && growth <= BAR_MIB && (more.passed ?? 0) === 0;
      rows.push({
        bar: "S6", name, unit: "ms", ...more,
        health_p50: felt.health.p50, health_p99: felt.health.p99, health_max: felt.health.max, health_failed: felt.health.failed,
        join_p50: felt.join.p50, join_p99: felt.join.p99, join_failed: felt.join.failed, asked: felt.health.count + felt.join.count,
        growth_mib: growth, met,
      });
      console.error(JSON.stringify(rows.at(-1)));
    };
    const run = async ([name, door, attack, sockets, addresses, from]) => {
      if (only && !attack.startsWith(only)) return;
      const end = flood(world, doors[door], attack, sockets, addresses);
      await sleep(RISE_MS);
      const felt = await watch(doors, from, WATCH_MS);
      const { most, opened, passed } = await end();
      row(name, felt, { sockets, addresses: addresses.length, held: most, opened, passed });
      await sleep(REST_MS);
    };
    row("nobody attacks", before, {});
    for (const each of FLOODS) await run(each);
    const browser = await world.browser();
    await publish(await volunteer(world, browser, relay, "host"), "echo");
    for (const each of SERVED) await run(each);
    if (!only || only === "giants") {
      const watching = watch(doors, US, WATCH_MS);
      const { streams, passed } = await giants(relay.info.addresses[0], WATCH_MS);
      row("libp2p, giant messages of a peer that has joined", await watching, { streams, passed });
    }
    if (!only || only === "hostile") {
      const canary = await listen();
      world.atEnd(() => canary.close());
      const end = flood(world, doors.http, "silent", 5_000, MANY);
      await sleep(RISE_MS);
      const watching = watch(doors, US, WATCH_MS);
      const families = await tryAll(doors.http, US, canary);
      const felt = await watching;
      await end();
      for (const [family, { requests, passed }] of families) row(`requests: ${family}`, felt, { requests, passed });
    }
    await sleep(REST_MS);
    rows.push({ bar: "S6", name: "afterwards", unit: "MiB", held_before: Number(base.toFixed(1)), held: Number(rss(relay.pid).toFixed(1)) });
    return rows;
  }, 1_200_000);
}
