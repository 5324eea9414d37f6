// A server outside of all tabs, with what services there do well and badly.

import { createServer } from "node:http";

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "content-type, idempotency-key",
  "access-control-expose-headers": "retry-after",
  "access-control-max-age": "0",
};
/** A reply of a service has at most 256 KiB. */
const TOO_MUCH = 256 * 1024 + 1;

/** The interface of what is served below `/v1`. */
export const INTERFACE = {
  now: { readOnly: true, reply: { type: "object" } },
  greet: { body: { type: "string" }, reply: { type: "string" }, description: "says hello" },
  bytes: {},
  count: { reply: { type: "integer" } },
  slow: {}, slowRead: { readOnly: true }, huge: {}, endless: {}, redirect: {}, silent: { readOnly: true }, drops: {}, wall: {},
};

/** Starts it; it ends with the world. `seen` has every request that is no preflight, `asked` the preflights. */
export async function serveElsewhere(world) {
  const [seen, asked, open] = [[], [], new Set()];
  let count = 0;
  const answers = {
    now: () => [200, "application/json", '{"sky":"clear"}'],
    greet: (body) => [200, "application/json", JSON.stringify(`Hello ${JSON.parse(body)}`)],
    bytes: (body) => [200, "application/octet-stream", Buffer.from(body).reverse()],
    count: () => [200, "application/json", String(++count)],
    huge: () => [200, "application/octet-stream", Buffer.alloc(TOO_MUCH)],
    status: (body) => JSON.parse(body),
  };
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const path = new URL(request.url, "http://x").pathname;
    const name = path.replace(/^\/v1\//, "");
    if (request.method === "OPTIONS") {
      asked.push({ path, headers: request.headers });
      // One that says nothing of pages.
      return void response.writeHead(204, name === "wall" ? {} : CORS).end();
    }
    if (path === "/page") return void response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>elsewhere</title>");
    seen.push({ method: request.method, path, headers: request.headers, body: body.toString() });
    if (name.startsWith("slow")) return void open.add(response);
    if (name === "drops") return void request.socket.destroy();
    // It is executed, and its answer is for nobody.
    if (name === "silent") return void response.writeHead(200).end("x");
    if (name === "redirect") return void response.writeHead(307, { ...CORS, location: `${url}/now` }).end();
    if (name === "endless") {
      response.writeHead(200, CORS);
      const more = () => response.destroyed || response.write(Buffer.alloc(16_384), () => setTimeout(more, 1));
      return void more();
    }
    const answer = answers[name]?.(body);
    if (!answer) return void response.writeHead(404, { ...CORS, "content-type": "text/plain" }).end("there is no such thing");
    const [status, type, said, headers] = answer;
    response.writeHead(status, { ...CORS, "content-type": type, ...headers }).end(said);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const url = `${origin}/v1`;
  world.atEnd(() => new Promise((done) => (server.close(done), server.closeAllConnections())));
  return { origin, url, seen, asked };
}

/** The manifest of a service at that address. */
export const elsewhere = (name, url, change = {}) => ({
  name, version: "1.0.0", description: "how it is out there", tags: ["sky"], engine: "url", url, state: "none", interface: INTERFACE, ...change,
});
