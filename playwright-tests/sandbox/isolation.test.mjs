// What a hostile script could do if it ran where guests run: nothing. Guests are wasm and can run no script at all; these
// probes are put into the frame's own text on its way, to show that each wall holds without the one before it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { launch } from "../lib/browser.mjs";
import { listen } from "./lib/canary.mjs";
import { FRAME, script, WORKER } from "./lib/probes.mjs";
import { serve } from "./lib/server.mjs";

const PRELUDE = /<script type="text\/plain" class="worker">\n'use strict';\n\/\/ Prelude[^]*?<\/script>/;
const part = (text) => `<script type="text/plain" class="worker">${text}</script>\n`;
/** Timers are among what the prelude removes, so the probes take theirs before it. */
const TIMER = part("const setTimeout_ = setTimeout.bind(globalThis);");
/** The worker answers its port with what the probes found, instead of doing its work. */
const ANSWER = part("globalThis.onmessage = ({ data }) => probing.then((found) => data.postMessage(found));");
/** Where the frame's own script begins. */
const FRAME_SCRIPT = /<script>\n'use strict';/;

const CASES = [
  ["a worker, as guests have it", WORKER, (text, probes) =>
    text.replace(PRELUDE, (prelude) => TIMER + prelude + part(probes)).replace(FRAME_SCRIPT, (script) => ANSWER + script)],
  ["a worker without its prelude: the policy alone", WORKER, (text, probes) => text.replace(PRELUDE, TIMER + part(probes) + ANSWER)],
  ["the frame", FRAME, (text, probes) => text.replace(/addEventListener\('message'[^]*/, `
    const setTimeout_ = setTimeout;
    ${probes}
    addEventListener('message', ({ ports: [port] }) => probing.then((found) => port.postMessage(found)));
  })();</script>`)],
];

for (const [where, probes, put] of CASES) {
  test(`nothing gets out of ${where}`, { timeout: 60_000 }, async (t) => {
    const canary = await listen();
    const change = (path, text) => (path === "/sandbox/frame.html" ? put(text, script(probes, canary.address)) : text);
    const [server, browser] = [await serve({ change }), await launch()];
    t.after(async () => {
      await browser.close();
      await server.close();
      canary.close();
    });
    const page = await (await browser.context()).newPage();
    await page.goto(server.url);
    const [found, heard] = await page.evaluate(probe);
    assert.deepEqual(Object.keys(found).sort(), Object.keys(probes).sort());
    const out = Object.entries(found).filter(([, result]) => !result.startsWith("contained"));
    assert.deepEqual(out, []);
    assert.deepEqual(heard, []);
    await new Promise((done) => setTimeout(done, 500));
    assert.equal(page.url(), `${server.url}/`);
    // Chromium may open a connection ahead of the policy's verdict on a navigation, which only the frame's own script
    // could start; nothing is ever sent on it.
    assert.deepEqual(canary.seen.filter((seen) => where !== "the frame" || seen !== "connection"), []);
  });
}

test("the frame cannot navigate out", { timeout: 60_000 }, async (t) => {
  const canary = await listen();
  const change = (path, text) =>
    path === "/sandbox/frame.html" ? text.replace("parent.postMessage({ ready", `location = 'http://${canary.address}/out'; parent.postMessage({ ready`) : text;
  const [server, browser] = [await serve({ change }), await launch()];
  t.after(async () => {
    await browser.close();
    await server.close();
    canary.close();
  });
  const page = await (await browser.context()).newPage();
  await page.goto(server.url);
  await page.evaluate(() => {
    const frame = Object.assign(document.createElement("iframe"), { src: "/sandbox/frame.html" });
    frame.setAttribute("sandbox", "allow-scripts");
    document.body.append(frame);
    return new Promise((done) => setTimeout(done, 2_000));
  });
  assert.equal(page.url(), `${server.url}/`);
  assert.deepEqual(canary.seen.filter((seen) => seen !== "connection"), []);
});

test("the canary sees what is not contained", async (t) => {
  const canary = await listen();
  const [server, browser] = [await serve(), await launch()];
  t.after(async () => {
    await browser.close();
    await server.close();
    canary.close();
  });
  const page = await (await browser.context()).newPage();
  await page.route("**/unguarded", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
  await page.goto(`${server.url}/unguarded`);
  await page.evaluate((address) => fetch(`http://${address}/`, { mode: "no-cors" }).catch(() => {}), canary.address);
  assert.equal(canary.seen.length > 0, true);
});

/** Frames the sandbox as the app does, starts a worker and waits for what the probes found. */
function probe() {
  const heard = [];
  new BroadcastChannel("tabfarm-test").onmessage = ({ data }) => heard.push(data);
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.src = "/sandbox/frame.html";
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = ({ data }) => resolve([data, heard]);
    frame.onload = () => frame.contentWindow.postMessage({ create: 1 }, "*", [port2]);
    document.body.append(frame);
  });
}
