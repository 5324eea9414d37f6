// Datagrams of a room while its service moves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { watchChannels } from "../lib/channels.mjs";
import { move, volunteer } from "../lib/moves.mjs";
import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const HZ = 50;
const MOVES = 6;

inBoth("fifty datagrams a second through six handovers: none is lost, none comes twice", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [hosts, talkers] = [await world.browser(), await world.browser()];
    const tabs = [await volunteer(world, hosts, relay, "a"), await volunteer(world, hosts, relay, "b")];
    const talker = async (name) => {
      const page = await world.page(talkers, name);
      await page.addInitScript(watchChannels);
      return joinPage(page, relay);
    };
    const [speaker, listener] = [await talker("speaker"), await talker("listener")];
    const service = await publish(tabs[0], "chat");
    for (const page of [speaker, listener]) {
      await page.evaluate(async (service) => {
        window.room = await peer.open(service);
        window.heard = [];
        room.addEventListener("datagram", ({ detail }) => heard.push(new DataView(detail.buffer, detail.byteOffset).getUint32(0)));
      }, service);
    }
    // A call is answered after both sessions were put into the room.
    for (const page of [speaker, listener]) await page.evaluate(() => room.query("state"));
    await speaker.evaluate((hz) => {
      window.said = 0;
      const begin = performance.now();
      window.speaking = setInterval(() => {
        for (; said < ((performance.now() - begin) * hz) / 1000; said += 1) {
          const frame = new DataView(new ArrayBuffer(160));
          frame.setUint32(0, said);
          room.datagram(new Uint8Array(frame.buffer));
        }
      }, 1000 / hz);
    }, HZ);
    await soon(listener, (count) => heard.length >= count, HZ / 2);
    for (let n = 0; n < MOVES; n += 1) {
      await move(tabs[n % 2], tabs[(n + 1) % 2], service);
      const so_far = await listener.evaluate(() => heard.length);
      await soon(listener, (count) => heard.length >= count, so_far + HZ / 2);
    }
    const said = await speaker.evaluate(() => {
      clearInterval(speaking);
      return said;
    });
    await soon(listener, (last) => heard.includes(last), said - 1);
    const heard = await listener.evaluate(() => heard);
    assert.deepEqual([...heard].sort((a, b) => a - b), Array.from({ length: said }, (_, n) => n));
    assert.deepEqual(await speaker.evaluate(() => heard), [], "nobody hears itself");
    // The first ones of a connection may take its stream: the channel is made when both ends have said that they know it.
    for (const [page, count] of [[speaker, "messagesSent"], [listener, "messagesReceived"]]) {
      const channels = (await page.evaluate(() => channels())).filter(({ label }) => label === "datagrams");
      const carried = channels.reduce((sum, channel) => sum + channel[count], 0);
      assert.ok(channels.length > 0 && channels.every(({ ordered, maxRetransmits }) => !ordered && maxRetransmits === 0), JSON.stringify(channels));
      assert.ok(carried > said / 2, `${carried} of ${said} in the unordered channels: ${JSON.stringify(channels)}`);
    }
  }));

test("a service whose manifest permits no datagrams: the session hears not-permitted, and its calls go on", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [host, user] = [await joinPage(await world.page(browser, "host"), relay), await joinPage(await world.page(browser, "user"), relay)];
    const service = await publish(host, "counter");
    await user.evaluate(async (service) => {
      window.session = await peer.open(service);
      window.refused = [];
      session.addEventListener("error", ({ detail }) => refused.push(detail.code));
      session.datagram(new Uint8Array([1]));
    }, service);
    await soon(user, () => refused.length === 1);
    // From then on the session knows.
    await user.evaluate(() => session.datagram(new Uint8Array([2])));
    await soon(user, () => refused.length === 2);
    assert.deepEqual(await user.evaluate(() => refused), ["not-permitted", "not-permitted"]);
    assert.equal(await user.evaluate(async () => decode(await session.call("add", encode(1)))), 1);
  }));
