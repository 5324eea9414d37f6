// Plain HTTP clients use services that live in tabs.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { move, volunteer } from "../lib/moves.mjs";
import { publish, soon } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";
import { listen } from "../sandbox/lib/canary.mjs";
import { PAGE, script } from "../sandbox/lib/probes.mjs";

const post = (relay, path, body, headers = {}) => fetch(`${relay.url}${path}`, { method: "POST", body, headers });

/** A relay and a tab that serves the counter; `add(headers)` adds 1 by HTTP. */
async function counting(world) {
  const relay = await world.relay();
  const browser = await world.browser();
  const host = await volunteer(world, browser, relay, "host");
  const service = await publish(host, "counter");
  const add = async (name = "counter", headers = {}) => {
    const response = await post(relay, `/s/${name}/add`, "1", headers);
    assert.equal(response.status, 200, await response.clone().text());
    return { total: await response.json(), server: response.headers.get("tabfarm-server"), term: Number(response.headers.get("tabfarm-term")) };
  };
  return { relay, browser, host, service, add };
}

/** What a raw request is answered; the connection is read to its end. */
function raw(relay, text) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(relay.url);
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = "";
    socket.setTimeout(20_000, () => reject(new Error(`no end of the answer to ${text}`)));
    socket.on("data", (data) => (answer += data));
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

test("a client without a browser calls a service in a tab, and goes on when it moves", () =>
  inWorld(async (world) => {
    const { relay, browser, host, service, add } = await counting(world);
    const other = await volunteer(world, browser, relay, "other");
    const first = await add();
    assert.deepEqual({ total: first.total, server: first.server }, { total: 1, server: host.id });
    assert.equal((await add(service)).total, 2, "by its full name");
    await move(host, other, service);
    const moved = await add();
    assert.deepEqual({ total: moved.total, server: moved.server }, { total: 3, server: other.id });
    assert.ok(moved.term > first.term);
    const many = await Promise.all(Array.from({ length: 20 }, () => add()));
    assert.deepEqual(many.map(({ total }) => total).sort((x, y) => x - y), Array.from({ length: 20 }, (_, n) => n + 4), "each once");
    const read = await fetch(`${relay.url}/s/counter/read`);
    assert.deepEqual([read.status, read.headers.get("content-type"), await read.json()], [200, "application/json", 23]);
  }));

test("a request that is repeated with its key is executed once", () =>
  inWorld(async (world) => {
    const { relay, add } = await counting(world);
    const key = { "idempotency-key": "a-key" };
    assert.equal((await add("counter", key)).total, 1);
    assert.equal((await add("counter", key)).total, 1, "the answer again");
    assert.equal((await add("counter", { "idempotency-key": "b" })).total, 2);
    const same = await Promise.all(Array.from({ length: 10 }, () => add("counter", { "idempotency-key": "c" })));
    assert.deepEqual(new Set(same.map(({ total }) => total)), new Set([3]), "at once, too");
    const other = await post(relay, "/s/counter/add", "2", key);
    assert.deepEqual([other.status, (await other.json()).title], [422, "Key used before"]);
    // Whoever gives up waiting gets the answer by asking again.
    const late = { ...key, "idempotency-key": "d", "tabfarm-deadline": "1" };
    const gaveUp = await post(relay, "/s/counter/add", "1", late);
    assert.ok([200, 504].includes(gaveUp.status), String(gaveUp.status));
    assert.equal((await add("counter", { "idempotency-key": "d" })).total, 4);
    assert.equal((await add()).total, 5);
    assert.equal((await post(relay, "/s/counter/add", "1", { "idempotency-key": "k".repeat(256) })).status, 400);
  }));

