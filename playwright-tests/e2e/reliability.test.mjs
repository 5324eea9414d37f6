// F1 to F9 of docs/reliability.md with few repetitions: what clients of a replicated service heard under each fault is linearizable and exactly
// once. `cargo xtask bench faults` does the same often enough to measure.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import * as faults from "../lib/faults.mjs";
import { countsOf, judge } from "../lib/history.mjs";
import { noPartitions } from "../lib/namespace.mjs";
import { inWorld } from "../lib/world.mjs";

const folder = process.env.TABFARM_FAULTS ?? fileURLToPath(new URL("../../target/faults/test/", import.meta.url));
/** Calls per second of the client that only adds: few, as CI has few cores. */
const HZ = 50;
/** A run takes half a minute on two cores that have nothing else to do. */
const LIMIT_MS = 300_000;

/** Every call was answered, no session ended, and the history can be. */
function assertNothingLost(name, { history }) {
  const { good, text } = judge(history, `${folder}/${name}.jsonl`);
  assert.ok(good, text);
  assert.deepEqual(history.closed, []);
  const { failed, unknown } = countsOf(history);
  assert.deepEqual({ failed, unknown }, { failed: 0, unknown: 0 });
  return text;
}

const under = (name, run) => inWorld(async (world) => assertNothingLost(name, await run(world)), LIMIT_MS);

test("two leaders' renderers are killed", () => under("kill", (world) => faults.kill(world, { count: 2, hz: HZ })));

test("two leaders' tabs are closed", () => under("close", (world) => faults.close(world, { count: 2, hz: HZ })));

test("the leader's tab is reloaded: it is who it was", () =>
  inWorld(async (world) => {
    const result = await faults.reload(world, { count: 1, hz: HZ });
    assertNothingLost("reload", result);
    const [{ same, other }] = result.rounds;
    assert.deepEqual({ same, other }, { same: true, other: true });
  }, LIMIT_MS));

test("the leader computes 20 times slower", () => under("throttle", (world) => faults.throttle(world, { hz: HZ, lastsMs: 4000 })));

test("the leader may store no byte more", () => under("disk", (world) => faults.fillDisk(world, { hz: HZ, lastsMs: 4000 })));

test("one of two relays is killed and comes back", () =>
  inWorld(async (world) => {
    const result = await faults.loseRelay(world, { hz: HZ });
    assertNothingLost("relay", result);
    const [{ dropped, served }] = result.rounds;
    assert.deepEqual({ dropped, served }, { dropped: 0, served: true });
  }, LIMIT_MS));

for (const [name, oneWay] of [["the leader and a client are cut off from the rest", false], ["nothing that the leader sends arrives", true]]) {
  test(`${name}; then the cut heals`, { skip: noPartitions }, () =>
    inWorld(async (world) => {
      const result = await faults.partition(world, { count: 1, hz: HZ, lastsMs: 6000, oneWay });
      assertNothingLost(oneWay ? "one-way" : "partition", result);
      const [{ moved, told }] = result.rounds;
      assert.ok(moved, "the others made a new leader");
      if (!oneWay) assert.equal(told, 0, "the old leader answered nobody");
    }, LIMIT_MS));
}

test("of six tabs one dies every ten seconds", () => under("churn", (world) => faults.churn(world, { tabs: 6, hz: HZ, everyMs: 10_000, lastsMs: 30_000 })));
