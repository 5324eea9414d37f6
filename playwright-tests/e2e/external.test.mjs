// Services that run outside of all tabs: registered, found and called like others; what they do wrong is said; nobody hosts them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { serveElsewhere, elsewhere } from "../lib/elsewhere.mjs";
import { inPage, joinPage, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

/** A server elsewhere, a relay, a tab that registered the server as `weather`, and another tab. */
async function registered(world, change = {}) {
  const server = await serveElsewhere(world);
  const relay = await world.relay();
  const browser = await world.browser();
  const author = await joinPage(await world.page(browser, "author"), relay);
  const id = await author.evaluate((manifest) => peer.publish({ manifest }), elsewhere("weather", server.url, change));
  const user = await joinPage(await world.page(browser, "user"), relay);
  return { server, relay, browser, author, user, id };
}

/** How a call ended. */
const outcome = (page, method, body, options, how = "call") =>
  page.evaluate(
    async ([method, body, options, how]) => {
      const session = await peer.open("weather");
      try {
        const reply = await session[how](method, body, options);
        return { reply: new TextDecoder().decode(reply) };
      } catch ({ code, message, retryAfterMs, origin }) {
        return { code, message, retryAfterMs, origin };
      } finally {
        session.close();
      }
    },
    [method, body, options, how],
  );

test("a registered address is found and called like a service in a tab, also when its publisher is gone", () =>
  inWorld(async (world) => {
    const { server, relay, browser, author, user, id } = await registered(world);
    assert.equal(id, `weather@${author.id}`);
    const [found] = await user.evaluate(() => peer.find({ tag: "sky" }));
    assert.deepEqual([found.id, found.url, found.hosts, found.state], [id, server.url, [], "none"]);
    const used = await user.evaluate(async () => {
      const session = await peer.open("weather");
      const events = [];
      session.addEventListener("close", () => events.push("close"));
      const text = (bytes) => new TextDecoder().decode(bytes);
      const greeted = text(await session.call("greet", '"Ada"'));
      const now = text(await session.query("now"));
      const read = await session.read("now");
      const turned = [...(await session.call("bytes", new Uint8Array([1, 2, 255]).subarray(1)))];
      const counted = await Promise.all(Array.from({ length: 8 }, () => session.call("count").then(text)));
      const { server, epoch, term, path, service } = session;
      session.close();
      const after = await codeOf(session.call("now"));
      return { greeted, now, read: [text(read.body), read.server], turned, counted, server, epoch, term, path, service, events, after, left: peer.sessions().length };
    });
    assert.deepEqual(used, {
      greeted: '"Hello Ada"', now: '{"sky":"clear"}', read: ['{"sky":"clear"}', server.origin], turned: [255, 2],
      counted: ["1", "2", "3", "4", "5", "6", "7", "8"], server: server.origin, epoch: 0, term: 0, path: "external", service: id,
      events: ["close"], after: "disconnected", left: 0,
    });
    const [greeting] = server.seen;
    assert.deepEqual([greeting.method, greeting.path, greeting.body], ["POST", "/v1/greet", '"Ada"']);
    const { cookie, referer, origin, authorization } = greeting.headers;
    assert.deepEqual([cookie, referer, origin, authorization], [undefined, undefined, "null", undefined], "nobody's name");
    assert.equal(greeting.headers["content-type"], "application/json");
    assert.equal(server.seen.find(({ path }) => path === "/v1/bytes").headers["content-type"], "application/octet-stream");
    const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(keys.every((key) => key.length >= 16));
    assert.deepEqual(server.seen.map(({ path }) => path).filter((path) => !server.asked.some((each) => each.path === path)), [], "asked first");
    await author.close();
    const late = await joinPage(await world.page(browser, "late"), relay);
    assert.equal(await late.evaluate(async () => new TextDecoder().decode(await peer.call("weather", "greet", '"Eve"'))), '"Hello Eve"');
    const { manifest } = await late.evaluate(() => peer.package("weather"));
    assert.deepEqual([manifest.url, manifest.engine], [server.url, "url"]);
  }));

test("what a server does wrong has a code and words", () =>
  inWorld(async (world) => {
    const { server, user } = await registered(world, { interface: { ...elsewhere("x", "").interface, status: { body: {}, reply: {} } } });
    const cases = [
      [400, "refused"], [401, "not-permitted"], [403, "not-permitted"], [404, "not-found"], [405, "not-found"], [408, "deadline"],
      [409, "refused"], [410, "not-found"], [413, "refused"], [422, "refused"], [500, "trapped"], [502, "trapped"], [504, "deadline"],
    ];
    for (const [status, code] of cases) {
      const said = JSON.stringify([status, "application/problem+json", JSON.stringify({ title: "No", detail: `because\u0007 of ${status}` })]);
      assert.deepEqual(
        await outcome(user, "status", said),
        { code, message: `${server.origin} answered ${status}: because of ${status}`, retryAfterMs: undefined, origin: server.origin },
      );
    }
    const late = await outcome(user, "status", JSON.stringify([503, "text/plain", "later", { "retry-after": "7" }]));
    assert.deepEqual([late.code, late.retryAfterMs], ["no-server", 7_000]);
    const busy = await outcome(user, "status", JSON.stringify([429, "text/html", "<b>no</b>"]));
    assert.deepEqual([busy.code, busy.retryAfterMs, busy.message], ["overloaded", 1_000, `${server.origin} answered 429`]);
    const long = await outcome(user, "status", JSON.stringify([500, "text/plain", "x".repeat(100_000)]));
    assert.equal(long.message.length, `${server.origin} answered 500: `.length + 300);
    assert.equal((await outcome(user, "status", JSON.stringify([200, "application/json", "[]"]))).reply, "[]");
    assert.equal((await outcome(user, "status", JSON.stringify([204, "application/json", ""]))).reply, "");
  }));

test("servers that are slow, endless, silent or lead elsewhere are given up, and the next call works", () =>
  inWorld(async (world) => {
    const { server, user } = await registered(world);
    const codes = async (method, ...rest) => (await outcome(user, method, "", ...rest)).code;
    assert.equal(await codes("slow", { deadlineMs: 300 }), "deadline");
    assert.equal(await codes("slowRead", { deadlineMs: 300 }, "query"), "deadline");
    assert.equal(await codes("huge"), "trapped");
    assert.equal(await codes("endless", { deadlineMs: 20_000 }), "trapped");
    const reached = server.seen.length;
    assert.match((await outcome(user, "redirect", "")).message, /redirects to another address, which is not followed$/);
    assert.deepEqual(server.seen.slice(reached).map(({ path }) => path), ["/v1/redirect"]);
    // No page may read its answer; whether it did something is not known.
    assert.equal(await codes("silent"), "disconnected");
    assert.equal(await codes("drops"), "unknown-outcome");
    assert.equal(await codes("wall"), "unknown-outcome");
    assert.ok(!server.seen.some(({ path }) => path === "/v1/wall"), "a server that expects no pages gets no call");
    assert.equal(await codes("missing"), "refused", "a method that the interface does not have");
    assert.ok(!server.seen.some(({ path }) => path === "/v1/missing"));
    assert.equal(await codes("greet", {}, "query"), "refused", "it may change something");
    assert.equal(await user.evaluate(async () => codeOf((await peer.open("weather")).call("bytes", new Uint8Array(256 * 1024 + 1)))), "refused");
    const pushed = await user.evaluate(async () => {
      const session = await peer.open("weather");
      const codes = [];
      session.addEventListener("error", ({ detail }) => codes.push(detail.code));
      session.send("x");
      session.datagram("x");
      await until(() => codes.length === 2, 5_000, "two refusals");
      return codes;
    });
    assert.deepEqual(pushed, ["refused", "refused"]);
    // A hundred at once: what is too much is said, the rest is answered.
    const many = await user.evaluate(async () => {
      const session = await peer.open("weather");
      return Promise.all(Array.from({ length: 100 }, () => codeOf(session.query("now"))));
    });
    assert.deepEqual([...new Set(many)].sort(), ["ok", "overloaded"]);
    assert.ok(many.filter((code) => code === "ok").length >= 64);
    assert.equal((await outcome(user, "greet", '"Bob"')).reply, '"Hello Bob"');
    // Calls of one session wait for each other, as many as in a tab; what is too much is said at once.
    const queued = await user.evaluate(async () => {
      const codes = async (count, bytes) => {
        const session = await peer.open("weather");
        const calls = Array.from({ length: count }, () => codeOf(session.call("slow", new Uint8Array(bytes), { deadlineMs: 1_000 })));
        const counts = {};
        for (const code of await Promise.all(calls)) counts[code] = (counts[code] ?? 0) + 1;
        counts.after = await codeOf(session.call("count"));
        return counts;
      };
      return [await codes(1_030, 0), await codes(20, 256 * 1024)];
    });
    assert.deepEqual(queued, [{ deadline: 1_024, overloaded: 6, after: "ok" }, { deadline: 16, overloaded: 4, after: "ok" }]);
  }));

test("addresses that no page should call are refused, and so are fields that nobody would heed", () =>
  inWorld(async (world) => {
    const { server, author } = await registered(world);
    const refused = (change) =>
      author.evaluate((manifest) => peer.publish({ manifest }).then(() => "published", ({ code, message }) => `${code}: ${message}`), elsewhere("other", server.url, change));
    const urls = [
      "http://example.org/", "https://10.0.0.1/", "https://192.168.1.1/", "https://169.254.169.254/", "https://[::1]/", "https://printer.local/", "https://intranet/",
      "https://me:secret@example.org/", "https://example.org/#x", "https://example.org/?x", "https://example.org/../x", "https://example.org/%2e%2e/",
      "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ws://127.0.0.1/", "https://example.org\r\nx: y", '"><img src=x onerror=alert(1)>', "", "https://127.1/", "https://0x7f000001/",
      `https://example.org/${"x".repeat(600)}`,
    ];
    for (const url of urls) assert.match(await refused({ url }), /^invalid-package: .*url: /, url);
    for (const change of [
      { state: "single" }, { access: [author.id] }, { hosts: [author.id] }, { requires: { memoryMiB: 1 } }, { qos: { minServers: 2 } },
      { permissions: { datagrams: true } }, { durable: true }, { examples: [{ method: "now" }] }, { engine: "wasm" }, { interface: { "..": {} } },
    ]) {
      assert.match(await refused(change), /^invalid-package: /, JSON.stringify(change));
    }
    const module = await author.evaluate(async (manifest) => codeOf(peer.publish({ manifest, module: new Uint8Array([0]) })), elsewhere("other", server.url));
    assert.equal(module, "invalid-package");
  }));

test("nobody hosts it: host, handover and volunteers say so or leave it alone", () =>
  inWorld(async (world) => {
    const { server, author, user, id } = await registered(world);
    const words = `weather runs at ${server.origin}, outside of all tabs: no tab can host it`;
    const said = (page, give, argument) =>
      page.evaluate(([give, argument]) => Function("peer", "argument", `return ${give}`)(peer, argument).then(() => "done", ({ code, message }) => [code, message]), [give, argument]);
    await user.evaluate(() => peer.volunteer({}));
    for (const page of [author, user]) {
      assert.deepEqual(await said(page, "peer.host('weather')"), ["not-permitted", `not permitted: ${words}`]);
      assert.deepEqual(await said(page, "peer.handover('weather', argument)", user.id), ["not-permitted", `not permitted: ${words}`]);
    }
    assert.deepEqual(await said(user, "peer.drop('weather')"), ["not-permitted", `not permitted: ${words}`]);
    await soon(author, (id) => peer.status().peers.some((each) => each.id === id && each.volunteer), user.id);
    for (const page of [author, user]) assert.deepEqual(await page.evaluate(() => peer.status().hosting), []);
    // Its next version, elsewhere.
    const second = await serveElsewhere(world);
    await author.evaluate((manifest) => peer.publish({ manifest }), elsewhere("weather", second.url, { version: "2.0.0" }));
    assert.equal((await outcome(user, "greet", '"Zoe"')).reply, '"Hello Zoe"');
    assert.deepEqual([server.seen.length, second.seen.length], [0, 1]);
    // Its publisher takes it back.
    await author.evaluate(() => peer.drop("weather"));
    assert.equal(await user.evaluate(() => codeOf(peer.open("weather"))), "not-found");
    assert.deepEqual(await user.evaluate(async (id) => (await peer.find({})).filter((each) => each.id === id), id), []);
  }));

test("the relay forgets everything: the publisher's tab announces it again, also after a reload", () =>
  inWorld(async (world) => {
    const server = await serveElsewhere(world);
    const relay = await world.relay();
    const profile = await world.profile();
    const author = await joinPage(world.watch(await profile.context.newPage(), "author"), relay);
    await author.evaluate((manifest) => peer.publish({ manifest }), elsewhere("weather", server.url));
    await author.reload();
    await relay.kill();
    const again = await relay.again();
    world.atEnd(() => again.kill());
    await joinPage(author, again);
    const user = await joinPage(await world.page(await world.browser(), "user"), again);
    assert.equal((await outcome(user, "greet", '"Ada"')).reply, '"Hello Ada"');
  }));

test("an address of this very machine is for pages of this very machine", () =>
  inWorld(async (world) => {
    const { server, relay, author } = await registered(world);
    const browser = await world.browser({ args: ["--host-resolver-rules=MAP farm.example.org 127.0.0.1"] });
    const page = await world.page(browser, "stranger");
    const named = relay.url.replace("127.0.0.1", "farm.example.org");
    await page.goto(`${named}/tabfarm.d.ts`);
    assert.equal(new URL(page.url()).hostname, "farm.example.org");
    await page.evaluate(inPage);
    const refused = await page.evaluate(async (relays) => {
      const { Peer } = await import("/tabfarm.js");
      window.peer = await Peer.join({ store: "memory", relays });
      await until(async () => (await peer.find({ name: "weather" })).length === 1, 20_000, "the service");
      return peer.open("weather").then(() => "opened", ({ code, message }) => [code, message]);
    }, relay.info.addresses);
    assert.deepEqual(refused, ["not-permitted", `it runs at ${server.origin}, on the machine of whoever calls it: such an address is for development`]);
    assert.deepEqual([server.asked, server.seen], [[], []]);
    assert.equal(await author.evaluate(() => codeOf(peer.call("weather", "count"))), "ok");
  }));

test("a page of another origin calls it by tabfarm.js", () =>
  inWorld(async (world) => {
    const { server, relay, browser } = await registered(world);
    const page = await world.page(browser, "foreign");
    await page.goto(`${server.origin}/page`);
    await page.evaluate(inPage);
    const reply = await page.evaluate(async (url) => {
      const { Peer } = await import(`${url}/tabfarm.js`);
      window.peer = await Peer.join({ relays: [url] });
      return new TextDecoder().decode(await peer.call("weather", "greet", '"Kim"'));
    }, relay.url);
    assert.equal(reply, '"Hello Kim"');
    assert.deepEqual(page.problems, []);
  }));
