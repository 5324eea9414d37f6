// Text from others is text: markup in every field that others fill is shown as it is written, in every view, and none of it becomes an
// element or runs. Chromium is told to ignore the page's policy, so that nothing but the app keeps it from running; Firefox cannot be, and
// tells what the policy has to keep from running, which is a problem of the page.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

import { openApp, view, volunteerInApp } from "../lib/app.mjs";
import { SOON_MS, joinPage, soon } from "../lib/peer.mjs";
import { inBoth } from "../lib/world.mjs";

const PAYLOADS = [
  `<img src=x onerror="window.ran='img'">`,
  `"><script>window.ran='script'</script>`,
  `<svg onload="window.ran='svg'">`,
  `'-(window.ran='quote')-'`,
  `javascript:window.ran='address'`,
  `</title></textarea></option><iframe srcdoc="<script>top.ran='frame'</script>">`,
  `{{constructor.constructor("window.ran='template'")()}}`,
];
const VIEWS = ["services", "voice", "volunteer", "network", "settings"];

/** What became an element or ran. */
const caught = () => ({
  ran: window.ran ?? null,
  elements: document.querySelectorAll('img[src="x"], svg[onload], iframe[srcdoc], [onerror], a[href^="javascript:"], script:not([src])').length,
});
const NOTHING = { ran: null, elements: 0 };

/** Waits for something outside of pages. */
async function until(holds) {
  for (const end = Date.now() + SOON_MS; !holds(); await setTimeout(50)) assert.ok(Date.now() < end, String(holds));
}

inBoth("what real peers and services say is shown as text", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const payload = PAYLOADS[0];
    const author = await joinPage(await world.page(browser, "author"), relay, { name: payload.slice(0, 64) });
    await author.evaluate(async (payload) => {
      const { manifest, module } = await fetchPackage("echo");
      const methods = { echo: { readOnly: true, description: payload, body: { type: "string", title: payload, description: payload }, reply: { type: "string" } } };
      await peer.publish({ manifest: { ...manifest, name: "marked", description: payload, interface: methods }, module });
      await peer.announce("marked", payload);
    }, payload);
    const page = await openApp(await world.page(browser, "visitor", { bypassCSP: true }), relay);
    const card = page.locator('[data-testid="service-card"][data-service="marked"]');
    await card.locator(".service-text").getByText(payload).waitFor({ timeout: SOON_MS });
    await card.getByTestId("open-service").click();
    const method = page.locator('[data-testid="method"][data-method="echo"]');
    await method.getByText(payload).first().waitFor({ timeout: SOON_MS });
    await method.getByTestId("method-body").fill(payload);
    await method.getByTestId("method-call").click();
    await method.getByTestId("method-reply").filter({ hasText: payload }).waitFor({ timeout: SOON_MS });
    await page.getByTestId("message-input").fill(payload);
    await page.getByTestId("message-send").click();
    await page.getByTestId("session-log").getByText(payload).first().waitFor({ timeout: SOON_MS });
    await view(page, "network");
    await page.getByTestId("peer-table").getByText(payload.slice(0, 20)).first().waitFor({ timeout: SOON_MS });
    await view(page, "voice");
    await page.getByTestId("nick-search").fill("marked");
    await page.getByTestId("nick-lookup").click();
    await page.getByTestId("nick-candidate").waitFor({ timeout: SOON_MS });
    assert.deepEqual(await page.evaluate(caught), NOTHING);
    assert.deepEqual(page.problems, []);
    // Were it put in as markup, it would run here, and be seen.
    await page.evaluate((payload) => document.body.insertAdjacentHTML("beforeend", payload), payload);
    if (world.engine === "firefox") await until(() => page.problems.some((problem) => problem.includes("script-src-attr")));
    else await soon(page, () => window.ran === "img");
    assert.notDeepEqual(await page.evaluate(caught), NOTHING);
  }));

