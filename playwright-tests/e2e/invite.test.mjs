// Bringing others here: links as QR codes, read as a camera would read them.

import assert from "node:assert/strict";
import { test } from "node:test";

import jsqr from "jsqr";

import { openApp, openService, view } from "../lib/app.mjs";
import { joinPage, publish } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

/** The pixels of a module's side. */
const SCALE = 4;

/** What the code on the page says, from its picture: what the browser draws, not what the app meant. */
async function read(page) {
  const { side, pixels } = await page.getByTestId("invite-code").evaluate(async (svg, scale) => {
    const side = svg.viewBox.baseVal.width * scale;
    const copy = svg.cloneNode(true);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", side);
    copy.setAttribute("height", side);
    const picture = new Image();
    picture.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await picture.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    return { side, pixels: [...context.getImageData(0, 0, side, side).data] };
  }, SCALE);
  return jsqr.default(Uint8ClampedArray.from(pixels), side, side)?.data;
}

test("the codes of a service and of the app lead there; the dialog takes the keyboard and gives it back", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const id = await publish(await joinPage(await world.page(browser, "author"), relay), "counter");
    const page = await openApp(await world.page(browser, "visitor"), relay);
    await openService(page, "counter");
    const button = page.locator("#panel-services").getByTestId("invite");
    await button.click();
    const dialog = page.getByTestId("invite-dialog");
    await dialog.waitFor();
    const link = `${relay.url}/#/services/${encodeURIComponent(id)}`;
    assert.equal(await read(page), link);
    assert.equal(await dialog.getByTestId("invite-link").innerText(), link);
    // This relay listens on the loopback interface alone.
    await dialog.getByTestId("invite-here-only").waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.ok(await button.evaluate((button) => button === document.activeElement), "the focus is back");

    await view(page, "network");
    await page.locator("#panel-network").getByTestId("invite").click();
    assert.equal(await read(page), `${relay.url}/`);
    await dialog.getByRole("button", { name: "Close" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.deepEqual(page.problems, []);
  }));
