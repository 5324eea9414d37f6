// transport-webrtc between tabs: with itself and with unmodified js-libp2p.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { buildPages } from "./lib/build.mjs";
import { openBrowser, serve, sleep, startRelay, until } from "./lib/tabs.mjs";

const MIB = 1 << 20;
let server;
let browser;

before(async () => {
  await buildPages();
  server = await serve();
  browser = await openBrowser(server.url);
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Two peers that have met a relay. */
async function pair(kindA, kindB, options) {
  const relay = await startRelay();
  const [a, b] = await Promise.all([browser.tab(kindA, options), browser.tab(kindB, options)]);
  const [addressA, addressB] = await Promise.all([a.reserve(relay), b.reserve(relay)]);
  const close = async () => {
    await Promise.all([a.close(), b.close()]);
    await relay.kill();
  };
  return { relay, a, b, addressA, addressB, close };
}

const direct = (from, to) => until(async () => (await from.paths(to.id)).includes("WebRtc"), "a direct connection");
const onlyDirect = (from, to) =>
  until(async () => (await from.paths(to.id)).join() === "WebRtc", `${from.kind}: only a direct connection`);

for (const [from, to] of [["rust", "rust"], ["rust", "js"], ["js", "rust"]]) {
  test(`${from} dials ${to}: echo, 4 MiB both ways, and on without the relay`, async () => {
    const { relay, a, b, addressB, close } = await pair(from, to);
    await a.dial(addressB);
    await Promise.all([direct(a, b), direct(b, a)]);
    assert.ok(await a.echoes(b.id, 10));
    assert.ok(await a.echoes(b.id, 100_000));
    assert.ok(await b.echoes(a.id, 100_000));
    await onlyDirect(a, b);
    await relay.kill();
    await a.upload(b.id, 4 * MIB);
    await a.download(b.id, 4 * MIB);
    await b.upload(a.id, 4 * MIB);
    await b.download(a.id, 4 * MIB);
    assert.deepEqual([...a.errors, ...b.errors], []);
    await close();
  });
}