test("what is wrong is a problem document", () =>
  inWorld(async (world) => {
    const { relay } = await counting(world);
    const problem = async (path, body, headers) => {
      const response = await post(relay, path, body, headers);
      assert.equal(response.headers.get("content-type"), "application/problem+json", path);
      assert.equal(response.headers.get("access-control-allow-origin"), "*");
      const { status, code, detail } = await response.json();
      assert.equal(status, response.status);
      assert.ok(detail.length > 0);
      return [status, code];
    };
    assert.deepEqual(await problem("/s/nobody-has-it/add", "1"), [404, "not-found"]);
    assert.deepEqual(await problem("/s/counter/no-such-method", "1"), [404, undefined]);
    assert.deepEqual(await problem("/s/counter/add", "1.5"), [502, "trapped"]);
    assert.deepEqual(await problem("/s/counter/add", "one"), [400, undefined]);
    assert.deepEqual(await problem("/s/counter/add", new Uint8Array(256 * 1024 + 1)), [413, undefined]);
    assert.deepEqual(await problem("/s/counter/add", "1", { "tabfarm-deadline": "soon" }), [400, undefined]);
    assert.deepEqual(await problem(`/s/counter/${"m".repeat(300)}`, "1"), [414, undefined]);
    for (const name of ["..%2fapi", "counter%0d%0aset-cookie:x", "counter@nobody", "http:%2f%2f127.0.0.1", "COUNTER", "a".repeat(65)]) {
      assert.deepEqual(await problem(`/s/${name}/add`, "1"), [404, "not-found"], name);
    }
    for (const path of ["/s/%2e%2e/add", "/s/../api/node", "/s/counter/../../api/node", "/s/counter/ui/../../../index.html"]) {
      const answer = await raw(relay, `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 40[45] /, path);
    }
    assert.equal((await fetch(`${relay.url}/s/counter/add`)).status, 405, "GET changes nothing");
    const preflight = await fetch(`${relay.url}/s/counter/add`, { method: "OPTIONS", headers: { origin: "https://example.org", "access-control-request-method": "POST" } });
    assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-methods")], [204, "POST, GET"]);
    const unsafe = await post(relay, "/s/counter/add", "1");
    assert.equal(unsafe.headers.get("content-security-policy"), "default-src 'none'; sandbox");
    assert.equal(unsafe.headers.get("x-content-type-options"), "nosniff");
  }));

test("two publishers with one name: the candidates are named", () =>
  inWorld(async (world) => {
    const { relay, browser, service } = await counting(world);
    const rival = await volunteer(world, browser, relay, "rival");
    const second = await publish(rival, "counter");
    await soon(rival, async () => (await peer.find({ name: "counter" })).length === 2);
    const response = await post(relay, "/s/counter/add", "1");
    const { status, code, candidates } = await response.json();
    assert.deepEqual([status, code, candidates.sort()], [409, "ambiguous", [service, second].sort()]);
    assert.equal((await post(relay, `/s/${second}/add`, "1")).status, 200);
  }));

test("smuggled, split and slow requests, and hosts that are not this one's", () =>
  inWorld(async (world) => {
    const { relay, add } = await counting(world);
    const status = (answer) => answer.split(" ")[1];
    const twoHosts = "GET /api/node HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n";
    assert.equal(status(await raw(relay, twoHosts)), "400");
    const absolute = "GET http://evil.example/api/node HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert.equal(status(await raw(relay, absolute)), "400");
    // A length beside chunks is refused, and nothing after the request is read as another one.
    const hidden = "GET /api/node HTTP/1.1\r\nHost: x\r\n\r\n";
    const smuggled = `POST /s/counter/add HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n${hidden}`;
    const answers = await raw(relay, smuggled);
    assert.deepEqual(answers.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 400"], answers);
    assert.equal((await add()).total, 1);
    for (const bad of ["POST /s/counter/add HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n1", "POST /s/counter/add HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n11", "POST /s/counter/add HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n"]) {
      assert.equal(status(await raw(relay, bad)), "400", bad);
    }
    // Chunks are taken as they come.
    const chunked = `POST /s/counter/read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    assert.equal(status(await raw(relay, chunked)), "200");
  }));

test("an interface as OpenAPI", () =>
  inWorld(async (world) => {
    const { relay } = await counting(world);
    const document = await (await fetch(`${relay.url}/s/counter/openapi.json`)).json();
    assert.deepEqual([document.openapi, document.info.title, Object.keys(document.paths)], ["3.1.0", "counter", ["/add", "/read"]]);
    assert.equal((await fetch(`${relay.url}/s/nobody-has-it/openapi.json`)).status, 404);
  }));

test("a WebSocket is a session: calls in order, messages, a move", () =>
  inWorld(async (world) => {
    const { relay, browser, host, service } = await counting(world);
    const chat = await publish(host, "chat");
    const page = await world.page(await world.browser(), "plain");
    await page.goto(`${relay.url}/tabfarm.d.ts`);
    await page.evaluate(() => {
      window.connect = (service) => new Promise((resolve, reject) => {
        const socket = new WebSocket(`${location.origin.replace("http", "ws")}/s/${service}/session`);
        socket.binaryType = "arraybuffer";
        const said = [];
        let next = 0;
        const waiting = new Map();
        socket.onmessage = ({ data }) => {
          const each = typeof data === "string" ? JSON.parse(data) : { type: "message", text: new TextDecoder().decode(data) };
          said.push(each);
          if (each.type === "open") resolve({ socket, said, ask });
          waiting.get(each.id)?.(each);
        };
        socket.onclose = ({ code, reason }) => { said.push({ type: "closed", code, reason }); reject(new Error(`${code} ${reason}`)); };
        const ask = (said) => new Promise((done) => { next += 1; waiting.set(next, done); socket.send(JSON.stringify({ id: next, ...said })); });
      });
    });
    const counted = await page.evaluate(async () => {
      window.counter = await connect("counter");
      const replies = await Promise.all(Array.from({ length: 30 }, () => counter.ask({ type: "call", method: "add", body: 1 })));
      return replies.map(({ type, body }) => (type === "reply" ? body : type));
    });
    assert.deepEqual(counted, Array.from({ length: 30 }, (_, n) => n + 1));
    const other = await volunteer(world, browser, relay, "other");
    await move(host, other, service);
    const after = await page.evaluate(async () => [await counter.ask({ type: "call", method: "add", body: 1 }), await counter.ask({ type: "query", method: "read" }), await counter.ask({ type: "call", method: "nope" })]);
    assert.deepEqual(after.map(({ type, body, code }) => body ?? `${type} ${code}`), [31, 31, "error trapped"]);
    await soon(page, (id) => counter.said.some(({ type, server }) => type === "moved" && server === id), other.id);
    await page.evaluate(async (chat) => {
      window.rooms = await Promise.all([connect(chat), connect(chat)]);
      await rooms[0].ask({ type: "call", method: "name", body: "Ada" });
      rooms[0].socket.send(new TextEncoder().encode("good morning"));
    }, chat);
    await soon(page, () => rooms[1].said.some(({ type, text }) => type === "message" && text.includes("good morning")));
    const ended = await page.evaluate(() => new Promise((resolve) => { counter.socket.onclose = ({ code }) => resolve(code); counter.socket.send("{"); }));
    assert.equal(ended, 1007);
    const refused = await page.evaluate(() => connect("nobody-has-it").then(() => "open", () => "refused"));
    assert.equal(refused, "refused");
  }));

test("a socket with large bodies under way waits instead of filling the relay", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const tab = await world.browser();
    const host = await volunteer(world, tab, relay, "host");
    await publish(host, "echo");
    const page = await world.page(await world.browser(), "plain");
    await page.goto(`${relay.url}/tabfarm.d.ts`);
    await page.evaluate(() => new Promise((resolve, reject) => {
      window.socket = new WebSocket(`${location.origin.replace("http", "ws")}/s/echo/session`);
      window.said = [];
      socket.onmessage = ({ data }) => { said.push(JSON.parse(data)); resolve(); };
      socket.onclose = ({ reason }) => reject(new Error(reason));
    }));
    tab.freeze();
    const waits = await page.evaluate(async () => {
      const base64 = btoa("x".repeat(240_000));
      for (let id = 1; id <= 40; id += 1) socket.send(JSON.stringify({ type: "call", id, method: "echo", base64 }));
      await new Promise((done) => setTimeout(done, 2_000));
      return said.filter(({ code }) => code === "overloaded");
    });
    tab.thaw();
    assert.deepEqual(waits, [], "nothing is refused for want of room");
    await soon(page, () => said.some(({ type }) => type === "reply"));
  }));

