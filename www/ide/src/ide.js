// The lazily loaded half of the IDE: what the app imports when the IDE is first opened, or a service is forked.
//
// | module | holds |
// |---|---|
// | `limits`, `project` | what a project may be; one of them in memory |
// | `store`, `versions` | what this browser keeps: projects; what was published from them |
// | `zip`, `fork` | projects from files and from published services |
// | `editor` | CodeMirror over a project's files |
// | `compile`, `compiler-worker`, `wat-worker`, `script` | the compilers, each in a worker |
// | `templates` | what to begin with |

import { Workspace } from "./editor.js";
import { isWasm } from "./compile.js";
import { contentOf, flawOfPath, inUnits, MAX_BYTES, MAX_MODULE, MODULE, shown } from "./limits.js";
import { fromZip, toZip } from "./zip.js";

export { cancel, compile, warm } from "./compile.js";
export { fork, hasSource } from "./fork.js";
export { store } from "./store.js";
export { templateNames } from "./templates.js";
export { bringBack, remember, unchanged, versionsOf } from "./versions.js";

/** An editor of `project` in `el`. */
export function mount(el, project, changed) {
  return new Workspace(el, project, changed);
}

/** Hands a project to the person as a zip. Throws in words. */
export function download(project) {
  const url = URL.createObjectURL(new Blob([toZip(project)], { type: "application/zip" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${project.title.replace(/[^A-Za-z0-9._ -]+/g, "-") || "project"}.zip`;
  link.click();
  // The browser has read it long before.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A new project from a zip file that the person chose. Throws in words. */
export async function importZip(store, file) {
  return store.put(fromZip(await bytesOf(file, 2 * MAX_BYTES + MAX_MODULE), file.name));
}

/** Puts a file that the person chose into the project; a wasm module becomes `module.wasm` and the language `wasm`. Its path. Throws in words. */
export async function upload(project, file, folder) {
  const bytes = await bytesOf(file, MAX_MODULE);
  if (/\.wasm$/i.test(file.name)) {
    if (!isWasm(bytes)) throw new Error(`“${shown(file.name)}” is no wasm module: it does not begin as one.`);
    project.setLanguage("wasm");
    project.write(MODULE, bytes);
    return MODULE;
  }
  const path = `${folder}${file.name}`;
  const flaw = flawOfPath(path);
  if (flaw) throw new Error(`“${shown(file.name)}” is not taken. ${flaw}`);
  if (bytes.byteLength > MAX_BYTES) throw new Error(`“${shown(file.name)}” has ${inUnits(bytes.byteLength)}; at most ${inUnits(MAX_BYTES)} make a project.`);
  const refused = project.has(path) ? "" : project.add(path, "");
  if (refused) throw new Error(refused);
  project.write(path, contentOf(bytes));
  return path;
}

async function bytesOf(file, most) {
  if (file.size > most) throw new Error(`“${shown(file.name)}” has ${inUnits(file.size)}; at most ${inUnits(most)} are taken.`);
  return new Uint8Array(await file.arrayBuffer());
}
