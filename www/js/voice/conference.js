// Taking part in a voice conference: the session with the voice service, the microphone, and everybody who is heard.

import { decodeFrame, encodeFrame } from "./frame.js";
import { Microphone } from "./microphone.js";
import { Speaker } from "./speaker.js";

/** How often the page is told what changed, in ms: meters move. */
const TELL_EVERY = 100;
/** Louder than this is speech. */
const SPEECH = 0.01;
/** How long it must be quiet before speech has ended, in ms. */
const PAUSE_MS = 800;
/** People in a conference at most; the service keeps to it, and so does a page that a host lies to. */
const MAX_PEOPLE = 8;

const text = new TextEncoder();
const read = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

/** Events: `change` (several times a second; then read `state`). */
export class Conference extends EventTarget {
  #session;
  #context;
  #name;
  #me = null;
  #people = new Map();
  #speakers = new Map();
  #microphone = null;
  #problem = "";
  #asking = false;
  #level = 0;
  #loudAt = -Infinity;
  #speaking = false;
  #sequence = 0;
  #moves = 0;
  #strays = 0;
  /** News that came before the reply to `join` was read. */
  #early = [];
  #ended = null;
  #timer;
  #off = new AbortController();

  /**
   * Joins the conference `name` of `service` as `nick`, and asks for the microphone unless `listen`. Rejects with words; then nothing
   * is left open. Call it when a person presses something: browsers let sound begin only then.
   */
  static async join(peer, service, name, nick, { listen = false } = {}) {
    const missing = ["AudioContext", "AudioWorkletNode", "AudioEncoder", "AudioDecoder"].filter((each) => !(each in globalThis));
    if (missing.length > 0) {
      const why = globalThis.isSecureContext ? "This browser has no" : "Over plain http a browser gives a page no";
      throw new Error(`${why} ${missing[0]}, which voice needs.`);
    }
    const context = new AudioContext({ sampleRate: 48_000, latencyHint: "interactive" });
    let session;
    try {
      const sound = context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
      session = await peer.open(service);
      await sound;
      const conference = new Conference(session, context, name);
      await conference.#enter(nick);
      if (!listen) await conference.openMicrophone();
      return conference;
    } catch (error) {
      session?.close();
      context.close();
      throw error;
    }
  }

