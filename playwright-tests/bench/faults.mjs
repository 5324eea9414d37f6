// F1 to F9: what clients of a replicated service notice when tabs die, freeze, lose each other. `node bench.mjs faults [FAULT] [COUNT]`.
//
// Histories (FAULT.jsonl), figures (faults.json) and histograms (FAULT.svg) go to target/faults; pictures that documents show are copied from there.

import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import * as faults from "../lib/faults.mjs";
import { countsOf, judge } from "../lib/history.mjs";
import { noPartitions } from "../lib/namespace.mjs";
import { inWorld } from "../lib/world.mjs";
import { histogram } from "./histogram.mjs";

const folder = process.env.TABFARM_FAULTS ?? fileURLToPath(new URL("../../target/faults/", import.meta.url));
const HZ = 100;
const minutes = (count) => count * 60_000;

/** Per fault: its bar, what is done, how often, and what of it is drawn. */
const FAULTS = {
  kill: { bar: "F1", title: "The leader's renderer process is killed", count: 50, run: (world, count) => faults.kill(world, { count, hz: HZ }) },
  close: { bar: "F2", title: "The leader's tab is closed", count: 50, run: (world, count) => faults.close(world, { count, hz: HZ }) },
  freeze: { bar: "F3", title: "The leader's browser is stopped for 60 s", count: 5, run: (world, count) => faults.freeze(world, { count, hz: HZ, frozenMs: 60_000 }) },
  relay: { bar: "F4", title: "One of two relays is killed and comes back", count: 1, run: (world) => faults.loseRelay(world, { hz: HZ }) },
  partition: { bar: "F5", title: "The leader and a client are cut off for 10 s", count: 5, apart: true, run: (world, count) => faults.partition(world, { count, hz: HZ, lastsMs: 10_000 }) },
  "one-way": { bar: "F5", title: "Nothing that the leader sends arrives for 10 s", count: 5, apart: true, run: (world, count) => faults.partition(world, { count, hz: HZ, lastsMs: 10_000, oneWay: true }) },
  handover: { bar: "F6", title: "Handovers of a service of one copy", count: 100, run: (world, count) => faults.handOver(world, { count, hz: HZ, state: "single" }) },
  "handover-3": { bar: "F6", title: "Handovers of a service of three replicas", count: 100, run: (world, count) => faults.handOver(world, { count, hz: HZ, state: "replicated-3" }) },
  reload: { bar: "F7", title: "The leader's tab is reloaded", count: 10, run: (world, count) => faults.reload(world, { count, hz: HZ }) },
  disk: { bar: "F8", title: "The leader's disk is full", count: 1, run: (world) => faults.fillDisk(world, { hz: HZ, lastsMs: 15_000 }) },
  throttle: { bar: "F8", title: "The leader computes 20 times slower", count: 1, run: (world) => faults.throttle(world, { hz: HZ, lastsMs: 15_000 }) },
  churn: { bar: "F9", title: "Of 20 tabs one dies every 10 s", count: 10, run: (world, count) => faults.churn(world, { tabs: 20, hz: HZ, everyMs: 10_000, lastsMs: minutes(count) }) },
};

const sorted = (values) => values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
const at = (values, share) => values[Math.min(values.length - 1, Math.floor(values.length * share))];
/** `name_p50`, `name_p95`, `name_max` of a figure of the rounds, in ms. */
function quantiles(rounds, name) {
  const values = sorted(rounds.map((round) => round[name]));
  return values.length === 0 ? {} : { [`${name}_p50`]: at(values, 0.5), [`${name}_p95`]: at(values, 0.95), [`${name}_max`]: values.at(-1) };
}

async function one(name, count) {
  const { bar, title, run, apart, count: usual } = FAULTS[name];
  if (apart && noPartitions) return { bar, fault: name, skipped: noPartitions };
  const wanted = count ?? usual;
  const begin = Date.now();
  const { rounds, history, ...more } = await inWorld((world) => run(world, wanted), minutes(60));
  mkdirSync(folder, { recursive: true });
  const verdict = judge(history, `${folder}/${name}.jsonl`);
  const differs = rounds.filter(({ same, other }) => same === false || other === false).length;
  const figures = Object.assign({}, ...["gap", "back", "pause", "deposed", "converged", "regained", "dropped", "told"].map((figure) => quantiles(rounds, figure)));
  const row = {
    bar, fault: name, unit: "ms", rounds: rounds.length, ...countsOf(history), sessions_lost: history.closed.length, reasons: [...new Set(history.closed)], good: verdict.good && differs === 0,
    verdict: verdict.text, ...figures, ...more, seconds: Math.round((Date.now() - begin) / 1000), each: rounds,
  };
  writeFileSync(`${folder}/${name}.json`, `${JSON.stringify({ ...row, title }, null, 1)}\n`);
  writeFileSync(`${folder}/${name}.svg`, histogram(`${bar}: ${title}`, rounds.map(({ gap }) => gap)));
  return row;
}

/** The rows of this benchmark: all faults, or the one that is named. */
export async function bench(_, [name, count] = []) {
  const chosen = name === undefined ? Object.keys(FAULTS) : [name];
  if (!chosen.every((each) => each in FAULTS)) throw new Error(`no fault is called ${name}: ${Object.keys(FAULTS).join(", ")}`);
  const rows = [];
  for (const each of chosen) {
    const row = await one(each, count && Number(count)).catch((error) => ({ bar: FAULTS[each].bar, fault: each, good: false, failed: error.message.split("\n")[0] }));
    console.error(`${each}: ${JSON.stringify({ ...row, each: undefined })}`);
    rows.push(row);
  }
  return rows;
}
