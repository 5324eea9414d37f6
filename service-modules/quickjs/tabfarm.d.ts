// The types of services in TypeScript and JavaScript: what `import … from "tabfarm"` gives, and what a service may be.
//
// A service is what the entry file exports by default: an object, or a class that is made once at the start. Its
// properties and the variables of its modules are its state, which moves from tab to tab between events.
//
//   import { json, type Cx, type Session } from "tabfarm";
//
//   export default class Counter {
//     total = 0;
//     call(cx: Cx, session: Session, method: string, body: Uint8Array) {
//       if (method === "add") return (this.total += json(body));
//       throw cx.unknown(method);
//     }
//   }

declare module "tabfarm" {
  /** A session's handle, unique within the service for as long as the session is open. */
  export type Session = number;

  /** What may be sent, answered or stored: bytes as they are, text as UTF-8, undefined as nothing, anything else as JSON. */
  export type Body = Uint8Array | ArrayBufferView | ArrayBuffer | string | number | boolean | object | null | undefined;

  /**
   * What a service may have; each part may be left out. Handlers may be async as long as what they wait for can happen
   * within the event.
   *
   * An error that a handler throws ends that handler. The caller of `call` or `query` reads its message; elsewhere it is
   * logged. What was changed and sent before it stands, so check first and change then; `cx.abort` undoes the event.
   */
  export interface Service {
    /** A session opened. */
    open?(cx: Cx, session: Session): void | Promise<void>;
    /** An ordered message came. */
    message?(cx: Cx, session: Session, body: Uint8Array): void | Promise<void>;
    /** A session closed; it can no longer be sent to. */
    close?(cx: Cx, session: Session): void | Promise<void>;
    /** A call, exactly once and in order. Without it, `query` answers. */
    call?(cx: Cx, session: Session, method: string, body: Uint8Array): Body | Promise<Body>;
    /** A read-only call: what it changes or sends is discarded. Without it, `call` answers. */
    query?(cx: Cx, session: Session, method: string, body: Uint8Array): Body | Promise<Body>;
    /** A timer fired. */
    timer?(cx: Cx, timer: number): void | Promise<void>;
    /** The answer to `cx.call`: the reply, or where `ok` is false an error text. */
    reply?(cx: Cx, request: number, ok: boolean, body: Uint8Array): void | Promise<void>;
    /**
     * The module replaced an older version: memory is fresh; sessions, rooms and what was `put` are those of the older
     * one. An error refuses the new version, and the older one goes on.
     */
    upgrade?(cx: Cx): void | Promise<void>;
  }

  /** The host. What is sent leaves when the event has ended; results are false where there is no such session, or no more room. */
  export interface Cx {
    /** Sends an ordered message to one session. */
    send(session: Session, body: Body): boolean;
    /** Sends an ordered message to every session in a room. */
    broadcast(room: string, body: Body): boolean;
    /** Puts a session into a room. */
    join(session: Session, room: string): boolean;
    /** Takes a session out of a room. */
    leave(session: Session, room: string): boolean;
    /** Closes a session. The handler `close` is not called for it. */
    close(session: Session): boolean;
    /** The 32-byte ed25519 key of the session's consumer, or null when the session is not open. */
    peer(session: Session): Uint8Array | null;
    /** Milliseconds since the Unix epoch, the same during the whole event. `Date.now()` says the same. */
    now(): number;
    /** At most 65,536 pseudo-random bytes, the same on every replica, as `Math.random()` is; no source of secrets. */
    random(length: number): Uint8Array;
    /** Fires `timer` after `ms` milliseconds; setting a timer again replaces it. */
    setTimer(timer: number, ms: number): void;
    /** Cancels a timer. */
    cancelTimer(timer: number): void;
    /** Calls a method of another service, which the manifest must allow. The request's number, or a negative code. */
    call(service: string, method: string, body?: Body): number;
    /** Writes a line to the log that the person who hosts the service sees. `console.log` and its like do the same. */
    log(line: string, level?: Level): void;
    /** The value of a key, or null. */
    get(key: string): Uint8Array | null;
    /** Stores a value; false when the store is full or the key malformed. */
    put(key: string, value: Body): boolean;
    /** Removes a key; false when it was not there. */
    remove(key: string): boolean;
    /** The first key after `key` in byte order, or null. The empty key comes before all. */
    nextKey(key: string): string | null;
    /** The error to throw for a method that the service does not have. */
    unknown(method: string): Error;
    /** Ends the event as if it had not been: the state is as before it, nothing is sent, the caller reads why. */
    abort(why: string): never;
  }

  /** How serious a log line is. */
  export enum Level {
    Error = 0,
    Warning = 1,
    Info = 2,
    Debug = 3,
  }

  /** Bytes as text; nothing as the empty text. */
  export function text(body: Body): string;
  /** A body as bytes. */
  export function bytes(body: Body): Uint8Array;
  /** What a body says in JSON; undefined when it is empty or null. */
  export function json(body: Body): any;
}
