// An author's service in a real tab, for `cargo xtask service`.
//
//   node service.mjs trial DIST                    runs it as each host tries it, in a tab of its own
//   node service.mjs publish DIST RELAY PROFILE    publishes it, and serves it until this is stopped

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { options } from "./lib/browser.mjs";
import { startRelay } from "./lib/relay.mjs";

const [what, dist, relayUrl, profile] = process.argv.slice(2);
const JOIN_MS = 30_000;
/** A host stores what happened every two seconds at most. */
const STORE_MS = 10_000;

const read = (path) => readFile(join(dist, path));
const pack = {
  manifest: JSON.parse(await read("manifest.json")),
  module: (await read("module.wasm")).toString("base64"),
  ui: Object.fromEntries(await Promise.all(JSON.parse(await read("ui.json")).map(async (path) => [path, (await read(`ui/${path}`)).toString("base64")]))),
};

/** Makes or joins a peer in the page and publishes; an error becomes words. */
async function publish({ pack, alone }) {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { Peer } = await import("/tabfarm.js");
  window.peer = await (alone ? Peer.alone() : Peer.join({ name: "author" }));
  const ui = Object.fromEntries(Object.entries(pack.ui).map(([path, text]) => [path, bytes(text)]));
  try {
    return { id: await peer.publish({ manifest: pack.manifest, module: bytes(pack.module), ui }) };
  } catch ({ code, message }) {
    return { failed: `${code}: ${message}` };
  }
}

/** Moves what the page's peer serves to whoever takes it, waits until the rest is on its disk, and leaves; how many stayed. */
async function end(storeMs) {
  const serving = () => peer.status().hosting.filter(({ role }) => role === "leader");
  for (const { service, standbys = [], members = [] } of serving()) {
    const volunteers = peer.status().peers.filter(({ volunteer }) => volunteer).map(({ id }) => id);
    for (const to of new Set([...standbys, ...members, ...volunteers])) {
      if (to !== peer.id && (await peer.handover(service, to).then(() => true, () => false))) break;
    }
  }
  const { length } = serving();
  const until = Date.now() + storeMs;
  while (serving().some(({ unstored }) => unstored > 0) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 100));
  await peer.leave();
  return length;
}

async function trial() {
  const relay = await startRelay();
  const browser = await chromium.launch(options);
  try {
    const page = await browser.newPage();
    await page.goto(`${relay.url}/tabfarm.d.ts`);
    const { failed } = await page.evaluate(publish, { pack, alone: true });
    if (failed) throw new Error(failed);
    const count = pack.manifest.examples?.length ?? 0;
    console.log(`trial: it starts, moves and restarts, and ${count} of ${count} examples answer as the manifest says`);
  } finally {
    await browser.close();
    await relay.kill();
  }
}

async function serve() {
  // This process ends the browser, after the service has been handed over.
  const own = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  const context = await chromium.launchPersistentContext(profile, { ...options, ...own });
  const page = await context.newPage();
  await page.goto(`${relayUrl.replace(/\/$/, "")}/tabfarm.d.ts`, { timeout: JOIN_MS });
  const { id, failed } = await page.evaluate(publish, { pack, alone: false });
  if (failed) {
    await context.close();
    throw new Error(failed);
  }
  console.log(`published ${id}\nopen ${relayUrl}/#/services/${id}\ntabfarm --relay ${relayUrl} call ${pack.manifest.name} …\nserving from a tab without a window; Ctrl-C hands it over and ends`);
  await new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, resolve);
  });
  const left = await page.evaluate(end, STORE_MS);
  console.log(left > 0 ? "nobody could take it over: its state is kept for the next time" : "handed over");
  await context.close();
}

try {
  if (what === "trial") await trial();
  else if (what === "publish") await serve();
  else throw new Error("usage: node service.mjs trial DIST | publish DIST RELAY PROFILE");
} catch (error) {
  console.error(`service: ${error.message.split("\n")[0]}`);
  process.exitCode = 1;
}
