// Write Tabfarm services in AssemblyScript.
//
// A service is a class. Its one object lives in linear memory and moves from tab to tab between events:
//
//   import { Service, Cx, Session, serve, text, bytes } from "tabfarm";
//
//   class Counter extends Service {
//     total: i64 = 0;
//     call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
//       if (method == "add") {
//         this.total += I64.parseInt(text(body));
//         return bytes(this.total.toString());
//       }
//       return this.query(cx, session, method, body);
//     }
//     query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
//       if (method == "read") return bytes(this.total.toString());
//       return cx.unknown(method);
//     }
//   }
//   serve(new Counter());
//
// A `throw` or a failed `assert` traps the event: the state is then as before it and nothing is sent. An error that the
// caller may read is `return cx.fail("words")`; state changes made before it stand. Secrets have no place in a service:
// whoever hosts it sees its memory.

import * as host from "./host";

/** A session's handle, unique within the service for as long as the session is open. */
export type Session = u32;

/** How serious a log line is. */
export enum Level {
  Error = 0,
  Warning = 1,
  Info = 2,
  Debug = 3,
}

/** What a service overrides; by default every event is taken and every method unknown. */
export class Service {
  /** A session opened. */
  open(cx: Cx, session: Session): void {}
  /** An ordered message came. */
  message(cx: Cx, session: Session, body: Uint8Array): void {}
  /** A session closed; it can no longer be sent to. */
  close(cx: Cx, session: Session): void {}
  /** A call, exactly once and in order. By default read-only methods may be called too. */
  call(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    return this.query(cx, session, method, body);
  }
  /** A read-only call. Whatever it changes or sends is discarded. */
  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    return cx.unknown(method);
  }
  /** A timer fired. */
  timer(cx: Cx, timer: u32): void {}
  /** The answer to `cx.call`: the reply, or where `ok` is false an error text. */
  reply(cx: Cx, request: u32, ok: bool, body: Uint8Array): void {}
  /** The module replaced an older version: memory is fresh, sessions, rooms and kv are those of the older one. */
  upgrade(cx: Cx): void {}
}

/** The host during one event. What is sent leaves when the event has ended without a trap. */
export class Cx {
  /** Did the call that is being answered fail. */
  failed: bool = false;

  /** Sends an ordered message to one session; false when it is not open or the event has put out too much. */
  send(session: Session, body: Uint8Array): bool {
    return host.send(session, body.dataStart, body.byteLength) >= 0;
  }
  /** Sends an ordered message to every session in a room. */
  broadcast(room: string, body: Uint8Array): bool {
    return host.broadcast(roomNumber(room), body.dataStart, body.byteLength) >= 0;
  }
  /** Puts a session into a room. */
  join(session: Session, room: string): bool {
    return host.join(session, roomNumber(room)) >= 0;
  }
  /** Takes a session out of a room. */
  leave(session: Session, room: string): bool {
    return host.leave(session, roomNumber(room)) >= 0;
  }
  /** Closes a session. `Service.close` is not called for it. */
  close(session: Session): bool {
    return host.close(session) >= 0;
  }
  /** The 32-byte ed25519 key of the session's consumer, or null when the session is not open. */
  peer(session: Session): Uint8Array | null {
    const key = new Uint8Array(32);
    return host.peer(session, key.dataStart) >= 0 ? key : null;
  }
  /** Milliseconds since the Unix epoch, the same during the whole event. */
  now(): i64 {
    return <i64>host.now();
  }
  /** Pseudo-random bytes, the same on every replica; no source of secrets. */
  random(length: i32): Uint8Array {
    const filled = new Uint8Array(length);
    host.random(filled.dataStart, length);
    return filled;
  }
  /** Fires `Service.timer` after `ms` milliseconds; setting a timer again replaces it. */
  setTimer(timer: u32, ms: i32): void {
    host.timer(timer, max(0, ms));
  }
  /** Cancels a timer. */
  cancelTimer(timer: u32): void {
    host.timer(timer, -1);
  }
  /** Calls a method of another service, which the manifest must allow. The request's number, or a negative code. */
  call(service: string, method: string, body: Uint8Array): i32 {
    const to = bytes(service);
    const name = bytes(method);
    const input = new Uint8Array(2 + name.byteLength + body.byteLength);
    input[0] = <u8>name.byteLength;
    input[1] = <u8>(name.byteLength >> 8);
    input.set(name, 2);
    input.set(body, 2 + name.byteLength);
    return host.call(to.dataStart, to.byteLength, input.dataStart, input.byteLength);
  }
  /** Writes a line to the log that the person who hosts the service sees. */
  log(line: string, level: Level = Level.Info): void {
    const body = bytes(line);
    host.log(level, body.dataStart, body.byteLength);
  }
  /** The value of a key, or null. */
  get(key: string): Uint8Array | null {
    const name = bytes(key);
    let length = host.kv_get(name.dataStart, name.byteLength, 0, 0);
    if (length < 0) return null;
    const value = new Uint8Array(length);
    host.kv_get(name.dataStart, name.byteLength, value.dataStart, length);
    return value;
  }
  /** Stores a value; false when the store is full or the key malformed. */
  put(key: string, value: Uint8Array): bool {
    const name = bytes(key);
    return host.kv_put(name.dataStart, name.byteLength, value.dataStart, value.byteLength) >= 0;
  }
  /** Removes a key; false when it was not there. */
  remove(key: string): bool {
    const name = bytes(key);
    return host.kv_delete(name.dataStart, name.byteLength) >= 0;
  }
  /** The first key after `key` in byte order, or null. The empty key comes before all. */
  nextKey(key: string): string | null {
    const name = bytes(key);
    const length = host.kv_next(name.dataStart, name.byteLength, 0, 0);
    if (length < 0) return null;
    const found = new Uint8Array(length);
    host.kv_next(name.dataStart, name.byteLength, found.dataStart, length);
    return text(found);
  }
  /** Fails the call with a text that the caller sees. */
  fail(why: string): Uint8Array {
    this.failed = true;
    return bytes(why);
  }
  /** Fails the call: the service has no such method. */
  unknown(method: string): Uint8Array {
    return this.fail(`unknown method "${method}"`);
  }
}

