// P7: bytes over the wire until a tab has joined and shows the app's first view, nothing cached.

import { openApp } from "../lib/app.mjs";
import { inWorld } from "../lib/world.mjs";

const BAR = 650_000;

/** The rows of this benchmark. */
export async function bench() {
  return inWorld(async (world) => {
    const relay = await world.relay();
    // A relay compresses in the background what has no compressed copy beside it.
    const page = await world.page(await world.browser(), "visitor");
    const client = await page.context().newCDPSession(page);
    await client.send("Network.enable");
    const paths = new Map();
    const files = {};
    client.on("Network.responseReceived", ({ requestId, response }) => paths.set(requestId, new URL(response.url).pathname));
    client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
      const path = paths.get(requestId) ?? "?";
      files[path] = (files[path] ?? 0) + encodedDataLength;
    });
    await openApp(page, relay);
    const bytes = Object.values(files).reduce((a, b) => a + b, 0);
    return [{ bar: "P7", unit: "bytes", ours: bytes, bar_bytes: BAR, met: bytes <= BAR, files }];
  });
}