test("messages of a session as a stream", () =>
  inWorld(async (world) => {
    const { relay, host } = await counting(world);
    const chat = await publish(host, "chat");
    const stop = new AbortController();
    const response = await fetch(`${relay.url}/s/chat/events`, { signal: stop.signal });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    const session = await host.evaluateHandle((chat) => peer.open(chat), chat);
    await host.evaluate((session) => session.send("over the wire"), session);
    let text = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes("over the wire")) break;
    }
    assert.match(text, /event: message\ndata: .*over the wire/);
    stop.abort();
    await soon(host, (chat) => peer.status().hosting.find((each) => each.service === chat).sessions === 1, chat);
  }));

test("a service's own page, by plain HTTP: on an origin of its own, with its session, and nothing else of the relay", () =>
  inWorld(async (world) => {
    const { relay, host } = await counting(world);
    await publish(host, "chat");
    const { port } = new URL(relay.url);
    const [own, boxed] = [`http://chat.localhost:${port}/`, `${relay.url}/s/chat/ui/`];
    const pages = [];
    for (const url of [own, boxed]) {
      const page = await world.page(await world.browser(), url);
      await page.goto(url);
      await soon(page, () => window.tabfarm?.ready.then(({ session }) => session.service === "chat"));
      pages.push(page);
    }
    const [page, sandboxed] = pages;
    await page.evaluate(() => tabfarm.call("name", "Ada"));
    await page.evaluate(() => tabfarm.send("from a page without a peer"));
    for (const each of pages) await soon(each, () => document.body.innerText.includes("from a page without a peer"));
    assert.deepEqual([await page.evaluate(() => self.origin), await sandboxed.evaluate(() => self.origin)], [own.slice(0, -1), "null"]);
    // Nothing of the app or of another service is under this host name, and the page reaches nobody else.
    const reach = (url) => page.evaluate((url) => fetch(url).then((response) => response.status, () => "blocked"), url);
    assert.deepEqual(await Promise.all(["/tabfarm.js", "/api/node", "/s/counter/read", "/s/chat/ui/", "/app/app.js"].map(reach)), [404, 404, 404, 404, 404]);
    assert.equal(await reach("/s/chat/openapi.json"), 200);
    assert.equal(await reach(`${relay.url}/api/node`), "blocked");
    assert.equal(await page.evaluate(() => typeof RTCPeerConnection), "undefined");
    const framed = await page.evaluate(() => new Promise((resolve) => {
      const frame = document.createElement("iframe");
      document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => resolve(effectiveDirective));
      frame.src = "/";
      document.body.append(frame);
    }));
    assert.equal(framed, "frame-src");
    assert.equal((await fetch(`${relay.url}/s/counter/ui/`)).status, 404, "it has no page");
    const forged = await raw(relay, `GET /api/node HTTP/1.1\r\nHost: chat.localhost\r\nConnection: close\r\n\r\n`);
    assert.match(forged, /^HTTP\/1\.1 404/);
  }));

