// A circuit relay of js-libp2p, for the transport's own tests: a process that prints its address and runs until killed, or until whoever started it is gone.

import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { circuitRelayServer } from "@libp2p/circuit-relay-v2";
import { identify } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { webSockets } from "@libp2p/websockets";
import { createLibp2p } from "libp2p";

// Node 20 has no Promise.withResolvers, which js-libp2p uses.
Promise.withResolvers ??= () => {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
};

const node = await createLibp2p({
  addresses: { listen: ["/ip4/127.0.0.1/tcp/0/ws"] },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // Its default takes five connections of one peer a second: tests dial faster.
  connectionManager: { inboundConnectionThreshold: 1000 },
  connectionMonitor: { enabled: false },
  services: {
    identify: identify(),
    ping: ping(),
    relay: circuitRelayServer({
      hopTimeout: 30_000,
      reservations: { maxReservations: 1000, defaultDataLimit: 1n << 20n },
    }),
  },
});
console.log(node.getMultiaddrs()[0].toString());
process.stdin.on("end", () => process.exit(0)).resume();
