// Every view, in both widths and both themes, by the rules of axe: nothing serious, nothing critical. And nothing jumps while it loads.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { openApp, openService, view, volunteerInApp } from "../lib/app.mjs";
import { elsewhere } from "../lib/elsewhere.mjs";
import { SOON_MS, joinPage, publish, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = ["services", "voice", "volunteer", "ide", "network", "settings"];

/** What axe finds that is serious or worse, one line each. The frame of a service's page is its author's. */
async function violations(page) {
  return page.evaluate(async () => {
    const { violations } = await axe.run(document, { iframes: false, resultTypes: ["violations"] });
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) => nodes.slice(0, 3).map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`));
  });
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 360]) {
    test(`axe finds nothing serious in any view: ${colorScheme}, ${width} px`, () =>
      inWorld(async (world) => {
        const relay = await world.relay();
        const browser = await world.browser({ media: { colorScheme } });
        const other = await joinPage(await world.page(browser, "other"), relay, { name: "Ann" });
        await publish(other, "chat");
        await publish(other, "counter");
        const page = await world.page(browser, "visitor", { viewport: { width, height: 800 } });
        await page.addInitScript(axe);
        await openApp(page, relay);
        await page.locator('[data-testid="publish-example"][data-service="counter"]').click();
        await page.getByTestId("service-card").nth(2).waitFor({ timeout: SOON_MS });
        await volunteerInApp(page);
        await page.getByTestId("screen-on").check();
        const found = {};
        const look = async (name) => {
          // Notices and the ring of a move are animated: half transparent text is no finding.
          await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((each) => each.effect.getTiming().iterations === 1).map((each) => each.finished)));
          found[name] = await violations(page);
        };
        for (const name of VIEWS) {
          await view(page, name);
          await page.locator(`#panel-${name}:not([hidden]) h1`).first().waitFor({ timeout: SOON_MS });
          if (name === "ide") await page.locator(".cm-content").waitFor({ timeout: SOON_MS });
          if (name === "network") await page.getByTestId("plots").waitFor({ timeout: SOON_MS });
          await look(name);
        }
        await openService(page, "chat");
        await page.getByTestId("service-ui").locator("iframe").waitFor({ timeout: SOON_MS });
        await look("a service with its own page");
        await page.getByRole("button", { name: "Methods" }).click();
        await page.getByTestId("method").first().waitFor({ timeout: SOON_MS });
        await look("a service's methods");
        // A service that runs elsewhere: the form that registers it, with what is wrong said, and its page.
        await other.evaluate((manifest) => peer.publish({ manifest }), elsewhere("weather", "https://api.example.org/v1"));
        await view(page, "services");
        await page.getByTestId("register-open").click();
        await page.getByTestId("register-publish").click();
        await page.getByText("Where does it run?").waitFor({ timeout: SOON_MS });
        await look("registering a service that runs elsewhere");
        await page.getByTestId("refresh").click();
        await openService(page, "weather");
        await page.getByTestId("elsewhere").waitFor({ timeout: SOON_MS });
        await look("a service that runs elsewhere");
        await openApp(page, relay, "/#/services/counter");
        await page.getByTestId("candidate").first().waitFor({ timeout: SOON_MS });
        await look("a name of several publishers");
        assert.deepEqual(Object.fromEntries(Object.entries(found).filter(([, list]) => list.length > 0)), {});
        assert.deepEqual(page.problems, []);
      }));
  }
}

for (const [what, published] of [["an empty catalogue", 0], ["a service", 1]]) {
  test(`nothing jumps while the app loads and ${what} comes`, () =>
    inWorld(async (world) => {
      const relay = await world.relay();
      const browser = await world.browser();
      const other = await joinPage(await world.page(browser, "other"), relay);
      if (published) await publish(other, "counter");
      for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 740 }]) {
        const page = await world.page(browser, "visitor", { viewport });
        await page.addInitScript(() => {
          window.shifts = [];
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) {
              if (!entry.hadRecentInput) shifts.push({ value: entry.value, of: entry.sources.map(({ node }) => node?.className ?? node?.nodeName) });
            }
          }).observe({ type: "layout-shift", buffered: true });
        });
        await openApp(page, relay);
        await (published ? page.locator('[data-testid="service-card"][data-service="counter"]') : page.getByText("Nothing is published yet")).waitFor({ timeout: SOON_MS });
        await soon(page, () => document.querySelectorAll(".ghost").length === 0);
        await page.waitForTimeout(500);
        const shifts = await page.evaluate(() => shifts);
        // The bound that browsers' makers call good.
        const sum = shifts.reduce((sum, { value }) => sum + value, 0);
        assert.ok(sum < 0.1, `${viewport.width} px: ${sum} by ${JSON.stringify(shifts)}`);
      }
    }));
}

test("the editor holds nobody who has a keyboard alone: Tab indents, Escape and then Tab leaves", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await openApp(await world.page(await world.browser(), "author"), relay, "/#/ide");
    const editor = page.locator(".cm-content");
    await editor.waitFor({ timeout: SOON_MS });
    await page.getByText("Escape and then Tab leaves the editor").waitFor({ timeout: SOON_MS });
    const inEditor = () => page.evaluate(() => document.activeElement === document.querySelector('[data-testid="ide-editor"]'));
    await editor.focus();
    await page.keyboard.press("Tab");
    assert.equal(await inEditor(), true, "it indents");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    assert.equal(await inEditor(), false, "it leaves");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "ide-attach");
  }));
