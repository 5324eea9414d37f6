// A laptop in the field: one relay on an address of a network without internet, with TLS of its own authority and without.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { openApp } from "../lib/app.mjs";
import { ADDRESS, enterField, leaveField } from "../lib/field.mjs";
import { move, volunteer } from "../lib/moves.mjs";
import { noPartitions } from "../lib/namespace.mjs";
import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const skip = noPartitions;

before(() => skip || enterField());
after(() => skip || leaveField());

/** Asks over https, trusting `ca` alone: the answer and the certificate's public key as browsers name it. */
function ask(url, ca) {
  return new Promise((resolve, reject) => {
    const request = get(url, { ca }, async (response) => {
      const key = response.socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
      const pieces = await response.toArray();
      resolve({ body: Buffer.concat(pieces).toString(), key: createHash("sha256").update(key).digest("base64") });
    });
    request.on("error", reject);
  });
}

/** Two tabs join; one publishes, the other calls and is told who served it; the service moves with its number. */
async function workTogether(world, browser, relay) {
  const host = await volunteer(world, browser, relay, "host");
  const user = await joinPage(await world.page(browser, "user"), relay);
  const service = await publish(host, "counter");
  await user.evaluate(async (service) => (window.session = await peer.open(service)), service);
  const add = () => user.evaluate(async () => decode(await session.call("add", encode(1))));
  assert.equal(await add(), 1);
  const next = await volunteer(world, browser, relay, "next");
  await move(host, next, service);
  assert.equal(await add(), 2);
  assert.equal(await user.evaluate(() => session.server), next.id);
  await soon(user, (id) => peer.status().peers.some((each) => each.id === id && each.path === "direct"), next.id);
  return user;
}

test("a relay that is its own authority: who trusts it has a secure page, and everything works", { skip }, () =>
  inWorld(async (world) => {
    const dir = mkdtempSync(join(tmpdir(), "tabfarm-field-"));
    world.atEnd(() => rmSync(dir, { recursive: true, force: true }));
    const relay = await world.relay({ http: `${ADDRESS}:0`, args: ["--tls-local", "--data-dir", dir] });
    assert.ok(relay.url.startsWith(`https://${ADDRESS}:`), relay.url);

    // What a person does first: types the address, gets the page and the certificate over plain http.
    const plain = relay.url.replace("https", "http");
    const page = await (await fetch(plain)).text();
    const authority = await (await fetch(`${plain}/authority.pem`)).text();
    const fingerprint = /SHA-256\): ([0-9A-F:]+)/.exec(relay.log())[1];
    assert.ok(page.includes(fingerprint) && page.includes(`href="${relay.url}/"`), page);

    // The whole chain is checked here; the browser is told which key to trust, as these tests touch no system's store.
    const { body, key } = await ask(`${relay.url}/api/node`, authority);
    const [address] = JSON.parse(body).addresses;
    assert.ok(address.startsWith(`/ip4/${ADDRESS}/tcp/`) && address.includes("/tls/ws/p2p/"), address);
    await assert.rejects(ask(`${relay.url}/api/node`, []), "without the authority there is no trust");

    const browser = await world.browser({ args: [`--ignore-certificate-errors-spki-list=${key}`] });
    const user = await workTogether(world, browser, relay);
    assert.ok(await user.evaluate(() => isSecureContext && "locks" in navigator && "mediaDevices" in navigator));
    const app = await openApp(await world.page(browser, "app"), relay);
    assert.equal(await app.getByTestId("insecure").count(), 0);
    assert.deepEqual(app.problems, []);
  }));

test("plain http on the same address: the app says what is missing and works with the rest", { skip }, () =>
  inWorld(async (world) => {
    const relay = await world.relay({ http: `${ADDRESS}:0` });
    const browser = await world.browser();
    const user = await workTogether(world, browser, relay);
    assert.equal(await user.evaluate(() => isSecureContext), false);
    const app = await openApp(await world.page(browser, "app"), relay);
    const said = await app.getByTestId("insecure").innerText();
    for (const missing of ["lasting identity", "microphone"]) assert.ok(said.includes(missing), said);
    assert.deepEqual(app.problems, []);
  }));
