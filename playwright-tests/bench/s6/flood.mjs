// A process that attacks one port with many sockets: `node flood.mjs JSON`, until its stdin ends. Prints one JSON line then.
//
// A socket that the other side closes is opened again after a second, so that the flood goes on for as long as it runs.

import { connect } from "node:net";

import { ATTACKS } from "./attacks.mjs";

/** Until a socket that was closed is opened again. */
const AGAIN_MS = 1_000;
/** Sockets that are opened at once, and the pause before the next ones. */
const [BATCH, BATCH_MS] = [100, 10];

const { attack, count, addresses, host, port } = JSON.parse(process.argv[2]);
const { begin, onData, tick, every, passed } = ATTACKS[attack];
const seen = { opened: 0, closed: 0, open: 0, most: 0, passed: 0 };
const sockets = new Set();

/** One of the sockets: opened, and opened again whenever it is closed. */
function open(n) {
  const socket = connect({ host, port, localAddress: addresses[n % addresses.length] });
  const state = { n, taken: 0, text: "" };
  socket.on("connect", () => {
    seen.opened += 1;
    seen.open += 1;
    seen.most = Math.max(seen.most, seen.open);
    state.is = true;
    sockets.add(socket);
    socket.state = state;
    begin(socket, state);
  });
  socket.on("data", (bytes) => {
    if (state.text.length < 4_096) state.text += bytes.toString("latin1");
    onData?.(socket, state);
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    sockets.delete(socket);
    if (state.is) {
      seen.open -= 1;
      seen.closed += 1;
    }
    if (!state.counted && passed(state)) seen.passed += 1;
    setTimeout(() => open(n), AGAIN_MS);
  });
}

if (tick) {
  setInterval(() => {
    for (const socket of sockets) tick(socket, socket.state);
  }, every);
}
// What is open when it ends may have got through as well.
process.stdin.on("end", () => {
  for (const { state } of sockets) if (passed(state)) seen.passed += 1;
  process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));
}).resume();
for (let n = 0; n < count; n += 1) {
  open(n);
  if (n % BATCH === BATCH - 1) await new Promise((done) => setTimeout(done, BATCH_MS));
}
