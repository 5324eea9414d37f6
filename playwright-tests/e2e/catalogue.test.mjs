// The catalogue as a person uses it: search, tags, order, links; names that several people chose; nobody to ask.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openApp, view } from "../lib/app.mjs";
import { SOON_MS, joinPage, publish, soon } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const card = (page, name) => page.locator(`[data-testid="service-card"][data-service="${name}"]`);
const names = (page) => page.getByTestId("service-card").evaluateAll((all) => all.map((each) => each.dataset.service));
const server = (page) => page.getByTestId("session-server").getAttribute("data-peer");

test("search, tags and order narrow the catalogue down, and say so when nothing is left", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await joinPage(await world.page(browser, "author"), relay);
    const changes = [
      { name: "apple", description: "Keeps a number.", tags: ["fruit", "red"] },
      { name: "banana", description: "Keeps another one.", tags: ["fruit"] },
      { name: "carrot", description: "No fruit at all.", tags: ["root"] },
    ];
    for (const change of changes) await publish(author, "counter", change);
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await card(page, "carrot").waitFor({ timeout: SOON_MS });
    assert.deepEqual(await names(page), ["apple", "banana", "carrot"]);

    await page.getByTestId("service-sort").selectOption("newest");
    assert.deepEqual(await names(page), ["carrot", "banana", "apple"]);

    const tag = page.locator('[data-testid="tag-filter"][data-tag="fruit"]');
    assert.match(await tag.innerText(), /fruit\s*2/);
    await tag.click();
    assert.equal(await tag.getAttribute("aria-pressed"), "true");
    assert.deepEqual(await names(page), ["banana", "apple"]);
    await tag.click();
    assert.deepEqual(await names(page), ["carrot", "banana", "apple"]);

    await page.getByTestId("service-search").fill("fruit");
    assert.deepEqual(await names(page), ["carrot", "banana", "apple"], "tags and descriptions are searched as well");
    await page.locator('[data-testid="tag-filter"][data-tag="root"]').click();
    assert.deepEqual(await names(page), ["carrot"]);
    await page.getByTestId("service-search").fill("nothing of this kind");
    await page.getByText("No service matches").waitFor({ timeout: SOON_MS });
    await page.getByRole("button", { name: "Show all services" }).click();
    await card(page, "apple").waitFor({ timeout: SOON_MS });

    const text = await card(page, "apple").innerText();
    for (const said of ["v1.0.0", "Keeps a number.", "just now", author.id.slice(-6)]) assert.ok(text.includes(said), `${said} in ${text}`);
    assert.deepEqual(page.problems, []);
  }));

test("a copied link, and a name, open the service", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await joinPage(await world.page(browser, "author"), relay);
    const id = await publish(author, "counter");
    const page = await world.page(browser, "visitor");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await openApp(page, relay);
    await card(page, "counter").waitFor({ timeout: SOON_MS });
    await card(page, "counter").getByTestId("copy-link").click();
    await card(page, "counter").getByText("Link copied").waitFor({ timeout: SOON_MS });
    const link = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(link, `${relay.url}/#/services/${encodeURIComponent(id)}`);

    for (const what of ["counter", id, link]) {
      await view(page, "services");
      await page.getByTestId("open-name").fill(what);
      await page.getByTestId("open-name").press("Enter");
      await page.getByTestId("session-server").waitFor({ timeout: SOON_MS });
      assert.equal(await server(page), author.id, what);
      assert.match(await page.getByTestId("session-access").innerText(), /open to anyone · hosted by anyone/);
      await page.getByRole("button", { name: "← All services" }).click();
      await page.getByRole("button", { name: "Close it" }).click();
    }
  }));

test("a name of several publishers is asked about, and pinned", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [one, other] = [await joinPage(await world.page(browser, "one"), relay), await joinPage(await world.page(browser, "other"), relay)];
    const ids = [await publish(one, "counter", { description: "The first." }), await publish(other, "counter", { description: "The second." })];
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await page.locator('[data-testid="service-card"]').nth(1).waitFor({ timeout: SOON_MS });
    assert.match(await page.getByTestId("service-card").first().innerText(), /one of 2 of that name/i);

    const link = "/#/services/counter";
    await openApp(page, relay, link);
    const candidates = page.getByTestId("candidate");
    await candidates.nth(1).waitFor({ timeout: SOON_MS });
    const shown = await candidates.evaluateAll((all) => all.map((each) => each.dataset.serviceId));
    assert.deepEqual(shown.sort(), [...ids].sort());
    const second = page.locator(`[data-testid="candidate"][data-service-id="${ids[1]}"]`);
    await second.getByTestId("candidate-pin").click();
    await page.getByTestId("session-server").waitFor({ timeout: SOON_MS });
    assert.equal(await server(page), other.id);

    // Kept: after a reload the bare name means the pinned one, in links and in the API.
    await page.reload();
    await openApp(page, relay, link);
    await page.getByTestId("session-server").waitFor({ timeout: SOON_MS });
    assert.equal(await server(page), other.id);
    const found = await page.evaluate(async () => {
      await tabfarm.call("counter", "add", "5");
      return { pins: tabfarm.pins(), first: (await tabfarm.find({ name: "counter" }))[0].id };
    });
    assert.deepEqual(found, { pins: { counter: ids[1] }, first: ids[1] });
    assert.equal(await other.evaluate(async (id) => decode(await peer.call(id, "read")), ids[1]), 5, "the call went there");

    await view(page, "services");
    await page.locator(`[data-service-id="${ids[1]}"] [data-testid="pinned"]`).waitFor({ timeout: SOON_MS });
    await view(page, "settings");
    await page.locator('[data-testid="pin"][data-name="counter"]').getByTestId("unpin").click();
    await page.getByTestId("no-pins").waitFor({ timeout: SOON_MS });
    const code = await page.evaluate(() => tabfarm.open("counter").then(() => "opened", (error) => error.code));
    assert.equal(code, "ambiguous");
    assert.deepEqual(page.problems, []);
  }));