test("what a service's page leaves lying about is no way out, and nothing of it runs in the app's origin", () =>
  inWorld(async (world) => {
    const canary = await listen();
    world.atEnd(() => canary.close());
    const { relay, host } = await counting(world);
    const look = "document.documentElement.dataset.found = `${typeof RTCPeerConnection} ${typeof tabfarm}`;";
    // These would leave the page, as any top page may; what a page without an origin has not got is not probed.
    const moving = /navigating|replacing|by a link|^form$|document|storage|Storage|IndexedDB|caches|locks|private|cookie|parent/;
    const probes = Object.fromEntries(Object.entries(PAGE).filter(([name]) => !moving.test(name)));
    const ui = {
      "index.html": "<!doctype html><script src=probe.js></script>",
      "probe.js": `const setTimeout_ = setTimeout;\n${script(probes, canary.address)}\nprobing.then((found) => { window.found = found; });`,
      "hidden.html": `<!-- <head> --><script>${look}</script>`,
      "framed.html": `<p><iframe srcdoc="<script>1</script>"></iframe>`,
      "picture.svg": `<svg xmlns="http://www.w3.org/2000/svg"><script>${look}</script></svg>`,
      "gadget.js": "window.gadget = true;",
    };
    await host.evaluate(async (ui) => {
      const { manifest, module } = await fetchPackage("echo");
      await peer.publish({ manifest: { ...manifest, name: "prober", ui: "index.html" }, module, ui });
    }, ui);
    const found = {};
    const browser = await world.browser();
    for (const [name, base] of [["own", `http://prober.localhost:${new URL(relay.url).port}/`], ["boxed", `${relay.url}/s/prober/ui/`]]) {
      const page = await world.page(browser, name);
      await page.goto(base);
      await soon(page, () => window.found);
      found[name] = Object.entries(await page.evaluate(() => window.found)).filter(([, result]) => !result.startsWith("contained")).map(([name]) => name);
      assert.equal(page.context().pages().length, 1, "no popup");
      await page.goto(`${base}hidden.html`);
      assert.equal(await page.evaluate(() => document.documentElement.dataset.found), "undefined object");
      assert.equal((await page.goto(`${base}framed.html`)).status(), 403);
      await page.goto(`${base}picture.svg`);
      assert.equal(await page.evaluate(() => document.documentElement.dataset.found ?? null), null);
    }
    // docs/not-done.md: on an origin of its own a page reads an empty frame of its own.
    assert.deepEqual(found, { own: ["RTCPeerConnection of an empty frame"], boxed: [] });
    assert.deepEqual(canary.seen.filter((seen) => seen !== "connection"), []);
    const app = await world.page(browser, "app");
    await app.goto(relay.url);
    const ran = await app.evaluate(() => new Promise((resolve) => {
      const tag = Object.assign(document.createElement("script"), { src: "/s/prober/ui/gadget.js" });
      tag.onload = tag.onerror = () => resolve(window.gadget === true);
      document.head.append(tag);
    }));
    assert.equal(ran, false);
  }));

