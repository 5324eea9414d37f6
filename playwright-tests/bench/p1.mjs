// P1: the pause that a consumer sees when the service it calls 100 times a second is handed over; 1 and 16 MiB of state.

import { move, volunteer } from "../lib/moves.mjs";
import { joinPage, moreReplies, startCalls, stopCalls } from "../lib/peer.mjs";
import { manifestOf, moduleOf, tryPublish } from "../lib/wasm.mjs";
import { inWorld } from "../lib/world.mjs";

const HZ = 100;
/** Handovers per size of state. The bar asks for 100; a handover of 16 MiB takes longer. */
const HANDOVERS = { 1: Number(process.env.HANDOVERS ?? 100), 16: Number(process.env.HANDOVERS ?? 20) };
const BAR_MS = { 1: { p95: 20, max: 100 }, 16: { p95: 100, max: 100 } };
/** A call that is open within this time of a handover belongs to it. */
const AROUND_MS = 100;

/** Counts calls; its memory is full of what does not compress. */
const counter = (mib) =>
  moduleOf(
    `(if (i32.eq (local.get $kind) (i32.const 3)) (then
       (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
       (call $reply (i32.const 0) (i32.const 4))))
     (i32.const 0)`,
    `(memory (export "memory") ${mib * 16})
     (func (export "_initialize") (local $at i32) (local $x i64)
       (local.set $x (i64.const 88172645463325252))
       (local.set $at (i32.const 8))
       (loop $l
         (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
         (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
         (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
         (i64.store (local.get $at) (local.get $x))
         (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const ${mib * 1048576 - 8})))))`,
  );

const sorted = (values) => values.toSorted((a, b) => a - b);
const at = (values, share) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * share))];
const round = (value) => Number(value.toFixed(1));

async function one(mib) {
  return inWorld(async (world) => {
    const relay = await world.relay();
    const [hosts, callers] = [await world.browser(), await world.browser()];
    const tabs = [await volunteer(world, hosts, relay, "a"), await volunteer(world, hosts, relay, "b")];
    const caller = await joinPage(await world.page(callers, "caller"), relay);
    const manifest = manifestOf(`state-${mib}`, { interface: { add: {} }, requires: { memoryMiB: mib } });
    const { id, message } = await tryPublish(tabs[0], manifest, counter(mib));
    if (!id) throw new Error(message);
    await startCalls(caller, id, { hz: HZ, reply: "u32" });
    await moreReplies(caller, HZ);
    const clock = () => caller.evaluate(() => performance.now());
    const windows = [];
    const reports = [];
    for (let n = 0; n < HANDOVERS[mib]; n++) {
      const start = await clock();
      reports.push(await move(tabs[n % 2], tabs[(n + 1) % 2], id));
      await moreReplies(caller, 10);
      windows.push([start, await clock()]);
    }
    await moreReplies(caller, 2 * HZ);
    const calls = await stopCalls(caller);
    const wrong = calls.replies.filter((reply, index) => reply !== index + 1).length;
    const pauses = windows.map(([from, to]) =>
      Math.max(...calls.times.filter((time) => time && time[1] > from && time[0] < to + AROUND_MS).map(([a, b]) => b - a)),
    );
    const last = windows.at(-1)[1] + AROUND_MS;
    const calm = calls.times.filter((time) => time && time[0] > last).map(([a, b]) => b - a);
    const [p50, p95, max] = [at(pauses, 0.5), at(pauses, 0.95), Math.max(...pauses)];
    const met = p95 <= BAR_MS[mib].p95 && max <= BAR_MS[mib].max && calls.errors.length === 0 && wrong === 0;
    return {
      bar: "P1", stateMiB: mib, handovers: windows.length, calls: calls.sent, unit: "ms", pause_p50: round(p50), pause_p95: round(p95),
      pause_max: round(max), calm_p50: round(at(calm, 0.5)), calm_max: round(Math.max(...calm)),
      host_pause_p95: at(reports.map((report) => report.pauseMs), 0.95), errors: calls.errors.length, wrong,
      bar_p95: BAR_MS[mib].p95, bar_max: BAR_MS[mib].max, met,
    };
  }, 900_000);
}

/** The rows of this benchmark. */
export async function bench() {
  return [await one(1), await one(16)];
}
