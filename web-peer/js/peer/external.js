// Sessions with services that run outside of all tabs: to a program they are like any other, and each call is one request by
// HTTP. The requests are made in a frame of an origin of its own, /sandbox/external.html: the page's own policy stays as it is.

/** Calls of one peer at a time, and its open sessions. */
const MAX_CALLS = 64;
const MAX_SESSIONS = 1_024;
/** Bytes of a body; what a service in a tab takes. */
const MAX_BODY = 256 * 1024;
/** Calls of one session that wait for those before, and their bytes: what a session with a service in a tab takes. */
const MAX_WAITING = 1_024;
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** A call is given up after this time if its caller names none; and the longest that a caller may name. */
const CALL_MS = 30_000;
const LONGEST_MS = 3_600_000;
/** How long the frame may take to load. */
const FRAME_MS = 15_000;
/** Characters of what a server says of a failure. */
const MAX_WORDS = 300;
/** Whoever is told to come back later and not when, comes back after this time. */
const RETRY_MS = 1_000;

/** What a status means, where its hundred does not tell. */
const CODES = {
  401: 'not-permitted', 403: 'not-permitted', 407: 'not-permitted', 451: 'not-permitted',
  404: 'not-found', 405: 'not-found', 410: 'not-found', 501: 'not-found',
  408: 'deadline', 504: 'deadline', 429: 'overloaded', 503: 'no-server',
};

/** All calls of one peer to services that run elsewhere. */
export class External {
  #base;
  #fail;
  #frame;
  #calls = new Map();
  #next = 1;
  #sessions = 0;

  /** The frame lies under `base`; `fail(code, message, details)` makes an error. */
  constructor(base, fail) {
    this.#base = base;
    this.#fail = fail;
  }

