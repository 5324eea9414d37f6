// A service's own UI: a frame of opaque origin that reaches its session and nothing else.
//
// The frame is `/sandbox/ui.html`, whose script takes away RTCPeerConnection before anything of the service is parsed and then
// writes the service's page into itself. Between page and frame there is one MessagePort; bodies are Uint8Array.
//
// | from | message |
// |---|---|
// | page | `{type: "hello", me, session: {service, server, epoch, term, path}}` once, first |
// | page | `{type: "message"\|"datagram", body}`, `{type: "moved", session}`, `{type: "close", reason}` |
// | page | `{type: "reply", id, body}` or `{type: "failed", id, code, message}`, one for each call or query |
// | frame | `{type: "call"\|"query", id, method, body}`, `{type: "send"\|"datagram", body}` |

/** Calls of one frame that wait for their reply; more are refused at once. */
const MAX_WAITING = 64;
/** The longest name of a method. */
const MAX_METHOD = 256;

/** Messages that came before the UI could listen; more are dropped, oldest first. */
const MAX_EARLY = 64;

const early = new WeakMap();

/** Keeps what `session` receives until its UI is shown. Call it as soon as the session is open. */
export function keepEarly(session) {
  const kept = { messages: [], off: new AbortController() };
  early.set(session, kept);
  for (const type of ["message", "datagram"]) {
    const keep = ({ detail: body }) => {
      if (kept.messages.length === MAX_EARLY) kept.messages.shift();
      kept.messages.push({ type, body });
    };
    session.addEventListener(type, keep, { signal: kept.off.signal });
  }
}

/** Stops keeping: the service has no UI, or it listens itself. What was kept is handed back. */
export function releaseEarly(session) {
  const kept = early.get(session);
  early.delete(session);
  kept?.off.abort();
  return kept?.messages ?? [];
}

/** Shows the UI `assets` (`{path: Uint8Array}`) of a service in `host`, starting with the page `entry`. */
export function showServiceUi(host, session, assets, entry, me) {
  const frame = document.createElement("iframe");
  frame.title = "The service's own page";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.referrerPolicy = "no-referrer";
  const { port1: port, port2: theirs } = new MessageChannel();
  const off = new AbortController();
  const describe = () => ({ service: session.service, server: session.server, epoch: Number(session.epoch), term: Number(session.term), path: session.path });
  const forward = (name, toMessage) => session.addEventListener(name, (event) => port.postMessage(toMessage(event.detail)), { signal: off.signal });

  port.onmessage = ({ data }) => serve(session, port, data);
  port.postMessage({ type: "hello", me, session: describe() });
  for (const message of releaseEarly(session)) port.postMessage(message);
  forward("message", (body) => ({ type: "message", body }));
  forward("datagram", (body) => ({ type: "datagram", body }));
  forward("moved", () => ({ type: "moved", session: describe() }));
  forward("close", (detail) => ({ type: "close", reason: String(detail?.reason ?? "") }));
  // Only the first load gets the port: a frame that navigated itself is not the service's page any more.
  frame.addEventListener("load", () => frame.contentWindow?.postMessage({ type: "tabfarm", assets, entry }, "*", [theirs]), { once: true });
  frame.src = "/sandbox/ui.html";
  host.replaceChildren(frame);
  return {
    remove() {
      off.abort();
      port.close();
      frame.remove();
    },
  };
}

const waiting = new WeakMap();

async function serve(session, port, data) {
  const { type, id, method } = data ?? {};
  const body = data?.body instanceof Uint8Array ? data.body : new Uint8Array(0);
  if (type === "send" || type === "datagram") {
    try {
      session[type](body);
    } catch (error) {
      port.postMessage({ type: "failed", id: null, ...inWords(error) });
    }
    return;
  }
  if ((type !== "call" && type !== "query") || typeof id !== "number" || typeof method !== "string" || method.length > MAX_METHOD) return;
  const before = waiting.get(port) ?? 0;
  if (before >= MAX_WAITING) {
    port.postMessage({ type: "failed", id, code: "overloaded", message: `more than ${MAX_WAITING} calls wait for their reply` });
    return;
  }
  waiting.set(port, before + 1);
  try {
    port.postMessage({ type: "reply", id, body: await session[type](method, body) });
  } catch (error) {
    port.postMessage({ type: "failed", id, ...inWords(error) });
  } finally {
    waiting.set(port, waiting.get(port) - 1);
  }
}

function inWords(error) {
  return { code: String(error?.code ?? "failed"), message: String(error?.message ?? error) };
}
