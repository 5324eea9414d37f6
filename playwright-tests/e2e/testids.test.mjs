// The app by its promised test ids alone, with plain clicks: what an independent test does, and knows nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SOON_MS, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

/** A tab of the app that has joined. Its views are reached by their names, as a person reaches them. */
async function open(world, browser, relay, name) {
  const page = await world.page(browser, name);
  await page.goto(relay.url);
  await page.getByTestId("status").filter({ hasText: /^joined/ }).waitFor({ timeout: SOON_MS });
  page.id = (await page.getByTestId("peer-id").innerText()).trim();
  assert.match(page.id, /^12D3KooW\w{44}$/, "the whole id");
  return page;
}

const go = (page, name) => page.getByRole("tab", { name }).click();

test("template, publish, find, open, volunteer, hand over, by test ids alone", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const author = await open(world, browser, relay, "author");
    await go(author, "IDE");
    const template = author.getByTestId("ide-template");
    await template.waitFor({ timeout: SOON_MS });
    const choices = await template.locator("option").evaluateAll((all) => all.map((each) => each.value));
    assert.ok(choices.includes("counter"), choices.join());
    await template.selectOption("counter");
    await author.getByTestId("ide-publish").click();
    const output = author.getByTestId("ide-output");
    await output.filter({ hasText: /published/i }).waitFor({ timeout: SOON_MS });
    assert.match(await output.innerText(), new RegExp(`counter@${author.id}`));

    const user = await open(world, browser, relay, "user");
    await go(user, "Services");
    const card = user.locator('[data-testid="service-card"][data-service="counter"]');
    await card.waitFor({ timeout: SOON_MS });
    await card.getByTestId("open-service").click();
    await user.getByRole("button", { name: "Call" }).first().waitFor({ timeout: SOON_MS });

    const helper = await open(world, browser, relay, "helper");
    await go(helper, "Volunteer");
    await helper.getByTestId("volunteer-toggle").click();
    assert.ok(await helper.getByTestId("volunteer-toggle").isChecked());

    await go(author, "Volunteer");
    const hosted = author.getByTestId("hosted-service");
    await hosted.waitFor({ timeout: SOON_MS });
    const target = hosted.getByTestId("handover-target");
    await target.locator(`option[value="${helper.id}"]`).waitFor({ state: "attached", timeout: SOON_MS });
    await target.selectOption(helper.id);
    await hosted.getByTestId("handover").click();
    await helper.getByTestId("hosted-service").filter({ hasText: "serving" }).waitFor({ timeout: SOON_MS });
    await hosted.waitFor({ state: "detached", timeout: SOON_MS });

    for (const page of [author, user, helper]) {
      assert.ok(Number(await page.getByTestId("peer-count").innerText()) >= 2, "the relay and another tab");
      await go(page, "Network");
      await page.getByTestId("network-map").waitFor({ timeout: SOON_MS });
      assert.deepEqual(page.problems, []);
    }
  }));

test("a tab that volunteered goes on after a reload, whichever view it shows", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await open(world, await world.browser(), relay, "helper");
    await go(page, "Volunteer");
    await page.getByTestId("volunteer-toggle").click();
    await go(page, "Services");
    await page.reload();
    await page.getByTestId("status").filter({ hasText: /^joined/ }).waitFor({ timeout: SOON_MS });
    await soon(page, () => tabfarm.status().volunteer !== null);
  }));
