// A session as a page has it: calls, messages, events.

import { NOTHING, bytes } from './bodies.js';
import { TabfarmError } from './errors.js';

/** Messages kept for a session until somebody listens; more are dropped, oldest first. */
const MAX_BACKLOG = 1_024;

// What the peer alone may tell a session.
export const ended = Symbol('ended');
export const failed = Symbol('failed');
export const moved = Symbol('moved');
export const received = Symbol('received');

export class Session extends EventTarget {
  #info;
  #ask;
  #measures;
  #closed = false;
  #backlog = { message: [], datagram: [] };
  #heard = new Set();

  /** Use `Peer.open`. */
  constructor(info, ask, measures) {
    super();
    this.#info = info;
    this.#ask = ask;
    this.#measures = measures;
  }

  get id() {
    return this.#info.id;
  }
  get service() {
    return this.#info.service;
  }
  get server() {
    return this.#info.server;
  }
  get epoch() {
    return this.#info.epoch;
  }
  get term() {
    return this.#info.term;
  }
  get path() {
    return this.#info.path;
  }

  async call(method, body = NOTHING, { deadlineMs = 0 } = {}) {
    return this.#timed((raw, id) => raw.call(id, this.id, String(method), bytes(body), deadlineMs));
  }

  async query(method, body = NOTHING, { deadlineMs = 0 } = {}) {
    return this.#timed((raw, id) => raw.query(id, this.id, String(method), bytes(body), deadlineMs));
  }

  async read(method, body = NOTHING, { maxAgeMs = 0, deadlineMs = 0 } = {}) {
    return this.#timed((raw, id) => raw.read(id, this.id, String(method), bytes(body), deadlineMs, maxAgeMs));
  }

  send(body) {
    this.#quietly((raw, id) => raw.message(id, this.id, bytes(body)));
  }

  datagram(body) {
    this.#quietly((raw, id) => raw.datagram(id, this.id, bytes(body)));
  }

  close() {
    if (!this.#closed) this.#quietly((raw, id) => raw.closeSession(id, this.id));
  }

  /** What came before anybody listened is delivered to the first listener. */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (!(type in this.#backlog) || this.#heard.has(type)) return;
    this.#heard.add(type);
    queueMicrotask(() => {
      const waiting = this.#backlog[type];
      this.#backlog[type] = undefined;
      for (const detail of waiting) this.dispatchEvent(new CustomEvent(type, { detail }));
    });
  }

  [received](type, detail) {
    const backlog = this.#backlog[type];
    if (!backlog) return void this.dispatchEvent(new CustomEvent(type, { detail }));
    if (backlog.length === MAX_BACKLOG) backlog.shift();
    backlog.push(detail);
  }

  [moved](info) {
    this.#info = info;
    this.dispatchEvent(new CustomEvent('moved', { detail: info }));
  }

  [failed]({ code = 'refused', message }) {
    this.dispatchEvent(new CustomEvent('error', { detail: { code, message } }));
  }

  [ended](reason) {
    this.#closed = true;
    this.dispatchEvent(new CustomEvent('close', { detail: { reason } }));
  }

  #use(give) {
    if (this.#closed) return Promise.reject(new TabfarmError('disconnected', 'the session is closed'));
    return this.#ask(give);
  }

  /** As `#use`, for calls: how long each took is summed up. */
  async #timed(give) {
    const [service, start] = [this.service, performance.now()];
    let ok = false;
    try {
      const value = await this.#use(give);
      ok = true;
      return value;
    } finally {
      this.#measures.take(service, performance.now() - start, ok);
    }
  }

  /** For what returns nothing: a failure shows as an `error` event of the session. */
  #quietly(give) {
    this.#use(give).catch((error) => this[failed](error));
  }
}