/** Bytes as text. */
export function text(body: Uint8Array): string {
  return String.UTF8.decodeUnsafe(body.dataStart, body.byteLength);
}

/** Text as bytes. */
export function bytes(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

/** A text as a JSON string, quotes included. */
export function quote(text: string): string {
  let quoted = '"';
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit == 0x22) quoted += '\\"';
    else if (unit == 0x5c) quoted += "\\\\";
    else if (unit < 0x20) quoted += "\\u00" + (unit < 0x10 ? "0" : "") + unit.toString(16);
    else quoted += String.fromCharCode(unit);
  }
  return quoted + '"';
}

/** Makes `service` the service of this module. Once, at the top level. */
export function serve(service: Service): void {
  assert(served === null, "serve was called twice");
  served = service;
}

/** The module's export: one event. 0, or 1 for a failed call. */
export function handle(kind: i32, session: u32, length: i32): i32 {
  const service = assert(served, "nothing is served: call serve(new YourService()) at the top level");
  const input = new Uint8Array(length);
  if (length > 0) host.input(input.dataStart);
  const cx = new Cx();
  switch (kind) {
    case 0:
      service.open(cx, session);
      return 0;
    case 1:
      service.message(cx, session, input);
      return 0;
    case 2:
      service.close(cx, session);
      return 0;
    case 3:
    case 4:
      return answer(cx, service, kind == 4, session, input);
    case 5:
      service.timer(cx, session);
      return 0;
    case 6:
      service.reply(cx, session, length > 0 && input[0] == 0, input.subarray(min(1, length)));
      return 0;
    case 7:
      service.upgrade(cx);
      return 0;
    default:
      return 1;
  }
}

/** What `throw` and `assert` become: a line in the host's log, then a trap. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  new Cx().log(`${message ? message : "aborted"} (${file ? file : "?"}:${line}:${column})`, Level.Error);
  unreachable();
}

let served: Service | null = null;

function answer(cx: Cx, service: Service, readOnly: bool, session: Session, input: Uint8Array): i32 {
  let reply: Uint8Array;
  const length = input.length < 2 ? -1 : <i32>input[0] | (<i32>input[1] << 8);
  if (length < 0 || length > input.length - 2) {
    reply = cx.fail("malformed call");
  } else {
    const method = text(input.subarray(2, 2 + length));
    const body = input.slice(2 + length);
    reply = readOnly ? service.query(cx, session, method, body) : service.call(cx, session, method, body);
  }
  if (host.reply(reply.dataStart, reply.byteLength) < 0) {
    reply = cx.fail("the reply is too large");
    host.reply(reply.dataStart, reply.byteLength);
  }
  return cx.failed ? 1 : 0;
}

const rooms = new Map<string, u32>();
const taken = new Set<u32>();
/** The most names that are kept; further ones get the number of their hash, which may coincide with another's. */
const MAX_NAMES = 4_096;

/** The host knows rooms by number: FNV-1a of the name, moved on until it is free. */
function roomNumber(name: string): u32 {
  if (rooms.has(name)) return rooms.get(name);
  const letters = bytes(name);
  let number: u32 = 0x811c9dc5;
  for (let at = 0; at < letters.length; at++) number = (number ^ letters[at]) * 0x01000193;
  if (rooms.size < MAX_NAMES) {
    while (taken.has(number)) number++;
    rooms.set(name, number);
    taken.add(number);
  }
  return number;
}
