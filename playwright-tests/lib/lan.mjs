// A little network: each browser in a network namespace of its own, joined by a bridge, so that links between them can be cut.
//
// A cut is a neighbour's entry with a hardware address that nobody has: packets to it vanish, in that direction alone and without a word
// to who sends them. The namespaces are those of sleeping processes, and end with them.

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { executablePath } from "./browser.mjs";

const BRIDGE = "10.77.0.1";
const NOBODY = "02:00:00:00:de:ad";

function ip(...args) {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

/** Runs `ip` in the place of a browser, or here for the relay's. */
const ipIn = (place, ...args) => {
  if (!place.pid) return ip(...args);
  const { status, stderr } = spawnSync("nsenter", ["-t", `${place.pid}`, "-n", "ip", ...args], { encoding: "utf8", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
};

export class Lan {
  #world;
  #made = 0;
  #cuts = [];
  #folder = mkdtempSync(join(tmpdir(), "tabfarm-lan-"));
  relayPlace = { address: BRIDGE, device: "farm0" };

  constructor(world) {
    this.#world = world;
    ip("link", "add", "farm0", "type", "bridge");
    ip("addr", "add", `${BRIDGE}/24`, "dev", "farm0");
    ip("link", "set", "farm0", "up");
    world.atEnd(() => {
      ip("link", "del", "farm0");
      rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  /** A relay that all places reach. */
  relay() {
    return this.#world.relay({ http: `${BRIDGE}:0` });
  }

  /** A browser in a place of its own; `browser.place` is for [`Lan.cut`]. */
  async browser() {
    const number = (this.#made += 1);
    const holder = spawn("unshare", ["-n", "sleep", "infinity"], { stdio: "ignore" });
    this.#world.atEnd(() => holder.kill("SIGKILL"));
    const [name, inside, address] = [`farm${number}h`, `farm${number}`, `10.77.0.${number + 1}`];
    const place = { pid: holder.pid, address, device: "eth0" };
    await this.#ownNamespace(holder.pid);
    // One of an earlier world goes with its namespace, which takes its time.
    spawnSync("ip", ["link", "del", name], { stdio: "ignore", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
    ip("link", "add", name, "type", "veth", "peer", "name", inside);
    ip("link", "set", name, "master", "farm0", "up");
    ip("link", "set", inside, "netns", `${holder.pid}`);
    // No address of IPv6: it would be ready a second later, and a browser drops what it loads when its network changes.
    ipIn(place, "link", "set", inside, "addrgenmode", "none");
    ipIn(place, "link", "set", inside, "name", "eth0", "up");
    ipIn(place, "link", "set", "lo", "up");
    ipIn(place, "addr", "add", `${address}/24`, "dev", "eth0");
    // Chromium is started by this script, so that all its processes are in the place.
    const executable = join(this.#folder, `chromium-${number}`);
    writeFileSync(executable, `#!/bin/sh\nexec nsenter -t ${holder.pid} -n ${executablePath} "$@"\n`);
    chmodSync(executable, 0o755);
    const browser = await this.#world.browser({ executable, args: [`--unsafely-treat-insecure-origin-as-secure=${this.#origins()}`] });
    return Object.assign(browser, { place });
  }

  /** From now on no packet goes between these places and those; with `oneWay`, none from these to those. */
  cut(these, those, oneWay = false) {
    for (const one of these) {
      for (const other of those) {
        this.#silence(one, other);
        if (!oneWay) this.#silence(other, one);
      }
    }
  }

  /** All places reach each other again. */
  heal() {
    for (const [from, to] of this.#cuts.splice(0)) ipIn(from, "neigh", "del", to.address, "dev", from.device);
  }

  #silence(from, to) {
    ipIn(from, "neigh", "replace", to.address, "lladdr", NOBODY, "dev", from.device, "nud", "permanent");
    this.#cuts.push([from, to]);
  }

  #origins() {
    return this.#world.relays().map((relay) => relay.url).join(",");
  }

  /** Waits until the process has left the namespace of this one. */
  async #ownNamespace(pid) {
    const own = readlinkSync("/proc/self/ns/net");
    for (const end = Date.now() + 5000; Date.now() < end; await new Promise((done) => setTimeout(done, 10))) {
      if (readlinkSync(`/proc/${pid}/ns/net`) !== own) return;
    }
    throw new Error("no network namespace for a browser");
  }
}
