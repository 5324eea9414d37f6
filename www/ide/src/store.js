// What this browser keeps of the IDE: projects, their files, and what was published, in IndexedDB.
//
// | store | key | value |
// |---|---|---|
// | `projects` | `id` | `Project.meta()` |
// | `files` | `[project, path]` | `{ project, path, content }` |
// | `versions` | `[project, at]` | see `versions.js` |
//
// Writing goes on while the person types: what changed is remembered, and one transaction after another writes it. What
// is not written when the page goes is left in localStorage, which takes it at once, and is taken from there at the next start.

import { openDB } from "idb";
import { MAX_FORM, MAX_KEPT, MAX_PROJECTS, MAX_TITLE, shown, utf8Length } from "./limits.js";
import { flawOfFiles, Project } from "./project.js";
import { template } from "./templates.js";

const LEFT = "tabfarm.ide.left";
/** The most characters that are left behind: localStorage takes about 5 million. */
const MAX_LEFT = 2_000_000;
/** The draft of the time before projects. */
const OLD_SOURCE = "tabfarm.ide.source";
const OLD_FORM = "tabfarm.ide.form";

const FULL = "This browser has no room left to keep your work. Export the project as a zip, then delete projects that you do not need.";
const REFUSED = "This browser keeps no data for this page, so your work is gone when you close it. Export it as a zip before you do.";

let opening = null;

/** What is kept; there is one store for the page. */
export function store() {
  opening ??= open();
  return opening;
}

async function open() {
  let db = null;
  let refused = "";
  try {
    db = await openDB("tabfarm-ide", 1, {
      upgrade(fresh) {
        fresh.createObjectStore("projects", { keyPath: "id" });
        fresh.createObjectStore("files", { keyPath: ["project", "path"] });
        fresh.createObjectStore("versions", { keyPath: ["project", "at"] });
      },
      // A tab with a newer app wants another layout: this one lets go, and says so when it next writes.
      blocking: (_from, _to, event) => event.target.close(),
    });
  } catch {
    refused = REFUSED;
  }
  const store = new Store(db, refused);
  await store.load();
  return store;
}

export class Store {
  #db;
  /** What is wrong with keeping, in words, or "". */
  #words;
  #listener = () => {};
  /** Kept beside the files of every project, by id. */
  #metas = new Map();
  /** Projects that are open in this tab, by id. */
  #open = new Map();
  /** Paths to be written, by project. */
  #dirty = new Map();
  #removed = new Set();
  #writing = null;
  #failed = false;

  constructor(db, words) {
    this.#db = db;
    this.#words = words;
    const leave = () => this.leave();
    addEventListener("pagehide", leave);
    document.addEventListener("visibilitychange", () => document.hidden && leave());
  }

  /** `report(words)` is called at once where keeping fails, whenever that begins, and with "" when it works again. */
  onReport(report) {
    this.#listener = report;
    if (this.#words) report(this.#words);
  }

  #report(words) {
    this.#words = words;
    this.#listener(words);
  }

  get db() {
    return this.#db;
  }

