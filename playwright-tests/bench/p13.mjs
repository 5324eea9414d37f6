// P13: from the click on Publish in the IDE to the first reply in another tab; the compiler's worker is new each time.

import { openApp, view } from "../lib/app.mjs";
import { joinPage, SOON_MS } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const ROUNDS = 5;
const BAR_MS = 5_000;
/** How long a person reads before the click, in ms. None at all is the worst case: the compiler is still being loaded. */
const READING_MS = [0, 3_000];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The rows of this benchmark. */
export async function bench() {
  const rows = [];
  for (const reading of READING_MS) {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push(await inWorld((world) => once(world, reading)));
    const ms = rounds.map((each) => Math.round(each.ms));
    rows.push({ bar: "P13", unit: "ms", reading_ms: reading, rounds: ROUNDS, median: median(ms), max: Math.max(...ms), bar_ms: BAR_MS, met: median(ms) <= BAR_MS, steps: rounds.map((each) => each.said) });
  }
  return rows;
}

/** One publication in browsers and with a relay of its own. */
async function once(world, reading) {
  const relay = await world.relay();
  const author = await openApp(await world.page(await world.browser(), "author"), relay);
  const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
  await view(author, "ide");
  const template = author.getByTestId("ide-template");
  await template.waitFor({ timeout: SOON_MS });
  await template.selectOption("counter");
  await author.waitForTimeout(reading);
  const start = performance.now();
  await author.getByTestId("ide-publish").click();
  await caller.evaluate((id) => until(() => peer.call(id, "add", encode(1)).then(() => true, () => false), 30_000, "a first reply"), `counter@${author.id}`);
  const ms = performance.now() - start;
  const said = await author.getByTestId("ide-output").locator(".published .hint").innerText();
  return { ms, said: /compiled in [^,]+, published in [^.]+/.exec(said)?.[0] };
}