test("one client gets its share", () =>
  inWorld(async (world) => {
    const relay = await world.relay({ args: ["--rate-per-ip", "5", "--sessions-per-ip", "1"] });
    const host = await volunteer(world, await world.browser(), relay, "host");
    await publish(host, "counter");
    const answers = await Promise.all(Array.from({ length: 30 }, () => post(relay, "/s/counter/add", "1")));
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length > 0 && refused.every(({ headers }) => Number(headers.get("retry-after")) > 0));
    assert.ok(answers.some(({ status }) => status === 200));
    const metrics = await (await fetch(`${relay.url}/metrics`)).text();
    assert.match(metrics, new RegExp(`tabfarm_gateway_refused_total\\{reason="rate"\\} ${refused.length}\n`));
  }));

inBoth("the command `tabfarm` calls, lists, listens, and says what is wrong", (inWorld) =>
  inWorld(async (world) => {
    const { relay, host, service } = await counting(world);
    const chat = await publish(host, "chat");
    const run = (args, input) => command(world, relay, args, input).ended;
    assert.deepEqual(await run(["call", "counter", "add", "41"]), { code: 0, out: "41\n", error: "" });
    const keyed = ["call", "counter", "add", "-", "--key", "once", "-v"];
    for (let n = 0; n < 2; n += 1) {
      const { code, out, error } = await run(keyed, "1");
      assert.deepEqual([code, out], [0, "42\n"]);
      assert.match(error, new RegExp(`answered by ${host.id}`));
    }
    const listed = await run(["services", "number"]);
    assert.match(listed.out, new RegExp(`^counter .* 1 server .*\n    ${service}\n$`));
    assert.equal(JSON.parse((await run(["openapi", "counter"])).out).info.title, "counter");
    const listening = command(world, relay, ["listen", chat]);
    await soon(host, (chat) => peer.status().hosting.find((each) => each.service === chat).sessions === 1, chat);
    await host.evaluate(async (chat) => (await peer.open(chat)).send("to a shell"), chat);
    await listening.says("to a shell");
    listening.child.kill();
    const failed = async (args, code, pattern) => {
      const ended = await run(args);
      assert.deepEqual([ended.code, ended.out], [code, ""], args.join(" "));
      assert.match(ended.error, pattern);
    };
    await failed(["call", "nobody-has-it", "add", "1"], 1, /Unknown service/);
    await failed(["call", "../api/node", "add", "1"], 1, /Unknown service/);
    await failed(["call", "counter", "add", "1", "--deadline", "0"], 2, /0 is not in/);
    await failed(["--relay", "http://127.0.0.1:9", "services"], 3, /cannot be reached/);
  }));

/** The command, its output, and its end. */
function command(world, relay, args, input) {
  const binary = join(dirname(process.env.TABFARM_RELAY ?? fileURLToPath(new URL("../../target/debug/tabfarm-relay", import.meta.url))), "tabfarm");
  const child = spawn(binary, args, { env: { ...process.env, TABFARM_RELAY_URL: relay.url } });
  world.atEnd(() => child.kill("SIGKILL"));
  const said = { out: "", error: "" };
  child.stdout.on("data", (data) => (said.out += data));
  child.stderr.on("data", (data) => (said.error += data));
  // One that needs no input may be at its end before any comes.
  child.stdin.on("error", () => {});
  child.stdin.end(input ?? "");
  const ended = once(child, "close").then(([code]) => ({ code, ...said }));
  const says = async (text) => {
    while (!said.out.includes(text)) await Promise.race([once(child.stdout, "data"), ended.then(() => assert.fail(`it ended: ${said.error}`))]);
  };
  return { child, ended, says };
}
