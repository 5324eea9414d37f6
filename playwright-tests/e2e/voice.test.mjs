// A voice conference: real audio from a fake microphone, encoded, sent, decoded and played, while its service moves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openApp, view } from "../lib/app.mjs";
import { move, volunteer } from "../lib/moves.mjs";
import { SOON_MS, joinPage, publish, soon } from "../lib/peer.mjs";
import { enter, heard, hears } from "../lib/voice.mjs";
import { inWorld } from "../lib/world.mjs";

const NICKS = ["Ann", "Bob", "Cy"];
/** Frames between two moves: a second. */
const SECOND = 50;

/** Seconds of talk before the first move: what is lost then is lost by the machine. */
const CALM = 4;

const sum = (values) => values.reduce((all, each) => all + each, 0);

for (const state of ["single", "replicated-3"]) {
  test(`three talk through two handovers of a ${state} service: no frame comes twice, and none is lost that would not be lost without`, () =>
    inWorld(async (world) => {
      const relay = await world.relay();
      const [hosts, talkers] = [await world.browser(), await world.browser({ microphone: true })];
      const tabs = [await volunteer(world, hosts, relay, "a"), await volunteer(world, hosts, relay, "b")];
      const service = await publish(tabs[0], "voice", { state });
      const people = [];
      for (const nick of NICKS) {
        const page = await joinPage(await world.page(talkers, nick), relay);
        await enter(page, service, "tea", nick);
        people.push(page);
      }
      const others = (page) => NICKS.filter((_, n) => people[n] !== page);
      const everybody = (act) => Promise.all(people.map((page) => act(page, others(page))));
      const lost = async () => sum((await everybody(heard)).flatMap((figures) => Object.values(figures)).map((each) => each.lost));
      await everybody((page, nicks) => hears(page, nicks, CALM * SECOND));
      const calm = await lost();
      for (let n = 0; n < 2; n += 1) {
        await move(tabs[n % 2], tabs[(n + 1) % 2], service);
        await everybody((page, nicks) => hears(page, nicks, SECOND));
      }
      // Everybody falls silent, so that what was sent has arrived.
      await everybody((page) => page.evaluate(() => talk.mute(true)));
      await everybody((page, nicks) => soon(page, (nicks) => nicks.every((nick) => talk.state.people.find((each) => each.nick === nick).muted), nicks));
      const sent = await everybody((page) => page.evaluate(() => talk.state.people.find((each) => each.me).figures.sent));
      // On an idle machine nothing is lost. One that is too busy to move 300 frames a second loses as many without a handover.
      const moving = (await lost()) - calm;
      assert.ok(moving <= 2 * calm, `${moving} frames lost while it moved, ${calm} before`);
      for (const [n, page] of people.entries()) {
        const nicks = others(page);
        const figures = await heard(page);
        for (const nick of nicks) {
          const { received, doubled, undecodable, sounded } = figures[nick];
          assert.equal(doubled, 0, `${NICKS[n]} hears ${nick}`);
          assert.ok(received <= sent[NICKS.indexOf(nick)] && received > CALM * SECOND, `${nick}: ${received} of ${sent}`);
          assert.equal(undecodable, 0);
          assert.ok(sounded.played > 2 * SECOND, `${sounded.played} of ${received} sounded`);
        }
        assert.ok((await page.evaluate(() => talk.state.moves)) >= 2, "the sessions followed twice");
        assert.deepEqual(page.problems, []);
      }
    }));
}

test("levels move, mute stops frames, a page without a microphone listens, a ninth is refused, those who leave are gone", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const [mute, talkers] = [await world.browser(), await world.browser({ microphone: true })];
    const ann = await joinPage(await world.page(talkers, "ann"), relay);
    const service = await publish(ann, "voice");
    await enter(ann, service, "tea", "Ann");
    const bob = await joinPage(await world.page(talkers, "bob"), relay);
    await enter(bob, service, "tea", "Bob");
    const deaf = await joinPage(await world.page(mute, "listener"), relay);
    await enter(deaf, service, "tea", "Dee");
    const listener = await deaf.evaluate(() => ({ microphone: talk.state.microphone, problem: talk.state.problem }));
    assert.deepEqual(listener, { microphone: "none", problem: "No microphone was found." });
    await soon(ann, () => talk.state.people.some((each) => each.nick === "Dee" && each.listening));
    await hears(deaf, ["Ann", "Bob"], SECOND);
    for (const nick of ["Ann", "Bob"]) {
      await soon(deaf, (nick) => talk.state.people.find((each) => each.nick === nick).level > 0.01, nick);
      await soon(deaf, (nick) => talk.state.people.find((each) => each.nick === nick).speaking, nick);
    }

    // Muted: what was under way arrives, and then nothing more, while another is heard on.
    await ann.evaluate(() => talk.mute(true));
    await soon(deaf, () => talk.state.people.find((each) => each.nick === "Ann").muted);
    const frames = async () => [await ann.evaluate(() => talk.state.people.find((each) => each.me).figures.sent), (await heard(deaf)).Ann.received];
    await hears(deaf, ["Bob"], SECOND);
    const before = await frames();
    await hears(deaf, ["Bob"], SECOND);
    assert.deepEqual(await frames(), before, "nothing is sent or heard");
    await ann.evaluate(() => talk.mute(false));
    await hears(deaf, ["Ann"], SECOND);
    assert.ok((await heard(deaf)).Ann.lost < SECOND, "a pause is no loss");

    // Six more sessions of other peers are five too many.
    const said = await deaf.evaluate(async (service) => {
      const { Peer } = await import("/tabfarm.js");
      const results = [];
      window.more = [];
      for (let n = 0; n < 6; n += 1) {
        const other = await Peer.join({ store: "memory" });
        more.push(other);
        const session = await other.open(service);
        const reply = session.call("join", `tea\nguest ${n}`).then(() => "in", (error) => error.message);
        results.push(await reply);
      }
      return results;
    }, service);
    assert.deepEqual(said.slice(0, 5), Array(5).fill("in"));
    assert.match(said[5], /the conference “tea” is full: at most 8 people take part/);

    await bob.evaluate(() => talk.leave());
    await soon(ann, () => talk.state.people.every((each) => each.nick !== "Bob"));
    // What is no frame, and frames of somebody who does not exist, harm nobody.
    await deaf.evaluate(async (service) => {
      const session = more[0].sessions()[0];
      for (const body of [new Uint8Array(0), new Uint8Array(1200).fill(1), new Uint8Array(40).fill(255)]) session.datagram(body);
    }, service);
    await soon(ann, () => talk.state.strays > 0);
    for (const page of [ann, bob, deaf]) assert.deepEqual(page.problems, []);
  }));

