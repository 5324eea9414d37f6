// Chromium processes of the tests.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

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

/** A browser process of its own. `kill` ends it as a crash would, `close` politely. */
export async function launch({ args: more = [], executable = executablePath } = {}) {
  const server = await chromium.launchServer({ ...options, executablePath: executable, args: [...args, ...more] });
  const browser = await chromium.connect(server.wsEndpoint());
  return {
    browser,
    /** A profile of its own, so an identity of its own. */
    context: (settings) => browser.newContext(settings),
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
export async function launchProfile() {
  const dir = mkdtempSync(join(tmpdir(), "tabfarm-profile-"));
  const context = await chromium.launchPersistentContext(dir, options);
  const close = async () => {
    await context.close();
    rmSync(dir, { recursive: true, force: true });
  };
  return { context, close };
}
