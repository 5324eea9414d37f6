// A service's own page, as a relay serves it and the app frames it: its script reaches its session and nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openApp, openService } from "../lib/app.mjs";
import { SOON_MS, joinPage } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";
import { listen } from "../sandbox/lib/canary.mjs";
import { PAGE, script } from "../sandbox/lib/probes.mjs";

const HTML = "<!doctype html><meta charset=utf-8><title>probes</title><p id=said>loaded</p><script src=probe.js></script>";

/** Publishes a service whose own page runs `text`, opens it in the app, and gives the frame of that page. */
async function pageOf(world, text) {
  const relay = await world.relay();
  const browser = await world.browser();
  const author = await joinPage(await world.page(browser, "author"), relay);
  await author.evaluate(async ([html, text]) => {
    const { manifest, module } = await fetchPackage("echo");
    await peer.publish({ manifest: { ...manifest, name: "prober", ui: "index.html" }, module, ui: { "index.html": html, "probe.js": text } });
  }, [HTML, text]);
  const page = await openApp(await world.page(browser, "visitor"), relay);
  await openService(page, "prober");
  const element = page.getByTestId("service-ui").locator("iframe");
  await element.contentFrame().locator("#said").waitFor({ timeout: SOON_MS });
  const handle = await element.elementHandle();
  return { relay, page, author, element, frame: await handle.contentFrame() };
}

/** Runs the probes in a page of a service; what got out, and what the canary saw. */
async function probe(world, probes) {
  const canary = await listen();
  world.atEnd(() => canary.close());
  const text = `const setTimeout_ = setTimeout;\n${script(probes, canary.address)}\nprobing.then((found) => { window.found = found; });`;
  const { page, frame, ...rest } = await pageOf(world, text);
  await frame.waitForFunction(() => window.found, undefined, { timeout: SOON_MS });
  const found = await frame.evaluate(() => found);
  return { canary, found, page, frame, ...rest };
}

inBoth("nothing gets out of a service's own page, and nothing is opened", (inWorld) =>
  inWorld(async (world) => {
    const { canary, found, page, relay } = await probe(world, PAGE);
    const out = Object.entries(found).filter(([, result]) => !result.startsWith("contained"));
    assert.deepEqual(out, []);
    assert.deepEqual(Object.keys(found).sort(), Object.keys(PAGE).sort());
    assert.ok(Object.keys(PAGE).length >= 20);
    assert.deepEqual(canary.seen.filter((seen) => seen !== "connection"), []);
    assert.equal(page.context().pages().length, 1, "no popup");
    assert.ok(page.url().startsWith(`${relay.url}/#/services/`), "the app stays where it is");
  }));

test("the same probes get out of a page without the frame's walls", () =>
  inWorld(async (world) => {
    const canary = await listen();
    world.atEnd(() => canary.close());
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "unguarded");
    await page.route("**/unguarded", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
    await page.goto(`${relay.url}/unguarded`);
    const some = ["RTCPeerConnection", "RTCPeerConnection of an empty frame", "a frame with srcdoc", "a frame with srcdoc, while regular expressions find nothing", "a frame written by innerHTML", "a frame with a javascript: address", "fetch", "image"];
    const probes = Object.fromEntries(some.map((name) => [name, PAGE[name]]));
    const found = await page.evaluate(`(() => { const setTimeout_ = setTimeout;\n${script(probes, canary.address)}\nreturn probing; })()`);
    const held = Object.entries(found).filter(([name, result]) => result.startsWith("contained") && !["fetch", "image"].includes(name));
    assert.deepEqual(held, []);
    // The canary gives no image and no permission; that it is asked is what counts.
    assert.ok(canary.seen.length > 0);
  }));

for (const [name, text] of [
  ["by its location", "location = 'http://CANARY/out'"],
  ["by a refresh", "const e = document.createElement('meta'); e.httpEquiv = 'refresh'; e.content = '0;url=http://CANARY/out'; document.head.append(e)"],
  ["by a link", "const e = document.createElement('a'); e.href = 'http://CANARY/out'; document.body.append(e); e.click()"],
  ["by a download", "const e = document.createElement('a'); e.href = 'http://CANARY/out'; e.download = 'x'; document.body.append(e); e.click()"],
  ["by a form", "const e = document.createElement('form'); e.action = 'http://CANARY/out'; document.body.append(e); e.submit()"],
]) {
  test(`a service's own page cannot navigate itself out, ${name}`, () =>
    inWorld(async (world) => {
      const canary = await listen();
      world.atEnd(() => canary.close());
      const { page, relay } = await pageOf(world, `setTimeout(() => { ${text.replaceAll("CANARY", canary.address)} }, 300);`);
      await page.waitForTimeout(2_000);
      // Chromium may open a connection ahead of the policy's verdict; nothing is ever sent on it.
      assert.deepEqual(canary.seen.filter((seen) => seen !== "connection"), []);
      assert.ok(page.url().startsWith(`${relay.url}/#/services/`));
    }));
}

inBoth("the page's object calls, asks, sends, hears, and knows who serves it", (inWorld) =>
  inWorld(async (world) => {
    const text = `
      const [encode, decode] = [(text) => new TextEncoder().encode(text), (bytes) => new TextDecoder().decode(bytes)];
      window.heard = [];
      (async () => {
        const { me, session } = await tabfarm.ready;
        const reply = decode(await tabfarm.query("echo", encode("asked")));
        const error = await tabfarm.call("no-such-method").catch((error) => ({ code: error.code, text: error.message }));
        window.told = { me, session, reply, error };
      })();`;
    const { page, frame, author } = await pageOf(world, text);
    await frame.waitForFunction(() => window.told, undefined, { timeout: SOON_MS });
    const { me, session, reply, error } = await frame.evaluate(() => told);
    assert.equal(me, page.id);
    assert.deepEqual({ server: session.server, service: session.service }, { server: author.id, service: `prober@${author.id}` });
    assert.equal(reply, "asked");
    assert.equal(typeof error.code, "string");
    assert.ok(error.text.length > 0);
  }));
