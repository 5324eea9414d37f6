// What the sockets of a flood do. `begin` when one is open, `tick` every so often, `passed(state)`: did the relay take what it
// must refuse?

const MIB = 1024 * 1024;
/** What is sent of a giant message, and what shows that it was taken: more than a relay's limit and all buffers between. */
const [MOST, TAKEN] = [32 * MIB, 16 * MIB];
const CHUNK = Buffer.alloc(16 * 1024, "a");

const UPGRADE =
  "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/** Sends a part again and again, as fast as it is taken. */
function pump(socket, state, part = CHUNK) {
  const next = () => {
    while (!socket.destroyed && socket.bytesWritten < MOST) {
      if (!socket.write(part)) return socket.once("drain", next);
    }
  };
  state.socket = socket;
  next();
}

/** A frame of a WebSocket client: masked with zeros. */
function frame(first, length, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0xff;
  head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

/** A length as multistream writes it. */
function varint(value) {
  const out = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    out.push(left > 127 ? (left % 128) + 128 : left);
    if (left <= 127) return Buffer.from(out);
  }
}

const answered = (state, status) => state.text.startsWith(`HTTP/1.1 ${status}`);
const never = () => false;
const tookGiant = ({ socket }) => socket !== undefined && socket.bytesWritten - socket.writableLength > TAKEN;
const post = (fields, path = "/s/echo/echo") => `POST ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`;

/** Does `then` once the WebSocket is open. */
const upgraded = (then) => ({
  begin: (socket) => socket.write(UPGRADE),
  onData: (socket, state) => {
    if (state.upgraded || !state.text.includes("\r\n\r\n")) return;
    state.upgraded = true;
    then(socket, state);
  },
});

export const ATTACKS = {
  /** Says nothing. */
  silent: { begin: () => {}, passed: never },
  /** A request's head, one byte a second. */
  drip: {
    begin: (socket) => socket.write("GET /health HTTP/1.1\r\nHost: x\r\nX: "),
    tick: (socket) => socket.write("a"),
    every: 1_000,
    passed: (state) => answered(state, 2),
  },
  /** A whole request, and then another one, one byte a second. */
  second: {
    begin: (socket) => socket.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    tick: (socket) => socket.write("a"),
    every: 1_000,
    // The first one may be answered.
    passed: never,
  },
  /** All of a head that the relay keeps, but its end. */
  heads: {
    begin: (socket) => socket.write(`GET /health HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(15_000)}`),
    passed: (state) => answered(state, 2),
  },
  /** A WebSocket that does not get beyond nothing, half an upgrade, or an upgrade. */
  handshake: {
    begin: (socket, { n }) => socket.write(["", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(7_900)}`, UPGRADE][n % 3]),
    passed: never,
  },
  /** A frame of 256 MiB: announced at once, or as fragments without an end. */
  frames: {
    ...upgraded((socket, state) => {
      if (state.n % 2 === 0) {
        socket.write(frame(0x82, 256 * MIB));
        return pump(socket, state);
      }
      const part = Buffer.alloc(120 * 1024);
      socket.write(frame(0x02, part.length, part));
      pump(socket, state, frame(0x00, part.length, part));
    }),
    passed: tookGiant,
  },
  /** Lines of multistream, and Noise messages, that are longer than any. */
  lines: {
    ...upgraded((socket, state) => {
      const hello = Buffer.from("\x13/multistream/1.0.0\n\x07/noise\n", "latin1");
      const said = state.n % 2 === 0 ? varint(256 * MIB) : Buffer.concat([hello, Buffer.from([0xff, 0xff])]);
      socket.write(frame(0x82, said.length, said));
      const part = Buffer.alloc(64 * 1024);
      pump(socket, state, frame(0x82, part.length, part));
    }),
    passed: tookGiant,
  },
  /** A head without an end. */
  giantHead: {
    begin: (socket, state) => {
      socket.write(["GET /health HTTP/1.1\r\nX: ", "GET /", "POST /s/echo/echo HTTP/1.1\r\n"][state.n % 3]);
      pump(socket, state);
    },
    passed: (state) => tookGiant(state) || answered(state, 2),
  },
  /** Bodies of 10 GiB: by their length, by chunks, by one chunk. */
  giantBody: {
    begin: (socket, state) => {
      const chunk = "Transfer-Encoding: chunked";
      const says = [post("Content-Length: 10737418240"), `${post(chunk)}280000000\r\n`, `${post(chunk, "/nothing")}280000000\r\n`, post("Content-Length: 10737418240", "/health")];
      socket.write(says[state.n % says.length]);
      pump(socket, state);
    },
    passed: (state) => tookGiant(state) || answered(state, 2),
  },
  /** A body that the gateway takes, but for its last byte. */
  slowBody: {
    begin: (socket) => {
      socket.write(post(`Content-Length: ${256 * 1024}`));
      socket.write(Buffer.alloc(256 * 1024 - 1, "a"));
    },
    passed: (state) => answered(state, 2),
  },
};
