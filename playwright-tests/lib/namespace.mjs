// A network namespace for the tests: loopback only, nothing of the machine's network.

import { spawnSync } from "node:child_process";

const UP = "PATH=$PATH:/sbin:/usr/sbin; ip link set lo up";

/**
 * How to run a command in a namespace of its own: as root, else as a mapped root, else in the machine's own namespace.
 * TABFARM_NETNS in its environment tells which: `own` or `host`.
 */
export function inNamespace(command) {
  if (process.env.TABFARM_NETNS) {
    return { command, env: {}, where: "in the namespace they were started in" };
  }
  for (const flags of ["-n", "-rn"]) {
    const { status } = spawnSync("unshare", [flags, "sh", "-c", UP], { stdio: "ignore" });
    if (status === 0) {
      const inside = ["unshare", flags, "sh", "-c", `${UP} && exec "$@"`, "sh", ...command];
      return { command: inside, env: { TABFARM_NETNS: "own" }, where: `in a network namespace of their own (unshare ${flags})` };
    }
  }
  const where = "in the machine's own network namespace, as it allows no other: tests with partitions are skipped";
  return { command, env: { TABFARM_NETNS: "host" }, where };
}

/** A reason to skip a test that cuts links, or `false`. */
export const noPartitions = process.env.TABFARM_NETNS === "own" ? false : "needs a network namespace of its own";
