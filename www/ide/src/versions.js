// What this browser published from each project, with its source: the last versions, so that they can be brought back.

import { inUnits } from "./limits.js";
import { rangeOf } from "./store.js";

/** Versions of a project; older ones are forgotten. */
const MAX_VERSIONS = 20;
/** Bytes of a version whose files are kept. */
const MAX_FILES_BYTES = 4 * 1024 * 1024;

/**
 * Remembers a publication: `said` is `{ service, package, version, size }`.
 * What cannot be kept is no reason to fail: the service is published.
 */
export async function remember(store, project, said) {
  if (!store.db) return;
  const entries = project.entries();
  const bytes = entries.reduce((sum, [, content]) => sum + (content.byteLength ?? content.length), 0);
  const { id, language, form } = project;
  const at = Date.now();
  await store.db.put("versions", { ...said, project: id, at, language, form, files: bytes > MAX_FILES_BYTES ? null : entries });
  const keys = await store.db.getAllKeys("versions", rangeOf(id));
  for (const key of keys.slice(0, -MAX_VERSIONS)) await store.db.delete("versions", key);
}

/** The versions of a project, newest first: `{ at, service, package, version, size, kept }`. */
export async function versionsOf(store, id) {
  const all = store.db ? await store.db.getAll("versions", rangeOf(id)) : [];
  return all.reverse().map(({ files, at, service, package: digest, version, size }) => ({ at, service, package: digest, version, size, kept: files !== null }));
}

/** Puts a version's files and form into the project. Throws in words. */
export async function bringBack(store, project, at) {
  const found = store.db && (await store.db.get("versions", [project.id, at]));
  if (!found?.files) throw new Error(`The source of that version is not kept any more; at most ${inUnits(MAX_FILES_BYTES)} of the last ${MAX_VERSIONS} versions are.`);
  project.replaceAll(new Map(found.files), found.form, found.language);
}

/** Is the project as it was when it was last published; that version, or null. */
export async function unchanged(store, project) {
  if (!store.db) return null;
  const cursor = await store.db.transaction("versions").store.openCursor(rangeOf(project.id), "prev");
  const last = cursor?.value;
  if (!last?.files || last.language !== project.language || JSON.stringify(last.form) !== JSON.stringify(project.form)) return null;
  const files = new Map(last.files);
  const now = project.entries();
  const same = now.length === files.size && now.every(([path, content]) => files.has(path) && isSame(files.get(path), content));
  return same ? { at: last.at, service: last.service, version: last.version } : null;
}

function isSame(a, b) {
  if (typeof a === "string" || typeof b === "string") return a === b;
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}
