// Attempts to get out of the sandbox, each a function that runs inside the frame or a worker of it. A probe that throws,
// rejects or finds nothing is contained; one that resolves got out. `CANARY` is replaced by the host and port of a
// server that must see no connection.

/** Resolves `got out` when the promise does within 1.5 s; most ways fail by an event, some never answer at all. */
const HELPERS = `
const settle = (attempt) => Promise.race([
  Promise.resolve().then(attempt).then(() => 'got out', (error) => 'contained: ' + error),
  new Promise((done) => setTimeout_(done, 1500, 'contained: no answer')),
]);
const opened = (target, good, bad = 'error') => new Promise((resolve, reject) => {
  if (target === undefined) reject('absent');
  target['on' + good] = () => resolve();
  target['on' + bad] = () => reject('refused');
});
const must = (value) => { if (value === undefined || value === null) throw 'absent'; return value; };
const has = (value) => { if (value === undefined) throw 'absent'; };
`;

/** Ways that a worker's script might try. */
export const WORKER = {
  "fetch": "() => fetch('http://CANARY/fetch', { mode: 'no-cors' })",
  "fetch, keepalive": "() => fetch('http://CANARY/fetch2', { mode: 'no-cors', method: 'POST', keepalive: true, body: 'x' })",
  "XMLHttpRequest": "() => { const r = new XMLHttpRequest(); r.open('GET', 'http://CANARY/xhr'); const o = opened(r, 'load'); r.send(); return o; }",
  "XMLHttpRequest, synchronous": "() => { const r = new XMLHttpRequest(); r.open('GET', 'http://CANARY/xhr', false); r.send(); }",
  "WebSocket": "() => opened(new WebSocket('ws://CANARY/ws'), 'open')",
  "WebSocketStream": "() => new WebSocketStream('ws://CANARY/wss').opened",
  "EventSource": "() => opened(new EventSource('http://CANARY/es'), 'open')",
  "WebTransport": "() => new WebTransport('https://CANARY/wt').ready",
  "importScripts": "() => importScripts('http://CANARY/import.js')",
  "importScripts of a data URL": "() => importScripts('data:text/javascript,1')",
  "import()": "() => import('http://CANARY/import.mjs')",
  "sendBeacon": "() => { navigator.sendBeacon('http://CANARY/beacon', 'x'); throw 'the canary sees it'; }",
  "FontFace": "() => new FontFace('x', 'url(http://CANARY/font)').load()",
  "IndexedDB": "() => opened(indexedDB.open('x'), 'success')",
  "caches": "() => caches.open('x')",
  "private file system": "() => navigator.storage.getDirectory()",
  "locks": "() => navigator.locks.request('x', () => {})",
  "localStorage": "() => must(localStorage)",
  "cookieStore": "() => cookieStore.set('a', 'b')",
  "document": "() => must(document)",
  "eval": "() => eval('1')",
  "Function": "() => new Function('return 1')()",
  "the constructor of functions": "() => (() => {}).constructor('return 1')()",
  "the constructor of async functions": "() => (async () => {}).constructor('return 1')()",
  "a timer with text": "() => new Promise((done) => { self.done_ = done; setTimeout('self.done_()', 1); })",
  "a worker from the network": "() => opened(new Worker('http://CANARY/worker.js'), 'message')",
  "a shared worker": "() => { const w = new SharedWorker('http://CANARY/shared.js'); return opened(w.port, 'message'); }",
  "a nested worker's fetch": "() => nested(\"fetch('http://CANARY/nested', { mode: 'no-cors' }).then(() => postMessage(1))\")",
  "a nested worker's WebSocket": "() => nested(\"new WebSocket('ws://CANARY/nested').onopen = () => postMessage(1)\")",
  "a nested worker's importScripts": "() => nested(\"importScripts('http://CANARY/nested.js'); postMessage(1)\")",
  "a nested worker's import()": "() => nested(\"import('http://CANARY/nested.mjs').then(() => postMessage(1))\")",
  "BroadcastChannel": "() => { new BroadcastChannel('tabfarm-test').postMessage('out'); throw 'sent; the page sees whether it came'; }",
  "RTCPeerConnection": "() => has(globalThis.RTCPeerConnection)",
  "a service worker": "() => navigator.serviceWorker.register('http://CANARY/sw.js')",
  "notifications": "() => { if (Notification.permission !== 'granted') throw 'not granted'; }",
  "opener or parent": "() => must(globalThis.parent ?? globalThis.opener)",
  "USB": "() => navigator.usb.requestDevice({ filters: [] })",
  "serial ports": "() => navigator.serial.requestPort()",
};

/** Ways that a script of the frame might try, besides those of a worker. RTCPeerConnection exists there and is why no guest runs there. */
export const FRAME = {
  ...Object.fromEntries(Object.entries(WORKER).filter(([name]) => !["RTCPeerConnection", "document", "opener or parent", "importScripts", "importScripts of a data URL"].includes(name))),
  "image": "() => opened(Object.assign(new Image(), { src: 'http://CANARY/image' }), 'load')",
  "script": "() => { const e = Object.assign(document.createElement('script'), { src: 'http://CANARY/script.js' }); document.head.append(e); return opened(e, 'load'); }",
  "stylesheet": "() => { const e = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: 'http://CANARY/style.css' }); document.head.append(e); return opened(e, 'load'); }",
  "background": "() => { document.documentElement.style.background = 'url(http://CANARY/background)'; throw 'the canary sees it'; }",
  "nested frame": "() => { const e = Object.assign(document.createElement('iframe'), { src: 'http://CANARY/frame' }); document.documentElement.append(e); throw 'the canary sees it'; }",
  "object": "() => { const e = Object.assign(document.createElement('object'), { data: 'http://CANARY/object' }); document.documentElement.append(e); return opened(e, 'load'); }",
  "video": "() => { const e = Object.assign(document.createElement('video'), { src: 'http://CANARY/video' }); return opened(e, 'loadeddata'); }",
  "form": "() => { const e = Object.assign(document.createElement('form'), { action: 'http://CANARY/form' }); document.documentElement.append(e); e.submit(); throw 'the canary sees it'; }",
  "popup": "() => must(open('http://CANARY/popup'))",
  "link with ping": "() => { const e = Object.assign(document.createElement('a'), { href: '#x', ping: 'http://CANARY/ping' }); document.documentElement.append(e); e.click(); throw 'the canary sees it'; }",
  "the page's document": "() => must(parent.document)",
  "the page's storage": "() => must(parent.localStorage)",
  "session storage": "() => must(sessionStorage)",
  "cookies": "() => { document.cookie = 'a=b'; if (document.cookie === '') throw 'not kept'; }",
  "navigating the page": "() => { top.location = 'http://CANARY/top'; throw 'the canary sees it'; }",
};

/** A script that runs the probes and hands `report` an object of their results. */
export function script(probes, canary) {
  const attempts = Object.entries(probes).map(([name, attempt]) => `[${JSON.stringify(name)}, ${attempt}]`).join(",\n");
  return `const probing = (() => {
${HELPERS}
const nested = (text) => opened(new Worker(URL.createObjectURL(new Blob([text]))), 'message');
const attempts = [${attempts}];
return Promise.all(attempts.map(async ([name, attempt]) => [name, await settle(attempt)])).then(Object.fromEntries);
})();
`.replaceAll("CANARY", canary);
}