inBoth("whatever the peer could report, in whichever field, no view runs it", (inWorld) =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await openApp(await world.page(await world.browser(), "visitor", { bypassCSP: true }), relay);
    await volunteerInApp(page);
    // Every text that the API hands to the app is a payload, each in its turn.
    await page.evaluate((payloads) => {
      let turn = 0;
      const bad = () => payloads[turn++ % payloads.length];
      const real = tabfarm.status.bind(tabfarm);
      const ids = payloads.map((payload, n) => `${payload}${n}`);
      const services = ids.map((id) => `${id}@${id}`);
      const fixed = { peers: [], hosting: [], sessions: [] };
      ids.forEach((id, n) => {
        fixed.peers.push({ id, name: bad(), role: n ? "tab" : "relay", path: bad(), rttMs: 5, volunteer: true, busy: bad(), hosting: services });
        fixed.hosting.push({ service: services[n], role: n ? bad() : "leader", epoch: 1, term: 1, asleep: true, sessions: bad(), events: 1, gas: 1, traps: 1, members: ids,
          standbys: ids, standbysWanted: 9, handover: n ? null : [ids[1], bad()], memoryMiB: 1, wanted: 3, replicas: 1, lag: 1, unstored: null, lostSince: 5 });
        fixed.sessions.push({ id, service: services[n], server: id, epoch: 1, term: 1, path: "direct" });
      });
      tabfarm.status = () => ({ ...real(), ...fixed, relays: ids, waiting: services });
      const record = (id, n) => ({ id: services[n], name: n < 2 ? "same" : id, publisher: id, version: bad(), description: bad(), tags: [bad(), bad()], state: bad(), package: bad(),
        location: null, hasUi: true, hosts: ids, sequence: 1 });
      tabfarm.find = async () => Object.assign(ids.map(record), { complete: true });
      const method = { description: bad(), body: { type: "object", required: [bad()], properties: Object.fromEntries(payloads.map((payload) => [payload, { title: payload, description: bad(), enum: [bad(), bad()] }])) }, reply: {} };
      tabfarm.package = async () => ({ manifest: { description: bad(), state: bad(), interface: Object.fromEntries(payloads.map((payload) => [payload, method])) }, ui: {} });
      const text = (value) => new TextEncoder().encode(value);
      const session = () => {
        const made = Object.assign(new EventTarget(), { id: "1", service: services[0], server: ids[0], epoch: 1, term: 1, path: "direct", close() {}, send() {} });
        made.call = made.query = async () => text(JSON.stringify({ [bad()]: [bad(), { [bad()]: bad() }] }));
        window.session = made;
        return made;
      };
      tabfarm.open = async (name) => {
        if (name === "same") throw Object.assign(new Error(bad()), { code: "ambiguous", candidates: services });
        if (name === "broken") throw Object.assign(new Error(bad()), { code: "refused" });
        return session();
      };
      tabfarm.pins = () => Object.fromEntries(services.map((service, n) => [ids[n], service]));
      tabfarm.lookup = async () => Object.assign(ids.map((peer) => ({ nick: bad(), peer, short: bad(), profile: bad(), announced: 1 })), { tookMs: 1 });
      const tell = (type, detail) => tabfarm.dispatchEvent(new CustomEvent(type, { detail }));
      window.tellAll = () => payloads.forEach((payload, n) => {
        tell("log", { service: services[n], level: 1, text: bad() });
        tell("error", { code: "refused", message: payload });
        tell("error", { code: bad(), message: bad() });
        tell("handover", { service: services[n], from: ids[0], to: ids[1], step: n % 2 ? "aborted" : bad(), reason: bad() });
        tell("moved", { id: "1", service: services[n], server: ids[2], epoch: 1, term: n, path: "direct" });
        tell("shed", { service: services[n], to: ids[1], percent: 200, lateMs: 0 });
        tell("ring", { ring: n, from: ids[n], short: bad(), nick: payload, conference: `${services[n]}/${payload}`, accept: async () => {}, decline: async () => {} });
      });
    }, PAYLOADS);

    const shows = async (where) => {
      await page.waitForFunction((payload) => document.querySelector("main").innerText.includes(payload), PAYLOADS[0].slice(0, 20), { timeout: SOON_MS });
      assert.deepEqual(await page.evaluate(caught), NOTHING, where);
    };
    for (const round of [1, 2]) {
      await page.evaluate(() => tellAll());
      for (const name of VIEWS) {
        await view(page, name);
        if (name === "services") await page.getByTestId("service-card").first().waitFor({ timeout: SOON_MS });
        if (name === "voice") {
          await page.getByTestId("nick-search").fill("x");
          // By the keyboard: those who ring cover the button.
          await page.getByTestId("nick-lookup").press("Enter");
          await page.getByTestId("nick-candidate").first().waitFor({ timeout: SOON_MS });
        }
        if (name === "network") {
          for (const node of await page.locator('[data-testid="map-peer"] [role="button"]').all()) await node.focus();
          await page.getByTestId("map-service").selectOption({ index: 2 });
        }
        await shows(`${name}, round ${round}`);
      }
    }
    const opened = async (service, ready) => {
      await page.goto(`${relay.url}/#/services/${encodeURIComponent(service)}`);
      await page.locator(ready).first().waitFor({ timeout: SOON_MS });
      await shows(service);
    };
    await opened("same", '[data-testid="candidate"]');
    await opened("broken", ".banner.bad");
    await opened(`${PAYLOADS[1]}@${PAYLOADS[2]}`, '[data-testid="method"]');
    await page.evaluate((payloads) => {
      for (const payload of payloads) session.dispatchEvent(new CustomEvent("message", { detail: new TextEncoder().encode(payload) }));
    }, PAYLOADS);
    await page.getByTestId("session-log").getByText(PAYLOADS[0]).first().waitFor({ timeout: SOON_MS });
    for (const select of await page.locator('[data-testid="method"] >> nth=0').getByTestId("method-input").all()) await select.selectOption({ index: 1 });
    await page.getByTestId("method-call").first().press("Enter");
    await page.getByTestId("method-reply").first().waitFor({ timeout: SOON_MS });
    await page.evaluate((reason) => session.dispatchEvent(new CustomEvent("close", { detail: { reason } })), PAYLOADS[2]);
    await page.getByText("The session ended").waitFor({ timeout: SOON_MS });
    await shows("a service's page");
    await soon(page, () => document.title === "Tabfarm");
    assert.deepEqual(page.problems, []);
  }));
