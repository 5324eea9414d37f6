// Who this tab is: an ed25519 secret key that no two tabs hold at a time.
//
// Keys lie in IndexedDB, in numbered slots. A tab holds the Web Lock of its slot while it runs, so a second tab of the
// profile takes the next slot. A reloaded tab finds its slot in sessionStorage and waits a moment for its own former
// page to let go of the lock. Without Web Locks (no secure context) or storage, the key lives as long as the page.

const DATABASE = 'tabfarm';
const STORE = 'keys';
const HINT = 'tabfarm-slot';
/** Tabs of one profile that have keys of their own; more get one for the life of their page. */
const MAX_SLOTS = 64;
/** How long a tab that was here before waits for its slot, in ms. A duplicated tab waits in vain and takes another. */
const WAIT = 1_000;

/**
 * @param {'indexeddb' | 'memory'} store
 * @returns {Promise<{ secret: Uint8Array, release: () => void, stored: boolean }>}
 */
export async function identity(store) {
  const temporary = () => ({ secret: randomKey(), release() {}, stored: false });
  if (store === 'memory' || !globalThis.navigator?.locks || !globalThis.indexedDB) return temporary();
  const slot = await claimSlot();
  if (!slot) return temporary();
  try {
    const database = await open();
    const secret = (await read(database, slot.number)) ?? (await create(database, slot.number));
    database.close();
    return { secret, release: slot.release, stored: true };
  } catch {
    // Storage is full, broken or forbidden. The slot stays ours, so that nobody else meets half a key in it.
    return { secret: randomKey(), release: slot.release, stored: false };
  }
}

function randomKey() {
  return crypto.getRandomValues(new Uint8Array(32));
}

/** Locks a slot; undefined when all are taken. */
async function claimSlot() {
  const remembered = Number(session()?.getItem(HINT) ?? NaN);
  const order = [...Array(MAX_SLOTS).keys()];
  if (order.includes(remembered)) {
    const release = await lock(remembered, { signal: AbortSignal.timeout(WAIT) });
    if (release) return { number: remembered, release };
  }
  for (const number of order) {
    const release = await lock(number, { ifAvailable: true });
    if (release) {
      session()?.setItem(HINT, String(number));
      return { number, release };
    }
  }
}

/** Resolves to a function that lets go of the lock, or to undefined when it cannot be had. */
function lock(number, options) {
  return new Promise((resolve) => {
    navigator.locks
      .request(`tabfarm-identity-${number}`, options, (held) => {
        if (!held) return resolve(undefined);
        return new Promise((release) => resolve(release));
      })
      .catch(() => resolve(undefined));
  });
}

/** sessionStorage, where the page may use it. */
function session() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
}

function read(database, slot) {
  return new Promise((resolve, reject) => {
    const request = database.transaction(STORE).objectStore(STORE).get(slot);
    request.onsuccess = () => {
      const key = request.result;
      resolve(key instanceof Uint8Array && key.length === 32 ? key : undefined);
    };
    request.onerror = () => reject(request.error);
  });
}

/** Strict durability: a peer that has told others its id must not lose it to a crash a moment later. */
function create(database, slot) {
  const key = randomKey();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, 'readwrite', { durability: 'strict' });
    transaction.objectStore(STORE).put(key, slot);
    transaction.oncomplete = () => resolve(key);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
