// `single` services with a standby: the tab that serves is closed by its person, frozen, or asked to move it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { endCalls, move, volunteer } from "../lib/moves.mjs";
import { joinPage, moreReplies, publish, soon, startCalls } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const HZ = 50;

const warm = (page, service) =>
  soon(page, (service) => peer.status().hosting.find((each) => each.service === service)?.standbys.length === 1, service);

const leads = (page, service) =>
  soon(page, (service) => peer.status().hosting.some((each) => each.service === service && each.role === "leader"), service);

/** Relay, a host with two volunteers, a caller in another browser, a counter with a standby under calls. */
async function standing(world) {
  const relay = await world.relay();
  const host = await joinPage(await world.page(await world.browser(), "host"), relay);
  const browser = await world.browser();
  const others = [await volunteer(world, browser, relay, "one"), await volunteer(world, browser, relay, "two")];
  const caller = await joinPage(await world.page(await world.browser(), "caller"), relay);
  const service = await publish(host, "counter");
  await warm(host, service);
  await startCalls(caller, service, { hz: HZ });
  await moreReplies(caller, HZ / 2);
  const ids = await host.evaluate((service) => peer.status().hosting.find((each) => each.service === service).standbys, service);
  return { relay, host, others, caller, service, standby: others.find((page) => page.id === ids[0]) };
}

test("the person who serves closes the tab: its standby goes on at once, and no call is lost", () =>
  inWorld(async (world) => {
    const { host, others, caller, service, standby } = await standing(world);
    await host.close({ runBeforeUnload: true });
    await leads(standby, service);
    await moreReplies(caller, HZ);
    // The next one too: the new host has found a standby of its own.
    const second = others.find((page) => page !== standby);
    await warm(standby, service);
    await standby.close({ runBeforeUnload: true });
    await leads(second, service);
    await moreReplies(caller, HZ);
    await endCalls(caller, second);
  }));

test("the tab that serves goes to another page: its standby goes on", () =>
  inWorld(async (world) => {
    const { relay, host, caller, service, standby } = await standing(world);
    await host.goto(`${relay.url}/health`);
    await leads(standby, service);
    await moreReplies(caller, HZ);
    await endCalls(caller, standby);
  }));

test("the browser is about to freeze the tab that serves: its standby goes on, and the thawed one stays out", () =>
  inWorld(async (world) => {
    const { host, caller, service, standby } = await standing(world);
    // A headless browser freezes no page that it shows: the page is told as a browser would tell it.
    await host.evaluate(() => document.dispatchEvent(new Event("freeze")));
    await leads(standby, service);
    await moreReplies(caller, HZ);
    await endCalls(caller, standby);
    const hosting = await host.evaluate(() => peer.status().hosting.length);
    assert.equal(hosting, 0);
  }));

test("a move to the standby copies no state: it has it", () =>
  inWorld(async (world) => {
    const { host, caller, service, standby } = await standing(world);
    await host.evaluate(() => {
      window.steps = [];
      peer.addEventListener("handover", ({ detail }) => steps.push(detail.step));
    });
    const report = await move(host, standby, service);
    assert.equal(report.to, standby.id);
    assert.ok(report.bytes > 0 && report.stateBytes > 0, "what it cost to make it a standby");
    const steps = await host.evaluate(() => steps);
    assert.ok(steps.includes("take-over") && !steps.includes("seed"), steps.join(", "));
    await moreReplies(caller, HZ);
    await endCalls(caller);
  }));
