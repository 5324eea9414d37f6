// P2: three people talk, 50 frames a second each, while the voice service is handed over again and again; and the same without handovers.

import { loadavg } from "node:os";

import { move, volunteer } from "../lib/moves.mjs";
import { SOON_MS, joinPage, publish } from "../lib/peer.mjs";
import { enter, heard, hears } from "../lib/voice.mjs";
import { inWorld } from "../lib/world.mjs";

const HANDOVERS = Number(process.env.HANDOVERS ?? 100);
const NICKS = ["Ann", "Bob", "Cy"];
/** Frames between two handovers. */
const BETWEEN = 25;
/** How much longer the longest gap may be than without handovers: one frame. */
const BAR_MS = 20;

const round = (value) => Number(value.toFixed(1));
const sum = (values) => values.reduce((all, each) => all + each, 0);

/** Talks while `act(tabs, service, wait)` goes on; what six pairs of listener and speaker counted, added up. */
async function talk(act) {
  return inWorld(async (world) => {
    const relay = await world.relay();
    const [hosts, talkers] = [await world.browser(), await world.browser({ microphone: true })];
    const tabs = [await volunteer(world, hosts, relay, "a"), await volunteer(world, hosts, relay, "b")];
    const service = await publish(tabs[0], "voice", { state: "single" });
    const people = [];
    for (const nick of NICKS) {
      const page = await joinPage(await world.page(talkers, nick), relay);
      await enter(page, service, "bench", nick);
      people.push(page);
    }
    const others = (page) => NICKS.filter((_, n) => people[n] !== page);
    const wait = (count) => Promise.all(people.map((page) => hears(page, others(page), count, SOON_MS + count * 100)));
    await wait(2 * BETWEEN);
    // What was hidden before everybody heard everybody belongs to the beginning.
    const hiddenOf = (pairs) => sum(pairs.map(({ sounded }) => sounded.lost + sounded.stalled));
    const all = async () => (await Promise.all(people.map(heard))).flatMap((figures) => Object.values(figures));
    const hiddenBefore = hiddenOf(await all());
    const began = performance.now();
    await act(tabs, service, wait);
    const seconds = (performance.now() - began) / 1_000;
    await wait(2 * BETWEEN);
    const pairs = await all();
    const total = (name) => sum(pairs.map((figures) => figures[name]));
    return {
      seconds,
      frames: total("received"), lost: total("lost"), doubled: total("doubled"), reordered: total("reordered"),
      longest: Math.max(...pairs.map((figures) => figures.longestGapMs)),
      hidden: hiddenOf(pairs) - hiddenBefore,
    };
  }, 1_800_000);
}

/** The rows of this benchmark. */
export async function bench() {
  const moving = await talk(async (tabs, service, wait) => {
    for (let n = 0; n < HANDOVERS; n += 1) {
      await move(tabs[n % 2], tabs[(n + 1) % 2], service);
      await wait(BETWEEN);
    }
  });
  const calm = await talk((_, __, wait) => wait(Math.round(moving.seconds * 50)));
  const more = moving.longest - calm.longest;
  const met = moving.lost <= calm.lost && moving.doubled <= calm.doubled && more <= BAR_MS;
  const row = (name, { seconds, frames, lost, doubled, reordered, longest, hidden }) => ({
    bar: "P2", run: name, seconds: round(seconds), frames, lost, doubled, reordered, hidden, longest_gap_ms: round(longest),
  });
  return [
    { ...row("handovers", moving), handovers: HANDOVERS },
    row("calm", calm),
    { bar: "P2", run: "compared", longest_gap_more_ms: round(more), bar_ms: BAR_MS, load: round(loadavg()[0]), met },
  ];
}
