// `tabfarm` in a service's own page that came by plain HTTP: the page's session, over a WebSocket of this relay. It has what the
// page finds in the app: call, query, send, datagram, ready, and the events message, datagram, moved, close.
(() => {
  "use strict";
  // A page of a service talks by its session alone. WebRTC is a way out that no CSP closes; an XMLHttpRequest would parse
  // files into documents whose frames nobody judged.
  for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection", "RTCDataChannel", "RTCIceTransport", "WebTransport", "XMLHttpRequest", "XSLTProcessor"]) {
    try {
      Object.defineProperty(window, name, { value: undefined, writable: false, configurable: false });
    } catch {
      // Not in this browser.
    }
  }
  // A frame would bring its own. The policy stops those with an address; those that are written stop here (Trusted Types).
  // Each expression keeps the methods of now: a page's script may change those that all of them have.
  const { exec, test } = RegExp.prototype;
  const lasting = (pattern) => Object.defineProperties(pattern, { exec: { value: exec }, test: { value: test } });
  const framing = lasting(/[<:](?:i?frame|frameset|object|embed|portal|fencedframe)|shadowrootmode|<!entity/i);
  const sourced = lasting(/srcdoc/i);
  const running = lasting(/^(?:javascript|data):/i);
  window.trustedTypes?.createPolicy("default", {
    createHTML: (text, type, sink) => (framing.test(text) || sourced.test(sink) ? null : text),
    createScriptURL: (url) => (running.test(url) ? null : url),
  });

  const service = document.currentScript.src.split("/s/")[1].split("/")[0];
  const encoder = new TextEncoder();
  const toBase64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const bytesOf = (body = new Uint8Array(0)) => {
    if (typeof body === "string") return encoder.encode(body);
    return body instanceof ArrayBuffer ? new Uint8Array(body) : new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  };
  const MAX_WAITING = 1_000;

  class Service extends EventTarget {
    #waiting = new Map();
    #early = [];
    #next = 1;
    #socket;
    #hello;
    #open = false;
    #ended = null;

    /** `{me, session: {service, server, epoch, term, path}}`, once known. */
    ready = new Promise((resolve) => (this.#hello = resolve));

    constructor() {
      super();
      const { protocol, host } = new URL(document.baseURI);
      this.#socket = new WebSocket(`${protocol === "https:" ? "wss" : "ws"}://${host}/s/${service}/session`);
      this.#socket.binaryType = "arraybuffer";
      this.#socket.onmessage = ({ data }) => this.#take(data);
      this.#socket.onclose = ({ reason }) => this.#end(reason || "the connection to the relay is lost");
    }

    /** Calls a method; resolves to the reply's bytes, rejects with an Error that has a `code`. */
    call(method, body) {
      return this.#ask("call", method, body);
    }

    /** A read-only call. */
    query(method, body) {
      return this.#ask("query", method, body);
    }

    /** Sends an ordered message. */
    send(body) {
      this.#say({ type: "send", base64: toBase64(bytesOf(body)) });
    }

    /** Sends a lossy message to the session's rooms. */
    datagram(body) {
      this.#say({ type: "datagram", base64: toBase64(bytesOf(body)) });
    }

    #ask(type, method, body) {
      return new Promise((resolve, reject) => {
        if (this.#ended !== null) return reject(failure("disconnected", this.#ended));
        if (this.#waiting.size >= MAX_WAITING) return reject(failure("overloaded", "too many calls wait"));
        const id = this.#next++;
        this.#waiting.set(id, { resolve, reject });
        this.#say({ type, id, method: String(method), base64: toBase64(bytesOf(body)) });
      });
    }

    #say(said) {
      if (this.#open) this.#socket.send(JSON.stringify(said));
      else if (this.#ended === null && this.#early.length < MAX_WAITING) this.#early.push(said);
    }

    #take(data) {
      if (data instanceof ArrayBuffer) return this.#emit("message", new Uint8Array(data));
      const said = JSON.parse(data);
      const waiting = this.#waiting.get(said.id);
      this.#waiting.delete(said.id);
      const session = { service, server: said.server, epoch: said.epoch, term: said.term, path: "relayed" };
      switch (said.type) {
        case "open":
          this.#open = true;
          this.#early.splice(0).forEach((early) => this.#say(early));
          return this.#hello({ me: null, session });
        case "reply":
          return waiting?.resolve("base64" in said ? fromBase64(said.base64) : encoder.encode(JSON.stringify(said.body)));
        case "error":
          return waiting?.reject(failure(said.code, said.message));
        case "moved":
          return this.#emit("moved", session);
        case "datagram":
          return this.#emit("datagram", fromBase64(said.base64));
        case "close":
          return this.#end(said.reason);
      }
    }

    #end(reason) {
      if (this.#ended !== null) return;
      this.#ended = reason;
      this.#open = false;
      this.#waiting.forEach(({ reject }) => reject(failure("disconnected", reason)));
      this.#waiting.clear();
      this.#emit("close", reason);
    }

    #emit(type, detail) {
      this.dispatchEvent(new CustomEvent(type, { detail }));
    }
  }

  function failure(code, message) {
    return Object.assign(new Error(message), { code });
  }

  window.tabfarm = new Service();
})();