test("pins are checked, bounded, and survive nonsense in the storage and a storage that refuses", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await joinPage(await world.page(await world.browser(), "tab"), relay);
    const codes = await page.evaluate(() => {
      const code = (name, service) => {
        try {
          peer.pin(name, service);
          return "ok";
        } catch (error) {
          return error.code;
        }
      };
      const bad = [code("a", "b@c"), code("", "@c"), code("a@b", "a@b"), code("a", "a@"), code("a", 7), code("__proto__", "__proto__@x"), code("a", `a@${"x".repeat(600)}`)];
      for (let n = 0; n < 256; n++) peer.pin(`n${n}`, `n${n}@x`);
      const full = [code("one-more", "one-more@x"), code("n3", "n3@y"), code("n3", null), code("one-more", "one-more@x"), Object.keys(peer.pins()).length];
      const kept = ["null", "[1]", "{", '{"a":"b@c","d":"d@e","f":5}'].map((text) => {
        localStorage.setItem("tabfarm.pins", text);
        return Object.entries(peer.pins()).flat().join(" ");
      });
      Storage.prototype.setItem = () => { throw new DOMException("no room", "QuotaExceededError"); };
      peer.pin("g", "g@h");
      return { bad, full, kept, memory: peer.pins() };
    });
    assert.deepEqual(codes.bad, codes.bad.map(() => "refused"));
    assert.deepEqual(codes.full, ["refused", "ok", "ok", "ok", 256]);
    assert.deepEqual(codes.kept, ["", "", "", "d d@e"]);
    assert.deepEqual(codes.memory, { d: "d@e", g: "g@h" });
  }));

test("without anybody to ask, the catalogue says that this tab is offline", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await openApp(await world.page(await world.browser(), "visitor"), relay);
    await page.getByText("Nothing is published yet").waitFor({ timeout: SOON_MS });
    await relay.kill();
    await page.getByText("You are offline", { exact: true }).waitFor({ timeout: SOON_MS });
    await soon(page, () => tabfarm.status().peers.length === 0);
    assert.deepEqual(page.problems, []);
  }));

inBoth("stars that a person gives are on the card of everybody, and can be taken back", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await joinPage(await world.page(browser, "author"), relay);
    for (const name of ["apple", "banana"]) await publish(author, "counter", { name });
    const page = await openApp(await world.page(browser, "visitor"), relay);
    const other = await openApp(await world.page(browser, "other"), relay);
    const rating = (page, name) => card(page, name).getByTestId("rating");
    assert.equal(await rating(page, "banana").innerText(), "by nobody yet");
    await card(page, "banana").getByTestId("open-service").click();
    await page.getByTestId("rate-4").click({ timeout: SOON_MS });
    assert.equal(await page.getByTestId("rate-4").getAttribute("aria-pressed"), "true");
    await page.getByRole("button", { name: "All services" }).click();
    for (const each of [page, other]) await rating(each, "banana").filter({ hasText: "4 by 1 peer" }).waitFor({ timeout: SOON_MS });
    await other.getByTestId("service-sort").selectOption("rated");
    assert.deepEqual(await names(other), ["banana", "apple"]);

    // After a reload the page still knows what was given; a second press takes it back.
    await page.reload();
    await openApp(page, relay);
    await card(page, "banana").getByTestId("open-service").click();
    const given = page.getByTestId("rate-4");
    await given.waitFor({ timeout: SOON_MS });
    assert.equal(await given.getAttribute("aria-pressed"), "true");
    await given.click();
    assert.equal(await given.getAttribute("aria-pressed"), "false");
    await rating(other, "banana").filter({ hasText: "by nobody yet" }).waitFor({ timeout: SOON_MS });
    assert.deepEqual([...page.problems, ...other.problems], []);
  }));
