// Services that run outside of all tabs, in the app and by plain HTTP.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { callMethod, openApp, openService, view } from "../lib/app.mjs";
import { elsewhere, serveElsewhere } from "../lib/elsewhere.mjs";
import { SOON_MS, joinPage, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const post = (relay, path, body, options = {}) => fetch(`${relay.url}${path}`, { method: "POST", body, ...options });
const binaries = process.env.TABFARM_RELAY ? join(process.env.TABFARM_RELAY, "..") : fileURLToPath(new URL("../../target/debug", import.meta.url));

/** What a request for a WebSocket is answered. */
async function upgrade(relay, path) {
  const headers = { upgrade: "websocket", connection: "upgrade", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
  const [response] = await once(request(`${relay.url}${path}`, { headers }).end(), "response");
  response.resume();
  return [response.statusCode, response.headers["content-type"]];
}

/** A command of the shell; its exit code and what it said. */
async function tabfarm(relay, ...args) {
  const child = spawn(join(binaries, "tabfarm"), ["--relay", relay.url, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const said = { out: "", err: "" };
  child.stdout.on("data", (data) => (said.out += data));
  child.stderr.on("data", (data) => (said.err += data));
  const [code] = await once(child, "close");
  return { code, ...said };
}

/** A server elsewhere that somebody registered as `weather`. */
async function registered(world, change = {}) {
  const server = await serveElsewhere(world);
  const relay = await world.relay();
  const browser = await world.browser();
  const author = await joinPage(await world.page(browser, "author"), relay);
  const publish = (manifest) => author.evaluate((manifest) => peer.publish({ manifest }), manifest);
  const id = await publish(elsewhere("weather", server.url, change));
  return { server, relay, browser, author, id, publish };
}

test("a relay tells clients without a browser where to go, and never goes there itself", () =>
  inWorld(async (world) => {
    const { server, relay, id } = await registered(world);
    for (const name of ["weather", id]) {
      const moved = await post(relay, `/s/${name}/greet`, '"Ada"', { redirect: "manual" });
      assert.deepEqual([moved.status, moved.headers.get("location"), moved.headers.get("accept-post")], [307, `${server.url}/greet`, "application/json"]);
      assert.equal(moved.headers.get("content-type"), "application/problem+json");
      const { title, detail } = await moved.json();
      assert.deepEqual([title, detail], ["It runs elsewhere", `the service runs at ${server.origin}, outside of all tabs: send the request there`]);
    }
    const bytes = await post(relay, "/s/weather/bytes", "x", { redirect: "manual" });
    assert.equal(bytes.headers.get("accept-post"), "application/octet-stream");
    assert.equal(server.seen.length, 0, "the relay asked nobody");
    const followed = await post(relay, "/s/weather/greet", '"Ada"');
    assert.deepEqual([followed.status, await followed.text(), followed.url], [200, '"Hello Ada"', `${server.url}/greet`]);
    const refusals = [["POST", "no-such"], ["POST", "..%2f..%2fx"], ["POST", "greet%0d%0ax:y"], ["GET", "greet"], ["GET", "now"], ["GET", "events"], ["GET", "ui/"]];
    const statuses = [];
    for (const [method, path] of refusals) {
      const response = await fetch(`${relay.url}/s/weather/${path}`, { method, redirect: "manual" });
      assert.equal(response.headers.get("location"), null, path);
      assert.equal(response.headers.get("content-type"), "application/problem+json", path);
      statuses.push([path, response.status]);
    }
    assert.deepEqual(statuses, [
      ["no-such", 404], ["..%2f..%2fx", 404], ["greet%0d%0ax:y", 404], ["greet", 405], ["now", 405], ["events", 403], ["ui/", 403],
    ]);
    assert.deepEqual(await upgrade(relay, "/s/weather/session"), [403, "application/problem+json"]);
    const openapi = await (await fetch(`${relay.url}/s/weather/openapi.json`)).json();
    assert.deepEqual([openapi.servers, Object.keys(openapi.paths).includes("/greet")], [[{ url: server.url }], true]);
    const { services } = await (await fetch(`${relay.url}/api/services?q=weather`)).json();
    assert.deepEqual([services[0].url, services[0].hosts], [server.url, []]);
    assert.equal(server.seen.length, 1);
  }));

test("the shell goes there, once, and no further", () =>
  inWorld(async (world) => {
    const { server, relay } = await registered(world);
    assert.deepEqual(await tabfarm(relay, "call", "-v", "weather", "greet", '"Ada"'), {
      code: 0, out: '"Hello Ada"\n', err: `tabfarm: answered by ${server.origin}, outside of all tabs\n`,
    });
    const [{ headers }] = server.seen;
    assert.deepEqual([headers["content-type"], headers["idempotency-key"].length], ["application/json", 32]);
    await tabfarm(relay, "call", "weather", "bytes", "abc", "--key", "mine");
    assert.deepEqual([server.seen[1].headers["idempotency-key"], server.seen[1].headers["content-type"]], ["mine", "application/octet-stream"]);
    const redirected = await tabfarm(relay, "call", "weather", "redirect");
    assert.equal(redirected.code, 1);
    assert.match(redirected.err, /redirects to another address, which is not followed/);
    assert.deepEqual(server.seen.slice(2).map(({ path }) => path), ["/v1/redirect"]);
    const huge = await tabfarm(relay, "call", "weather", "huge");
    assert.equal(huge.code, 1);
    const slow = await tabfarm(relay, "call", "--deadline", "500", "weather", "slow");
    assert.equal(slow.code, 1);
    assert.match(slow.err, /cannot be reached.*timeout/i);
    const list = await tabfarm(relay, "services", "weather");
    assert.match(list.out, new RegExp(`^weather +1\\.0\\.0 +at ${server.origin} `));
    const listen = await tabfarm(relay, "listen", "weather");
    assert.deepEqual([listen.code, /outside of all tabs/.test(listen.err)], [1, true]);
  }));

test("a relay that lies sends the shell nowhere", () =>
  inWorld(async (world) => {
    let location;
    const liar = createServer((asked, response) => (asked.resume(), response.writeHead(307, { location }).end()));
    await new Promise((done) => liar.listen(0, "127.0.0.1", done));
    world.atEnd(() => new Promise((done) => liar.close(done)));
    const relay = { url: `http://127.0.0.1:${liar.address().port}` };
    for (location of ["http://10.0.0.1/x", "https://169.254.169.254/latest", "file:///etc/passwd", "https://user@example.org/x", "//example.org/x", "/s/other"]) {
      const { code, err } = await tabfarm(relay, "call", "weather", "greet");
      assert.deepEqual([code, /names an address that is not called/.test(err)], [1, true], location);
    }
  }));

test("a person registers a service, another uses it, the first withdraws it", () =>
  inWorld(async (world) => {
    const server = await serveElsewhere(world);
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await openApp(await world.page(browser, "author"), relay);
    await author.getByTestId("register-open").click();
    const form = author.getByTestId("register-form");
    await form.getByTestId("register-publish").click();
    await form.getByText("Where does it run?").waitFor();
    await form.getByTestId("register-name").fill("weather");
    await form.getByTestId("register-url").fill("http://192.168.1.1/");
    await form.getByTestId("register-description").fill("How it is out there");
    await form.getByTestId("register-tags").fill("sky, demo");
    await form.getByTestId("ide-method-name").fill("greet");
    await form.getByTestId("ide-method-body").fill('{"type":"string"}');
    await form.getByTestId("ide-method-reply").fill('{"type":"string"}');
    await form.getByTestId("ide-method-add").click();
    await form.getByTestId("ide-method-name").nth(1).fill("now");
    await form.getByTestId("ide-method-reply").nth(1).fill("{}");
    await form.getByTestId("ide-method-readonly").nth(1).check();
    await form.getByTestId("register-publish").click();
    await form.getByText(/url: a public host name/).waitFor({ timeout: SOON_MS });
    await form.getByTestId("register-url").fill(server.url);
    await form.getByTestId("register-publish").click();
    await author.getByTestId("registered").filter({ hasText: "weather" }).waitFor({ timeout: SOON_MS });

    const user = await openApp(await world.page(browser, "user"), relay);
    const card = user.locator('[data-testid="service-card"][data-service="weather"]');
    await card.waitFor({ timeout: SOON_MS });
    assert.match(await card.innerText(), new RegExp(`Runs at\\s+${server.origin}, outside of all tabs`));
    await openService(user, "weather");
    assert.equal(await user.getByTestId("session-server").innerText(), server.origin);
    assert.equal(await user.getByTestId("session-path").innerText(), "outside of all tabs");
    assert.equal((await callMethod(user, "greet", "Ada")).reply, "Hello Ada");
    assert.match((await callMethod(user, "now")).text, /clear/);
    assert.deepEqual(server.seen.map(({ path }) => path), ["/v1/greet", "/v1/now"]);
    assert.match(await user.getByTestId("elsewhere").innerText(), /No tab checks the answers/);
    assert.equal(await user.getByTestId("message-input").count(), 0);

    await author.getByTestId("withdraw").click();
    await author.getByTestId("registered").waitFor({ state: "detached", timeout: SOON_MS });
    await view(user, "services");
    await user.getByTestId("refresh").click();
    await card.waitFor({ state: "detached", timeout: SOON_MS });
    assert.deepEqual([author.problems, user.problems], [[], []]);
  }));

test("its own page calls it by its session, and goes with its publisher; the service does not", () =>
  inWorld(async (world) => {
    const server = await serveElsewhere(world);
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await joinPage(await world.page(browser, "author"), relay);
    await author.evaluate((manifest) => {
      const script = `tabfarm.ready.then(async () => {
        const text = (bytes) => new TextDecoder().decode(bytes);
        said.textContent = text(await tabfarm.call("greet", new TextEncoder().encode('"page"')));
        try { await fetch("${manifest.url}/count", { method: "POST" }); } catch { said.textContent += ", and by itself to nobody"; }
      });`;
      const html = "<!doctype html><p id=said>loaded</p><script src=page.js></script>";
      return peer.publish({ manifest, ui: { "index.html": html, "page.js": script } });
    }, elsewhere("weather", server.url, { ui: "index.html" }));
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await openService(page, "weather");
    const said = page.getByTestId("service-ui").locator("iframe").contentFrame().locator("#said");
    await said.getByText('"Hello page", and by itself to nobody').waitFor({ timeout: SOON_MS });
    assert.deepEqual(server.seen.map(({ path }) => path), ["/v1/greet"]);
    await author.close();
    await page.close();
    const late = await openApp(await world.page(browser, "late"), relay);
    await openService(late, "weather");
    assert.equal((await callMethod(late, "greet", "Ada")).reply, "Hello Ada");
    assert.equal(await late.getByTestId("service-ui").count(), 0);
  }));

test("what stands in an address is text", () =>
  inWorld(async (world) => {
    const { relay, browser } = await registered(world);
    const page = await openApp(await world.page(browser, "visitor", { bypassCSP: true }), relay);
    const payload = `https://<img src=x onerror="window.ran='img'">.org/"><script>window.ran='script'</script>`;
    await page.evaluate((payload) => {
      const real = tabfarm.find.bind(tabfarm);
      tabfarm.find = async (query) => {
        const found = (await real(query)).map((each) => ({ ...each, url: payload, publisher: tabfarm.id }));
        return Object.assign(found, { complete: true });
      };
    }, payload);
    await page.getByTestId("refresh").click();
    await page.getByTestId("service-origin").getByText("<img src=x").waitFor({ timeout: SOON_MS });
    await page.getByTestId("registered").getByText("<img src=x").waitFor({ timeout: SOON_MS });
    await page.getByTestId("register-open").click();
    await page.getByTestId("register-url").fill(payload);
    await page.getByTestId("register-name").fill("x");
    await page.getByTestId("ide-method-name").fill("m");
    await page.getByTestId("register-publish").click();
    await page.getByTestId("register-form").getByRole("alert").waitFor({ timeout: SOON_MS });
    assert.deepEqual(await page.evaluate(() => [window.ran ?? null, document.querySelectorAll('img[src="x"], script:not([src])').length]), [null, 0]);
    assert.deepEqual(page.problems, []);
  }));

test("a service's own page does not get at the frame that makes the calls", () =>
  inWorld(async (world) => {
    const { server, relay, browser, author } = await registered(world);
    // It knows how the frame is spoken to, and says so again and again to every window that it can reach, with a port for the answer.
    const attack = `
      window.attacked = { rounds: 0, windows: 0, told: [] };
      setInterval(() => {
        const windows = [parent, top, ...Array.from({ length: top.frames.length }, (_, n) => top.frames[n])].filter((each) => each !== self);
        for (const each of windows) {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = ({ data }) => attacked.told.push(data);
          try { each.postMessage({ ready: true }, "*", [port2]); } catch (error) { attacked.told.push(String(error)); }
          port1.postMessage({ id: 1, url: "${server.url}/count", type: "application/json", key: "x", body: new Uint8Array(), ms: 5000 });
          try { if (attacked.rounds > 100) each.location = "${server.url}/count"; } catch {}
        }
        attacked.rounds += 1;
        attacked.windows = Math.max(attacked.windows, windows.length);
      }, 10);`;
    await author.evaluate(async (attack) => {
      const { manifest, module } = await fetchPackage("echo");
      const html = "<!doctype html><p>loaded</p><script src=attack.js></script>";
      await peer.publish({ manifest: { ...manifest, name: "thief", ui: "index.html" }, module, ui: { "index.html": html, "attack.js": attack } });
    }, attack);
    const page = await openApp(await world.page(browser, "visitor"), relay);
    const greet = () => page.evaluate(async () => new TextDecoder().decode(await tabfarm.call("weather", "greet", '"Ada"')));
    await openService(page, "thief");
    const handle = await page.getByTestId("service-ui").locator("iframe").elementHandle();
    const frame = await handle.contentFrame();
    await frame.waitForFunction(() => window.attacked?.rounds > 10, undefined, { timeout: SOON_MS });
    assert.equal(await page.locator('iframe[src$="/sandbox/external.html"]').count(), 0);
    // It is there before the frame is, and goes on when it is.
    assert.equal(await greet(), '"Hello Ada"');
    const rounds = await frame.evaluate(() => attacked.rounds);
    await frame.waitForFunction((rounds) => attacked.rounds > rounds + 120, rounds, { timeout: SOON_MS });
    const { windows, told } = await frame.evaluate(() => attacked);
    assert.ok(windows >= 3, `it saw ${windows} windows`);
    assert.deepEqual(told, []);
    assert.equal(await greet(), '"Hello Ada"', "and harmed nothing");
    assert.deepEqual(server.seen.map(({ path }) => path), ["/v1/greet", "/v1/greet"], "it reached nothing");
    assert.ok(page.url().startsWith(`${relay.url}/#/services/`));
  }));

test("the frame that makes the calls has no origin, no storage, and no way to anything but HTTP", () =>
  inWorld(async (world) => {
    const { server, relay, browser } = await registered(world);
    const { headers } = await fetch(`${relay.url}/sandbox/external.html`);
    assert.match(
      headers.get("content-security-policy"),
      /^default-src 'none'; script-src 'sha256-[\w+/=]{44}'; connect-src https: http:\/\/localhost:\* http:\/\/127\.0\.0\.1:\*; base-uri 'none'; form-action 'none'; sandbox allow-scripts$/,
    );
    const app = await fetch(`${relay.url}/`);
    assert.match(app.headers.get("content-security-policy"), /connect-src 'self' ws: wss:; frame-src 'self';/, "the app's own stays as it is");
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await page.evaluate(() => tabfarm.call("weather", "greet", '"Ada"'));
    const handle = await page.locator('iframe[src$="/sandbox/external.html"]').elementHandle();
    const frame = await handle.contentFrame();
    const found = await frame.evaluate(async (url) => {
      const tried = async (act) => {
        try {
          return String(await act());
        } catch (error) {
          return error.name;
        }
      };
      return {
        origin: self.origin,
        cookie: await tried(() => document.cookie),
        storage: await tried(() => localStorage.length),
        parent: await tried(() => parent.document.title),
        script: await tried(() => new Promise((done, fail) => {
          const script = Object.assign(document.createElement("script"), { src: `${url}/now`, onload: () => done("ran"), onerror: () => fail(new Error("blocked")) });
          document.head.append(script);
        })),
        eval: await tried(() => eval("1")),
        plain: await tried(() => fetch("http://example.org/")),
        socket: await tried(() => new Promise((done) => {
          const socket = new WebSocket(url.replace("http", "ws"));
          Object.assign(socket, { onopen: () => done("open"), onerror: () => done("closed") });
        })),
      };
    }, server.url);
    assert.equal(found.origin, "null");
    assert.deepEqual(found, { ...found, cookie: "SecurityError", storage: "SecurityError", parent: "SecurityError", script: "Error", eval: "EvalError", plain: "TypeError" });
    assert.notEqual(found.socket, "open");
    assert.deepEqual(server.seen.map(({ path }) => path), ["/v1/greet"]);
    await soon(page, () => tabfarm.status().joined);
  }));
