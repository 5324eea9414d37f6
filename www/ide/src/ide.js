// The lazily loaded half of the IDE: what the app imports when the IDE is first opened.

import { mount } from "./editor.js";

export { compile, warm } from "./compile.js";
export { template } from "./templates.js";

/** A text up to this many characters is kept at every change, a longer one when typing rests and when the page goes. */
const KEPT_AT_ONCE = 100_000;
const REST_MS = 500;

/**
 * As `mount`, with the text that this browser keeps under `key`, else `doc`. After each change the text is kept and
 * `changed(kept)` is called, where `kept` says whether the browser took it.
 */
export function mountKept(el, key, doc, changed) {
  let timer = 0;
  let pending = false;
  const keep = () => {
    clearTimeout(timer);
    pending = false;
    return write(key, editor.text());
  };
  const onChange = () => {
    if (editor.length() <= KEPT_AT_ONCE) return changed(keep());
    pending = true;
    clearTimeout(timer);
    timer = setTimeout(() => changed(keep()), REST_MS);
  };
  const onLeave = () => pending && keep();
  const editor = mount(el, read(key) ?? doc, onChange);
  addEventListener("pagehide", onLeave);
  document.addEventListener("visibilitychange", onLeave);
  const { destroy } = editor;
  editor.destroy = () => {
    onLeave();
    removeEventListener("pagehide", onLeave);
    document.removeEventListener("visibilitychange", onLeave);
    destroy();
  };
  return editor;
}

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, text) {
  try {
    localStorage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}
