// Nick names in the DHT, and ringing somebody who was found by one.

import assert from "node:assert/strict";

import { SOON_MS, joinPage } from "../lib/peer.mjs";
import { inBoth } from "../lib/world.mjs";

/** Looks a name up until `count` people are found; the last answer, with `tookMs` of that search. */
const found = (page, nick, count) =>
  page.evaluate(
    async ([nick, count, ms]) => {
      let candidates = [];
      await until(async () => (candidates = await peer.lookup(nick)).length === count, ms, `${count} people called ${nick}`);
      return { candidates: [...candidates], tookMs: candidates.tookMs };
    },
    [nick, count, SOON_MS],
  );

inBoth("a nick name leads to everybody who claims it, and a ring to an answer", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const tabs = [];
    for (const name of ["ann", "other", "caller"]) tabs.push(await joinPage(await world.page(browser, name), relay));
    const [ann, other, caller] = tabs;
    await ann.evaluate(() => peer.announce("Ann", "plays the cello"));
    const { candidates, tookMs } = await found(caller, "ann", 1);
    assert.ok(Number.isFinite(tookMs) && tookMs >= 0, `${tookMs}`);
    const [{ announced, ...candidate }] = candidates;
    assert.deepEqual(candidate, { nick: "Ann", peer: ann.id, short: ann.id.slice(-6), profile: "plays the cello" });
    assert.ok(announced > 0);
    await other.evaluate(() => peer.announce("ANN"));
    const both = (await found(caller, "Ann", 2)).candidates.map((each) => each.peer);
    assert.deepEqual(new Set(both), new Set([ann.id, other.id]));

    // The callee's page answers each ring as the caller's word for the conference says.
    await ann.evaluate(() => {
      window.rings = [];
      peer.addEventListener("ring", ({ detail }) => {
        rings.push({ from: detail.from, nick: detail.nick, conference: detail.conference });
        if (detail.conference === "yes") detail.accept();
        if (detail.conference === "no") detail.decline();
      });
    });
    await caller.evaluate(() => peer.announce("Bob"));
    const ring = (conference) =>
      caller.evaluate(([to, conference]) => peer.ring(to, conference).catch((error) => error.code), [ann.id, conference]);
    assert.equal(await ring("yes"), true);
    assert.equal(await ring("no"), false);
    assert.deepEqual(await ann.evaluate(() => rings[0]), { from: caller.id, nick: "Bob", conference: "yes" });
    assert.equal(await ring(""), "refused");
    assert.equal(await caller.evaluate(() => codeOf(peer.ring("nobody", "x"))), "refused");
    assert.equal(await caller.evaluate(() => codeOf(peer.announce("a\nb"))), "refused");

    // Who leaves is not found any more, though its tab's record would live on.
    await other.evaluate(() => peer.leave());
    assert.deepEqual((await found(caller, "ann", 1)).candidates.map((each) => each.peer), [ann.id]);
    await ann.evaluate(() => peer.announce(null));
    await found(caller, "ann", 0);
  }));
