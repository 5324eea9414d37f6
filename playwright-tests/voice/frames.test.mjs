// Frames of voice: what bytes they are, and how they are counted.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Counter } from "../../www/js/voice/counter.js";
import { FRAME_MS, MAX_FRAME, VERSION, decodeFrame, encodeFrame } from "../../www/js/voice/frame.js";

const frame = (sequence, packet = Uint8Array.of(1, 2, 3)) => ({ speaker: 7, sequence, captured: 1_800_000_000_000.5, packet });

test("a frame comes back as it was", () => {
  const bytes = encodeFrame(frame(4_000_000_000));
  assert.equal(bytes[0], VERSION);
  assert.deepEqual(decodeFrame(bytes), frame(4_000_000_000));
  // As a view into a larger buffer, as datagrams come.
  const within = new Uint8Array(100);
  within.set(bytes, 9);
  assert.deepEqual(decodeFrame(within.subarray(9, 9 + bytes.length)), frame(4_000_000_000));
  assert.equal(encodeFrame(frame(1, new Uint8Array(MAX_FRAME - 17))).length, MAX_FRAME);
});

test("what is no frame is null, and what fits no datagram is not made", () => {
  const good = encodeFrame(frame(1));
  const other = (change) => {
    const bytes = good.slice();
    change(new DataView(bytes.buffer));
    return bytes;
  };
  const bad = [
    new Uint8Array(0),
    good.subarray(0, 17),
    new Uint8Array(MAX_FRAME + 1).fill(VERSION),
    other((view) => view.setUint8(0, VERSION + 1)),
    other((view) => view.setFloat64(9, Number.NaN)),
    other((view) => view.setFloat64(9, Number.POSITIVE_INFINITY)),
  ];
  for (const bytes of bad) assert.equal(decodeFrame(bytes), null);
  assert.throws(() => encodeFrame(frame(1, new Uint8Array(0))), RangeError);
  assert.throws(() => encodeFrame(frame(1, new Uint8Array(MAX_FRAME - 16))), RangeError);
});

/** Counts frames `[sequence, captured, arrived]`. */
function counted(frames) {
  const counter = new Counter();
  const fresh = frames.map(([sequence, captured = sequence * FRAME_MS, arrived = captured]) => counter.arrived(sequence, captured, arrived));
  return { ...counter.figures, fresh };
}

const numbers = (from, to) => Array.from({ length: to - from }, (_, n) => [from + n]);

test("every frame once is nothing lost", () => {
  const { fresh, ...figures } = counted(numbers(5, 2_000));
  assert.deepEqual(figures, { received: 1_995, lost: 0, doubled: 0, reordered: 0, restarts: 0, longestGapMs: FRAME_MS });
  assert.ok(fresh.every(Boolean));
});

test("lost, doubled and late frames are told apart", () => {
  const { received, lost, doubled, reordered, fresh } = counted([[0], [1], [4], [3], [3], [1], [6]]);
  assert.deepEqual({ received, lost, doubled, reordered }, { received: 5, lost: 2, doubled: 2, reordered: 1 });
  assert.deepEqual(fresh, [true, true, true, true, false, false, true]);
  // An older one than the first that came was not missed.
  assert.deepEqual(counted([[10], [9], [11]]).lost, 0);
});

test("a number is remembered for a window, and no longer", () => {
  const { doubled, lost } = counted([...numbers(0, 3_000), [2_999 - 1_023], [2_999 - 1_024]]);
  assert.deepEqual({ doubled, lost }, { doubled: 2, lost: 0 });
  // Numbers whose places in the window were used before.
  assert.equal(counted([...numbers(0, 1_024), ...numbers(1_026, 2_048)]).lost, 2);
});

test("the longest gap leaves out the time in which nothing was sent", () => {
  const steady = numbers(0, 10);
  assert.equal(counted([...steady, [10, 200, 290]]).longestGapMs, 110);
  // Muted for a minute: the next frame was captured a minute later and came at once.
  assert.equal(counted([...steady, [10, 60_200, 60_200]]).longestGapMs, FRAME_MS);
  // A lost frame is a gap.
  assert.equal(counted([...steady, [12]]).longestGapMs, 3 * FRAME_MS);
});

test("a speaker that begins anew is no loss", () => {
  const { received, lost, restarts } = counted([...numbers(10_000, 10_010), ...numbers(0, 10), [11]]);
  assert.deepEqual({ received, lost, restarts }, { received: 21, lost: 1, restarts: 1 });
});
