// transport-webrtc between tabs: with itself and with unmodified js-libp2p.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { buildPages } from "./lib/build.mjs";
import * as tabfarm from "../lib/relay.mjs";
import { openBrowser, serve, sleep, startRelay, until, within } from "./lib/tabs.mjs";

const MIB = 1 << 20;
let server;
let browser;

before(async () => {
  if (!process.env.NOBUILD) await buildPages();
  server = await serve();
  browser = await openBrowser(server.url);
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Two peers that have met a relay. */
async function pair(kindA, kindB, options, relay) {
  relay ??= await startRelay();
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

const limit = { timeout: 60_000 };

/** Adds to an error what both ends have seen. */
async function explain(error, a, b) {
  const seen = async (tab) => [`${tab.id}: ${tab.errors.join("; ")}`, ...(await tab.events()).slice(-25)].join("\n  ");
  throw new Error(`${error.message}\n${await seen(a)}\n${await seen(b)}`);
}

for (const [from, to] of [["rust", "rust"], ["rust", "js"], ["js", "rust"]]) {
  test(`${from} dials ${to}: echo, 4 MiB both ways, and on without the relay`, limit, async () => {
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
    // js-libp2p tries to reach the dead relay again.
    assert.deepEqual([...a.errors, ...b.errors].filter((error) => !error.includes("WebSocket")), []);
    await close();
  });
}

// Neither kind of peer speaks this project's own protocols: for its relay they are plain libp2p nodes.
for (const [from, to] of [["rust", "js"], ["js", "rust"]]) {
  test(`${from} dials ${to} through this project's relay, and both keep their reservations`, limit, async () => {
    const { info, kill } = await tabfarm.startRelay();
    const { a, b, addressB, close } = await pair(from, to, undefined, { address: info.addresses[0], kill });
    await a.dial(addressB);
    await Promise.all([direct(a, b), direct(b, a)]);
    assert.ok(await a.echoes(b.id, 100_000));
    for (const tab of [a, b]) assert.ok((await tab.addresses()).some((address) => address.includes(info.peer_id)), tab.kind);
    await close();
  });
}

test("rust dials js ten times in a row", limit, async () => {
  const { a, b, addressB, close } = await pair("rust", "js");
  for (let i = 0; i < 10; i++) {
    await a.dial(addressB);
    assert.ok(await a.echoes(b.id, 1000), `dial ${i}`);
    await a.disconnect(b.id);
    // js-libp2p itself finds out later.
    await until(async () => (await a.paths(b.id)).length === 0, "the dialler has let go");
  }
  await close();
});

test("simultaneous dials: both succeed, one connection lingers", { timeout: 120_000 }, async () => {
  const { a, b, addressA, addressB, close } = await pair("rust", "rust");
  for (let i = 0; i < 6; i++) {
    // From together to one well ahead of the other, in both orders.
    const ahead = Math.floor(i / 2) * 40;
    const [first, second] = i % 2 ? [a.dial(addressB), sleep(ahead).then(() => b.dial(addressA))]
      : [b.dial(addressA), sleep(ahead).then(() => a.dial(addressB))];
    await within(Promise.all([first, second]), 30_000, "both dials end")
      .then(() => Promise.all([onlyDirect(a, b), onlyDirect(b, a)]))
      .catch((error) => explain(error, a, b));
    await sleep(300);
    assert.deepEqual([await a.paths(b.id), await b.paths(a.id)], [["WebRtc"], ["WebRtc"]]);
    assert.ok(await a.echoes(b.id, 1000));
    await a.disconnect(b.id);
    await until(async () => (await a.paths(b.id)).length + (await b.paths(a.id)).length === 0, "both have let go");
  }
  await close();
});

test("a circuit is upgraded by its dialler, and closed", limit, async () => {
  const { a, b, addressB, close } = await pair("rust", "rust");
  await a.dial(addressB.replace("/webrtc", ""));
  await Promise.all([onlyDirect(a, b), onlyDirect(b, a)]);
  const changes = (await a.events()).filter((event) => event.includes("PathChanged") && event.includes(b.id));
  assert.deepEqual(changes.map((event) => /path: (\w+)/.exec(event)[1]), ["Relayed", "WebRtc"]);
  assert.ok(await a.echoes(b.id, 1000));
  await close();
});

test("a circuit whose dialler does not upgrade is upgraded by its listener", limit, async () => {
  const { a, b, addressB, close } = await pair("js", "rust");
  await a.dial(addressB.replace("/webrtc", ""));
  await Promise.all([direct(a, b), direct(b, a)]);
  assert.ok(await b.echoes(a.id, 1000));
  await close();
});

test("the webrtc address goes when the relay does", limit, async () => {
  const { relay, a, b } = await pair("rust", "rust");
  assert.ok((await a.addresses()).some((address) => address.includes("/webrtc/")));
  await relay.kill();
  await until(async () => (await a.addresses()).length === 0, "no address is announced");
  await Promise.all([a.close(), b.close()]);
});

test("a reader that pauses holds the writer back, in bounded memory", limit, async () => {
  const { a, b, addressB, close } = await pair("rust", "rust");
  await a.dial(addressB);
  await direct(a, b);
  const before = [await a.memory(), await b.memory()];
  let done = false;
  const upload = a.upload_slow(b.id, 64 * MIB).then(() => (done = true));
  await sleep(3000);
  const grown = [(await a.memory()) - before[0], (await b.memory()) - before[1]];
  assert.ok(!done);
  assert.equal(await b.slow_read(), 0);
  // The receive buffer is 8 MiB; an allocator may need twice that while it grows.
  assert.ok(grown.every((bytes) => bytes <= 20 * MIB), `grew by ${grown} bytes`);
  await b.set_reading(true);
  await upload;
  assert.equal(await b.slow_read(), 64 * MIB);
  await close();
});

/** The channel of a tab's datagrams, if there is one. */
const datagramChannel = async (tab) => (await tab.channels()).find(({ label }) => label === "datagrams");

test("datagrams take an unordered channel of their own, and a blocked stream does not hold them up", limit, async () => {
  const { a, b, addressB, close } = await pair("rust", "rust");
  await a.dial(addressB);
  await direct(a, b);
  // A datagram that finds no way is none of the channel's: it says so.
  for (const [from, to] of [[a, b], [b, a]]) await until(() => from.datagram(to.id, 0, 4), `${from.id}: a way for datagrams`);
  let done = false;
  const upload = a.upload_slow(b.id, 64 * MIB).then(() => (done = true));
  const blocked = async () => (await b.channels()).some(({ bytesReceived }) => bytesReceived > 7 * MIB);
  await until(blocked, "as much has arrived as the reader takes unread");
  const before = await Promise.all([a, b].map(datagramChannel));
  for (const channel of before) {
    const { id, ordered, maxRetransmits, negotiated } = channel;
    assert.deepEqual({ id, ordered, maxRetransmits, negotiated }, { id: 255, ordered: false, maxRetransmits: 0, negotiated: true });
  }
  const count = 100;
  for (let n = 1; n <= count; n++) {
    for (const [from, to] of [[a, b], [b, a]]) assert.ok(await from.datagram(to.id, n, 1200));
  }
  for (const tab of [a, b]) {
    await until(async () => (await tab.datagrams()).length > count, "all datagrams");
    const came = (await tab.datagrams()).sort((x, y) => x - y);
    assert.deepEqual(came, Array.from({ length: count + 1 }, (_, n) => n));
  }
  assert.ok(!done, "the stream is still blocked");
  assert.equal(await b.slow_read(), 0);
  const after = await Promise.all([a, b].map(datagramChannel));
  for (const at of [0, 1]) {
    assert.deepEqual([after[at].messagesSent - before[at].messagesSent, after[at].messagesReceived - before[at].messagesReceived], [count, count]);
  }
  assert.equal(await a.datagram(b.id, 0, 16 * 1024), false, "too long for one message of every browser");
  await b.set_reading(true);
  await upload;
  await close();
});

for (const [from, to] of [["rust", "js"], ["js", "rust"]]) {
  test(`${from} dials ${to}: no channel for datagrams is made`, limit, async () => {
    const { a, b, addressB, close } = await pair(from, to);
    await a.dial(addressB);
    await Promise.all([direct(a, b), direct(b, a)]);
    const [rust, js] = from === "rust" ? [a, b] : [b, a];
    const identified = async () => (await rust.events()).some((event) => event.includes(`identified ${js.id} Some(WebRtc)`));
    await until(identified, "js-libp2p has said what it speaks");
    assert.equal(await rust.datagram(js.id, 0, 4), false);
    assert.ok(await a.echoes(b.id, 1000));
    for (const tab of [a, b]) assert.equal(await datagramChannel(tab), undefined, tab.kind);
    await close();
  });
}

test("2,000 streams, up to 600 at once: each ends, and its place is used again", { timeout: 120_000 }, async () => {
  const { a, b, addressB, close } = await pair("rust", "rust");
  await a.dial(addressB);
  await direct(a, b);
  const echoes = await a.page.evaluate(async (peer) => {
    let right = 0;
    const one = async (i) => {
      const data = new Uint8Array(100).fill(i);
      const back = await window.peer.echo(peer, data);
      if (back.length === 100 && back.every((byte) => byte === (i & 255))) right += 1;
    };
    for (const width of [600, 300, 300, 300, 300, 200]) await Promise.all(Array.from({ length: width }, (_, i) => one(i)));
    return right;
  }, b.id);
  assert.equal(echoes, 2000);
  await close();
});

test("a page that is closed is noticed", limit, async () => {
  const { a, b, addressB, close } = await pair("rust", "rust");
  await a.dial(addressB);
  await onlyDirect(a, b);
  await b.close();
  await until(async () => (await a.paths(b.id)).length === 0, "the connection ends", 5000);
  await close();
});

test("garbage on the signalling stream is refused, and the peer goes on", { timeout: 120_000 }, async () => {
  const { a, b, addressB, close } = await pair("rust", "rust", { upgrade: false });
  await a.dial(addressB.replace("/webrtc", ""));
  const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
  const message = (type, text) => {
    const bytes = Array.from(new TextEncoder().encode(text));
    const body = [8, type, 18, ...varint(bytes.length), ...bytes];
    return [...varint(body.length), ...body];
  };
  const sdp = await a.page.evaluate(() => raw.offer());
  const candidate = (text) => message(2, JSON.stringify({ candidate: text, sdpMid: "0", sdpMLineIndex: 0 }));
  const garbage = {
    "a giant": [...varint(2 ** 40)],
    "an offer of 1 MiB": message(0, "x".repeat(MIB)),
    "no protobuf": [5, 255, 255, 255, 255, 255],
    "an empty offer": message(0, ""),
    "audio": message(0, sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"),
    "half an offer": message(0, sdp.slice(0, sdp.length - 200)),
    "an answer first": message(1, sdp),
    "a candidate first": candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host"),
    "junk candidates": [...message(0, sdp), ...[null, "", 7, "{", "[]", '{"candidate":7}'].flatMap((x) => message(2, String(x)))],
    "1,000 candidates": [...message(0, sdp), ...Array.from({ length: 1000 }, (_, i) => candidate(`candidate:${i} 1 udp 1 127.0.0.1 9 typ host`)).flat()],
    "a long candidate": [...message(0, sdp), ...candidate("x".repeat(10_000))],
  };
  for (const [name, bytes] of Object.entries(garbage)) {
    await Promise.race([a.exchange(b.id, "/webrtc-signaling/0.0.1", bytes).catch(() => {}), sleep(1500)]);
    assert.ok(await b.id, name);
  }
  assert.deepEqual(await b.paths(a.id), ["Relayed"]);
  await a.dial(addressB);
  await direct(a, b);
  assert.ok(await a.echoes(b.id, 1000));
  assert.deepEqual(b.errors, []);
  await close();
});
