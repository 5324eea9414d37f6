// What runs in the audio thread: cutting the microphone into frames, and playing each speaker's jitter buffer.

import { JitterBuffer } from "./jitter.js";

/** Samples of a frame. The context runs at 48 kHz. */
const FRAME = 960;
/** Frames between two reports of a player: 100 ms. */
const REPORT_EVERY = 5;

/** Posts `{samples, level, at}` for every 20 ms: `at` is when the frame began, in s of the context's time. */
class Capture extends AudioWorkletProcessor {
  #samples = new Float32Array(FRAME);
  #filled = 0;

  process([[input]]) {
    for (let read = 0; input && read < input.length; ) {
      const count = Math.min(input.length - read, FRAME - this.#filled);
      this.#samples.set(input.subarray(read, read + count), this.#filled);
      this.#filled += count;
      read += count;
      if (this.#filled === FRAME) this.#post(read);
    }
    return true;
  }

  #post(read) {
    const samples = this.#samples;
    const at = (currentFrame + read - FRAME) / sampleRate;
    const message = { samples, level: loudness(samples), at };
    this.port.postMessage(message, [samples.buffer]);
    this.#samples = new Float32Array(FRAME);
    this.#filled = 0;
  }
}

/** Takes `{sequence, samples}`, plays them, and posts `{level, figures}` ten times a second. `null` ends it. */
class Player extends AudioWorkletProcessor {
  #buffer = new JitterBuffer(FRAME);
  #ended = false;
  #power = 0;
  #samples = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === null) this.#ended = true;
      else this.#buffer.push(data.sequence, data.samples, currentFrame);
    };
  }

  process(_, [[output]]) {
    this.#buffer.pull(output, currentFrame);
    for (const sample of output) this.#power += sample * sample;
    this.#samples += output.length;
    if (this.#samples >= REPORT_EVERY * FRAME) {
      this.port.postMessage({ level: Math.sqrt(this.#power / this.#samples), figures: this.#buffer.figures });
      this.#power = 0;
      this.#samples = 0;
    }
    return !this.#ended;
  }
}

/** Root mean square, 0 to 1. */
function loudness(samples) {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  return Math.sqrt(power / samples.length);
}

registerProcessor("tabfarm-capture", Capture);
registerProcessor("tabfarm-player", Player);
