// A project from what somebody published: everything in it is of unknown origin.

import { contentOf, flawOfPath, MAX_BYTES, shown, inUnits, MAX_FILES } from "./limits.js";
import { UI } from "./project.js";
import { languageOf } from "./zip.js";

const SOURCE = "source/";

/** Does a package bring its source? `assets` is what `Peer.package` resolves to as `ui`. */
export function hasSource(assets) {
  return Object.keys(assets ?? {}).some((path) => path.startsWith(SOURCE));
}

/** What `store.put` takes, from a package's assets. `form` is made from the manifest. Throws in words. */
export function forkOf(service, form, engine, assets) {
  const paths = Object.keys(assets);
  if (paths.length > MAX_FILES) throw new Error(`The package has ${paths.length} files; at most ${MAX_FILES} make a project.`);
  const files = new Map();
  let bytes = 0;
  for (const from of paths) {
    const path = from.startsWith(SOURCE) ? from.slice(SOURCE.length) : `${UI}${from}`;
    const flaw = flawOfPath(path);
    if (flaw) throw new Error(`The package has a file “${shown(from)}”, which is not taken. ${flaw}`);
    const content = assets[from];
    if (!(content instanceof Uint8Array)) continue;
    bytes += content.byteLength;
    if (bytes > MAX_BYTES) throw new Error(`The package's files are larger than ${inUnits(MAX_BYTES)} together.`);
    files.set(path, contentOf(content));
  }
  const language = engine === "quickjs" ? "script" : languageOf(files);
  return { title: String(form.name ?? "fork"), language, form, files, from: service };
}
