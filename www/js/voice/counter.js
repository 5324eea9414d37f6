// Counts one speaker's frames as they arrive: how many were lost, came twice or out of order, and the longest gap.

import { FRAME_MS } from "./frame.js";

/** Sequence numbers that are remembered to tell a second copy from a late frame. */
const WINDOW = 1_024;
/** A jump by more frames than this (a minute) is a speaker that began anew. */
const JUMP = 3_000;

export class Counter {
  #first = 0;
  #last = -1;
  #arrivedAt = 0;
  #capturedAt = 0;
  /** Which of the last numbers came, at their remainder. */
  #came = new Uint8Array(WINDOW);
  #received = 0;
  #lostBefore = 0;
  #counts = { doubled: 0, reordered: 0, restarts: 0, longestGapMs: 0 };
  #total = 0;

  /** A frame arrived at `now` (ms of any clock that runs on). True when it is not a copy of an earlier one. */
  arrived(sequence, captured, now) {
    if (this.#last < 0 || Math.abs(sequence - this.#last) > JUMP) this.#begin(sequence, captured, now);
    if (sequence > this.#last) {
      this.#gap(sequence, captured, now);
      for (let each = Math.max(this.#last + 1, sequence - WINDOW + 1); each < sequence; each += 1) this.#came[each % WINDOW] = 0;
      this.#last = sequence;
    } else if (this.#last - sequence >= WINDOW || this.#came[sequence % WINDOW]) {
      // What is too old to be told apart counts as a copy: nobody could play it.
      this.#counts.doubled += 1;
      return false;
    } else if (sequence < this.#first) {
      // Sent before the first that came, so it was not counted as missing.
      this.#first = sequence;
      this.#counts.reordered += 1;
    } else {
      this.#counts.reordered += 1;
    }
    this.#came[sequence % WINDOW] = 1;
    this.#received += 1;
    this.#total += 1;
    return true;
  }

  /** `received`, `lost`, `doubled`, `reordered`, `restarts`, `longestGapMs` so far. */
  get figures() {
    return { received: this.#total, lost: this.#lostBefore + this.#missing, ...this.#counts };
  }

  get #missing() {
    return this.#last - this.#first + 1 - this.#received;
  }

  #begin(sequence, captured, now) {
    if (this.#last >= 0) {
      this.#lostBefore += this.#missing;
      this.#counts.restarts += 1;
    }
    this.#came.fill(0);
    this.#first = sequence;
    this.#last = sequence - 1;
    this.#received = 0;
    this.#arrivedAt = now - FRAME_MS;
    this.#capturedAt = captured - FRAME_MS;
  }

  /** The time between two frames in order, without the time in which the speaker sent nothing. */
  #gap(sequence, captured, now) {
    const paused = Math.max(0, captured - this.#capturedAt - (sequence - this.#last) * FRAME_MS);
    this.#counts.longestGapMs = Math.max(this.#counts.longestGapMs, now - this.#arrivedAt - paused);
    this.#arrivedAt = now;
    this.#capturedAt = captured;
  }
}
