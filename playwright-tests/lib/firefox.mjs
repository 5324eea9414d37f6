// Firefox for the tests: the one that is installed, driven by WebDriver BiDi through Playwright, so that a test does not know which
// browser it drives. What that cannot do: sessions of DevTools, `bypassCSP`, touch, emulated media (which `launch` sets), `change` events
// after `fill` (a test types instead).

import { existsSync } from "node:fs";

import { firefox as bidi } from "playwright-core";

const usual = ["/usr/bin/firefox-esr", "/usr/bin/firefox", "/snap/bin/firefox"];
const executablePath = process.env.FIREFOX ?? usual.find((path) => existsSync(path));
/** A reason to skip, or `false`. */
export const noFirefox = executablePath ? false : "needs Firefox: set FIREFOX to its path";

/** `ice.loopback` makes Firefox offer its loopback interface to WebRTC; without it two tabs find no candidates, and there is no error. */
const preferences = {
  "media.peerconnection.ice.loopback": true,
  // Whatever microphone there is, without a question.
  "permissions.default.microphone": 1,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "app.update.enabled": false,
  "browser.safebrowsing.update.enabled": false,
  "dom.ipc.processCount": 4,
};

/** What is preferred, by preference: Playwright cannot emulate it here. */
const preferred = ({ colorScheme = "light", reducedMotion = "no-preference" }) => ({
  "layout.css.prefers-color-scheme.content-override": colorScheme === "dark" ? 0 : 1,
  "ui.prefersReducedMotion": reducedMotion === "reduce" ? 1 : 0,
});

/** What Playwright starts. The channel says that it is Mozilla's own Firefox and not Playwright's build of it. */
export const firefox = (media, microphone) => ({
  type: bidi,
  options: {
    channel: "moz-firefox",
    executablePath,
    headless: true,
    firefoxUserPrefs: { ...preferences, ...preferred(media), "media.navigator.streams.fake": microphone },
  },
});

/**
 * Not an error of a page, though Firefox logs it as one: the style that Playwright adds when it takes a picture (`body {}`), and a
 * WebSocket to a relay that is not there.
 */
export const noProblem = (error) => /sha256-YjaKGiklmzC6wjXA513HAMmzus8VE61XCOT\+SmwNZWA=|can’t establish a connection to the server at ws|The connection to ws\S* was interrupted/.test(String(error));
