// Volunteering as a person sets it: limits, choice of services, power, and what keeps the device awake.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openApp, view, volunteerInApp } from "../lib/app.mjs";
import { SOON_MS, joinPage, publish, soon, startCalls, stopCalls } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

/** A battery that the test charges: `plug(true)`. */
const battery = () => {
  const made = Object.assign(new EventTarget(), { charging: true, level: 1 });
  navigator.getBattery = async () => made;
  window.plug = (charging) => {
    made.charging = charging;
    made.dispatchEvent(new Event("chargingchange"));
  };
};

/** Wake locks that the test counts. */
const wakeLocks = () => {
  window.lit = new Set();
  const request = async () => {
    const lock = new EventTarget();
    lit.add(lock);
    lock.release = async () => {
      if (lit.delete(lock)) lock.dispatchEvent(new Event("release"));
    };
    return lock;
  };
  Object.defineProperty(navigator, "wakeLock", { value: { request }, configurable: true });
};

inBoth("limits and lists reach the peer, are kept, and refuse what is not on them", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await joinPage(await world.page(browser, "author"), relay);
    const page = await openApp(await world.page(browser, "helper"), relay);
    await volunteerInApp(page);
    await soon(page, () => tabfarm.status().volunteer !== null);
    const set = (name, value) => page.getByTestId(name).evaluate((input, value) => {
      input.value = value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }, value);
    await set("limit-cpu", "40");
    await set("limit-memory", "512");
    await set("limit-storage", "64");
    await set("limit-up", "1500");
    await page.getByTestId("take-tags").pressSequentially("welcome, other");
    await page.getByTestId("take-publishers").pressSequentially(author.id);
    await page.getByTestId("take-publishers").blur();
    const expected = { cpu: 40, memoryMiB: 512, storageMiB: 64, upKbps: 1500, services: [], publishers: [author.id], tags: ["welcome", "other"] };
    const holds = (expected) => {
      const { mains, ...policy } = tabfarm.status().volunteer ?? {};
      return Object.entries(expected).every(([key, value]) => JSON.stringify(policy[key]) === JSON.stringify(value));
    };
    await soon(page, holds, expected);
    await page.reload();
    await openApp(page, relay);
    await soon(page, holds, expected);

    const refused = await publish(author, "counter", { name: "stranger", tags: ["else"] });
    const taken = await publish(author, "counter", { name: "guest", tags: ["welcome"] });
    await soon(author, (id) => peer.status().peers.some((each) => each.id === id && each.volunteer), page.id);
    const code = await author.evaluate(([id, to]) => codeOf(peer.handover(id, to)), [refused, page.id]);
    assert.notEqual(code, "ok", "what is on no list is refused");
    await author.evaluate(([id, to]) => peer.handover(id, to), [taken, page.id]);
    await soon(page, (id) => tabfarm.status().hosting.some(({ service, role }) => service === id && role === "leader"), taken);
    assert.deepEqual(page.problems, []);
  }));

inBoth("on battery services are handed over and nothing is taken on, on mains power it goes on", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await world.page(browser, "laptop");
    await page.addInitScript(battery);
    await openApp(page, relay);
    const other = await openApp(await world.page(browser, "desk"), relay);
    await volunteerInApp(other);
    await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await volunteerInApp(page);
    await page.getByTestId("mains-only").check();
    await page.getByTestId("power").filter({ hasText: "mains power now" }).waitFor();
    await page.locator(`[data-testid="handover-target"] option[value="${other.id}"]`).waitFor({ state: "attached", timeout: SOON_MS });
    assert.equal(await page.getByTestId("on-battery").count(), 0);
    await page.evaluate(() => plug(false));
    await page.getByTestId("on-battery").waitFor();
    await soon(other, () => tabfarm.status().hosting.some(({ service, role }) => service.startsWith("counter@") && role === "leader"));
    await soon(page, () => tabfarm.status().volunteer === null);
    await page.evaluate(() => plug(true));
    await page.getByTestId("on-battery").waitFor({ state: "detached" });
    await soon(page, () => tabfarm.status().volunteer?.mains === true);
    // Who does not ask for mains power goes on, and the peer is told that it is on battery.
    await page.getByTestId("mains-only").uncheck();
    await page.evaluate(() => plug(false));
    await soon(page, () => tabfarm.status().volunteer?.mains === false);
    assert.deepEqual([...page.problems, ...other.problems], []);
  }));

test("what nobody takes goes on here on battery, and that is said", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "laptop");
    await page.addInitScript(battery);
    await openApp(page, relay);
    await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await soon(page, () => tabfarm.status().hosting.length === 1);
    await volunteerInApp(page);
    await page.getByTestId("mains-only").check();
    await page.evaluate(() => plug(false));
    await page.getByText("On battery: 1 service could not be handed over and goes on here: counter.").waitFor({ timeout: SOON_MS });
    assert.equal(await page.evaluate(() => tabfarm.status().hosting.length), 1);
  }));

test("a browser that says nothing of its power says so", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "other");
    await page.addInitScript(() => { navigator.getBattery = undefined; });
    await openApp(page, relay);
    await volunteerInApp(page);
    await page.getByTestId("power").filter({ hasText: "does not say" }).waitFor();
    assert.ok(await page.getByTestId("mains-only").isDisabled());
    await soon(page, () => tabfarm.status().volunteer !== null);
  }));

test("while something runs here the tab holds a lock, and the screen stays on where that is wanted", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "host");
    await page.addInitScript(wakeLocks);
    await openApp(page, relay);
    const locked = async () => (await navigator.locks.query()).held.some(({ name }) => name === "tabfarm-hosting");
    assert.equal(await page.evaluate(locked), false);
    await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await soon(page, locked);
    await view(page, "volunteer");
    assert.equal(await page.evaluate(() => lit.size), 0, "off unless it is asked for");
    await page.getByTestId("screen-on").check();
    await soon(page, () => lit.size === 1);
    await page.getByTestId("screen-notice").filter({ hasText: "The screen stays on" }).waitFor();
    // The browser took it away while the page was hidden; it is asked again when the page is shown.
    await page.evaluate(() => [...lit][0].release());
    await page.getByTestId("screen-notice").filter({ hasText: "not kept on now" }).waitFor();
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await soon(page, () => lit.size === 1);
    await page.getByTestId("drop-service").click();
    await page.getByTestId("drop-confirm").click();
    await soon(page, () => lit.size === 0);
    await soon(page, async () => (await navigator.locks.query()).held.every(({ name }) => name !== "tabfarm-hosting"));
    assert.deepEqual(page.problems, []);
  }));

test("what runs here shows its load, and the sentence about trust is there", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const page = await openApp(await world.page(browser, "host"), relay);
    await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
    await soon(page, () => tabfarm.status().hosting.length === 1);
    const caller = await joinPage(await world.page(browser, "caller"), relay);
    await startCalls(caller, `counter@${page.id}`, { hz: 40 });
    await view(page, "volunteer");
    await page.getByTestId("hosted-rate").filter({ hasText: /^[1-9]/ }).waitFor({ timeout: SOON_MS });
    assert.match(await page.getByTestId("hosted-gas").innerText(), /^(under 1|[1-9]\d*) %$/);
    await stopCalls(caller);
    await page.getByTestId("hosted-rate").filter({ hasText: /^0$/ }).waitFor({ timeout: SOON_MS });
    assert.match(await page.getByTestId("trust-note").innerText(), /The person who runs a service's tab can read its data/);
  }));