test("a microphone that cannot be joined to the sound is switched off again, and that is said", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await joinPage(await world.page(await world.browser({ microphone: true }), "ann"), relay);
    await page.evaluate(() => {
      const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (what) => (window.stream = await ask(what));
      AudioContext.prototype.createMediaStreamSource = () => {
        throw new DOMException("different sample rates", "NotSupportedError");
      };
    });
    await enter(page, await publish(page, "voice"), "tea", "Ann");
    const state = await page.evaluate(() => ({ microphone: talk.state.microphone, problem: talk.state.problem, tracks: stream.getTracks().map((each) => each.readyState) }));
    assert.deepEqual(state, { microphone: "none", problem: "The microphone cannot be used (different sample rates).", tracks: ["ended"] });
    assert.deepEqual(page.problems, []);
  }));

test("in the app: a conference begins, somebody is found by nick name, rung, and comes", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser({ microphone: true });
    const [ann, bob] = [await openApp(await world.page(browser, "ann"), relay), await openApp(await world.page(browser, "bob"), relay)];
    await view(bob, "voice");
    await bob.getByTestId("voice-nick").fill("Bob");
    await bob.getByTestId("nick-announce").check({ force: true });
    await view(bob, "network");

    await view(ann, "voice");
    await ann.getByTestId("voice-nick").fill("Ann");
    await ann.getByTestId("voice-conference").fill("tea");
    await ann.getByTestId("voice-join").click();
    await ann.getByTestId("voice-page").waitFor({ timeout: SOON_MS });
    await ann.getByTestId("nick-search").fill("bob");
    const candidate = ann.locator(`[data-testid="nick-candidate"][data-peer="${bob.id}"]`);
    // The announcement may still be on its way through the DHT.
    for (const end = Date.now() + SOON_MS; !(await candidate.isVisible()) && Date.now() < end; ) {
      await ann.getByTestId("nick-lookup").click();
      await ann.locator('[data-testid="nick-lookup"]:not([disabled])').waitFor({ timeout: SOON_MS });
    }
    assert.match(await ann.getByTestId("nick-result").innerText(), /found in \d/i);

    // Declined first: she stays alone.
    await candidate.getByTestId("ring").click();
    assert.match(await bob.getByTestId("ring-banner").innerText(), new RegExp(`Ann.*${ann.id.slice(-6)}.*“tea”`, "s"));
    await bob.getByTestId("ring-decline").click();
    await candidate.getByTestId("ring-state").filter({ hasText: "Declined." }).waitFor({ timeout: SOON_MS });
    await candidate.getByTestId("ring").click();
    await bob.getByTestId("ring-accept").click();
    await candidate.getByTestId("ring-state").filter({ hasText: "Accepted." }).waitFor({ timeout: SOON_MS });
    for (const [page, me, other] of [[ann, "Ann", "Bob"], [bob, "Bob", "Ann"]]) {
      const line = (nick) => page.locator(`[data-testid="voice-person"][data-nick="${nick}"]`);
      await line(me).waitFor({ timeout: SOON_MS });
      await soon(page, (nick) => Number(document.querySelector(`[data-nick="${nick}"]`)?.dataset.received) > 50, other);
      await soon(page, (nick) => Number(document.querySelector(`[data-nick="${nick}"] meter`)?.value) > 10, other);
      assert.equal(await line(me).getAttribute("data-me"), "true");
    }
    await bob.getByTestId("voice-mute").click();
    await ann.locator('[data-testid="voice-person"][data-nick="Bob"][data-state="muted"]').waitFor({ timeout: SOON_MS });
    await bob.getByTestId("voice-leave").click();
    await bob.getByTestId("voice-join").waitFor({ timeout: SOON_MS });
    await soon(ann, () => document.querySelectorAll('[data-testid="voice-person"]').length === 1);
    // Whoever comes without a link finds the conference.
    const cy = await openApp(await world.page(browser, "cy"), relay, "/#/voice");
    await cy.getByTestId("voice-nick").fill("Cy");
    await cy.locator('[data-testid="voice-open"][data-conference="tea"] button').click({ timeout: SOON_MS });
    await soon(ann, () => document.querySelector('[data-nick="Cy"]') !== null);
    for (const page of [ann, bob, cy]) assert.deepEqual(page.problems, []);
  }));
