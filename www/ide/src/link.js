// Links a program into the QuickJS engine: the engine's module with the program as one more data segment, put where the
// engine keeps room for it (`program` in service-modules/quickjs/src/program.c, which says how it is laid out).
//
// What is before the data section stays byte for byte the same, so packages on one engine share most of their chunks.

const [GLOBAL, EXPORT, DATA_COUNT, DATA] = [6, 7, 12, 11];
const GLOBAL_EXPORT = 3;
const I32_CONST = 0x41;
const END = 0x0b;

/** Why a program cannot be linked, in words for its author. */
export class LinkError extends Error {}

/**
 * The files of a program as the engine reads them: `files` is `[path, source]` in order, the entry first.
 * @returns {Uint8Array}
 */
export function encodeProgram(files) {
  const encoder = new TextEncoder();
  const parts = [];
  for (const [path, source] of files) {
    if (path === "" || path.includes("\0")) throw new LinkError(`"${path}" is no name of a file`);
    const code = encoder.encode(source);
    if (code.includes(0)) throw new LinkError(`${path} has a zero byte, which no source has`);
    parts.push(encoder.encode(path), [0], [0, 8, 16, 24].map((shift) => (code.length >>> shift) & 0xff), code, [0]);
  }
  return concat(parts);
}

/** Address and capacity of the room for a program. */
export function roomOf(engine) {
  const sections = sectionsOf(engine);
  const constants = globals(engine, sections);
  const exported = exports_(engine, sections);
  const address = constants[exported.get("program")];
  const capacity = constants[exported.get("program_capacity")];
  if (address === undefined || capacity === undefined) throw new LinkError("the engine has no room for a program");
  // The second global is the address of a constant, as everything that C exports.
  const bytes = segmentAt(engine, sections, capacity, 4);
  return { address, capacity: new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) };
}

/**
 * The package's module.
 * @param {Uint8Array} engine
 * @param {Uint8Array} program what `encodeProgram` made.
 */
export function link(engine, program) {
  const { address, capacity } = roomOf(engine);
  // One byte stays zero: it ends the list of files.
  if (program.length >= capacity) {
    const kib = (bytes) => Math.ceil(bytes / 1024).toLocaleString("en");
    throw new LinkError(`the program has ${kib(program.length)} KiB; at most ${kib(capacity)} KiB fit, so leave something out`);
  }
  const segment = concat([[0, I32_CONST], signed(address), [END], unsigned(program.length), program]);
  const parts = [engine.subarray(0, 8)];
  for (const section of sectionsOf(engine)) {
    const { id, start, from, to } = section;
    if (id !== DATA && id !== DATA_COUNT) {
      parts.push(engine.subarray(start, to));
      continue;
    }
    const [count, rest] = readUnsigned(engine, from);
    const content = id === DATA ? [unsigned(count + 1), engine.subarray(rest, to), segment] : [unsigned(count + 1)];
    const bytes = concat(content);
    // Five bytes of length always: what follows stays in its place whatever is linked.
    parts.push([id], padded(bytes.length), bytes);
  }
  return concat(parts);
}

function sectionsOf(wasm) {
  if (wasm.length < 8 || wasm[0] !== 0 || wasm[1] !== 0x61) throw new LinkError("the engine is no wasm module");
  const sections = [];
  for (let at = 8; at < wasm.length; ) {
    const [length, from] = readUnsigned(wasm, at + 1);
    sections.push({ id: wasm[at], start: at, from, to: from + length });
    at = from + length;
  }
  return sections;
}

/** Values of the module's own globals that are `i32.const`; the engine imports none. */
function globals(wasm, sections) {
  const { from } = sections.find(({ id }) => id === GLOBAL) ?? {};
  if (from === undefined) return [];
  let [count, at] = readUnsigned(wasm, from);
  const values = [];
  for (; count > 0; count -= 1) {
    if (wasm[at + 2] !== I32_CONST) throw new LinkError("the engine has globals that this linker does not know");
    const [value, end] = readSigned(wasm, at + 3);
    values.push(value);
    at = end + 1;
  }
  return values;
}

/** Index of each exported global by its name. */
function exports_(wasm, sections) {
  const { from } = sections.find(({ id }) => id === EXPORT) ?? {};
  const found = new Map();
  if (from === undefined) return found;
  let [count, at] = readUnsigned(wasm, from);
  for (; count > 0; count -= 1) {
    const [length, name] = readUnsigned(wasm, at);
    const kind = wasm[name + length];
    const [index, end] = readUnsigned(wasm, name + length + 1);
    if (kind === GLOBAL_EXPORT) found.set(new TextDecoder().decode(wasm.subarray(name, name + length)), index);
    at = end;
  }
  return found;
}

/** Bytes that a data segment puts at an address. */
function segmentAt(wasm, sections, address, length) {
  const { from } = sections.find(({ id }) => id === DATA) ?? {};
  let [count, at] = from === undefined ? [0, 0] : readUnsigned(wasm, from);
  for (; count > 0; count -= 1) {
    if (wasm[at] !== 0 || wasm[at + 1] !== I32_CONST) throw new LinkError("the engine has data that this linker does not know");
    const [start, end] = readSigned(wasm, at + 2);
    const [size, bytes] = readUnsigned(wasm, end + 1);
    if (address >= start && address + length <= start + size) return wasm.slice(bytes + address - start, bytes + address - start + length);
    at = bytes + size;
  }
  throw new LinkError("the engine does not say how much room it has");
}

function readUnsigned(wasm, at) {
  let [value, shift] = [0, 0];
  for (;;) {
    const byte = wasm[at++];
    if (byte === undefined || shift > 28) throw new LinkError("the engine is cut short");
    value |= (byte & 0x7f) << shift;
    shift += 7;
    if (byte < 0x80) return [value >>> 0, at];
  }
}

function readSigned(wasm, at) {
  const [value, end] = readUnsigned(wasm, at);
  const bits = (end - at) * 7;
  return [bits < 32 && wasm[end - 1] & 0x40 ? value - 2 ** bits : value | 0, end];
}

function unsigned(value) {
  const bytes = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}

function signed(value) {
  const bytes = [];
  for (;;) {
    const byte = value & 0x7f;
    value >>= 7;
    if ((value === 0 && !(byte & 0x40)) || (value === -1 && byte & 0x40)) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

function padded(value) {
  return [0, 7, 14, 21, 28].map((shift) => ((value >>> shift) & 0x7f) | (shift < 28 ? 0x80 : 0));
}

function concat(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
