// The interface that the app makes from a manifest: fields from JSON Schemas, checks while typing, replies laid out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openApp, openService } from "../lib/app.mjs";
import { SOON_MS, joinPage } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const INTERFACE = {
  // The example service answers a method of any name with what it got, so replies show what was sent.
  echo: {
    readOnly: true,
    description: "Says it back.",
    body: {
      type: "object",
      required: ["who", "size"],
      properties: {
        who: { type: "string", title: "Who", description: "A name", minLength: 2, maxLength: 8 },
        size: { type: "integer", minimum: 1, maximum: 9, default: 3 },
        ratio: { type: "number" },
        loud: { type: "boolean" },
        hue: { enum: ["red", "green", 3, null] },
        list: { type: "array" },
      },
    },
    reply: { type: "object" },
  },
};

/** A service of these methods, published by a peer of its own. */
async function offer(world, browser, relay, methods) {
  const author = await joinPage(await world.page(browser, "author"), relay);
  await author.evaluate(async (methods) => {
    const { manifest, module } = await fetchPackage("echo");
    await peer.publish({ manifest: { ...manifest, name: "forms", interface: methods }, module });
  }, methods);
}

test("an object's properties are fields; what is wrong is said while it is typed, and nothing is called", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    await offer(world, browser, relay, INTERFACE);
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await openService(page, "forms");
    const field = (name) => page.locator(`[data-testid="method-field"][data-field="${name}"]`);
    const input = (name) => field(name).getByTestId("method-input");
    const problem = (name) => field(name).getByTestId("field-problem");
    await field("who").waitFor({ timeout: SOON_MS });
    assert.equal(await page.getByTestId("method-field").count(), 6);
    assert.equal(await input("size").inputValue(), "3", "the default");
    assert.equal(await problem("who").count(), 0, "nothing is complained about before anybody wrote");

    await input("who").fill("A");
    assert.match(await problem("who").innerText(), /at least 2 characters/);
    assert.equal(await input("who").getAttribute("aria-invalid"), "true");
    await input("size").fill("1.5");
    assert.match(await problem("size").innerText(), /whole number/);
    await input("size").fill("10");
    assert.match(await problem("size").innerText(), /from 1 to 9/);
    await input("ratio").fill("much");
    assert.match(await problem("ratio").innerText(), /number is needed/);
    await input("list").fill("[1,");
    assert.match(await problem("list").innerText(), /not valid JSON/);
    await page.getByTestId("method-call").click();
    await page.getByTestId("method-result").filter({ hasText: "Nothing was called" }).waitFor();

    await input("who").fill('An"n');
    await input("size").fill("7");
    await input("ratio").fill("");
    await input("loud").check();
    await input("hue").selectOption({ label: "green" });
    await input("list").fill('[1, {"deep": [true, null]}]');
    assert.equal(await page.getByTestId("field-problem").count(), 0);
    await page.getByTestId("method-call").click();
    const reply = page.getByTestId("method-reply");
    await reply.waitFor({ timeout: SOON_MS });
    const keys = await reply.locator("> dl > dt").allInnerTexts();
    assert.deepEqual(keys.sort(), ["hue", "list", "loud", "size", "who"], "what was left empty was left out");
    const values = Object.fromEntries(await reply.locator("> dl").evaluate((list) =>
      [...list.querySelectorAll(":scope > dt")].map((key) => [key.textContent, key.nextElementSibling.textContent])));
    assert.deepEqual(values, { who: 'An"n', size: "7", loud: "true", hue: "green", list: "1deep[true,null]" });
    await input("hue").selectOption({ label: "3" });
    await page.getByTestId("method-call").click();
    await reply.filter({ hasText: /hue\s*3/ }).waitFor({ timeout: SOON_MS });
    assert.deepEqual(page.problems, []);
  }));

test("single values have their own field; what a schema says in other words is written as JSON", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`p${n}`, { type: "string" }]));
    const methods = {
      echo: { readOnly: true, body: { type: "string" }, reply: { type: "string" } },
      flag: { readOnly: true, body: { type: "boolean" } },
      pick: { readOnly: true, body: { enum: ["a", "b"] } },
      many: { readOnly: true, body: { type: "object", properties: many } },
      odd: { readOnly: true, body: { oneOf: [{ type: "string" }], type: ["string", "null"] } },
      raw: { readOnly: true },
    };
    await offer(world, browser, relay, methods);
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await openService(page, "forms");
    const form = (name) => page.locator(`[data-testid="method"][data-method="${name}"]`);
    await form("echo").waitFor({ timeout: SOON_MS });
    const kind = (name) => form(name).getByTestId("method-body").evaluate((each) => [each.localName, each.type].join(" "));
    const kinds = Object.fromEntries(await Promise.all(Object.keys(methods).map(async (name) => [name, await kind(name)])));
    assert.deepEqual(kinds, {
      echo: "input text", flag: "input checkbox", pick: "select select-one", many: "textarea textarea", odd: "textarea textarea", raw: "textarea textarea",
    });
    await form("echo").getByTestId("method-body").fill("no quotes needed");
    await form("echo").getByTestId("method-body").press("Enter");
    await form("echo").getByTestId("method-reply").filter({ hasText: "no quotes needed" }).waitFor({ timeout: SOON_MS });
    await form("many").getByTestId("method-body").fill("{");
    await form("many").getByTestId("field-problem").waitFor();
    assert.deepEqual(page.problems, []);
  }));