  /**
   * A session with the service that `info` describes (the kernel's `ExternalInfo`): what a `Session` is made of, and what it asks.
   * `closed` is told when it is closed.
   */
  open(info, closed) {
    if (info.loopback && !isLoopback(location.hostname)) {
      const why = `it runs at ${info.origin}, on the machine of whoever calls it: such an address is for development`;
      throw this.#error(info, 'not-permitted', why);
    }
    if (this.#sessions >= MAX_SESSIONS) throw this.#fail('overloaded', 'this peer has too many sessions', { retryAfterMs: 5 * RETRY_MS });
    this.#sessions += 1;
    const id = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const session = { id, service: info.service, server: info.origin, epoch: 0, term: 0, path: 'external' };
    const door = this.#door(info, () => {
      this.#sessions -= 1;
      closed(id);
    });
    return { session, ask: async (use) => use(door, 0) };
  }

  /** Ends with the peer. */
  close() {
    this.#frame?.element.remove();
    this.#frame = undefined;
    for (const { reject } of this.#calls.values()) reject(this.#fail('disconnected', 'the peer has left'));
    this.#calls.clear();
  }

  /** What a session asks of a peer's kernel, asked of a server. */
  #door(info, closed) {
    let [last, waiting, held] = [Promise.resolve(), 0, 0];
    const never = (what) => async () => {
      throw this.#error(info, 'refused', `${info.service} runs at ${info.origin}, outside of all tabs: it takes calls, and no ${what}`);
    };
    const query = async (_, __, method, body, ms) => {
      if (this.#method(info, method).readOnly) return this.#call(info, method, body, timeOf(ms));
      throw this.#error(info, 'refused', `${method} may change something: call it`);
    };
    return {
      query,
      read: async (...args) => ({ body: await query(...args), server: info.origin, ageMs: 0 }),
      // One after the other, as a session promises; each within its own time from now.
      call: (_, __, method, body, ms) => {
        this.#check(info, method, body);
        if (waiting >= MAX_WAITING || held + body.length > MAX_WAITING_BYTES) {
          throw this.#fail('overloaded', 'too many calls of this session wait for their server', { retryAfterMs: RETRY_MS });
        }
        const until = performance.now() + timeOf(ms);
        // A copy: whoever called may write into the buffer while the call waits.
        const kept = body.slice();
        [waiting, held] = [waiting + 1, held + kept.length];
        const made = last
          .then(() => this.#call(info, method, kept, until - performance.now()))
          .finally(() => ([waiting, held] = [waiting - 1, held - kept.length]));
        last = made.catch(() => {});
        return made;
      },
      message: never('messages'),
      datagram: never('datagrams'),
      closeSession: async () => closed(),
    };
  }

  /** The method, if a call of it may be made at all. */
  #check(info, name, body) {
    const method = this.#method(info, name);
    if (body.length > MAX_BODY) throw this.#error(info, 'refused', `${body.length} bytes are too many; at most ${MAX_BODY} are allowed`);
    return method;
  }

  #method(info, name) {
    if (Object.hasOwn(info.methods, name)) return info.methods[name];
    throw this.#error(info, 'refused', `${info.service} has no method of this name`);
  }

  /** One request, within `ms` from now. */
  async #call(info, name, body, ms) {
    const { jsonBody, readOnly } = this.#check(info, name, body);
    if (this.#calls.size >= MAX_CALLS) throw this.#fail('overloaded', 'too many calls are under way', { retryAfterMs: RETRY_MS });
    const late = () => this.#error(info, 'deadline', `the deadline passed: ${info.origin} did not answer in time`);
    if (ms <= 0) throw late();
    const answer = await this.#ask({
      url: `${info.url.replace(/\/+$/, '')}/${name}`,
      // A copy: a view would bring all of its buffer along.
      body: body.slice(),
      type: jsonBody ? 'application/json' : 'application/octet-stream',
      key: crypto.getRandomValues(new Uint32Array(4)).join('-'),
      ms,
    });
    if (answer.failed === 'deadline') throw late();
    if (answer.failed === 'redirect') throw this.#error(info, 'refused', `${info.origin} redirects to another address, which is not followed`);
    if (answer.failed === 'size') throw this.#error(info, 'trapped', `the service failed: its reply has more than ${MAX_BODY} bytes`);
    if (answer.failed) {
      const why = `no answer came from ${info.origin}: it cannot be reached, or does not take calls from web pages (CORS)`;
      throw readOnly
        ? this.#error(info, 'disconnected', why)
        : this.#error(info, 'unknown-outcome', `it is not known whether the call was executed: ${why}`);
    }
    if (answer.status >= 200 && answer.status < 300) return answer.body;
    throw this.#refusal(info, answer);
  }

  /** What a server that answered and did not do it says. */
  #refusal(info, { status, kind, retryAfter, body }) {
    const code = CODES[status] ?? (status >= 500 ? 'trapped' : 'refused');
    const said = words(kind ?? '', body);
    const details = code === 'overloaded' || code === 'no-server' ? { retryAfterMs: waitOf(retryAfter) } : undefined;
    return this.#error(info, code, `${info.origin} answered ${status}${said && `: ${said}`}`, details);
  }

  #error({ origin }, code, message, details) {
    return this.#fail(code, message, { origin, ...details });
  }

  async #ask(call) {
    const id = this.#next++;
    const answered = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    // The frame ends its request by itself; whoever waits does not depend on it.
    const timer = setTimeout(() => this.#calls.get(id)?.resolve({ failed: 'deadline' }), call.ms);
    try {
      this.#frame ??= this.#load();
      const port = await Promise.race([this.#frame.ready, answered.then(() => undefined)]);
      port?.postMessage({ id, ...call });
      return await answered;
    } finally {
      clearTimeout(timer);
      this.#calls.delete(id);
    }
  }

  #load() {
    const element = document.createElement('iframe');
    element.setAttribute('sandbox', 'allow-scripts');
    element.setAttribute('aria-hidden', 'true');
    element.tabIndex = -1;
    element.hidden = true;
    element.src = `${this.#base}/sandbox/external.html`;
    const ready = new Promise((resolve, reject) => {
      const settle = (act) => {
        clearTimeout(timer);
        removeEventListener('message', listen);
        act();
      };
      const listen = ({ source, data }) => {
        if (source !== element.contentWindow || data?.ready !== true) return;
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => this.#calls.get(data.id)?.resolve(data);
        // The frame's origin is opaque, so the target can only be `*`; the port is for our own frame.
        source.postMessage(null, '*', [port2]);
        settle(() => resolve(port1));
      };
      const late = () => settle(() => {
        this.#frame = undefined;
        element.remove();
        reject(this.#fail('disconnected', 'the frame that calls services elsewhere could not be loaded'));
      });
      const timer = setTimeout(late, FRAME_MS);
      addEventListener('message', listen);
    });
    ready.catch(() => {});
    document.documentElement.append(element);
    return { element, ready };
  }
}

function isLoopback(host) {
  return host === '127.0.0.1' || host === '[::1]' || host === 'localhost' || host.endsWith('.localhost');
}

function timeOf(ms) {
  return Math.min(ms > 0 ? ms : CALL_MS, LONGEST_MS);
}

/** `Retry-After` in seconds; a date is not read. */
function waitOf(text) {
  const seconds = Number.parseInt(text ?? '', 10);
  return seconds >= 0 ? Math.min(seconds * 1_000, LONGEST_MS) : RETRY_MS;
}

/** What a server says of a failure, in words for a person: a problem document's, or a plain text. */
function words(kind, body) {
  const text = new TextDecoder().decode(body);
  const plain = (value) => String(value).replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim().slice(0, MAX_WORDS);
  if (/^text\/plain\b/i.test(kind)) return plain(text);
  if (!/^application\/([\w.+-]+\+)?json\b/i.test(kind)) return '';
  try {
    const { detail, title, message, error } = JSON.parse(text) ?? {};
    return plain([detail, title, message, error].find((each) => typeof each === 'string') ?? '');
  } catch {
    return '';
  }
}
