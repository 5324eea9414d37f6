// A port that must hear nothing: what gets out of a sandbox is seen here.

import { createSocket } from "node:dgram";
import { createServer } from "node:net";

/** Notes every connection and datagram, and answers connections with an empty page. */
export async function listen() {
  const seen = [];
  const tcp = createServer((socket) => {
    socket.once("data", (bytes) => {
      seen.push(bytes.toString().split("\r\n")[0]);
      socket.end("HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n\r\n");
    });
    socket.on("error", () => {});
    seen.push("connection");
  });
  await new Promise((done) => tcp.listen(0, "127.0.0.1", done));
  const { port } = tcp.address();
  const udp = createSocket("udp4", () => seen.push("datagram"));
  await new Promise((done) => udp.bind(port, "127.0.0.1", done));
  return { address: `127.0.0.1:${port}`, seen, close: () => { tcp.close(); udp.close(); } };
}
