// The microphone as Opus packets: one every 20 ms.

import { FRAME_MS } from "./frame.js";

/** Speech at 48 kHz, mono. */
const OPUS = {
  codec: "opus",
  sampleRate: 48_000,
  numberOfChannels: 1,
  bitrate: 28_000,
  opus: { frameDuration: FRAME_MS * 1_000, application: "voip", signal: "voice", useinbandfec: true, packetlossperc: 5 },
};

/** Why there is no microphone, in words for whoever wanted one. */
const REASONS = {
  NotAllowedError: "The browser does not let this page use the microphone.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone cannot be read; another program may hold it.",
};

export class Microphone {
  #stream;
  #source;
  #node;
  #encoder;
  #muted = false;
  /** Between the context's time and ms since 1970. */
  #epoch;

  /**
   * Asks for the microphone. Rejects with words. `onPacket(packet, captured)` for every 20 ms that are not muted, `onLevel(level)`
   * (0 to 1) for each that was heard, `onEnd()` when the device is gone.
   */
  static async open(context, { onPacket, onLevel, onEnd }) {
    let stream;
    try {
      const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone cannot be used (${error.message}).`);
    }
    try {
      return new Microphone(context, stream, { onPacket, onLevel, onEnd });
    } catch (error) {
      // Firefox joins no microphone of another sample rate to the context: it must not stay on.
      for (const track of stream.getTracks()) track.stop();
      throw new Error(`The microphone cannot be used (${error.message}).`);
    }
  }

  /** Use `Microphone.open`. */
  constructor(context, stream, { onPacket, onLevel, onEnd }) {
    this.#stream = stream;
    this.#epoch = Date.now() - context.currentTime * 1_000;
    this.#encoder = new AudioEncoder({
      output: (chunk) => {
        const packet = new Uint8Array(chunk.byteLength);
        chunk.copyTo(packet);
        onPacket(packet, this.#epoch + chunk.timestamp / 1_000);
      },
      error: () => onEnd(),
    });
    this.#encoder.configure(OPUS);
    this.#source = context.createMediaStreamSource(stream);
    this.#node = new AudioWorkletNode(context, "tabfarm-capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.#node.port.onmessage = ({ data: { samples, level, at } }) => {
      onLevel(this.#muted ? 0 : level);
      if (!this.#muted && this.#encoder.state === "configured") this.#encode(samples, at);
    };
    this.#source.connect(this.#node);
    stream.getAudioTracks()[0].addEventListener("ended", onEnd);
  }

  get muted() {
    return this.#muted;
  }

  /** A muted microphone gives no packets, and the browser shows it as off where it can. */
  set muted(muted) {
    this.#muted = muted;
    for (const track of this.#stream.getAudioTracks()) track.enabled = !muted;
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#node.port.onmessage = null;
    this.#source.disconnect();
    if (this.#encoder.state !== "closed") this.#encoder.close();
  }

  #encode(samples, at) {
    const data = new AudioData({
      format: "f32-planar",
      sampleRate: OPUS.sampleRate,
      numberOfFrames: samples.length,
      numberOfChannels: 1,
      timestamp: Math.round(at * 1_000_000),
      data: samples,
    });
    this.#encoder.encode(data);
    data.close();
  }
}
