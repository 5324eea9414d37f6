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
const told = (make) => new Promise((resolve) => {
  addEventListener('message', ({ data }) => { if (data === 'rtc') resolve(); });
  make();
});
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

/** A page's script that tells its opener or parent that it has what could talk to a network. */
const INNER = "'<scr' + 'ipt>if (window.RTCPeerConnection) for (const w of [parent, top, window.opener]) try { w.postMessage(\\'rtc\\', \\'*\\') } catch {}</scr' + 'ipt>'";
const tells = (make) => `() => told(() => { ${make} })`;
const append = "document.documentElement.append(e);";

/** Ways that the script of a service's own page might try besides: to find an RTCPeerConnection, to leave its frame, to open another window. */
export const PAGE = {
  ...FRAME,
  "RTCPeerConnection": "() => { must(globalThis.RTCPeerConnection) }",
  "webkitRTCPeerConnection": "() => { must(globalThis.webkitRTCPeerConnection) }",
  "RTCPeerConnection, put back": "() => { delete window.RTCPeerConnection; Object.defineProperty(window, 'RTCPeerConnection', { value: 1 }); must(window.RTCPeerConnection) }",
  "RTCPeerConnection of an empty frame": `() => { const e = document.createElement('iframe'); ${append} must(e.contentWindow.RTCPeerConnection); }`,
  "RTCPeerConnection of the parent": "() => { must(parent.RTCPeerConnection) }",
  "RTCPeerConnection of a popup": "() => { must(open('about:blank').RTCPeerConnection) }",
  "a frame with srcdoc": tells(`const e = document.createElement('iframe'); e.srcdoc = ${INNER}; ${append}`),
  "a frame with the attribute srcdoc": tells(`const e = document.createElement('iframe'); e.setAttribute('srcdoc', ${INNER}); ${append}`),
  "a frame with a javascript: address": tells(`const e = document.createElement('iframe'); e.src = 'javascript:' + JSON.stringify(${INNER}); ${append}`),
  "a frame with a data: address": tells(`const e = document.createElement('iframe'); e.src = 'data:text/html,' + ${INNER}; ${append}`),
  "a frame with a blob: address": tells(`const e = document.createElement('iframe'); e.src = URL.createObjectURL(new Blob([${INNER}], { type: 'text/html' })); ${append}`),
  "a frame written by innerHTML": tells(`const e = document.createElement('div'); e.innerHTML = '<if' + 'rame srcdoc="&lt;script&gt;parent.postMessage(window.RTCPeerConnection ? \\'rtc\\' : 0, \\'*\\')&lt;/script&gt;"></if' + 'rame>'; ${append}`),
  "a frame written by document.write": tells(`document.write('<if' + 'rame srcdoc="&lt;script&gt;parent.postMessage(window.RTCPeerConnection ? \\'rtc\\' : 0, \\'*\\')&lt;/script&gt;"></if' + 'rame>');`),
  "a frame with srcdoc, while regular expressions find nothing": tells(`const { exec, test } = RegExp.prototype; RegExp.prototype.exec = () => null; RegExp.prototype.test = () => false; try { const e = document.createElement('iframe'); e.srcdoc = ${INNER}; ${append} } finally { Object.assign(RegExp.prototype, { exec, test }); }`),
  "a frame by DOMParser": tells(`const d = new DOMParser().parseFromString('<if' + 'rame srcdoc="&lt;script&gt;parent.postMessage(window.RTCPeerConnection ? \\'rtc\\' : 0, \\'*\\')&lt;/script&gt;"></if' + 'rame>', 'text/html'); document.documentElement.append(document.adoptNode(d.body.firstChild));`),
  "an object with a data: address": tells(`const e = document.createElement('object'); e.data = 'data:text/html,' + ${INNER}; ${append}`),
  "an embed with a data: address": tells(`const e = document.createElement('embed'); e.type = 'text/html'; e.src = 'data:text/html,' + ${INNER}; ${append}`),
  "the page by a link": "() => { const e = Object.assign(document.createElement('a'), { href: 'http://CANARY/link', target: '_top' }); document.documentElement.append(e); e.click(); throw 'the canary sees it'; }",
  "a popup by a link": "() => { const e = Object.assign(document.createElement('a'), { href: 'http://CANARY/blank', target: '_blank' }); document.documentElement.append(e); e.click(); throw 'the canary sees it'; }",
  "a popup by a form": "() => { const e = Object.assign(document.createElement('form'), { action: 'http://CANARY/form', target: '_blank' }); document.documentElement.append(e); e.submit(); throw 'the canary sees it'; }",
  "navigating the page by its history": "() => { top.history.back(); }",
  "replacing the page": "() => { top.location.replace('http://CANARY/replace'); }",
  "prefetch": "() => { const e = Object.assign(document.createElement('link'), { rel: 'prefetch', href: 'http://CANARY/prefetch' }); document.head.append(e); return opened(e, 'load'); }",
  "preconnect": "() => { const e = Object.assign(document.createElement('link'), { rel: 'preload', as: 'image', href: 'http://CANARY/preload' }); document.head.append(e); return opened(e, 'load'); }",
  "the microphone": "() => navigator.mediaDevices.getUserMedia({ audio: true })",
  "the clipboard": "() => navigator.clipboard.readText()",
  "where the person is": "() => new Promise((done, fail) => navigator.geolocation.getCurrentPosition(done, fail))",
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
