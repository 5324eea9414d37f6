// What a project may be: names of files and sizes. The same rules hold for what is typed, imported and forked.

/** Files of a project. */
export const MAX_FILES = 64;
/** Bytes of all files of a project that are compiled, published, exported and imported; a module that was put in has a limit of its own. */
export const MAX_BYTES = 1024 * 1024;
/** Bytes of a project that this browser keeps: a text that grew too long is not lost. */
export const MAX_KEPT = 16 * 1024 * 1024;
/** Bytes of a module that was put in: what hosts take. */
export const MAX_MODULE = 16 * 1024 * 1024;
/** Projects of one browser. */
export const MAX_PROJECTS = 100;
/** Characters of a project's title. */
export const MAX_TITLE = 64;
/** Characters of what the form says. */
export const MAX_FORM = 256 * 1024;

/** The file of a project in the language `wasm`. */
export const MODULE = "module.wasm";
/** In a zip: what is no file of the project, its title, language and form. */
export const ABOUT = "tabfarm.json";
/** Longest path: `source/` is put before it in a package, where 128 are allowed. */
const MAX_PATH = 100;

/** What is wrong with the path of a file, in words; null when nothing is. */
export function flawOfPath(path) {
  if (typeof path !== "string" || path === "") return "Give the file a name.";
  if (path.length > MAX_PATH) return `A file's name has at most ${MAX_PATH} characters.`;
  if (!/^[A-Za-z0-9/._\- @+]+$/.test(path)) return "A file's name is made of a–z, A–Z, 0–9, “.”, “_”, “-”, “@”, “+”, spaces and “/”.";
  if (path.split("/").some((part) => part === "" || part === "." || part === ".." || part === "__proto__" || part !== part.trim())) {
    return "A file's name has no empty parts, no “.” or “..” as a part, and no spaces at the ends.";
  }
  if (path === ABOUT) return `“${ABOUT}” is what an exported project says about itself. Choose another name.`;
  if (path.split("/")[0] === "node_modules") return "There are no packages but “tabfarm”. Choose another folder.";
  return null;
}

/** A text of unknown origin, short enough to be shown. */
export function shown(text, longest = 80) {
  const all = String(text);
  return all.length > longest ? `${all.slice(0, longest)}…` : all;
}

/** `1.4 MiB`. */
export function inUnits(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const kib = bytes / 1024;
  return kib < 1024 ? `${kib.toFixed(kib < 10 ? 1 : 0)} KiB` : `${(kib / 1024).toFixed(1)} MiB`;
}

/** Bytes of a text in UTF-8. */
export function utf8Length(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit > 0x7f) bytes += unit > 0x7ff ? 2 : 1;
    // The two halves of a pair are four bytes together.
    if (unit >= 0xd800 && unit < 0xe000) bytes -= 1;
  }
  return bytes;
}

/** A file's content from its bytes: text where it is text, else the bytes. */
export function contentOf(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.includes("\0") ? bytes : text;
  } catch {
    return bytes;
  }
}
