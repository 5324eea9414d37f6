// Firefox processes of the tests, driven by WebDriver BiDi. A page has the part of Playwright's interface that the tests'
// helpers use, so that a helper does not know which browser it drives.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import puppeteer from "puppeteer-core";

const usual = ["/usr/bin/firefox-esr", "/usr/bin/firefox", "/snap/bin/firefox"];
export const executablePath = process.env.FIREFOX ?? usual.find((path) => existsSync(path));
/** A reason to skip, or `false`. */
export const noFirefox = executablePath ? false : "needs Firefox: set FIREFOX to its path";

/** Either of the first two alone gives no candidates on a machine that has loopback only, and no error. */
const preferences = {
  "media.peerconnection.ice.loopback": true,
  "permissions.default.microphone": 1,
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "app.update.enabled": false,
  "browser.safebrowsing.update.enabled": false,
  "dom.ipc.processCount": 4,
};

/** A browser process of its own, as `launch` of browser.mjs. */
export async function launchFirefox() {
  const userDataDir = mkdtempSync(join(tmpdir(), "tabfarm-firefox-"));
  const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true, userDataDir, extraPrefsFirefox: preferences, timeout: 60_000, protocolTimeout: 120_000 });
  return {
    /** A profile of its own, so an identity of its own. */
    context: async (settings = {}) => {
      const context = await browser.createBrowserContext();
      return { newPage: async () => dressed(await context.newPage(), settings.viewport) };
    },
    kill: async () => browser.process()?.kill("SIGKILL"),
    close: async () => {
      await browser.close();
      rmSync(userDataDir, { recursive: true, force: true });
    },
  };
}

/** A page of puppeteer with the interface of Playwright's. */
async function dressed(page, viewport = { width: 1280, height: 800 }) {
  await page.setViewport(viewport);
  const test = (id) => `[data-testid="${id}"]`;
  return {
    raw: page,
    on: (type, listener) => page.on(type, listener),
    goto: (url) => page.goto(url, { waitUntil: "load" }),
    reload: () => page.reload({ waitUntil: "load" }),
    evaluate: (run, argument) => page.evaluate(run, argument),
    evaluateHandle: (run, argument) => page.evaluateHandle(run, argument),
    waitForFunction: (run, argument, { timeout, polling } = {}) => page.waitForFunction(run, { timeout, polling }, argument),
    click: (id) => page.locator(test(id)).click(),
    fill: (id, text) => page.locator(test(id)).fill(text),
    text: (id) => page.$eval(test(id), (element) => element.textContent),
    screenshot: (path) => page.screenshot({ path }),
    close: () => page.close(),
  };
}
