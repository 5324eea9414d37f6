// Helpers for services that move.

import assert from "node:assert/strict";

import { joinPage, soon, stopCalls } from "./peer.mjs";

/** What a volunteer of the tests takes on: anything. */
export const ANYTHING = { cpu: 50, memoryMiB: 256, storageMiB: 256, services: "any" };

/** A tab that volunteers, in a browser of the caller's choice. */
export async function volunteer(world, browser, relay, name, options = {}) {
  const page = await joinPage(await world.page(browser, name), relay, { name, ...options });
  await page.evaluate((policy) => peer.volunteer(policy), ANYTHING);
  return page;
}

/** Waits until `page` knows `other` as a volunteer, as a person who chooses a target would. */
export function meets(page, other) {
  return soon(page, (id) => peer.status().peers.some((each) => each.id === id && each.volunteer), other.id);
}

/** Moves a service; the report. */
export async function move(from, to, service) {
  await meets(from, to);
  return from.evaluate(([service, to]) => peer.handover(service, to), [service, to.id]);
}

/** Moves a service and tells how it ended: a report or an error's code. */
export function tryMove(from, to, service) {
  return from.evaluate(
    ([service, to]) => peer.handover(service, to).then((report) => ({ report }), (error) => ({ code: error.code, message: error.message })),
    [service, to.id],
  );
}

/** The pages among `pages` that lead a service now. */
export async function leaders(pages, service) {
  const roles = await Promise.all(
    pages.map((page) => page.evaluate((service) => peer.status().hosting.find((each) => each.service === service)?.role, service)),
  );
  return pages.filter((_, index) => roles[index] === "leader");
}

/** A counter that was called with `add 1` alone must answer 1, 2, 3, … to the calls in their order. */
export function assertExactlyOnce(calls, { from = 0 } = {}) {
  assert.deepEqual(calls.errors, []);
  const expected = Array.from({ length: calls.sent }, (_, index) => from + index + 1);
  const wrong = calls.replies.findIndex((reply, index) => reply !== expected[index]);
  const around = calls.replies.slice(Math.max(0, wrong - 3), wrong + 4);
  assert.equal(wrong, -1, `call ${wrong} answered ${calls.replies[wrong]}, around it: ${around}`);
  assert.equal(calls.replies.length, calls.sent, "every call was answered");
}

/** Stops the calls of `page`: each was executed once, and `server` answered last. What `stopCalls` tells. */
export async function endCalls(page, server) {
  const calls = await stopCalls(page);
  assertExactlyOnce(calls);
  if (server) assert.equal(calls.server, server.id);
  return calls;
}
