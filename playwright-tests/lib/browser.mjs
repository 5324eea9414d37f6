// Browser processes of the tests: Chromium, or Firefox where a test or the environment (TABFARM_BROWSER=firefox) asks for it.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { firefox } from "./firefox.mjs";

export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** The media flag makes Chromium offer its loopback interface to WebRTC; without it two tabs find no candidates. */
const args = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--allow-loopback-in-peer-connection",
  "--use-fake-ui-for-media-stream",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];
export const options = { executablePath, args, headless: true, chromiumSandbox: false };

/** Flags of a browser whose microphone beeps once a second, and which lets sound begin by itself. */
const BEEPING = ["--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"];

/** The browser of a test that asks for none. */
export const usual = process.env.TABFARM_BROWSER ?? "chromium";

/** Which browser, and how to start it. `args` are for Chromium alone. */
function engineOf(name, { args: more = [], executable = executablePath, media = {}, microphone = false }) {
  if (name === "firefox") return firefox(media, microphone);
  if (name !== "chromium") throw new Error(`a browser is chromium or firefox, not ${name}`);
  return { type: chromium, options: { ...options, executablePath: executable, args: [...args, ...(microphone ? BEEPING : []), ...more] } };
}

/**
 * A browser process of its own. `media` is what its pages find preferred: `colorScheme`, `reducedMotion`; with `microphone` it has one, which
 * makes a noise. `kill` ends it as a crash would, `close` politely.
 */
export async function launch({ engine = usual, ...how } = {}) {
  const { type, options } = engineOf(engine, how);
  const server = await type.launchServer(options);
  const browser = await type.connect(server.wsEndpoint());
  return {
    engine,
    browser,
    /** A profile of its own, so an identity of its own. */
    context: (settings) => browser.newContext({ ...how.media, ...settings }),
    kill: () => server.kill(),
    close: () => server.close(),
    /** Stops all its processes, as a suspended laptop would; `thaw` lets them go on. */
    freeze: () => signal(server.process().pid, "SIGSTOP"),
    thaw: () => signal(server.process().pid, "SIGCONT"),
  };
}

/** Signals a process and all that descend from it. */
function signal(root, name) {
  const parents = new Map();
  for (const entry of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      // The name in parentheses may hold anything: the parent is the second word behind it.
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It ended meanwhile.
    }
  }
  const descends = (pid) => pid === root || (parents.has(pid) && descends(parents.get(pid)));
  for (const pid of [...parents.keys()].filter(descends)) process.kill(pid, name);
}

/** A browser process with one profile on disk, whose tabs share storage. */
export async function launchProfile({ engine = usual } = {}) {
  const dir = mkdtempSync(join(tmpdir(), "tabfarm-profile-"));
  const { type, options } = engineOf(engine, {});
  const context = await type.launchPersistentContext(dir, options);
  const close = async () => {
    await context.close();
    rmSync(dir, { recursive: true, force: true });
  };
  return { context, close };
}
