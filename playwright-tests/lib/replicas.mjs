// A replicated ledger among tabs, with clients that call it while tabs are lost.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { volunteer } from "./moves.mjs";
import { joinPage, publish, soon } from "./peer.mjs";
import { moreAnswers, startClient } from "./history.mjs";

/** Repair may wait for records and for a volunteer's answer on a busy machine. */
const WHOLE_MS = 60_000;

/** Waits until one of `pages` leads the service with `count` live replicas; that page. */
export function whole(pages, service, count = 3) {
  const leads = ([service, count]) => {
    const own = peer.status().hosting.find((each) => each.service === service);
    return own?.role === "leader" && own.replicas === count && own.members.length === count;
  };
  return Promise.any(pages.map((page) => soon(page, leads, [service, count], WHOLE_MS).then(() => page))).catch((error) => {
    throw new Error(`not whole: ${error.errors.map(({ message }) => message.split("\n")[0]).join("; ")}`);
  });
}

/** A relay that is itself again when it is started again. */
function keptRelay(world) {
  const folder = mkdtempSync(join(tmpdir(), "tabfarm-relay-"));
  world.atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return world.relay({ args: ["--data-dir", folder] });
}

/**
 * Relays, volunteers, a ledger with replicas, and clients of it: one that adds `hz` times a second, two that do everything else.
 * With `apart` each volunteer is a browser process of its own, else a renderer process of one browser; with a `lan` each browser has its place in it.
 * @returns the world's parts; `join()` adds a volunteer, `lose(page)` forgets one.
 */
export async function replicatedLedger(world, { hosts: count = 4, hz = 100, apart = false, state = "replicated-3", relays: relayCount = 1, lan = null } = {}) {
  const relays = [];
  for (let n = 0; n < relayCount; n += 1) relays.push(lan ? await lan.relay() : await keptRelay(world));
  const joined = { relays: relays.map((relay) => relay.info.addresses[0]) };
  const browserOf = () => (lan ? lan.browser() : world.browser());
  const shared = apart || lan ? null : await world.browser();
  const hosts = [];
  let made = 0;
  const add = async () => {
    const browser = shared ?? (await browserOf());
    const page = await volunteer(world, browser, relays[0], `host ${(made += 1)}`, joined);
    page.browserProcess = browser;
    hosts.push(page);
    return page;
  };
  const lose = (page) => hosts.splice(hosts.indexOf(page), 1);
  for (let n = 0; n < count; n += 1) await add();
  const service = await publish(hosts[0], "ledger", { state });
  if (state === "replicated-3") await whole(hosts, service);
  const callers = [];
  const both = lan ? null : await world.browser();
  for (const name of ["adder", "mixer"]) {
    const browser = both ?? (await browserOf());
    const page = await joinPage(await world.page(browser, name), relays[0], { name, ...joined });
    callers.push(Object.assign(page, { browserProcess: browser }));
  }
  await startClient(callers[0], service, { name: "adder", index: 1, hz });
  for (const index of [2, 3]) await startClient(callers[1], service, { name: `mixer${index}`, index, hz: Math.max(4, hz / 10), mix: true });
  await moreAnswers(callers[0], hz / 2);
  return { relays, hosts, callers, service, join: add, lose };
}
