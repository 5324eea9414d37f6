// A peer that has joined, and then announces messages that no protocol of the relay may take: js-libp2p, so that the handshake is
// nobody's invention.

import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify } from "@libp2p/identify";
import { webSockets } from "@libp2p/websockets";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { WebSocket } from "ws";

// Node 20 has no Promise.withResolvers, which js-libp2p uses.
Promise.withResolvers ??= () => {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
};

// Nor has it WebSocket.
globalThis.WebSocket ??= WebSocket;

/** A message of 256 MiB, as its length says. */
const LENGTH = Uint8Array.from([0x80, 0x80, 0x80, 0x80, 0x01]);
const CHUNK = new Uint8Array(64 * 1024);
/** More of one message than any protocol may take: four times the window of a stream. */
const GIANT = 1024 * 1024;
/** A stream that takes nothing more for this long is full. */
const FULL_MS = 1_000;

const timeout = (ms) => new Promise((done) => setTimeout(() => done("late"), ms));

/** Bytes that were taken of a giant message before the stream was reset, or stood still. */
async function taken(connection, protocol) {
  let bytes = 0;
  try {
    const stream = await connection.newStream([protocol], { signal: AbortSignal.timeout(5_000) });
    stream.send(LENGTH);
    while (bytes < 4 * GIANT && stream.status === "open") {
      const more = stream.send(CHUNK);
      if (!more && (await Promise.race([stream.onDrain(), timeout(FULL_MS)])) === "late") break;
      bytes += CHUNK.length;
    }
    stream.abort(new Error("enough"));
  } catch {
    // Reset, or refused: as it should be.
  }
  return bytes;
}

/** What the relay speaks, once it has said so. */
async function spoken(node, peer) {
  for (let tries = 0; tries < 200; tries += 1) {
    const { protocols } = await node.peerStore.get(peer);
    if (protocols.length > 0) return protocols;
    await timeout(25);
  }
  return [];
}

/** For about `ms`, on every protocol that the relay speaks. */
export async function giants(address, ms) {
  const until = performance.now() + ms;
  const node = await createLibp2p({
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
  });
  const seen = { streams: 0, passed: 0, protocols: 0 };
  try {
    const relay = multiaddr(address);
    while (performance.now() < until) {
      const connection = await node.dial(relay, { force: true });
      const protocols = await spoken(node, connection.remotePeer);
      seen.protocols = protocols.length;
      const all = await Promise.all(protocols.flatMap((protocol) => Array.from({ length: 8 }, () => taken(connection, protocol))));
      seen.streams += all.length;
      seen.passed += all.filter((bytes) => bytes > GIANT).length;
      await connection.close().catch(() => {});
    }
  } finally {
    await node.stop();
  }
  if (seen.protocols === 0) throw new Error("the relay says that it speaks nothing");
  return seen;
}
