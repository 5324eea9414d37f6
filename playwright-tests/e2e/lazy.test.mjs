// Views that are loaded when they are first shown: what is fetched when, and what a person reads when it cannot be.

import assert from "node:assert/strict";
import test from "node:test";

import { openApp, view } from "../lib/app.mjs";
import { SOON_MS } from "../lib/peer.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const PARTS = /\/app\/parts\/[0-9a-f]{16}\/.+\.wasm$/;

/** The parts that a page has asked for, by name. */
function asked(page) {
  const names = [];
  page.on("request", (request) => PARTS.test(request.url()) && names.push(request.url().split("/").at(-1)));
  return names;
}

inBoth("joining fetches the first view alone; the others come after it, the editor when it is opened", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "visitor");
    const names = asked(page);
    const come = (name) => page.waitForResponse((response) => response.url().endsWith(`/${name}`) && response.ok(), { timeout: SOON_MS });
    const unasked = Promise.all([come("split_views.wasm"), come("split_service.wasm")]);
    await openApp(page, relay);
    assert.deepEqual(names, []);
    // Unasked, so that the views are there when the relay is not.
    await unasked;
    await page.waitForLoadState("networkidle");
    assert.ok(!names.includes("split_ide.wasm"), names.join(", "));
    relay.kill();
    for (const name of ["voice", "volunteer", "network", "settings"]) {
      await view(page, name);
      await page.locator(`#panel-${name} h1`).first().waitFor({ timeout: SOON_MS });
    }
    assert.deepEqual(page.problems, []);
  }));

test("a view that cannot be loaded says so, and is there after another attempt", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "visitor");
    await page.route(PARTS, (route) => route.abort());
    await openApp(page, relay, "/#/settings");
    const panel = page.locator("#panel-settings");
    await panel.getByRole("alert").filter({ hasText: "The settings could not be loaded" }).waitFor({ timeout: SOON_MS });
    await page.unroute(PARTS);
    await panel.getByTestId("load-again").click();
    await panel.locator("h1").waitFor({ timeout: SOON_MS });
    assert.deepEqual(page.problems, []);
  }));
