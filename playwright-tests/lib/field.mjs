// The laptop in the field: an address that is not the machine's own loopback.

import { spawnSync } from "node:child_process";

/** The relay's address in the field. */
export const ADDRESS = "10.77.0.1";
const LINK = "tabfarm-field";

const ip = (...args) => spawnSync("ip", args, { encoding: "utf8", env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` } });

/**
 * Gives the namespace of the tests an interface with that address, and a way out by it, as whoever joins a network gets: an
 * insecure page has no other address for WebRTC than the one by which its machine would leave.
 */
export function enterField() {
  for (const args of [
    ["link", "add", LINK, "type", "veth", "peer", "name", `${LINK}1`],
    // No address of IPv6: it would be ready a second later, and a browser drops what it loads when its network changes.
    ["link", "set", LINK, "addrgenmode", "none"],
    ["link", "set", `${LINK}1`, "addrgenmode", "none"],
    ["addr", "add", `${ADDRESS}/24`, "dev", LINK],
    ["link", "set", LINK, "up"],
    ["link", "set", `${LINK}1`, "up"],
    ["route", "add", "default", "via", "10.77.0.2"],
  ]) {
    const { status, stderr } = ip(...args);
    if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr}`);
  }
}

/** Takes it away again. */
export const leaveField = () => void ip("link", "del", LINK);