  /** Use `Conference.join`. */
  constructor(session, context, name) {
    super();
    this.#session = session;
    this.#context = context;
    this.#name = name;
    const on = (type, act) => session.addEventListener(type, ({ detail }) => act(detail), { signal: this.#off.signal });
    on("message", (body) => this.#hear(body));
    on("datagram", (body) => this.#take(body));
    on("moved", () => (this.#moves += 1));
    on("close", ({ reason }) => this.#end(reason || "The service ended the conference."));
    addEventListener("pagehide", () => this.leave(), { signal: this.#off.signal });
    this.#timer = setInterval(() => this.#tell(), TELL_EVERY);
  }

  /** Asks for the microphone; whoever has none listens, and `state.problem` says why. */
  async openMicrophone() {
    if (this.#microphone || this.#asking || this.#ended) return;
    this.#asking = true;
    try {
      const microphone = await Microphone.open(this.#context, {
        onPacket: (packet, captured) => this.#send(packet, captured),
        onLevel: (level) => this.#listen(level),
        onEnd: () => this.#loseMicrophone("The microphone was taken away."),
      });
      if (this.#ended !== null) return microphone.close();
      this.#microphone = microphone;
      this.#problem = "";
      this.#say("unmuted");
    } catch (error) {
      this.#loseMicrophone(error.message);
    } finally {
      this.#asking = false;
    }
    this.#tell();
  }

  /** Stops sending, or goes on. */
  mute(muted) {
    if (!this.#microphone || this.#microphone.muted === muted) return;
    this.#microphone.muted = muted;
    this.#speaking = false;
    this.#say(muted ? "muted" : "unmuted");
    this.#tell();
  }

  /** Lets sound begin, where the browser waited for the person to press something. */
  async resume() {
    await this.#context.resume();
    this.#tell();
  }

  /** Leaves; nothing sounds or is sent any more. */
  leave() {
    this.#end("");
  }

  /**
   * `{ended, name, service, server, path, moves, speaker, microphone, problem, sound, strays, people}`: `ended` is null or why; `microphone`
   * is `on`, `muted`, `asking` or `none`, `problem` why it is none; `sound` is the context's state; each of `people` is
   * `{speaker, nick, muted, speaking, listening, me, level, figures}`.
   */
  get state() {
    const person = (each) => {
      const me = each.speaker === this.#me;
      const heard = this.#speakers.get(each.speaker);
      const sent = { sent: this.#sequence };
      return { ...each, me, level: me ? this.#level : heard?.level ?? 0, figures: me ? sent : heard?.figures ?? {} };
    };
    return {
      ended: this.#ended,
      name: this.#name,
      service: this.#session.service,
      server: this.#session.server,
      path: this.#session.path,
      moves: this.#moves,
      speaker: this.#me,
      microphone: this.#microphone ? (this.#microphone.muted ? "muted" : "on") : this.#asking ? "asking" : "none",
      problem: this.#problem,
      sound: this.#context.state,
      strays: this.#strays,
      people: [...this.#people.values()].map(person),
    };
  }

  async #enter(nick) {
    const roster = read(await this.#session.call("join", text.encode(`${this.#name}\n${nick}`)));
    this.#me = roster.speaker;
    for (const person of roster.people) this.#meet(person);
    for (const body of this.#early.splice(0)) this.#hear(body);
    this.#tell();
  }

  #meet({ speaker, nick, muted, speaking, listening }) {
    if (!Number.isInteger(speaker) || (this.#people.size >= MAX_PEOPLE && !this.#people.has(speaker))) return;
    this.#people.set(speaker, { speaker, nick: String(nick), muted: !!muted, speaking: !!speaking, listening: !!listening });
    if (speaker !== this.#me && !this.#speakers.has(speaker)) this.#speakers.set(speaker, new Speaker(this.#context));
  }

  #part(speaker) {
    this.#people.delete(speaker);
    this.#speakers.get(speaker)?.close();
    this.#speakers.delete(speaker);
  }

  /** News of the service. Nothing comes before somebody has joined, but the reply to `join` may be read late. */
  #hear(body) {
    if (this.#me === null) return void this.#early.push(body);
    let news;
    try {
      news = read(body);
    } catch {
      return;
    }
    if (news.type === "joined" || news.type === "changed") this.#meet(news.person ?? {});
    else if (news.type === "left") this.#part(news.speaker);
    else if (news.type === "replaced") this.#end("You joined this conference again in another place.");
    else if (news.type === "error") this.#problem = String(news.text);
    this.#tell();
  }

  #take(body) {
    const frame = decodeFrame(body);
    const speaker = frame && this.#speakers.get(frame.speaker);
    if (speaker) speaker.take(frame);
    else this.#strays += 1;
  }

  #send(packet, captured) {
    if (this.#ended !== null || this.#me === null) return;
    this.#session.datagram(encodeFrame({ speaker: this.#me, sequence: this.#sequence, captured, packet }));
    this.#sequence += 1;
  }

  /** Tells the others when speech begins, and when it has ended. */
  #listen(level) {
    this.#level = level;
    const now = performance.now();
    if (level > SPEECH) this.#loudAt = now;
    const speaking = now - this.#loudAt < PAUSE_MS && !this.#microphone?.muted;
    if (speaking !== this.#speaking && this.#microphone && !this.#microphone.muted) {
      this.#speaking = speaking;
      this.#say(speaking ? "speaking" : "silent");
    }
  }

  #loseMicrophone(why) {
    this.#microphone?.close();
    this.#microphone = null;
    this.#problem = why;
    this.#level = 0;
    if (this.#ended === null) this.#say("listening");
    this.#tell();
  }

  #say(word) {
    this.#session.send(text.encode(word));
  }

  #end(why) {
    if (this.#ended !== null) return;
    this.#ended = why;
    clearInterval(this.#timer);
    this.#off.abort();
    this.#microphone?.close();
    for (const speaker of [...this.#speakers.keys()]) this.#part(speaker);
    this.#session.close();
    this.#context.close();
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
