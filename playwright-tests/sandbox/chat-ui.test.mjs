// The chat's own page in the frame of services' pages, over its port, with a session played by the test.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { launch } from "../lib/browser.mjs";

const file = (path) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
const names = ["index.html", "chat.css", "chat.js"];

test("the chat's page shows history, speaks, renames, and shows foreign text as text", async (t) => {
  const frame = await file("www/static/sandbox/ui.html");
  const texts = await Promise.all(names.map((name) => file(`service-modules/chat/ui/${name}`)));
  const browser = await launch();
  t.after(() => browser.close());
  const page = await (await browser.context({ viewport: { width: 360, height: 640 } })).newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.route("http://localhost/**", (route) =>
    route.fulfill({ contentType: "text/html", body: route.request().url().endsWith("/ui.html") ? frame : "<!doctype html>" }));
  await page.goto("http://localhost/");
  await page.evaluate(([names, texts]) => {
    const [encode, decode] = [(text) => new TextEncoder().encode(text), (bytes) => new TextDecoder().decode(bytes)];
    const { port1, port2 } = new MessageChannel();
    const state = { type: "state", name: "guest-1", room: "lobby", people: ["guest-1", "Ann"], history: [{ type: "say", from: "Ann", text: "hello", at: 1 }] };
    window.asked = [];
    window.tell = (event) => port1.postMessage({ type: "message", body: encode(JSON.stringify(event)) });
    port1.onmessage = ({ data: { type, id, method, body } }) => {
      asked.push([type, method ?? "", decode(body)].join(" "));
      if (method === "name") state.name = decode(body);
      if (method === "state" || method === "name") port1.postMessage({ type: "reply", id, body: encode(method === "name" ? state.name : JSON.stringify(state)) });
      if (method === "room") port1.postMessage({ type: "failed", id, code: "trapped", message: "no such room" });
    };
    const element = document.createElement("iframe");
    element.setAttribute("sandbox", "allow-scripts");
    element.style.cssText = "position: fixed; inset: 0; width: 100%; height: 100%; border: 0";
    element.src = "/sandbox/ui.html";
    const assets = Object.fromEntries(names.map((name, index) => [name, encode(texts[index])]));
    const give = () => element.contentWindow.postMessage({ type: "tabfarm", assets, entry: "index.html" }, "*", [port2]);
    element.addEventListener("load", give, { once: true });
    document.body.append(element);
  }, [names, texts]);
  const chat = page.frameLocator("iframe");
  await chat.getByText("Ann", { exact: true }).first().waitFor();
  await chat.locator("#text").fill("hi there");
  await chat.locator("#text").press("Enter");
  await page.evaluate(() => tell({ type: "say", from: "<img src=x onerror=alert(1)>", text: "<script>alert(1)</script>", at: 3 }));
  await chat.getByText("<script>alert(1)</script>").waitFor();
  await chat.locator("#name").fill("Bob");
  await chat.locator("#name").press("Enter");
  await chat.getByText("no such room").waitFor();
  const asked = await page.evaluate(() => asked);
  assert.deepEqual(asked, ["query state ", "send  hi there", "call name Bob", "call room lobby"]);
  assert.equal(await chat.locator("#lines img").count(), 0);
  assert.equal(await chat.locator("html").evaluate((html) => html.scrollWidth <= 360), true);
  assert.deepEqual(errors, []);
});
