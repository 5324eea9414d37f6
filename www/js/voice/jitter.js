// A jitter buffer for one speaker: decoded frames go in when they arrive, an even stream of samples comes out.
//
// It holds back as many frames as arrival times differ (`target`), hides a missing frame by playing the last one back and forth while it
// fades, and plays two frames as one where it holds more than it needs. Times are in samples of the clock that plays.

/** The fewest and the most frames that are held back. */
const MIN_TARGET = 2;
const MAX_TARGET = 15;
/** Frames by which arrival times are judged: four seconds. */
const JUDGED = 200;
/** Frames held at most; more are dropped, oldest first. */
const MAX_HELD = 50;
/** Frames without any to play after which the speaker counts as silent. */
const SILENT_AFTER = 10;
/** A jump by more frames than this is a speaker that began anew. */
const JUMP = 250;
/** For so many frames there was more than needed before two are played as one. */
const PATIENCE = 50;
/** What a hidden frame keeps of the loudness of the one before. */
const FADE = 0.6;
/** Hidden frames that sound; then there is silence. */
const HIDDEN_SOUND = 5;
/** Samples over which a real frame takes the place of a hidden one: 2.5 ms. */
const BLEND = 120;
/** Numbers of hidden frames that are remembered, to tell late frames from copies. */
const REMEMBERED = 256;

export class JitterBuffer {
  #frame;
  #held = new Map();
  /** The number that is played next; null before the first frame. */
  #next = null;
  #waiting = true;
  #waitingSince = 0;
  #delays = [];
  #target = MIN_TARGET;
  #current = null;
  #at = 0;
  /** The last real frame, and how many frames were hidden since. */
  #last = null;
  #hidden = 0;
  /** Frames in a row for which nothing was there, and for which more was there than needed. */
  #empty = 0;
  #surplus = 0;
  #hiddenNumbers = new Set();
  #counts = { played: 0, lost: 0, late: 0, doubled: 0, stalled: 0, skipped: 0 };

  /** `frame`: samples of a frame. */
  constructor(frame = 960) {
    this.#frame = frame;
  }

