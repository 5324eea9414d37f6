// What the app asks of the device: power, the screen, to be left awake. Each may be missing or refused; none of it throws.

/**
 * Tells `changed` whether the device runs on mains power, at once and after each change: `true`, `false`, or `null` where the browser does not
 * say. Returns what stops it.
 */
export function watchPower(changed) {
  const off = new AbortController();
  const begin = async () => {
    const battery = await navigator.getBattery?.();
    if (off.signal.aborted) return;
    if (!battery) return changed(null);
    const tell = () => changed(battery.charging);
    battery.addEventListener("chargingchange", tell, { signal: off.signal });
    tell();
  };
  begin().catch(() => off.signal.aborted || changed(null));
  return () => off.abort();
}

/**
 * Holds a Web Lock until the returned function is called: browsers do not put pages to sleep that hold one. It is shared, so it keeps no
 * other tab waiting.
 */
export function stayAwake() {
  const off = new AbortController();
  const request = navigator.locks?.request("tabfarm-hosting", { mode: "shared", signal: off.signal }, () =>
    new Promise((done) => off.signal.addEventListener("abort", done)));
  request?.catch(() => {});
  return () => off.abort();
}

/** Can this browser keep the screen on. */
export const knowsScreen = () => "wakeLock" in navigator;

/**
 * Keeps the screen on until the returned function is called. The browser lets go whenever the page is hidden, so it is asked again when
 * the page is shown. `changed` hears whether the screen is kept on now.
 */
export function keepScreen(changed) {
  const off = new AbortController();
  let lock = null;
  const ask = async () => {
    if (document.visibilityState !== "visible" || lock) return;
    try {
      const got = await navigator.wakeLock.request("screen");
      if (off.signal.aborted) return void got.release();
      lock = got;
      lock.addEventListener("release", () => {
        lock = null;
        if (!off.signal.aborted) changed(false);
      });
      changed(true);
    } catch {
      if (!off.signal.aborted) changed(false);
    }
  };
  document.addEventListener("visibilitychange", ask, { signal: off.signal });
  ask();
  return () => {
    off.abort();
    lock?.release().catch(() => {});
  };
}

/** Moves an element by `x` and `y` of its own units, or puts it there at once where people want no motion. */
export function fly(element, x, y, ms) {
  const end = `translate(${x}px, ${y}px)`;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    element.style.transform = end;
    return;
  }
  element.animate([{ transform: "translate(0, 0)" }, { transform: end }], { duration: ms, easing: "ease-in-out", fill: "forwards" });
}

/** Focuses an element by its id. */
export function focusOn(id) {
  document.getElementById(id)?.focus();
}
