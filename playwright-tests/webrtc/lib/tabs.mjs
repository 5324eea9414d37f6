// Pages with one peer each, a relay, and what the tests need to drive them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { launch } from "../../lib/browser.mjs";
import { watchChannels } from "../../lib/channels.mjs";
import { dist } from "./build.mjs";

const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

/** Serves the pages from a port of its own. */
export async function serve() {
  const server = createServer((request, response) => {
    const file = join(dist, new URL(request.url, "http://x").pathname.replace(/\.\./g, ""));
    if (!existsSync(file)) return response.writeHead(404).end();
    // Cached as a server of an app would have it: a benchmark compares warm caches.
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream", "cache-control": "max-age=600" });
    response.end(readFileSync(file));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}/page.html`, close: () => server.close() };
}

/** A relay of js-libp2p: the transport's tests need nothing of this project but the transport. */
export async function startRelay() {
  const script = fileURLToPath(new URL("js-relay.mjs", import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"] });
  const [address] = await once(createInterface({ input: child.stdout }), "line");
  // A test that fails before it ends its relay must not keep this process from ending; the relay ends with it.
  child.unref();
  child.stdin.unref();
  child.stdout.unref();
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
  };
  return { address, kill };
}

/** A browser with pages. */
export async function openBrowser(url) {
  const { context, close } = await launch();
  const ctx = await context();

  /** A page with a peer of `kind` (`rust` or `js`); its methods are called in the page. */
  async function tab(kind, options) {
    const page = await ctx.newPage();
    await page.addInitScript(watchChannels);
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || process.env.TAB_LOG) errors.push(message.text());
    });
    await page.goto(url);
    await page.waitForFunction("window.ready");
    const id = await page.evaluate(([kind, options]) => window.start(kind, options), [kind, options]);
    const methods = {
      kind,
      page,
      id,
      errors,
      close: () => page.close(),
      async reserve(relay) {
        await peer.listen(relay.address);
        return until(async () => (await peer.addresses()).find((a) => a.includes("/p2p-circuit/webrtc")), "a reservation");
      },
      /** Only the sizes of binary results cross to the test; echoes are compared in the page. */
      echoes: (peer, size) =>
        page.evaluate(
          async ([peer, size]) => {
            const data = Uint8Array.from({ length: size }, (_, i) => (i * 7) & 255);
            const back = await window.peer.echo(peer, data);
            return back.length === size && back.every((byte, i) => byte === data[i]);
          },
          [peer, size],
        ),
      exchange: (peer, protocol, bytes) =>
        page.evaluate(
          async ([peer, protocol, bytes]) => Array.from(await window.peer.exchange(peer, protocol, Uint8Array.from(bytes))),
          [peer, protocol, Array.from(bytes)],
        ),
      /** The page's data channels: how they were made, and what their connections' statistics say of them. */
      channels: () => page.evaluate(() => window.channels()),
      memory: () => page.evaluate(() => window.wasm.memory.buffer.byteLength),
    };
    const peer = new Proxy(methods, {
      get: (target, name) =>
        name in target || typeof name === "symbol" || name === "then"
          ? target[name]
          : (...args) =>
              page.evaluate(
                async ([name, args]) => {
                  const result = await window.peer[name](...args);
                  return ArrayBuffer.isView(result) ? Array.from(result) : result;
                },
                [name, args],
              ),
    });
    return peer;
  }
  return { tab, close, newPage: () => ctx.newPage() };
}

/** Waits until `condition` gives something true, which is returned. */
export async function until(condition, what, ms = 10_000) {
  const end = Date.now() + ms;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The promise's result, or an error after `ms`. */
export async function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
