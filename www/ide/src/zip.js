// Projects as zip files: out, and in from anywhere.

import { strToU8, Unzip, UnzipInflate, zipSync } from "fflate";
import { ABOUT, contentOf, flawOfPath, inUnits, MAX_BYTES, MAX_FILES, MAX_FORM, MAX_MODULE, MAX_TITLE, MODULE, shown } from "./limits.js";
import { flawOfFiles, languages } from "./project.js";

/** The longest zip that is read. */
const MAX_ZIP = 2 * MAX_BYTES + MAX_MODULE;
/** Bytes that are handed to the reader at once: deflate makes at most a thousand times as many of them. */
const PIECE = 16 * 1024;
/** Levels of what an exported project says about itself; ours has four. */
const MAX_DEPTH = 16;
/** Entries that are looked at, folders and all. */
const MAX_ENTRIES = 1_000;

/** A project as a zip. Throws in words. */
export function toZip(project) {
  const flaw = project.flawOfSize();
  if (flaw) throw new Error(flaw);
  const { title, language, form } = project;
  const entries = project.entries().map(([path, content]) => [path, typeof content === "string" ? strToU8(content) : content]);
  return zipSync(Object.fromEntries([[ABOUT, strToU8(JSON.stringify({ title, language, form }, null, 2))], ...entries]), { level: 6 });
}

/**
 * What a zip holds, as `store.put` takes it. Nothing of it is believed: sizes are counted while it is unpacked, names are
 * checked, and the first thing that is wrong ends it. Throws in words.
 */
export function fromZip(bytes, name = "") {
  if (bytes.byteLength > MAX_ZIP) throw new Error(`The zip has ${inUnits(bytes.byteLength)}; at most ${inUnits(MAX_ZIP)} are read.`);
  const found = unpack(bytes);
  const about = readAbout(found.get(ABOUT));
  found.delete(ABOUT);
  const files = new Map([...found].map(([path, content]) => [path, contentOf(content)]));
  if (files.size === 0) throw new Error("The zip holds no files.");
  const flaw = flawOfFiles(files);
  if (flaw) throw new Error(flaw);
  const language = about.language ?? languageOf(files);
  const title = about.title ?? name.replace(/\.zip$/i, "");
  return { title, language, form: about.form ?? {}, files };
}

function unpack(bytes) {
  const found = new Map();
  let entries = 0;
  let open = 0;
  let total = 0;
  let problem = null;
  const refuse = (words) => {
    problem ??= new Error(words);
    throw problem;
  };
  const reader = new Unzip((file) => {
    if (problem) return;
    if (++entries > MAX_ENTRIES) refuse(`The zip has more than ${MAX_ENTRIES} entries.`);
    if (file.name.endsWith("/") && !file.originalSize) return;
    if (file.name !== ABOUT) {
      const flaw = flawOfPath(file.name);
      if (flaw) refuse(`The zip has a file “${shown(file.name)}”, which is not taken. ${flaw}`);
    }
    if (found.has(file.name)) refuse(`The zip has two files “${shown(file.name)}”.`);
    if (found.size > MAX_FILES) refuse(`The zip has more than ${MAX_FILES} files.`);
    const pieces = [];
    found.set(file.name, pieces);
    open += 1;
    let own = 0;
    file.ondata = (error, piece, final) => {
      if (problem) return;
      if (error) refuse(`The zip cannot be read at “${shown(file.name)}”: ${shown(error.message)}.`);
      own += piece.byteLength;
      if (file.name === MODULE) {
        if (own > MAX_MODULE) refuse(`The zip's ${MODULE} is larger than ${inUnits(MAX_MODULE)} when unpacked.`);
      } else if ((total += piece.byteLength) > MAX_BYTES + MAX_FORM) {
        refuse(`The zip is larger than ${inUnits(MAX_BYTES)} when unpacked.`);
      }
      if (piece.byteLength > 0) pieces.push(piece.slice());
      if (final) open -= 1;
    };
    try {
      file.start();
    } catch (error) {
      refuse(`The zip cannot be read at “${shown(file.name)}”: ${shown(error?.message ?? error)}.`);
    }
  });
  reader.register(UnzipInflate);
  try {
    for (let at = 0; at < bytes.byteLength; at += PIECE) {
      reader.push(bytes.subarray(at, at + PIECE), at + PIECE >= bytes.byteLength);
      if (problem) break;
    }
  } catch (error) {
    problem ??= new Error(`This is no zip file that can be read: ${shown(error?.message ?? error)}.`);
  }
  if (problem) throw problem;
  if (entries === 0) throw new Error("This is no zip file.");
  if (open > 0) throw new Error("The zip ends before its last file does.");
  return new Map([...found].map(([path, pieces]) => [path, joined(pieces)]));
}

function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/** Title, language and form, where they are what they should be. */
function readAbout(bytes) {
  if (!bytes || bytes.byteLength > MAX_FORM) return {};
  let about;
  try {
    about = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    // A browser's reader may give up before it comes to the bottom.
    if (error instanceof RangeError) throw new Error(`The zip's ${ABOUT} is nested more than ${MAX_DEPTH} levels deep.`);
    throw new Error(`The zip's ${ABOUT} is not valid JSON.`);
  }
  if (isDeep(about)) throw new Error(`The zip's ${ABOUT} is nested more than ${MAX_DEPTH} levels deep.`);
  const { title, language, form } = about ?? {};
  return {
    title: typeof title === "string" && title.trim() ? title.slice(0, MAX_TITLE) : undefined,
    language: Object.hasOwn(languages, language) ? language : undefined,
    form: form && typeof form === "object" && !Array.isArray(form) ? form : undefined,
  };
}

/** Does a value of JSON have more than `MAX_DEPTH` levels? Level by level, so that the answer needs no stack. */
function isDeep(value) {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((each) => (each && typeof each === "object" ? Object.values(each) : []));
  }
  return false;
}

/** The language that files are written in, by the entry that they have. */
export function languageOf(files) {
  if (files.has("service.wat")) return "wat";
  if (files.has("service.js")) return "script";
  if (files.has("service.ts")) return /^\s*export\s+default\b/m.test(String(files.get("service.ts"))) ? "script" : "assemblyscript";
  return files.has(MODULE) ? "wasm" : "assemblyscript";
}
