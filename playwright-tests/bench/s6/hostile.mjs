// Requests that try to get out of the gateway, to split an answer, or past whoever stands in front: raw bytes, and what
// would be a success of each.

import { connect } from "node:net";

/** An answer ends within this time, or the connection is cut. */
const ANSWER_MS = 15_000;
const SECRET = "secret-of-another-server";

/** What a raw request is answered; the connection is read to its end. */
function answer({ host, port }, localAddress, text) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress }, () => socket.write(Buffer.from(text, "latin1")));
    let said = "";
    socket.setTimeout(ANSWER_MS, () => socket.destroy());
    socket.on("data", (data) => (said += data.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(said));
  });
}

const get = (path, fields = "Host: x\r\n") => `GET ${path} HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`;
const post = (path, fields, body = "") => `POST ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n${body}`;
const answers = (said) => said.match(/HTTP\/1\.1 \d/g)?.length ?? 0;
const isServed = (said) => /HTTP\/1\.1 2/.test(said);
/** A header of an answer that a request has written. */
const isSplit = (said) => said.split("\r\n\r\n")[0].split(/\r\n|\r|\n/).slice(1).some((line) => /^(x-injected|set-cookie):/i.test(line));
const hasFile = (said) => /root:.*:0:0:/.test(said);

/** [family, request, succeeded]. `canary` is HOST:PORT of a server that nobody may reach. */
function requests(canary) {
  const [host] = canary.split(":");
  const split = ["%0d%0aX-Injected:%20yes", "%0aX-Injected:yes", "%0dX-Injected:yes", "%E5%98%8A%E5%98%8DX-Injected:yes", "\nX-Injected: yes", "\rX-Injected: yes", "%250d%250aSet-Cookie:a=b", "\u0000X-Injected: yes"];
  const places = ["/", "/s/", "/s/echo/", "/s/echo/ui/", "/api/services?q=", "/api/", "/trust?"];
  const outs = [`http://${canary}/`, `//${canary}/`, `http:%2f%2f${canary}%2f`, canary, `${canary}/..`, `@${canary}`, `x@${canary}`, `%2e%2e%2f${canary}`, `${host}%3a${canary.split(":")[1]}`];
  const hidden = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  const both = (fields) => post("/s/echo/echo", fields, `0\r\n\r\n${hidden}`);
  return [
    ...places.flatMap((place) => split.map((bytes) => ["CRLF", get(place + bytes), isSplit])),
    ...split.flatMap((bytes) => ["Host", "Origin", "Idempotency-Key", "tabfarm-deadline", "Accept-Encoding"].map((field) => ["CRLF", get("/s/echo/openapi.json", `Host: x\r\n${field}: a${bytes}\r\n`), isSplit])),
    ...outs.flatMap((out) => ["/s/", "/s/echo/", "/s/echo/ui/", "/", "/api/services?q="].map((place) => ["SSRF", get(place + out), (said) => said.includes(SECRET)])),
    ["SSRF", get(`http://${canary}/`), (said) => said.includes(SECRET) || isServed(said)],
    ["SSRF", get(`http://${canary}/`, `Host: ${canary}\r\n`), (said) => said.includes(SECRET)],
    ["SSRF", `CONNECT ${canary} HTTP/1.1\r\nHost: ${canary}\r\n\r\n${hidden}`, (said) => said.includes(SECRET) || isServed(said)],
    ...["Host", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "Referer"].map((field) => ["SSRF", get("/s/echo/openapi.json", `${field === "Host" ? "" : "Host: x\r\n"}${field}: ${canary}\r\n`), (said) => said.includes(SECRET)]),
    ["host", get("/health", "Host: a\r\nHost: b\r\n"), isServed],
    ["host", get("http://evil.example/health", "Host: a\r\n"), isServed],
    ["host", get("/api/node", "Host: evil.example\"><script>\r\n"), (said) => said.includes("<script>")],
    ["host", get("/api/node", "Host: echo.localhost\r\n"), isServed],
    ...["Content-Length: 6\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 6", "Content-Length: 6\r\nContent-Length: 5", "Content-Length: 5, 6", "Content-Length: +6", "Content-Length : 6", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: xchunked", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding\t: chunked\r\nContent-Length: 6", "X: 1\nContent-Length: 6\r\nTransfer-Encoding: chunked"].map((fields) => ["smuggling", both(fields), (said) => answers(said) > 1 || isServed(said)]),
    ["smuggling", post("/s/echo/echo", "Transfer-Encoding: chunked", `5;x=\r\n\r\nhello\r\n0\r\n\r\n${hidden}`), (said) => answers(said) > 1],
    ["smuggling", post("/s/echo/echo", "Transfer-Encoding: chunked", `0x5\r\nhello\r\n0\r\n\r\n${hidden}`), (said) => answers(said) > 1],
    ...["/../../../../etc/passwd", "/..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/app/../../../../../etc/passwd", "/s/echo/ui/../../../etc/passwd", "/s/echo/ui/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/\\..\\..\\etc\\passwd", "/index.html%00/etc/passwd"].map((path) => ["files", get(path), hasFile]),
  ];
}

/** Sends all of them, several at a time; how many of each family there were, and how many succeeded. */
export async function tryAll(target, localAddress, canary) {
  const families = new Map();
  const left = requests(canary.address);
  const work = async () => {
    for (let next = left.pop(); next; next = left.pop()) {
      const [family, text, succeeded] = next;
      const counted = families.get(family) ?? { requests: 0, passed: 0 };
      families.set(family, counted);
      counted.requests += 1;
      const said = await answer(target, localAddress, text);
      if (succeeded(said)) {
        counted.passed += 1;
        console.error(`passed (${family}): ${JSON.stringify(text.slice(0, 200))} -> ${JSON.stringify(said.slice(0, 200))}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  const ssrf = families.get("SSRF");
  ssrf.passed += canary.seen.length;
  return families;
}

export { SECRET };
