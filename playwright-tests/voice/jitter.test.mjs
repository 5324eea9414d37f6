// The jitter buffer, in samples of its own clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import { JitterBuffer } from "../../www/js/voice/jitter.js";

const FRAME = 960;
const BLOCK = 120;

/** A frame whose samples all are `value`. */
const frame = (value) => new Float32Array(FRAME).fill(value);

/**
 * Plays `seconds`: `arrivals(now)` gives the frames `[sequence, value]` that arrive in the block that begins at `now`.
 * @returns the mean of each frame's time that sounded, and the figures.
 */
function play(frames, arrivals, buffer = new JitterBuffer(FRAME)) {
  const out = new Float32Array(frames * FRAME);
  for (let now = 0; now < out.length; now += BLOCK) {
    for (const [sequence, value] of arrivals(now)) buffer.push(sequence, frame(value), now);
    buffer.pull(out.subarray(now, now + BLOCK), now);
  }
  const means = Array.from({ length: frames }, (_, n) => out.subarray(n * FRAME, (n + 1) * FRAME).reduce((sum, each) => sum + each, 0) / FRAME);
  return { out, means, buffer, figures: buffer.figures };
}

/** Frames sent every 20 ms, each `delay(n)` samples on its way; null is lost. */
function sent(count, delay, value = () => 0.5) {
  const at = new Map();
  for (let n = 0; n < count; n += 1) {
    const late = delay(n);
    if (late === null) continue;
    const block = Math.floor((n * FRAME + late) / BLOCK) * BLOCK;
    at.set(block, [...(at.get(block) ?? []), [n, value(n)]]);
  }
  return (now) => at.get(now) ?? [];
}

const largestStep = (out) => out.reduce((most, each, n) => (n === 0 ? 0 : Math.max(most, Math.abs(each - out[n - 1]))), 0);

test("an even stream sounds as it was sent, two frames later", () => {
  const { means, figures } = play(52, sent(50, () => 0, (n) => (n + 1) / 100));
  const played = means.filter((mean) => mean > 0).map((mean) => Math.round(mean * 100));
  assert.deepEqual(played.slice(0, 49), Array.from({ length: 49 }, (_, n) => n + 1));
  assert.deepEqual({ ...figures, stalled: 0 }, { played: 50, lost: 0, late: 0, doubled: 0, stalled: 0, skipped: 0, held: 0, target: 2 });
});

test("jitter makes it hold more, and then nothing is missing", () => {
  const jitter = (n) => (n % 7 === 0 ? 3 * FRAME : 0);
  const { figures } = play(600, sent(600, jitter));
  assert.equal(figures.target, 4);
  const before = play(150, sent(150, jitter)).figures;
  assert.equal(figures.lost, before.lost, "nothing is lost once it knows the jitter");
  assert.equal(figures.stalled, before.stalled);
});

test("a calm stream gives the delay back", () => {
  const { figures, buffer } = play(900, sent(900, (n) => (n > 50 && n < 60 ? 6 * FRAME : 0)));
  assert.ok(figures.skipped >= 1, `${figures.skipped} frames were played as half`);
  assert.ok(buffer.figures.held <= figures.target + 1, `${buffer.figures.held} are held`);
  assert.equal(figures.target, 2);
});

test("a lost frame is hidden by a softer copy, without a click", () => {
  const { means, out, figures } = play(40, sent(40, (n) => (n === 20 ? null : 0)));
  assert.deepEqual({ lost: figures.lost, late: figures.late }, { lost: 1, late: 0 });
  const hidden = means.slice(5, 38).filter((mean) => mean < 0.49);
  assert.ok(hidden.length >= 1 && hidden.every((mean) => mean > 0.2), `${hidden}`);
  assert.ok(largestStep(out.subarray(4 * FRAME, 38 * FRAME)) < 0.01, "no step");
});

test("silence follows when nothing comes, and the next word sounds", () => {
  const talk = sent(20, () => 0);
  const again = (now) => (now >= 60 * FRAME && now < 80 * FRAME && now % FRAME === 0 ? [[20 + now / FRAME - 60, 0.25]] : []);
  const { means, figures } = play(90, (now) => [...talk(now), ...again(now)]);
  assert.ok(means.slice(30, 60).every((mean) => mean === 0), "silence");
  assert.equal(means.slice(60, 90).filter((mean) => mean > 0.21).length, 20);
  assert.equal(figures.lost, 0, "a pause is no loss");
});

test("a single word of one frame sounds", () => {
  const { means, figures } = play(10, (now) => (now === 0 ? [[7, 0.5]] : []));
  assert.equal(figures.played, 1);
  assert.ok(means.some((mean) => mean > 0.4));
});

test("late frames and copies are dropped and counted", () => {
  const base = sent(40, (n) => (n === 20 ? null : 0));
  const { figures } = play(40, (now) => [...base(now), ...(now === 30 * FRAME ? [[20, 0.9], [10, 0.9], [10, 0.9]] : [])]);
  assert.deepEqual({ lost: figures.lost, late: figures.late, doubled: figures.doubled }, { lost: 1, late: 1, doubled: 2 });
});

test("it is bounded, and takes nothing of another length", () => {
  const buffer = new JitterBuffer(FRAME);
  for (let n = 0; n < 10_000; n += 1) buffer.push(n % 200, frame(0.1), n);
  buffer.push(3, new Float32Array(10), 0);
  assert.ok(buffer.figures.held <= 50, `${buffer.figures.held}`);
  assert.ok(buffer.figures.target <= 15);
});

test("a speaker that begins anew is heard at once", () => {
  const first = sent(20, () => 0);
  const again = (now) => (now >= 30 * FRAME && now % FRAME === 0 ? [[1_000_000 + now / FRAME, 0.25]] : []);
  const { means, figures } = play(60, (now) => [...first(now), ...again(now)]);
  assert.equal(figures.lost, 0);
  assert.ok(means.slice(40).every((mean) => Math.abs(mean - 0.25) < 0.01));
});
