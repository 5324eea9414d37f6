// Benchmarks in real tabs: `node bench.mjs [NAME [OPTION…]]`. JSON lines go to stdout, a table to stderr. Environment as for run.mjs.

import { spawnSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

import { inNamespace } from "./lib/namespace.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

/** A benchmark that is a program of its own and prints JSON lines. */
const program = (path, env) => async () => {
  const { stdout, status } = spawnSync(process.execPath, [here + path], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${path} ended with ${status}`);
  return stdout.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
};
const module = (path) => async (others, options) => (await import(path)).bench(others, options);

/** In this order: later ones use figures of earlier ones. */
const BENCHES = {
  p7: module("./bench/p7.mjs"),
  p6: module("./bench/p6.mjs"),
  p5: program("webrtc/bench.mjs", { ONLY: "P5" }),
  p4: program("webrtc/bench.mjs", { ONLY: "P4" }),
  p3a: program("webrtc/bench.mjs", { ONLY: "P3a" }),
  p14: module("./bench/p14.mjs"),
  p3b: module("./bench/p3b.mjs"),
  p1: module("./bench/p1.mjs"),
  p13: module("./bench/p13.mjs"),
  p2: module("./bench/p2.mjs"),
  p15: module("./bench/p15.mjs"),
  nick: module("./bench/nick.mjs"),
  s6: module("./bench/s6.mjs"),
};
/** Longer ones, only when they are named. */
const LONG = { faults: module("./bench/faults.mjs") };

/** A row in one line for people: everything but lists and tables. */
function line({ bar, bench, ...row }) {
  const shown = Object.entries(row).filter(([, value]) => typeof value !== "object");
  return `${bar ?? bench}\t${shown.map(([name, value]) => `${name} ${value}`).join(", ")}`;
}

/** The benchmarks that a name means; all but the long ones without any. */
function called(name) {
  const wanted = name.toLowerCase();
  if (wanted in LONG || wanted in BENCHES) return [wanted];
  const chosen = Object.keys(BENCHES).filter((each) => each.startsWith(wanted));
  if (chosen.length > 0) return chosen;
  console.error(`no benchmark is called ${name}: ${Object.keys({ ...BENCHES, ...LONG }).join(", ")}`);
  return process.exit(1);
}

async function main(name = "", ...options) {
  const chosen = called(name);
  const machine = `${cpus().length} × ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  console.log(JSON.stringify({ machine, date: new Date().toISOString().slice(0, 10) }));
  console.error(machine);
  const rows = [];
  let failed = 0;
  for (const each of chosen) {
    try {
      const own = await { ...BENCHES, ...LONG }[each](rows, options);
      rows.push(...own);
      for (const row of own) {
        console.log(JSON.stringify(row));
        console.error(line(row));
      }
    } catch (error) {
      failed += 1;
      console.error(`${each}\tfailed: ${error.message}`);
    }
  }
  process.exit(failed > 0 ? 1 : 0);
}

// `--known NAME`: only whether there is one.
if (process.argv[2] === "--known") {
  called(process.argv[3] ?? "");
  process.exit(0);
}
const { command, env, where } = inNamespace([process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
if (process.env.TABFARM_NETNS) {
  await main(...process.argv.slice(2));
} else {
  console.error(`benchmarks ${where}`);
  const { status } = spawnSync(command[0], command.slice(1), { stdio: "inherit", env: { ...process.env, ...env } });
  process.exit(status ?? 1);
}
