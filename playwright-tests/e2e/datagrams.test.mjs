// Datagrams of a room while its service moves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { move, volunteer } from "../lib/moves.mjs";
import { joinPage, publish, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const HZ = 50;
const MOVES = 6;

test("fifty datagrams a second through six handovers: none is lost, none comes twice", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [hosts, talkers] = [await world.browser(), await world.browser()];
    const tabs = [await volunteer(world, hosts, relay, "a"), await volunteer(world, hosts, relay, "b")];
    const [speaker, listener] = [
      await joinPage(await world.page(talkers, "speaker"), relay),
      await joinPage(await world.page(talkers, "listener"), relay),
    ];
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
  }));
