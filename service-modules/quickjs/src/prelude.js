// What a service sees of its host, and how its events reach it. Evaluated once, before the service's own files; the
// argument has the host functions, the result is what engine.c calls and what `import … from "tabfarm"` gives.
(function (host) {
  "use strict";

  const Level = Object.freeze({ Error: 0, Warning: 1, Info: 2, Debug: 3 });
  const [OPEN, MESSAGE, CLOSE, CALL, QUERY, TIMER, REPLY, UPGRADE] = [0, 1, 2, 3, 4, 5, 6, 7];
  /** The most names of rooms that are kept; further ones get the number of their hash, which may coincide with another's. */
  const MAX_ROOMS = 4_096;
  /** The longest name of a method, in bytes, and what the host answers to a longer one. */
  const [MAX_METHOD, INVALID] = [256, -5];

  // ---- bodies

  /** A body as the host functions take it: bytes as they are, text as UTF-8, anything else as JSON. */
  function body(value) {
    if (typeof value === "string") return value.toWellFormed();
    if (value === undefined) return "";
    if (value instanceof Uint8Array) return value;
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    const json = JSON.stringify(value);
    if (json === undefined) throw new TypeError("a body is bytes, text or what JSON can say");
    return json.toWellFormed();
  }
  const bytes = (value) => {
    const taken = body(value);
    return typeof taken === "string" ? host.encode(taken) : taken;
  };
  const text = (value) => (value === null || value === undefined ? "" : host.decode(bytes(value)));
  /** The value that a body says in JSON; undefined when it is empty or there is none. */
  function json(value) {
    const said = text(value);
    if (said.trim() === "") return undefined;
    try {
      return JSON.parse(said);
    } catch {
      throw new Error("the body must be JSON");
    }
  }

  // ---- the host

  const rooms = new Map();
  const taken = new Set();
  /** The host knows rooms by number: FNV-1a of the name, moved on until it is free. */
  function roomNumber(name) {
    const known = rooms.get(name);
    if (known !== undefined) return known;
    let number = 0x811c9dc5;
    for (const byte of bytes(String(name))) number = Math.imul(number ^ byte, 0x01000193) >>> 0;
    if (rooms.size < MAX_ROOMS) {
      while (taken.has(number)) number = (number + 1) >>> 0;
      rooms.set(name, number);
      taken.add(number);
    }
    return number;
  }

  const cx = Object.freeze({
    send: (session, value) => host.send(session >>> 0, body(value)) >= 0,
    broadcast: (room, value) => host.broadcast(roomNumber(room), body(value)) >= 0,
    join: (session, room) => host.join(session >>> 0, roomNumber(room)) >= 0,
    leave: (session, room) => host.leave(session >>> 0, roomNumber(room)) >= 0,
    close: (session) => host.close(session >>> 0) >= 0,
    peer: (session) => host.peer(session >>> 0),
    now: () => host.now(),
    random: (length) => host.random(Math.min(length >>> 0, 65_536)),
    setTimer: (timer, ms) => host.timer(timer >>> 0, Math.max(0, Math.min(ms, 0x7fffffff)) | 0),
    cancelTimer: (timer) => host.timer(timer >>> 0, -1),
    call(service, method, value) {
      const [name, content] = [bytes(String(method)), bytes(value)];
      if (name.length > MAX_METHOD) return INVALID;
      const input = new Uint8Array(2 + name.length + content.length);
      input.set([name.length & 0xff, name.length >> 8]);
      input.set(name, 2);
      input.set(content, 2 + name.length);
      return host.call(String(service), input);
    },
    log: (line, level = Level.Info) => void host.log(level >>> 0, String(line).toWellFormed()),
    get: (key) => host.get(String(key)),
    put: (key, value) => host.put(String(key), body(value)) >= 0,
    remove: (key) => host.delete(0, String(key)) >= 0,
    nextKey(key) {
      const found = host.next(String(key));
      return found === null ? null : host.decode(found);
    },
    unknown: (method) => new Error(`unknown method "${method}"`),
    abort: (why) => host.abort(String(why).toWellFormed()),
  });

  // ---- globals that JavaScript lacks or that would differ between replicas

  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return describe(value);
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const print = (level) => (...values) => cx.log(values.map(shown).join(" "), level);
  globalThis.console = {
    log: print(Level.Info), info: print(Level.Info), debug: print(Level.Debug), trace: print(Level.Debug),
    warn: print(Level.Warning), error: print(Level.Error),
  };
  Math.random = host.randomNumber;
  globalThis.TextEncoder = class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(value = "") { return host.encode(String(value).toWellFormed()); }
  };
  globalThis.TextDecoder = class TextDecoder {
    get encoding() { return "utf-8"; }
    decode(value) { return value === undefined ? "" : text(value); }
  };

  // ---- errors

  /** What a caller reads: the message, and the error's name where it is not one that was thrown on purpose. */
  function words(error) {
    if (!(error instanceof Error)) return shown(error);
    return error.name === "Error" ? String(error.message) : `${error.name}: ${error.message}`;
  }
  /** Where in the service's files an error comes from, if it says so. */
  function place(error) {
    for (const [, file, line, column] of String(error?.stack ?? "").matchAll(/^\s*at (?:.*\()?([^():\s]+):(\d+)(?::(\d+))?\)?\s*$/gm)) {
      if (file !== "prelude.js") return { file, line: Number(line), column: Number(column ?? 0) };
    }
    return null;
  }
  /** What an author reads, the place first: hosts cut long texts. */
  function describe(error) {
    const at = place(error);
    if (at !== null) return `${at.file}:${at.line}:${at.column}: ${words(error)}`;
    return error?.specifier === undefined ? words(error) : `${error.file}: ${words(error)}`;
  }
  const logError = (error) => cx.log(describe(error), Level.Error);

  // ---- the service

  let service = null;

  function start(exported, entry) {
    const made = typeof exported === "function" ? new exported() : exported;
    if (typeof made !== "object" || made === null) {
      throw new TypeError(`${entry} must export its service: "export default class …" or "export default { … }"`);
    }
    service = made;
  }

  function callOf(kind, session, input) {
    const length = input.length < 2 ? Infinity : input[0] | (input[1] << 8);
    if (length > input.length - 2) throw new Error("malformed call");
    const method = host.decode(input.subarray(2, 2 + length));
    const content = input.slice(2 + length);
    const handler = kind === CALL ? "call" : "query";
    const other = kind === CALL ? "query" : "call";
    if (service[handler] !== undefined) return service[handler](cx, session, method, content);
    if (service[other] !== undefined) return service[other](cx, session, method, content);
    throw cx.unknown(method);
  }

  function dispatch(kind, session, input) {
    if (service === null) throw new Error("the package has an engine and no program");
    switch (kind) {
      case OPEN: return service.open?.(cx, session);
      case MESSAGE: return service.message?.(cx, session, input);
      case CLOSE: return service.close?.(cx, session);
      case CALL:
      case QUERY: return callOf(kind, session, input);
      case TIMER: return service.timer?.(cx, session);
      case REPLY: return service.reply?.(cx, session, input[0] === 0, input.slice(1));
      case UPGRADE: return service.upgrade?.(cx);
    }
  }

  function answer(value) {
    host.reply(0, body(value));
  }

  /** A thrown error: the caller reads it, if there is one. What looks like a mistake in the code is logged as well. */
  function fail(told, error) {
    if (!told || (error instanceof Error && error.name !== "Error")) logError(error);
    if (told) host.reply(0, words(error).toWellFormed());
  }

  // ---- files

  /** The file that `base` means by `name`. TypeScript's ways of leaving the ending out, or naming the compiled file, work. */
  function resolve(base, name) {
    const refuse = (why) => Object.assign(new ReferenceError(why), { file: base, specifier: name });
    if (name === "tabfarm") return name;
    if (!/^\.\.?\//.test(name)) throw refuse(`there is no package "${name}" here, only "tabfarm" and files of the project, as "./${name}"`);
    const parts = base.split("/").slice(0, -1);
    for (const part of name.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== ".") parts.push(part);
    }
    const path = parts.join("/");
    const candidates = [path, path.replace(/\.js$/, ".ts"), `${path}.ts`, `${path}.js`, `${path}/index.ts`, `${path}/index.js`];
    const found = candidates.find((each) => host.has(each));
    if (found === undefined) throw refuse(`there is no file "${path}"`);
    return found;
  }

  /** Logs what a compilation found, for editors. */
  function report(error) {
    const nowhere = { file: error?.file ?? "", line: 0, column: 0, specifier: error?.specifier };
    const found = error?.specifier === undefined ? (place(error) ?? nowhere) : nowhere;
    host.log(0, JSON.stringify({ message: words(error), ...found }).toWellFormed());
  }

  return { text, bytes, json, Level, start, dispatch, answer, fail, describe, logError, resolve, report };
})
