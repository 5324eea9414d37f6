// What a test starts, and that all of it ends with the test.

import { test } from "node:test";

import { launch, launchProfile, usual } from "./browser.mjs";
import { noFirefox, noProblem } from "./firefox.mjs";
import { startRelay } from "./relay.mjs";

/** A test that takes longer hangs. */
const LIMIT_MS = 120_000;

/** A test in Chromium and the same in Firefox: `body` gets the `inWorld` whose `world.browser()` starts the one or the other. */
export function inBoth(name, body) {
  test(name, () => body(inWorld));
  // By TABFARM_BROWSER all tests are of Firefox already.
  if (usual !== "firefox") test(`${name} (Firefox)`, { skip: noFirefox }, () => body((run, limitMs) => inWorld(run, limitMs, "firefox")));
}

/**
 * Runs `body(world)` and then ends every browser and relay that it started, whatever happened, and after `limitMs` at
 * the latest. When the body fails, what the pages and relays said is printed before the error.
 */
export async function inWorld(body, limitMs = LIMIT_MS, engine = usual) {
  const world = new World(engine);
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([body(world), limit]);
  } catch (error) {
    console.error(world.story());
    throw error;
  } finally {
    clearTimeout(timer);
    await world.end();
  }
}

/** The lines of a page's console that are kept. */
const CONSOLE_LINES = 60;

export class World {
  #ends = [];
  #relays = [];
  #pages = [];

  /** `engine` is the browser that a test gets when it names none: `chromium` or `firefox`. */
  constructor(engine) {
    this.engine = engine;
  }

  /** A relay with the app. */
  async relay(options) {
    const relay = await startRelay(options);
    this.#relays.push(relay);
    this.#ends.push(() => relay.kill());
    return relay;
  }

  /** All relays that were started. */
  relays() {
    return this.#relays;
  }

  /** A browser process. */
  async browser(options) {
    const browser = await launch({ engine: this.engine, ...options });
    this.#ends.push(() => browser.close());
    return browser;
  }

  /** A Firefox process. */
  firefox() {
    return this.browser({ engine: "firefox" });
  }

  /** A browser process with one profile; pages by `profile.context.newPage()` and `world.watch`. */
  async profile() {
    const profile = await launchProfile({ engine: this.engine });
    this.#ends.push(() => profile.close());
    return profile;
  }

  /** A page in a profile of its own. */
  async page(browser, name, settings) {
    const context = await browser.context(settings);
    return this.watch(await context.newPage(), name);
  }

  /** Remembers what a page says, and its uncaught errors in `page.problems`. */
  watch(page, name) {
    const lines = [];
    const keep = (line) => {
      lines.push(line);
      if (lines.length > CONSOLE_LINES) lines.shift();
    };
    page.problems = [];
    page.on("console", (message) => keep(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => {
      if (noProblem(error)) return;
      page.problems.push(String(error));
      keep(`uncaught: ${error.stack ?? error}`);
    });
    page.on("crash", () => page.problems.push("the page crashed"));
    this.#pages.push({ name, lines });
    return page;
  }

  /** Something else that ends with the test. */
  atEnd(end) {
    this.#ends.push(async () => end());
  }

  /** What everybody said, for a failed test. */
  story() {
    const pages = this.#pages.map(({ name, lines }) => `--- page ${name}\n${lines.join("\n")}`);
    const relays = this.#relays.map((relay) => `--- relay ${relay.url}\n${relay.log()}`);
    return [...pages, ...relays].join("\n");
  }

  async end() {
    for (const end of this.#ends.reverse()) {
      await end().catch((error) => console.error(`at the end: ${error}`));
    }
  }
}
