// Starting and stopping real relays.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const binary = process.env.TABFARM_RELAY ?? `${root}target/debug/tabfarm-relay`;
const web = process.env.TABFARM_WEB ?? `${root}target/web-tree`;
/** The most that is kept of what a relay says. */
const LOG_LINES = 400;
const START_MS = 20_000;
/** A relay promises to drain within this time. */
const STOP_MS = 10_000;

/**
 * Starts a relay on a free port and waits for its first line.
 * @returns {Promise<{url: string, info: {peer_id: string, http: string, addresses: string[]}, pid: number, log: () => string,
 *   stop: () => Promise<number>, kill: () => Promise<void>}>}
 */
export async function startRelay({ http = "127.0.0.1:0", args = [] } = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} is not built: run \`cargo xtask test --only tabs\``);
  const child = spawn(binary, ["--http", http, "--json", "--web", web, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const lines = [];
  const keep = (line) => {
    lines.push(line);
    if (lines.length > LOG_LINES) lines.shift();
  };
  createInterface({ input: child.stderr }).on("line", keep);
  const out = createInterface({ input: child.stdout });
  const exited = once(child, "exit");
  const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
  const first = await Promise.race([once(out, "line"), exited.then(() => null)]);
  clearTimeout(timer);
  if (!first) throw new Error(`the relay did not start:\n${lines.join("\n")}`);
  out.on("line", keep);
  const info = JSON.parse(first[0]);

  const end = async (signal, within) => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const late = setTimeout(() => child.kill("SIGKILL"), within);
      await exited;
      clearTimeout(late);
    }
    return child.exitCode;
  };
  return {
    url: info.http,
    info,
    pid: child.pid,
    /** Starts it again at the same place. It keeps who it is if its `args` name a data folder. */
    again: () => startRelay({ http: new URL(info.http).host, args: [...args, "--listen", info.addresses[0].replace(/\/p2p\/.*/, "")] }),
    log: () => lines.join("\n"),
    /** Asks it to stop; its exit code, `null` when it had to be killed. */
    stop: () => end("SIGTERM", STOP_MS),
    /** Ends it at once, as a power cut would. */
    kill: async () => void (await end("SIGKILL", STOP_MS)),
  };
}
