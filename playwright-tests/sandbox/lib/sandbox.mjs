// A page with a sandbox in it, and what a test wants to say to it.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { launch } from "../../lib/browser.mjs";
import { serve } from "./server.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const web = process.env.TABFARM_WEB ?? join(root, "target/web-tree");

/** The kinds of event. */
export const [OPEN, MESSAGE, CLOSE, CALL, QUERY, TIMER, REPLY, UPGRADE] = Array(8).keys();

/** Limits of an ordinary service. */
export const LIMITS = { pages: 64, gas: 100_000_000, output: 524_288, kv: 1 << 20 };

/** The module of an example service. */
export const example = async (name) => [...(await readFile(join(web, `services/${name}/module.wasm`)))];

/** Runs `body(page)` in a page of its own with `window.sandbox`; fails when the page had an error. */
export async function inPage(body, { change } = {}) {
  const [server, browser] = [await serve({ change }), await launch()];
  try {
    const page = await (await browser.context()).newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.url_ = server.url;
    await page.goto(server.url);
    await page.evaluate(define);
    await body(page);
    if (errors.length > 0) throw new Error(`errors in the page: ${errors.join("; ")}`);
  } finally {
    await browser.close();
    await server.close();
  }
}

/** Prepares a module as package `number`; the event. */
export const prepare = (page, number, module, limits = {}) =>
  page.evaluate(([number, module, limits]) => prepare(number, new Uint8Array(module), limits), [number, module, { ...LIMITS, ...limits }]);

/** Defines `sandbox` and helpers that resolve with the sandbox's events, inside a page. */
async function define() {
  const { default: init, Sandbox } = await import("/tab-test/sandbox_tab_test.js");
  await init();
  const waiting = [];
  window.events = [];
  window.next = (matches, ms = 20_000) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer")), ms);
    waiting.push({ matches, resolve: (event) => { clearTimeout(timer); resolve(event); } });
  });
  window.sandbox = new Sandbox(location.origin, (event) => {
    events.push(event);
    const index = waiting.findIndex(({ matches }) => matches(event));
    if (index >= 0) waiting.splice(index, 1)[0].resolve(event);
  });
  const of = (instance, ...types) => (event) => event.instance === instance && types.includes(event.type);
  window.prepare = (number, module, { pages, gas, output, kv }) => {
    const answer = next((event) => event.package === number);
    sandbox.prepare(number, module, pages, gas, output, kv);
    return answer;
  };
  window.create = (instance, number, state) => {
    const answer = next(of(instance, "created", "failed"));
    sandbox.create(instance, number, state);
    return answer;
  };
  window.upgrade = (instance, number) => {
    const answer = next(of(instance, "created", "failed"));
    sandbox.upgrade(instance, number);
    return answer;
  };
  let lastRun = 0;
  window.run = (instance, kind, session = 1, input = new Uint8Array()) => {
    const number = ++lastRun;
    const answer = next((event) => of(instance, "ran", "failed")(event) && (event.type === "failed" || event.run === number));
    sandbox.run(instance, number, kind, session, input);
    return answer;
  };
  window.snapshot = (instance) => {
    const answer = next(of(instance, "snapshot", "failed"));
    sandbox.snapshot(instance, ++lastRun);
    return answer;
  };
  window.methodInput = (method, body = "") => {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const name = new TextEncoder().encode(method);
    return new Uint8Array([name.length, 0, ...name, ...bytes]);
  };
  const text = (bytes) => new TextDecoder().decode(new Uint8Array(bytes));
  /** An event's outcome in a short form: `done`, `failed` or `trapped`, text of the reply, kinds of effects. */
  window.short = (event) => {
    if (event.type !== "ran") return [event.type, event.reason];
    const [[how, what]] = Object.entries(event.outcome);
    if (how === "Trapped") return ["trapped", what.reason];
    return [how.toLowerCase(), text(what.reply), ...what.effects.map((effect) => {
      const [[kind, fields]] = Object.entries(effect);
      const bytes = fields.bytes ?? fields.input;
      return [kind, ...Object.values(fields).filter((value) => value !== bytes).map(Number), ...(bytes ? [text(bytes)] : [])].join(" ");
    })];
  };
  window.call = async (instance, method, body, session = 1, kind = 3) => short(await run(instance, kind, session, methodInput(method, body)));
  window.query = (instance, method, body, session = 1) => call(instance, method, body, session, 4);
}
