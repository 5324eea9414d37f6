// Which relays a peer joins.

/** Relays asked for in one `join`. */
const MAX_RELAYS = 8;

/** Multiaddrs of relays. `http(s)` URLs are asked for theirs; by default the server that this script came from is. */
export async function addressesOf(relays) {
  const given = (relays ?? [new URL('/', import.meta.url).href]).slice(0, MAX_RELAYS);
  const found = await Promise.all(given.map((relay) => (/^https?:/.test(relay) ? askNode(relay) : [relay])));
  return [...new Set(found.flat())].slice(0, MAX_RELAYS);
}

/** The best address of a relay and of those it knows. */
async function askNode(url) {
  try {
    const response = await fetch(new URL('/api/node', url));
    const { addresses = [], relays = [] } = await response.json();
    return [addresses[0], ...relays].filter((address) => typeof address === 'string');
  } catch {
    return [];
  }
}
