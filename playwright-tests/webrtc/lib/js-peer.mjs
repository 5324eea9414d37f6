// An unmodified js-libp2p peer with the protocols of the Rust test peer.

import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { identify } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { webRTC } from "@libp2p/webrtc";
import { webSockets } from "@libp2p/websockets";
import { multiaddr } from "@multiformats/multiaddr";
import { peerIdFromString } from "@libp2p/peer-id";
import { createLibp2p } from "libp2p";

const ECHO = "/tab-test/echo/1";
const SINK = "/tab-test/sink/1";
const SOURCE = "/tab-test/source/1";
const CHUNK = 64 * 1024;

function u64(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

const chunk = Uint8Array.from({ length: CHUNK }, (_, i) => i);

async function write(stream, bytes) {
  if (!stream.send(bytes)) await stream.onDrain();
}

async function send(stream, size) {
  for (let left = size; left > 0; left -= CHUNK) await write(stream, chunk.subarray(0, Math.min(left, CHUNK)));
}

async function readAll(stream, onChunk) {
  for await (const bytes of stream) onChunk(bytes.subarray());
}

/** Reads exactly `size` bytes; what comes behind them is dropped. */
async function readExact(stream, size) {
  const out = new Uint8Array(size);
  let at = 0;
  for await (const piece of stream) {
    const bytes = piece.subarray().subarray(0, size - at);
    out.set(bytes, at);
    at += bytes.length;
    if (at === size) return out;
  }
  throw new Error(`the stream ended after ${at} of ${size} bytes`);
}

/** Resolves with the next `size` bytes each time it is called; keeps what came too early. */
function reader(stream) {
  const iterator = stream[Symbol.asyncIterator]();
  let kept = new Uint8Array(0);
  return async (size) => {
    while (kept.length < size) {
      const { value, done } = await iterator.next();
      if (done) throw new Error("the stream ended");
      const more = value.subarray();
      const joined = new Uint8Array(kept.length + more.length);
      joined.set(kept);
      joined.set(more, kept.length);
      kept = joined;
    }
    const out = kept.subarray(0, size);
    kept = kept.subarray(size);
    return out;
  };
}

export async function startJsPeer() {
  const node = await createLibp2p({
    addresses: { listen: ["/p2p-circuit", "/webrtc"] },
    transports: [webSockets(), circuitRelayTransport(), webRTC({ rtcConfiguration: { iceServers: [] } })],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    // Its default takes five connections of one peer a second: tests dial faster.
    connectionManager: { inboundConnectionThreshold: 1000 },
    connectionMonitor: { enabled: false },
    services: { identify: identify(), ping: ping() },
  });
  const serve = (protocol, handler) =>
    node.handle(protocol, (stream) => void handler(stream).catch((error) => console.debug(protocol, String(error))), {
      maxInboundStreams: 1000,
      runOnLimitedConnection: true,
    });
  await serve(ECHO, async (stream) => {
    for await (const bytes of stream) await write(stream, bytes.subarray());
    await stream.close();
  });
  await serve(SINK, async (stream) => {
    let total = 0;
    await readAll(stream, (bytes) => (total += bytes.length));
    await write(stream, u64(total));
    await stream.close();
  });
  await serve(SOURCE, async (stream) => {
    const size = await readExact(stream, 8);
    await send(stream, Number(new DataView(size.buffer).getBigUint64(0, true)));
    await stream.close();
  });
  const open = (peer, protocol) => node.dialProtocol(peerIdFromString(peer), protocol, { runOnLimitedConnection: true });

  return {
    id: () => node.peerId.toString(),
    listen: (relay) => node.dial(multiaddr(relay)).then(() => undefined),
    addresses: () => node.getMultiaddrs().map(String),
    dial: (address) => node.dial(multiaddr(address)).then(() => undefined),
    disconnect: (peer) => node.hangUp(peerIdFromString(peer)),
    paths: (peer) =>
      node
        .getConnections(peerIdFromString(peer))
        .map(({ remoteAddr }) => (/\/webrtc/.test(remoteAddr) ? "WebRtc" : /p2p-circuit/.test(remoteAddr) ? "Relayed" : "Direct"))
        .sort(),
    events: () => [],
    async echo(peer, data) {
      const stream = await open(peer, ECHO);
      const back = [];
      const reading = readAll(stream, (bytes) => back.push(...bytes));
      await write(stream, data);
      await stream.close();
      await reading;
      return Uint8Array.from(back);
    },
    async ping_pong(peer, size, rounds) {
      const stream = await open(peer, ECHO);
      const data = new Uint8Array(size).fill(7);
      const next = reader(stream);
      const times = [];
      for (let i = 0; i < rounds; i++) {
        const start = performance.now();
        await write(stream, data);
        await next(size);
        times.push((performance.now() - start) * 1000);
      }
      stream.close().catch(() => {});
      return times;
    },
    async upload(peer, size) {
      const stream = await open(peer, SINK);
      const start = performance.now();
      const total = readExact(stream, 8);
      await send(stream, size);
      await stream.close();
      const got = Number(new DataView((await total).buffer).getBigUint64(0, true));
      if (got !== size) throw new Error(`${got} of ${size} bytes came`);
      return performance.now() - start;
    },
    async download(peer, size) {
      const stream = await open(peer, SOURCE);
      const start = performance.now();
      let total = 0;
      const reading = readAll(stream, (bytes) => {
        for (let i = 0; i < bytes.length; i++) {
          if (bytes[i] !== ((total + i) & 255)) throw new Error("a wrong byte came");
        }
        total += bytes.length;
      });
      await write(stream, u64(size));
      await reading;
      if (total !== size) throw new Error(`${total} of ${size} bytes came`);
      await stream.close();
      return performance.now() - start;
    },
    /** Opens a stream of any protocol on whatever connection there is and sends `data`. */
    async exchange(peer, protocol, data) {
      const stream = await open(peer, protocol);
      const back = [];
      try {
        await write(stream, data);
        await readAll(stream, (bytes) => back.push(...bytes));
      } catch {
        // Reset: what came so far counts.
      }
      return Uint8Array.from(back);
    },
    stop: () => node.stop(),
  };
}
