// One speaker as it is heard here: frames are counted, decoded and given to its jitter buffer in the audio thread.

import { Counter } from "./counter.js";

/** Packets that wait for the decoder; more are dropped: a flood must not fill the memory. */
const MAX_WAITING = 50;
/** After a packet that cannot be decoded, none is tried for this time, in ms. */
const REST_MS = 1_000;
const OPUS = { codec: "opus", sampleRate: 48_000, numberOfChannels: 1 };

export class Speaker {
  #counter = new Counter();
  #decoder = null;
  #restUntil = 0;
  #node;
  #report = { level: 0, figures: {} };
  #undecodable = 0;

  constructor(context) {
    this.#node = new AudioWorkletNode(context, "tabfarm-player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#node.port.onmessage = ({ data }) => (this.#report = data);
    this.#node.connect(context.destination);
  }

  /** Takes a frame that has just arrived. */
  take({ sequence, captured, packet }) {
    const now = performance.now();
    if (!this.#counter.arrived(sequence, captured, now)) return;
    if (this.#decoder?.state !== "configured") {
      if (now < this.#restUntil) return;
      this.#decoder = this.#start();
    }
    if (this.#decoder.decodeQueueSize >= MAX_WAITING) return;
    // The sequence number goes through the decoder as a time, in steps of 20 ms.
    this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: sequence * 20_000, data: packet }));
  }

  /** How loud it is now, 0 to 1. */
  get level() {
    return this.#report.level;
  }

  /** What arrived (`Counter`), `undecodable` packets, and what sounded (`sounded`, as of `JitterBuffer`). */
  get figures() {
    return { ...this.#counter.figures, undecodable: this.#undecodable, sounded: this.#report.figures };
  }

  close() {
    this.#node.port.postMessage(null);
    this.#node.disconnect();
    if (this.#decoder?.state === "configured") this.#decoder.close();
  }

  #start() {
    const decoder = new AudioDecoder({
      output: (data) => {
        const samples = new Float32Array(data.numberOfFrames);
        data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
        const sequence = Math.round(data.timestamp / 20_000);
        data.close();
        this.#node.port.postMessage({ sequence, samples }, [samples.buffer]);
      },
      // The decoder is closed then; the next packet after a rest starts another.
      error: () => {
        this.#undecodable += 1;
        this.#restUntil = performance.now() + REST_MS;
      },
    });
    decoder.configure(OPUS);
    return decoder;
  }
}
