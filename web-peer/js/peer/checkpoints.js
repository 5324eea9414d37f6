// What a peer keeps of the services that it serves: states and packages, in IndexedDB, by its id. A peer whose identity
// ends with its page keeps nothing.

const DATABASE = 'tabfarm-checkpoints';
const STORE = 'values';
/** A failure is mentioned this often, in ms: a full disk fails every few seconds. */
const COMPLAIN_EVERY = 60_000;

export class Checkpoints {
  #owner;
  #complain;
  #complained = -Infinity;
  /** Writes in their order. */
  #last = Promise.resolve();
  #database;

  /** `owner` is the peer's id, or undefined; `complain` gets a sentence when something cannot be stored. */
  constructor(owner, complain) {
    this.#owner = owner;
    this.#complain = complain;
  }

  /** Keeps a Uint8Array under a key, or forgets the key; `flush`: on the medium itself. True once that is done. */
  async store(key, value, flush = false) {
    if (!this.#owner) {
      if (flush) this.#fail('a peer without a stored identity keeps nothing');
      return false;
    }
    const id = [this.#owner, key];
    return this.#write((store) => (value ? store.put(value, id) : store.delete(id)), flush);
  }

  /** `[key, Uint8Array]` pairs of this owner. A broken store has none. */
  async load() {
    if (!this.#owner) return [];
    try {
      const database = await this.#open();
      const range = IDBKeyRange.bound([this.#owner, ''], [this.#owner, '\uffff']);
      const store = database.transaction(STORE).objectStore(STORE);
      const [keys, values] = await Promise.all([done(store.getAllKeys(range)), done(store.getAll(range))]);
      return keys.map(([, key], index) => [key, values[index]]).filter(([, value]) => value instanceof Uint8Array);
    } catch {
      return [];
    }
  }

  /** Ends once all that was given is written. */
  async close() {
    await this.#last;
    this.#owner = undefined;
    (await this.#database?.catch(() => undefined))?.close();
  }

  #write(change, flush) {
    const written = this.#last.then(async () => {
      try {
        const database = await this.#open();
        await new Promise((resolve, reject) => {
          const transaction = database.transaction(STORE, 'readwrite', { durability: flush ? 'strict' : 'default' });
          change(transaction.objectStore(STORE));
          transaction.oncomplete = resolve;
          transaction.onabort = transaction.onerror = () => reject(transaction.error);
        });
        return true;
      } catch (error) {
        this.#fail(error?.message ?? error);
        return false;
      }
    });
    this.#last = written;
    return written;
  }

  #fail(why) {
    if (performance.now() - this.#complained < COMPLAIN_EVERY) return;
    this.#complained = performance.now();
    this.#complain(`a service's state could not be stored on this device: ${why}`);
  }

  #open() {
    this.#database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onsuccess = () => resolve(request.result);
      request.onerror = request.onblocked = () => reject(request.error);
    });
    return this.#database;
  }
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
