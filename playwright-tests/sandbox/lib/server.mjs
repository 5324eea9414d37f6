// Serves the sandbox to a page of the tests, with the headers of the relay: the app's policy, and the frame's own.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const web = process.env.TABFARM_WEB ?? join(root, "target/web-tree");

const APP_POLICY =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; frame-src 'self' blob:; object-src 'none'; base-uri 'none'";
export const FRAME_POLICY =
  "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:; connect-src 'none'; sandbox allow-scripts";
const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".html": "text/html", ".wasm": "application/wasm", ".json": "application/json" };

/** Where the paths of the page lead. The frame comes from its source, so that a test sees the last change. */
const PLACES = [
  ["/sandbox/", join(root, "web-peer/sandbox")],
  ["/peer/", join(web, "peer")],
  ["/services/", join(web, "services")],
  ["/tab-test/", join(root, "target/tab-test")],
];

/**
 * A server on a port of its own. `change(path, text)` may alter a file of text on its way, to put probes into the frame.
 */
export async function serve({ change = (_, text) => text } = {}) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const respond = (status, type, body, policy = APP_POLICY) => {
      response.writeHead(status, { "content-type": type, "content-security-policy": policy, "cache-control": "no-store" });
      response.end(body);
    };
    if (path === "/") return respond(200, "text/html", "<!doctype html><meta charset=utf-8><title>sandbox test</title>");
    const place = PLACES.find(([prefix]) => path.startsWith(prefix));
    const file = place && join(place[1], path.slice(place[0].length));
    try {
      const body = await readFile(file);
      const type = TYPES[extname(file)] ?? "application/octet-stream";
      const text = type.startsWith("text/") ? change(path, body.toString()) : body;
      respond(200, type, text, path === "/sandbox/frame.html" ? FRAME_POLICY : APP_POLICY);
    } catch {
      respond(404, "text/plain", "not found");
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((done) => {
      server.closeAllConnections();
      server.close(done);
    }),
  };
}
