// Tabfarm in a page: `Peer.join()` makes this tab a peer. Types and promises are in tabfarm.d.ts.

import init, { RawPeer } from './peer/web_peer.js';
import { Alarm } from './peer/alarm.js';
import { NOTHING, bytes } from './peer/bodies.js';
import { Checkpoints } from './peer/checkpoints.js';
import { TabfarmError, named } from './peer/errors.js';
import { External } from './peer/external.js';
import { identity } from './peer/identity.js';
import { Measures } from './peer/measures.js';
import { Pins } from './peer/pins.js';
import { addressesOf } from './peer/relays.js';
import { Session, ended, failed, moved, received } from './peer/session.js';

export { Session, TabfarmError };

/** How long `join` waits for a relay, in ms. */
const JOIN_TIME = 20_000;
/** How long `leave` waits for this browser's storage, in ms. */
const STORE_TIME = 5_000;
/** Where this script and its parts lie, without a slash at the end. */
const BASE = new URL('.', import.meta.url).href.slice(0, -1);

export class Peer extends EventTarget {
  #raw;
  #alarm;
  #identity;
  #left = false;
  #next = 1;
  #requests = new Map();
  #sessions = new Map();
  #checkpoints;
  #pins = new Pins();
  #measures = new Measures();
  #external = new External(BASE, (code, message, details) => new TabfarmError(code, message, details));
  #online = () => this.#raw.online();
  #shown = () => this.#raw.ring();
  /** The last moment in which the page runs: whoever is warm takes over at once. */
  #hidden = () => void this.#ask((id) => this.#raw.vanish(id)).catch(() => {});

  static async load() {
    await load();
  }

  static join(options = {}) {
    return Peer.#join(options).catch((error) => Promise.reject(named(error)));
  }

  static async #join(options) {
    const { relays, store = 'indexeddb', iceServers = [], name = '', timeoutMs = JOIN_TIME } = options;
    const [addresses, key] = await Promise.all([addressesOf(relays), identity(store), load()]);
    const peer = Peer.#start(key, name, iceServers);
    const usable = addresses.filter((address) => peer.#raw.relay(address));
    if (usable.length === 0) {
      peer.#close();
      throw new TabfarmError('disconnected', 'no relay to join was found');
    }
    try {
      await peer.#recall();
      await peer.#joined(timeoutMs);
    } catch (error) {
      peer.#close();
      throw error;
    }
    return peer;
  }

  static async alone() {
    try {
      const [key] = await Promise.all([identity('memory'), load()]);
      return Peer.#start(key, '', []);
    } catch (error) {
      throw named(error);
    }
  }

