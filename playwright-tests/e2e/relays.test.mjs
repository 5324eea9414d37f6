// A relay dies, at once or without a word: its tabs go on by the other one, and newcomers join there.

import assert from "node:assert/strict";
import { test } from "node:test";

import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

// A stopped process keeps its sockets open and answers nothing, like a machine that has lost its network.
for (const [how, die] of [["is killed", (relay) => relay.kill()], ["falls silent", ({ pid }) => process.kill(pid, "SIGSTOP")]]) {
  test(`one of two relays ${how}: it is left, and a newcomer finds the host through the other`, () =>
    inWorld(async (world) => {
      const [first, second] = [await world.relay(), await world.relay()];
      const relays = [first.info.addresses[0], second.info.addresses[0]];
      const browser = await world.browser();
      const host = await joinPage(await world.page(browser, "host"), first, { name: "host", relays });
      const connected = (ids) => soon(host, (ids) => peer.status().relays.toSorted().join() === ids.toSorted().join(), ids);
      await connected([first.info.peer_id, second.info.peer_id]);
      await publish(host, "counter");
      await die(first);
      await connected([second.info.peer_id]);
      const newcomer = await joinPage(await world.page(browser, "newcomer"), second, { name: "newcomer", relays });
      assert.equal(await newcomer.evaluate(async () => decode(await peer.call("counter", "add", encode(4)))), 4);
      await soon(newcomer, (id) => peer.status().peers.find((each) => each.id === id)?.path === "direct", host.id);
    }));
}