  async load() {
    if (this.#db) {
      for (const meta of await this.#db.getAll("projects")) this.#metas.set(meta.id, meta);
      await this.#takeLeft();
    }
    await this.#takeOld();
  }

  /** The projects, last changed first: `{ id, title, language, files, changed, from }`. */
  list() {
    return [...this.#metas.values()].sort((a, b) => b.changed - a.changed);
  }

  /** The names under which the projects would be published. */
  names() {
    return new Set([...this.#metas.values()].map(({ form }) => form?.name));
  }

  /** A new project from a template. Throws in words. */
  create(name, language = "assemblyscript") {
    const { files, language: written, ...form } = template(name, language);
    return this.put({ title: form.name, language: written, form, files });
  }

  /** A new project of these files. Throws in words. */
  put({ title, language, form, files, from = "" }) {
    if (this.#metas.size >= MAX_PROJECTS) throw new Error(`This browser keeps at most ${MAX_PROJECTS} projects. Delete one that you do not need.`);
    const flaw = flawOfFiles(files);
    if (flaw) throw new Error(flaw);
    if (JSON.stringify(form).length > MAX_FORM) throw new Error("What it says about itself is too long.");
    const id = newId();
    const project = this.#opened({ id, title: this.#freeTitle(title), language, form, created: Date.now(), from }, files);
    this.changed(project, [...files.keys()]);
    return project;
  }

  /** A project that is kept, or null. */
  async open(id) {
    const there = this.#open.get(id);
    if (there) return there;
    const meta = this.#metas.get(id);
    if (!meta || !this.#db) return null;
    const kept = await this.#db.getAll("files", rangeOf(id));
    // Two calls may have waited for the same.
    return this.#open.get(id) ?? this.#opened(meta, new Map(kept.map(({ path, content }) => [path, content])));
  }

  async duplicate(id) {
    const project = await this.open(id);
    if (!project) throw new Error("That project is not there any more.");
    const { title, language, form, from } = project;
    return this.put({ title, language, form, from, files: new Map(project.entries()) });
  }

  async remove(id) {
    this.#metas.delete(id);
    this.#open.delete(id);
    this.#dirty.delete(id);
    this.#removed.add(id);
    await this.#flush();
  }

  rename(id, title) {
    const wanted = title.trim().slice(0, MAX_TITLE);
    if (!wanted) return "Give the project a name.";
    const project = this.#open.get(id);
    if (project) {
      project.setTitle(wanted);
    } else if (this.#metas.has(id)) {
      this.#metas.set(id, { ...this.#metas.get(id), title: wanted });
      this.#mark(id, []);
    }
    return "";
  }

  /** Remembers what changed of a project and writes it. */
  changed(project, paths) {
    if (!this.#open.has(project.id)) return;
    this.#metas.set(project.id, project.meta());
    this.#mark(project.id, paths);
  }

  /** Resolves once everything is written, or writing failed. */
  async settled() {
    while (this.#writing) await this.#writing;
    return !this.#failed;
  }

  /** The page may go: what is not written yet is left where it is found again. */
  leave() {
    if (this.#dirty.size === 0 && !this.#writing) return;
    const left = [];
    for (const [id, paths] of [...this.#dirty, ...this.#inFlight]) {
      const project = this.#open.get(id);
      if (!project) continue;
      const texts = [...paths].map((path) => [path, project.content(path) ?? null]).filter(([, content]) => !(content instanceof Uint8Array));
      left.push({ meta: project.meta(), texts });
    }
    try {
      const text = JSON.stringify(left);
      if (text.length <= MAX_LEFT) localStorage.setItem(LEFT, text);
    } catch {
      // The transaction under way is the other chance.
    }
  }

  #inFlight = new Map();

  #opened(meta, files) {
    const project = new Project(meta, files, (paths) => this.changed(project, paths));
    this.#open.set(meta.id, project);
    return project;
  }

  #mark(id, paths) {
    const marked = this.#dirty.get(id) ?? new Set();
    for (const path of paths) marked.add(path);
    this.#dirty.set(id, marked);
    this.#flush();
  }

  #flush() {
    this.#writing ??= (async () => {
      // What changes in this turn of the event loop is one transaction.
      await null;
      while (this.#db && (this.#dirty.size > 0 || this.#removed.size > 0)) {
        const [dirty, removed] = [this.#dirty, this.#removed];
        [this.#dirty, this.#removed, this.#inFlight] = [new Map(), new Set(), dirty];
        try {
          await this.#write(dirty, removed);
          this.#inFlight = new Map();
          localStorage.removeItem(LEFT);
          if (this.#failed) this.#report("");
          this.#failed = false;
        } catch (error) {
          this.#inFlight = new Map();
          // Marked again, and tried again with the next change.
          for (const [id, paths] of dirty) this.#dirty.set(id, new Set([...paths, ...(this.#dirty.get(id) ?? [])]));
          for (const id of removed) this.#removed.add(id);
          this.#failed = true;
          this.#report(error?.name === "QuotaExceededError" ? FULL : `${REFUSED} (${shown(error?.message ?? error, 120)})`);
          break;
        }
      }
      this.#writing = null;
    })();
    return this.#writing;
  }

  async #write(dirty, removed) {
    const changes = [];
    for (const [id, paths] of dirty) {
      const meta = this.#metas.get(id);
      if (!meta) continue;
      const project = this.#open.get(id);
      if (project && tooLong(project)) throw new Error(`“${shown(project.title)}” has grown beyond ${MAX_KEPT >> 20} MiB, which is more than is kept`);
      changes.push({ meta, id, files: project ? [...paths].map((path) => ({ project: id, path, content: project.content(path) })) : [] });
    }
    const transaction = this.#db.transaction(["projects", "files", "versions"], "readwrite");
    const [projects, files, versions] = ["projects", "files", "versions"].map((name) => transaction.objectStore(name));
    const asked = [];
    for (const id of removed) asked.push(projects.delete(id), files.delete(rangeOf(id)), versions.delete(rangeOf(id)));
    for (const { meta, id, files: written } of changes) {
      asked.push(projects.put(meta));
      for (const file of written) asked.push(file.content === undefined ? files.delete([id, file.path]) : files.put(file));
    }
    transaction.commit?.();
    await Promise.all([...asked, transaction.done]);
  }

  #freeTitle(title) {
    const wanted = String(title).trim().slice(0, MAX_TITLE - 5) || "project";
    const taken = new Set([...this.#metas.values()].map((meta) => meta.title));
    for (let number = 1; ; number++) {
      const free = number === 1 ? wanted : `${wanted} ${number}`;
      if (!taken.has(free)) return free;
    }
  }

  /** What a page left that went before everything was written. */
  async #takeLeft() {
    const left = parsed(read(LEFT));
    if (!Array.isArray(left)) return;
    for (const { meta, texts } of left) {
      if (typeof meta?.id !== "string" || !Array.isArray(texts)) continue;
      this.#metas.set(meta.id, meta);
      const project = await this.open(meta.id);
      for (const [path, text] of texts) {
        if (typeof text === "string") project.write(path, text);
        else if (text === null) project.remove(path);
      }
      this.changed(project, []);
    }
    await this.settled();
  }

  /** The draft of the time before projects becomes one, once. */
  async #takeOld() {
    const source = read(OLD_SOURCE);
    const old = parsed(read(OLD_FORM));
    if (source === null && !old) return;
    const { files, language, ...form } = template(typeof old?.template === "string" ? old.template : "hello");
    if (source !== null) files.set("service.ts", source);
    for (const key of Object.keys(old ?? {})) if (typeof old[key] === "string") form[key] = old[key];
    try {
      this.put({ title: form.name || "draft", language, form, files });
    } catch {
      // Too long to become a project: it stays where it was.
      return;
    }
    if (this.#db && (await this.settled())) for (const key of [OLD_SOURCE, OLD_FORM]) localStorage.removeItem(key);
  }
}

function tooLong(project) {
  let bytes = 0;
  for (const [, content] of project.entries()) bytes += typeof content === "string" ? utf8Length(content) : content.byteLength;
  return bytes > 2 * MAX_KEPT;
}

/** All keys of a project: an array is behind every number and text. */
export function rangeOf(id) {
  return IDBKeyRange.bound([id], [id, []]);
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36).padStart(2, "0")).join("");
}

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