  static #start(key, name, iceServers) {
    try {
      return new Peer(key, name, iceServers);
    } catch (error) {
      key.release();
      throw new TabfarmError('refused', error.message);
    }
  }

  /** Use `Peer.join`. */
  constructor(key, name, iceServers) {
    super();
    this.#identity = key;
    this.#alarm = new Alarm(() => this.#raw.ring());
    try {
      this.#raw = new RawPeer(key.secret, name, iceServers, BASE, this.#page());
    } catch (error) {
      this.#alarm.close();
      throw error;
    }
    this.#checkpoints = new Checkpoints(key.stored ? this.#raw.id : undefined, (message) => {
      this.#report({ code: 'overloaded', message });
    });
    addEventListener('online', this.#online);
    addEventListener('pageshow', this.#shown);
    addEventListener('pagehide', this.#hidden);
    document.addEventListener('freeze', this.#hidden);
  }

  get id() {
    return this.#raw.id;
  }

  status() {
    const status = this.#raw.status() ?? { joined: false, peers: [], relays: [], hosting: [], waiting: [], sessions: [], volunteer: null };
    return { id: this.id, ...status };
  }

  sessions() {
    return [...this.#sessions.values()];
  }

  async publish(pkg) {
    let text, code, assets;
    try {
      const { manifest, ui = {} } = pkg;
      // What runs elsewhere has no module.
      const { module = manifest.engine === 'url' ? NOTHING : undefined } = pkg;
      text = new TextEncoder().encode(JSON.stringify(manifest));
      code = bytes(module);
      assets = Object.entries(ui).map(([path, body]) => [path, bytes(body)]);
    } catch (error) {
      throw new TabfarmError('invalid-package', `a package is { manifest, module, ui }: ${error.message}`);
    }
    return this.#ask((id) => this.#raw.publish(id, text, code, assets));
  }

  async find(query = {}) {
    const { name, text, tag, near = [] } = query;
    if (near.length !== 0 && !(near.length === 3 && near.every(Number.isFinite))) {
      throw new TabfarmError('refused', '`near` is [latitude, longitude, kilometres]');
    }
    const found = await this.#ask((id) => this.#raw.find(id, name, text, tag, Float64Array.from(near)));
    const pinned = name && this.#pins.resolve(String(name));
    // Sorting is stable, and keeps what else the list says.
    return pinned === name ? found : found.sort((one, other) => (other.id === pinned) - (one.id === pinned));
  }

  async open(service, { deadlineMs = 0 } = {}) {
    const make = (info) => {
      const { session: made, ask } = info.url ? this.#elsewhere(info) : { session: info, ask: (use) => this.#ask((id) => use(this.#raw, id)) };
      const session = new Session(made, ask, this.#measures);
      this.#sessions.set(session.id, session);
      return session;
    };
    return this.#ask((id) => this.#raw.open(id, this.#pins.resolve(String(service)), deadlineMs), make);
  }

  /** A session with a service that runs outside of all tabs. */
  #elsewhere(info) {
    const closed = (session) => this.#event('closed', { session, reason: 'the session was closed' });
    const { session, ask } = this.#external.open(info, closed);
    return { session, ask: (use) => ask(use).catch((error) => Promise.reject(named(error))) };
  }

  async call(service, method, body = NOTHING, options = {}) {
    const session = await this.open(service, options);
    try {
      return await session.call(method, body, options);
    } finally {
      session.close();
    }
  }

  volunteer(policy) {
    const set = (id) => {
      if (!policy) return this.#raw.decline(id);
      const list = (given = 'any') => (given === 'any' ? [] : Array.from(given, String));
      const { cpu = 50, memoryMiB = 256, storageMiB = 256, upKbps = 2000, mains = true, services, publishers, tags } = policy;
      const lists = { services: list(services), publishers: list(publishers), tags: list(tags) };
      this.#raw.volunteer(id, JSON.stringify({ cpu, memoryMiB, storageMiB, upKbps, mains, ...lists }));
    };
    this.#ask(set).catch((error) => this.#report(error));
  }

  async host(service) {
    await this.#ask((id) => this.#raw.host(id, this.#pins.resolve(String(service))));
  }

  async handover(service, to) {
    return this.#ask((id) => this.#raw.handover(id, String(service), String(to)));
  }

  async package(service) {
    const { manifest, ui } = await this.#ask((id) => this.#raw.package(id, this.#pins.resolve(String(service))));
    return { manifest: JSON.parse(manifest), ui };
  }

  async drop(service) {
    await this.#ask((id) => this.#raw.dropService(id, String(service)));
  }

  async recover(service) {
    await this.#ask((id) => this.#raw.recover(id, String(service)));
  }

  async announce(nick, profile = '') {
    await this.#ask((id) => this.#raw.announce(id, String(nick ?? '').trim(), String(profile)));
  }

  async lookup(nick) {
    return this.#ask((id) => this.#raw.lookup(id, String(nick)));
  }

  async ring(peerId, conference, nick = '') {
    return this.#ask((id) => this.#raw.ringPeer(id, String(peerId), String(conference), String(nick).trim()));
  }

  pin(name, service) {
    try {
      this.#pins.set(String(name), service);
    } catch (error) {
      throw named(error);
    }
  }

  pins() {
    return this.#pins.all();
  }

  measured() {
    return this.#measures.all();
  }

  memory() {
    return this.#raw.memory();
  }

  rate(service, stars) {
    if (![0, 1, 2, 3, 4, 5].includes(stars)) return this.#report(new TabfarmError('refused', 'a rating is 1 to 5 stars, or 0 to take it back'));
    this.#ask((id) => this.#raw.rate(id, String(service), stars)).catch((error) => this.#report(error));
  }

  async leave() {
    if (this.#left) return [];
    try {
      const left = await this.#ask((id) => this.#raw.leave(id));
      return left.map((service) => ({ ...service, stored: service.stored && this.#identity.stored }));
    } finally {
      // What was to be stored is written by then, unless the disk takes longer than anybody wants to wait.
      await Promise.race([this.#close(), new Promise((resolve) => setTimeout(resolve, STORE_TIME))]);
    }
  }

  async #close() {
    if (this.#left) return;
    this.#left = true;
    removeEventListener('online', this.#online);
    removeEventListener('pageshow', this.#shown);
    removeEventListener('pagehide', this.#hidden);
    document.removeEventListener('freeze', this.#hidden);
    this.#alarm.close();
    this.#raw.close();
    this.#external.close();
    for (const { reject } of this.#requests.values()) reject(new TabfarmError('disconnected', 'the peer has left'));
    this.#requests.clear();
    for (const session of this.#sessions.values()) session[ended]('the peer has left');
    this.#sessions.clear();
    // The next tab that holds this identity finds everything that was to be stored.
    const stored = this.#checkpoints.close().finally(() => this.#identity.release());
    this.dispatchEvent(new CustomEvent('status', { detail: {} }));
    await stored;
  }

  /** Services that this peer served when its page ended come back. */
  async #recall() {
    const stored = await this.#checkpoints.load();
    if (stored.length > 0) await this.#ask((id) => this.#raw.recall(id, stored));
  }

  #joined(timeoutMs) {
    return new Promise((resolve, reject) => {
      const settle = (act, value) => {
        clearTimeout(timer);
        this.removeEventListener('status', look);
        act(value);
      };
      const look = () => this.status().joined && settle(resolve);
      const late = () => settle(reject, new TabfarmError('disconnected', 'no relay answered in time'));
      const timer = setTimeout(late, timeoutMs);
      this.addEventListener('status', look);
      look();
    });
  }

  /** Gives the peer a request; `make` turns its value into what the promise resolves to, before anything else comes. */
  #ask(give, make = (value) => value) {
    if (this.#left) return Promise.reject(new TabfarmError('disconnected', 'the peer has left'));
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#requests.set(id, { resolve, reject, make });
      try {
        give(id);
      } catch (error) {
        this.#requests.delete(id);
        reject(named(error));
      }
    });
  }

  /** What the wasm calls. Listeners that throw are reported by `dispatchEvent` itself. */
  #page() {
    const take = (id) => {
      const request = this.#requests.get(id);
      this.#requests.delete(id);
      return request;
    };
    return {
      alarm: (ms) => this.#alarm.set(ms),
      done: (id, value) => {
        const request = take(id);
        if (!request) return;
        try {
          request.resolve(request.make(value));
        } catch (error) {
          request.reject(named(error));
        }
      },
      failed: (id, code, message, details) => take(id)?.reject(new TabfarmError(code, message, details)),
      store: (key, value, flush) => {
        const stored = this.#checkpoints.store(key, value, flush);
        if (flush) stored.then((done) => this.#left || this.#raw.stored(key, done));
      },
      received: (id, lossy, body) => this.#sessions.get(id)?.[received](lossy ? 'datagram' : 'message', body),
      event: ({ type, ...detail }) => this.#event(type, detail),
    };
  }

  #event(type, detail) {
    if (type === 'closed') {
      const session = this.#sessions.get(detail.session);
      this.#sessions.delete(detail.session);
      session?.[ended](detail.reason);
      return;
    }
    if (type === 'sessionError') return void this.#sessions.get(detail.session)?.[failed](detail);
    if (type === 'ring') {
      const pickUp = (yes) => this.#ask((id) => this.#raw.pickUp(id, detail.ring, yes));
      detail.accept = () => pickUp(true);
      detail.decline = () => pickUp(false);
    }
    if (type === 'moved') this.#sessions.get(detail.id)?.[moved](detail);
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #report({ code = 'refused', message }) {
    this.dispatchEvent(new CustomEvent('error', { detail: { code, message } }));
  }
}

let loading;

/** The wasm behind a peer, loaded once; what failed is tried again. */
function load() {
  loading ??= init({ module_or_path: new URL('./peer/web_peer_bg.wasm', import.meta.url) }).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}
