// What the app needs of the browser that has no binding: dynamic imports and reads that must not fail.

let ide = null;

/** The lazily loaded editor and compiler. A failed load may be tried again. */
export function loadIde() {
  ide ??= import("/app/ide.js").catch((error) => {
    ide = null;
    throw error;
  });
  return ide;
}

/** Joins a voice conference; what it takes is loaded then. See `voice/conference.js`. */
export async function joinConference(peer, service, name, nick, listen) {
  const { Conference } = await import("/app/voice/conference.js");
  return Conference.join(peer, service, name, nick, { listen });
}

/** A text kept for this person, or "" where nothing is kept or storage is forbidden. */
export function keptText(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** Keeps a text; false when the browser has no room or forbids it. */
export function keepText(key, text) {
  try {
    localStorage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

/** Fetches bytes of this origin, `null` where there are none. */
export async function fetchBytes(path) {
  const response = await fetch(path);
  if (!response.ok) return null;
  return new Uint8Array(await response.arrayBuffer());
}

/** Copies a text to the clipboard; false where that is not allowed. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** A text kept for this tab alone; it survives a reload. */
export function keptInTab(key) {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** Keeps a text for this tab; false where that is forbidden. */
export function keepInTab(key, text) {
  try {
    sessionStorage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

/** Brings what has just appeared into view, no further than needed. */
export function reveal(element) {
  element.scrollIntoView({ block: "nearest" });
}
