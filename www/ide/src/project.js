// A project: a form and files, in memory while it is open. Whatever changes is reported to the store, which keeps it.

import { flawOfPath, inUnits, MAX_BYTES, MAX_FILES, MAX_MODULE, MODULE, utf8Length } from "./limits.js";

/** What can be written here: the file that is compiled, and what its files end with. */
export const languages = {
  assemblyscript: { entries: ["service.ts"], endings: [".ts"] },
  script: { entries: ["service.ts", "service.js"], endings: [".ts", ".js"] },
  wat: { entries: ["service.wat"], endings: [".wat"] },
  wasm: { entries: [MODULE], endings: [] },
};

/** Files below this folder are the service's own page; a package names them without it. */
export const UI = "ui/";

export class Project {
  #files;
  #changed;

  /** `files` is a `Map` from path to a text or bytes; `changed(paths, meta)` is called after each change. */
  constructor({ id, title, language, form, created, from }, files, changed) {
    this.id = id;
    this.title = title;
    this.language = Object.hasOwn(languages, language) ? language : "assemblyscript";
    this.form = form;
    this.created = created;
    /** The service that it was forked from, or "". */
    this.from = from ?? "";
    this.#files = files;
    this.#changed = changed;
  }

  /** What is kept beside the files. */
  meta() {
    const { id, title, language, form, created, from } = this;
    return { id, title, language, form, created, from, files: this.#files.size, changed: Date.now() };
  }

  /** Paths in the order in which they are shown: the entry first, the page last. */
  paths() {
    const entry = this.entry();
    const rank = (path) => (path === entry ? 0 : path.startsWith(UI) ? 2 : 1);
    return [...this.#files.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  }

  /** The file that is compiled; the one that is missing, where none of them is there. */
  entry() {
    const { entries } = languages[this.language];
    return entries.find((path) => this.#files.has(path)) ?? entries[0];
  }

  has(path) {
    return this.#files.has(path);
  }

  /** A text, bytes, or undefined. */
  content(path) {
    return this.#files.get(path);
  }

  isBinary(path) {
    return this.#files.get(path) instanceof Uint8Array;
  }

  /** Puts in or replaces a file without a check; `flawOfPath` and `flawOfSize` come before. */
  write(path, content) {
    if (this.#files.get(path) === content) return;
    this.#files.set(path, content);
    this.#changed([path]);
  }

  /** Adds a file; why not, in words, or "". */
  add(path, content = "") {
    const flaw = flawOfPath(path) ?? this.#flawOfNew(path);
    if (flaw) return flaw;
    this.write(path, content);
    return "";
  }

  /** Renames a file; why not, in words, or "". */
  rename(from, to) {
    if (from === to) return "";
    const flaw = flawOfPath(to) ?? (this.#files.has(to) ? `There is a file “${to}” already.` : null);
    if (flaw) return flaw;
    const content = this.#files.get(from);
    if (content === undefined) return "That file is not there any more.";
    this.#files.delete(from);
    this.#files.set(to, content);
    this.#changed([from, to]);
    return "";
  }

  remove(path) {
    if (this.#files.delete(path)) this.#changed([path]);
  }

  /** Takes over other files, as when a version is brought back. */
  replaceAll(files, form, language) {
    const paths = new Set([...this.#files.keys(), ...files.keys()]);
    this.#files = files;
    this.form = form;
    if (Object.hasOwn(languages, language)) this.language = language;
    this.#changed([...paths]);
  }

  setForm(form) {
    this.form = form;
    this.#changed([]);
  }

  setTitle(title) {
    this.title = title;
    this.#changed([]);
  }

  setLanguage(language) {
    this.language = language;
    this.#changed([]);
  }

  /** All files, as pairs. */
  entries() {
    return [...this.#files];
  }

  /** What the compiler reads: the texts of the language, without the page. */
  sources() {
    const { endings } = languages[this.language];
    const isSource = ([path, content]) => typeof content === "string" && !path.startsWith(UI) && endings.some((ending) => path.endsWith(ending));
    return new Map([...this.#files].filter(isSource));
  }

  /** Bytes of all files but a module that was put in. */
  bytes() {
    return sizeOf(this.#files);
  }

  /** Why it cannot be compiled, published or exported as it is, in words, or "". */
  flawOfSize() {
    return flawOfFiles(this.#files) ?? "";
  }

  /**
   * The package's assets: the page without its folder, and with `withSource` everything else below `source/`, from
   * which others can go on. The page is not put in twice.
   */
  assets(withSource) {
    const assets = [];
    for (const [path, content] of this.#files) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      if (path.startsWith(UI)) assets.push([path.slice(UI.length), bytes]);
      // A module is in the package anyway.
      else if (withSource && !(this.language === "wasm" && path === MODULE)) assets.push([`source/${path}`, bytes]);
    }
    return assets;
  }

  #flawOfNew(path) {
    if (this.#files.has(path)) return `There is a file “${path}” already.`;
    return this.#files.size >= MAX_FILES ? `A project has at most ${MAX_FILES} files.` : null;
  }
}

/** Bytes of files, without a module that was put in. */
export function sizeOf(files) {
  let bytes = 0;
  for (const [path, content] of files) {
    if (path !== MODULE) bytes += typeof content === "string" ? utf8Length(content) : content.byteLength;
  }
  return bytes;
}

/** What is wrong with files as a whole, in words, or null. */
export function flawOfFiles(files) {
  if (files.size > MAX_FILES) return `It has ${files.size} files; at most ${MAX_FILES} make a project.`;
  const module = files.get(MODULE);
  if (module instanceof Uint8Array && module.byteLength > MAX_MODULE) return `${MODULE} has ${inUnits(module.byteLength)}; hosts take at most ${inUnits(MAX_MODULE)}.`;
  const bytes = sizeOf(files);
  return bytes > MAX_BYTES ? `Its files have ${inUnits(bytes)} together; at most ${inUnits(MAX_BYTES)} make a project. Make it shorter.` : null;
}
