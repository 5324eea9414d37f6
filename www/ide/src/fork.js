// A project from what somebody published: everything in it is of unknown origin.

import { contentOf, flawOfPath, MAX_BYTES, shown, inUnits, MAX_FILES } from "./limits.js";
import { UI } from "./project.js";
import { languageOf } from "./zip.js";

const SOURCE = "source/";
/** Longest name of a service. */
const MAX_NAME = 64;

/** Does a package bring its source? `assets` is what `Peer.package` resolves to as `ui`. */
export function hasSource(assets) {
  return Object.keys(assets ?? {}).some((path) => path.startsWith(SOURCE));
}

/**
 * A new project of a package's assets: `{ id, name, left }`. `form` is made from the manifest; the name in it becomes one that no project of
 * this browser has, so that nothing is published over the original by accident. `left` are files that were left out. Throws in words.
 */
export function fork(store, service, form, engine, assets) {
  const { files, left } = filesOf(assets);
  const language = engine === "quickjs" ? "script" : languageOf(files);
  const name = freeName(form.name, store.names());
  const { id } = store.put({ title: name, language, form: { ...form, name }, files, from: service });
  return { id, name, left };
}

/** `chat-fork`, or `chat-fork-2` where that is taken. */
function freeName(original, taken) {
  const base = `${String(original ?? "").slice(0, MAX_NAME - 10).replace(/-fork(-\d+)?$/, "")}-fork`.replace(/^-+/, "");
  for (let number = 1; ; number++) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!taken.has(name)) return name;
  }
}

/** What becomes of a package's files: the page as it is shown, and the source that came with it. */
function filesOf(assets) {
  const paths = Object.keys(assets);
  if (paths.length > MAX_FILES) throw new Error(`The package has ${paths.length} files; at most ${MAX_FILES} make a project.`);
  const files = new Map();
  const left = [];
  let bytes = 0;
  // The page first: where the source has a file of the same name, what people see of the service is kept.
  const isSource = (path) => path.startsWith(SOURCE);
  for (const from of [...paths.filter((path) => !isSource(path)), ...paths.filter(isSource)]) {
    const path = isSource(from) ? from.slice(SOURCE.length) : `${UI}${from}`;
    const flaw = flawOfPath(path);
    if (flaw) throw new Error(`The package has a file “${shown(from)}”, which is not taken. ${flaw}`);
    const content = assets[from];
    if (!(content instanceof Uint8Array)) continue;
    if (files.has(path)) {
      left.push(from);
      continue;
    }
    bytes += content.byteLength;
    if (bytes > MAX_BYTES) throw new Error(`The package's files are larger than ${inUnits(MAX_BYTES)} together.`);
    files.set(path, contentOf(content));
  }
  return { files, left };
}