  /** Takes a frame that arrived at `now`. What has another length, or comes too late, is dropped. */
  push(sequence, samples, now) {
    if (samples.length !== this.#frame) return;
    if (this.#next !== null && Math.abs(sequence - this.#next) > JUMP) this.#restart();
    if (this.#next !== null && sequence < this.#next) {
      const late = this.#hiddenNumbers.delete(sequence);
      this.#counts[late ? "late" : "doubled"] += 1;
      if (late) this.#judge(sequence, now);
      return;
    }
    if (this.#held.has(sequence)) {
      this.#counts.doubled += 1;
      return;
    }
    if (this.#held.size === 0) this.#waitingSince = now;
    if (this.#held.size >= MAX_HELD) this.#held.delete(this.#oldest());
    this.#held.set(sequence, samples);
    this.#judge(sequence, now);
  }

  /** Fills `out` with what sounds now. */
  pull(out, now) {
    for (let filled = 0; filled < out.length; ) {
      if (!this.#current || this.#at >= this.#frame) {
        this.#current = this.#take(now + filled);
        this.#at = 0;
      }
      const count = Math.min(out.length - filled, this.#frame - this.#at);
      out.set(this.#current.subarray(this.#at, this.#at + count), filled);
      this.#at += count;
      filled += count;
    }
  }

  /**
   * Frames `played`, hidden because they were `lost` or `late` (late ones are among the lost), `doubled`, `stalled` (hidden while
   * the next one may still come), `skipped` to catch up; frames `held` now, and how many it wants to hold (`target`).
   */
  get figures() {
    return { ...this.#counts, held: this.#held.size, target: this.#target };
  }

  #take(now) {
    if (this.#waiting && !this.#isReady(now)) return this.#hide();
    if (this.#waiting) {
      this.#waiting = false;
      const oldest = this.#oldest();
      for (let each = this.#next ?? oldest; each < oldest; each += 1) this.#lose(each);
      this.#next = oldest;
    }
    if (this.#held.has(this.#next)) return this.#play();
    if (this.#held.size === 0) return this.#stall();
    // Later ones are here. As long as less is held back than frames differ, this one may only be slow.
    if (Math.max(...this.#held.keys()) - this.#next < this.#target - 1) return this.#stall();
    this.#lose(this.#next);
    this.#next += 1;
    return this.#hide();
  }

  #play() {
    this.#empty = 0;
    let samples = this.#pop();
    this.#surplus = this.#held.size >= this.#target + 1 ? this.#surplus + 1 : 0;
    if (this.#surplus > PATIENCE && this.#held.has(this.#next)) {
      this.#surplus = 0;
      this.#counts.skipped += 1;
      samples = blended(samples, this.#pop(), this.#frame);
    }
    this.#counts.played += 1;
    if (this.#hidden > 0) samples = blended(this.#hide(), samples, Math.min(BLEND, this.#frame));
    this.#last = samples;
    this.#hidden = 0;
    return samples;
  }

  #pop() {
    const samples = this.#held.get(this.#next);
    this.#held.delete(this.#next);
    this.#next += 1;
    return samples;
  }

  /** The next frame is not here: whoever speaks is silent, or it is on its way. */
  #stall() {
    this.#counts.stalled += 1;
    this.#empty += 1;
    if (this.#empty >= SILENT_AFTER) {
      this.#waiting = true;
      // A pause is no delay.
      this.#delays = [];
    }
    return this.#hide();
  }

  /** The last frame there and back again, ever softer: its ends meet, so that nothing clicks. */
  #hide() {
    const out = new Float32Array(this.#frame);
    if (!this.#last || this.#hidden >= HIDDEN_SOUND) {
      this.#hidden += 1;
      return out;
    }
    const [from, to] = [FADE ** this.#hidden, this.#hidden + 1 === HIDDEN_SOUND ? 0 : FADE ** (this.#hidden + 1)];
    const backwards = this.#hidden % 2 === 0;
    for (let n = 0; n < out.length; n += 1) {
      const gain = from + ((to - from) * n) / out.length;
      out[n] = this.#last[backwards ? out.length - 1 - n : n] * gain;
    }
    this.#hidden += 1;
    return out;
  }

  #isReady(now) {
    if (this.#held.size === 0) return false;
    // A speaker of one word has fewer frames than are held back: they sound nevertheless.
    return this.#held.size >= this.#target || now - this.#waitingSince >= this.#target * this.#frame;
  }

  /** How much later than the fastest did the slowest of the last frames come? */
  #judge(sequence, now) {
    this.#delays.push(now - sequence * this.#frame);
    if (this.#delays.length > JUDGED) this.#delays.shift();
    const spread = Math.max(...this.#delays) - Math.min(...this.#delays);
    this.#target = Math.min(MAX_TARGET, Math.max(MIN_TARGET, Math.ceil(spread / this.#frame) + 1));
  }

  #lose(sequence) {
    this.#counts.lost += 1;
    this.#hiddenNumbers.add(sequence);
    if (this.#hiddenNumbers.size > REMEMBERED) this.#hiddenNumbers.delete(this.#hiddenNumbers.values().next().value);
  }

  #oldest() {
    return Math.min(...this.#held.keys());
  }

  #restart() {
    this.#held.clear();
    this.#delays = [];
    this.#hiddenNumbers.clear();
    this.#next = null;
    this.#waiting = true;
  }
}

/** `to`, over whose first `count` samples `from` fades out. */
function blended(from, to, count) {
  const out = to.slice();
  for (let n = 0; n < count; n += 1) {
    const share = (n + 1) / (count + 1);
    out[n] = from[n] * (1 - share) + to[n] * share;
  }
  return out;
}
