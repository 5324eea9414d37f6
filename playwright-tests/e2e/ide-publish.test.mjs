// From the IDE to the world and back: the form, examples, publishing once, offline, versions, forks, and texts that would
// like to be scripts.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { callMethod, keptText, openApp, openService, publishFromIde, typeSource, view } from "../lib/app.mjs";
import { addFile, begin, files, openFile, outputSays, title, tryIt, unfold } from "../lib/ide.mjs";
import { joinPage, SOON_MS, soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const shots = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
mkdirSync(shots, { recursive: true });

const PAYLOAD = "<img src=x onerror=\"document.title='xss'\"><script>document.title='xss'</script>";
/** Each instantiation asks for one of a type that is twice as long: no compiler finishes this. */
const ENDLESS = 'import { Service, serve } from "tabfarm";\nfunction more<T>(): void {\n  more<Map<T, T>>();\n}\nmore<i32>();\nserve(new Service());\n';

async function openIde(world) {
  const relay = await world.relay();
  const page = await openApp(await world.page(await world.browser(), "author"), relay, "/#/ide");
  await title(page);
  return { page, relay };
}

const catalogue = (page, name) => page.evaluate(async (name) => [...(await tabfarm.find({ name }))].map(({ id, version, sequence }) => ({ id, version, sequence: Number(sequence) })), name);

test("an endless compilation is cancelled, nothing is published, and the next one works", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await typeSource(page, ENDLESS);
    await page.getByTestId("ide-publish").click();
    await page.getByTestId("ide-cancel").click();
    await outputSays(page, "was cancelled");
    assert.deepEqual(await catalogue(page, "hello"), []);
    assert.equal(await keptText(page), ENDLESS, "the text is kept");
    await begin(page, "counter");
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `counter@${page.id}`, text);
    assert.deepEqual(page.problems, []);
  }));

test("two clicks publish once, and the same once more is left alone", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "counter");
    await page.getByTestId("ide-publish").evaluate((button) => (button.click(), button.click(), button.click()));
    await outputSays(page, /Published/);
    // The button is above the editor, what it did is said below it: that has come into sight.
    await soon(page, () => {
      const { top, bottom } = document.querySelector('[data-testid="ide-output"] .published').getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
    const [first] = await catalogue(page, "counter");
    assert.equal(await page.getByTestId("ide-published").count(), 1, "one version");
    const again = await publishFromIde(page);
    assert.match(again.text, /Nothing changed since version 1\.0\.0/, again.text);
    assert.deepEqual(await catalogue(page, "counter"), [first], "the same record");
    assert.equal(await page.getByTestId("ide-published").count(), 1);
    assert.deepEqual(page.problems, []);
  }));

test("without a network nothing is published, that is said, the work is kept, and it is published later", () =>
  inWorld(async (world) => {
    // The relay that comes back is the one that went.
    const folder = mkdtempSync(join(tmpdir(), "tabfarm-relay-"));
    world.atEnd(() => rmSync(folder, { recursive: true, force: true }));
    const relay = await world.relay({ args: ["--data-dir", folder] });
    const page = await openApp(await world.page(await world.browser(), "author"), relay, "/#/ide");
    await begin(page, "counter");
    await relay.kill();
    await soon(page, () => !tabfarm.status().joined);
    await page.locator('[data-testid="status"]:not(:text-matches("^joined"))').waitFor({ timeout: SOON_MS });
    await addFile(page, "notes.txt");
    await typeSource(page, "written while offline");
    const refused = await publishFromIde(page);
    assert.equal(refused.id, undefined);
    assert.match(refused.text, /has not joined, so nothing was published\. Your work is kept/, refused.text);
    assert.equal(await keptText(page, "notes.txt"), "written while offline");
    await relay.again().then((again) => world.atEnd(() => again.kill()));
    await page.locator('[data-testid="status"]', { hasText: /^joined/ }).waitFor({ timeout: 60_000 });
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `counter@${page.id}`, text);
    assert.deepEqual(page.problems, []);
  }));

test("versions are kept with their source and brought back; the version is raised when asked", () =>
  inWorld(async (world) => {
    const { page, relay } = await openIde(world);
    const text = (line) => `${line}\nimport { Service, serve } from "tabfarm";\nserve(new Service());\n`;
    await typeSource(page, text("// one"));
    await publishFromIde(page);
    await page.getByTestId("ide-raise").check();
    await typeSource(page, text("// two"));
    const second = await publishFromIde(page);
    assert.match(second.text, /Version 1\.0\.1/, second.text);
    assert.equal(await page.getByTestId("ide-version").inputValue(), "1.0.1");
    await soon(page, async () => [...(await tabfarm.find({ name: "hello" }))].some(({ version }) => version === "1.0.1"));
    await addFile(page, "more.txt");
    await page.reload();
    await openApp(page, relay, "/#/ide");
    const list = page.getByTestId("ide-versions");
    await list.locator("summary").click();
    const shown = await page.getByTestId("ide-published").evaluateAll((all) => all.map((each) => each.dataset.version));
    assert.deepEqual(shown, ["1.0.1", "1.0.0"]);
    assert.match(await page.getByTestId("ide-published").first().innerText(), /KiB|B/);
    await page.locator('[data-testid="ide-published"][data-version="1.0.0"]').getByTestId("ide-version-back").click();
    await page.getByTestId("ide-version-yes").click();
    await page.locator(".cm-content", { hasText: "// one" }).waitFor({ timeout: SOON_MS });
    assert.equal(await page.getByTestId("ide-version").inputValue(), "1.0.0");
    assert.deepEqual(await files(page), ["service.ts"]);
    // Its number is an old one: what is published is newer than what runs, and says so.
    const third = await publishFromIde(page);
    assert.match(third.text, /older version than 1\.0\.1, which is published. So it became 1\.0\.2/, third.text);
    assert.equal(await page.getByTestId("ide-version").inputValue(), "1.0.2");
    await soon(page, async () => [...(await tabfarm.find({ name: "hello" }))].some(({ version }) => version === "1.0.2"));
    assert.deepEqual(page.problems, []);
  }));

test("a service is forked with its files, its page and its manifest; one without source offers nothing", () =>
  inWorld(async (world) => {
    const { page: author, relay } = await openIde(world);
    await begin(author, "shared-list");
    await addFile(author, "docs/how.txt");
    await typeSource(author, PAYLOAD);
    await author.getByTestId("ide-description").fill("Ours");
    await author.getByTestId("ide-response").evaluate((input) => (input.closest("details").open = true));
    await author.getByTestId("ide-response").fill("333");
    const published = await publishFromIde(author);
    assert.equal(published.id, `shared-list@${author.id}`, published.text);

    const other = await openApp(await world.page(await world.browser(), "other"), relay);
    await openService(other, "shared-list");
    await other.getByTestId("fork").click();
    await other.locator("#panel-ide:not([hidden])").waitFor({ timeout: SOON_MS });
    assert.equal(await title(other), "shared-list-fork");
    assert.equal(await other.getByTestId("ide-name").inputValue(), "shared-list-fork");
    await other.locator(".notice p", { hasText: "a name of its own, “shared-list-fork”" }).waitFor({ timeout: SOON_MS });
    assert.deepEqual(await files(other), ["service.ts", "docs/how.txt", "ui/index.html"]);
    assert.equal(await other.getByTestId("ide-response").inputValue(), "333");
    assert.equal(await other.getByTestId("ide-description").inputValue(), "Ours");
    await other.getByText("Forked from").waitFor({ timeout: SOON_MS });
    await openFile(other, "docs/how.txt");
    await other.locator(".cm-content", { hasText: "document.title" }).waitFor({ timeout: SOON_MS });
    assert.notEqual(await other.title(), "xss");
    await other.getByTestId("ide-name").fill("list-two");
    const own = await publishFromIde(other);
    assert.equal(own.id, `list-two@${other.id}`, own.text);

    // Each fork has a name that no other project has.
    await openService(other, "shared-list");
    await other.getByTestId("fork").click();
    await other.locator("#panel-ide:not([hidden])").waitFor({ timeout: SOON_MS });
    await soon(other, () => document.querySelector('[data-testid="ide-name"]')?.value === "shared-list-fork");
    await openService(other, "shared-list");
    await other.getByTestId("fork").click();
    await soon(other, () => document.querySelector('[data-testid="ide-name"]')?.value === "shared-list-fork-2");

    // Not attached: nothing to fork.
    await author.getByTestId("ide-attach").uncheck();
    await author.getByTestId("ide-name").fill("closed");
    const closed = await publishFromIde(author);
    assert.equal(closed.id, `closed@${author.id}`, closed.text);
    await openService(other, "closed");
    await other.getByTestId("service-ui").waitFor({ timeout: SOON_MS });
    assert.equal(await other.getByTestId("fork").count(), 0);
    assert.deepEqual([...author.problems, ...other.problems], []);
  }));

test("a fork of a hostile package is refused in words, and its texts run nowhere", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const attacker = await joinPage(await world.page(browser, "attacker"), relay);
    const publishWith = (name, ui) =>
      attacker.evaluate(
        async ([name, ui, payload]) => {
          const { manifest, module } = await fetchPackage("counter");
          return peer.publish({ manifest: { ...manifest, name, description: payload, interface: { ...manifest.interface, add: { ...manifest.interface.add, description: payload } } }, module, ui });
        },
        [name, ui, PAYLOAD],
      );
    await publishWith("reserved", { "source/tabfarm.json": "{}" });
    await publishWith("large", { "source/service.ts": "x".repeat(2 << 20) });
    await publishWith("twofold", { "source/service.ts": "// ours", "source/ui/index.html": "<p>from the source", "index.html": "<p>as it is shown" });
    await publishWith("scripted", { "source/service.ts": PAYLOAD, "source/a.txt": PAYLOAD });
    const page = await openApp(await world.page(browser, "visitor"), relay);
    for (const [name, words] of [["reserved", "says about itself"], ["large", "larger than 1.0 MiB"]]) {
      await openService(page, name);
      await page.getByTestId("fork").click();
      await page.locator(".notice.bad p", { hasText: words }).waitFor({ timeout: SOON_MS });
    }
    await openService(page, "twofold");
    await page.getByTestId("fork").click();
    await page.locator("#panel-ide:not([hidden])").waitFor({ timeout: SOON_MS });
    await page.locator(".notice p", { hasText: "left out, as the page has a file of the same name: source/ui/index.html" }).waitFor({ timeout: SOON_MS });
    await soon(page, () => document.querySelector('[data-testid="ide-name"]')?.value === "twofold-fork");
    await openFile(page, "ui/index.html");
    await page.locator(".cm-content", { hasText: "as it is shown" }).waitFor({ timeout: SOON_MS });
    await openService(page, "scripted");
    await page.getByTestId("fork").click();
    await page.locator("#panel-ide:not([hidden])").waitFor({ timeout: SOON_MS });
    await page.locator(".cm-content", { hasText: "document.title" }).waitFor({ timeout: SOON_MS });
    assert.equal(await page.getByTestId("ide-description").inputValue(), PAYLOAD);
    const refused = await publishFromIde(page);
    assert.equal(refused.id, undefined);
    await page.screenshot({ path: `${shots}fork.png`, fullPage: true });
    assert.notEqual(await page.title(), "xss");
    assert.deepEqual(page.problems, []);
  }));

test("examples pass and fail one by one in the trial, and a publication that fails one is refused by its name", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "counter");
    await unfold(page, "Examples");
    const rows = page.getByTestId("ide-example");
    assert.equal(await rows.count(), 3);
    await rows.nth(1).getByTestId("ide-example-reply").fill("6");
    await rows.nth(2).getByTestId("ide-example-body").fill("{");
    await tryIt(page);
    await page.getByTestId("examples-run").click();
    const results = () => page.getByTestId("example").evaluateAll((all) => all.map((each) => each.dataset.passed));
    await page.getByTestId("examples").waitFor({ timeout: SOON_MS });
    assert.deepEqual(await results(), ["true", "false", "true"]);
    await page.getByTestId("example").nth(1).filter({ hasText: "5, expected 6" }).waitFor({ timeout: SOON_MS });
    // What would turn the words around is shown as its code.
    await rows.nth(1).getByTestId("ide-example-reply").fill('"\u202e6"');
    await tryIt(page);
    await page.getByTestId("examples-run").click();
    await page.getByTestId("example").nth(1).filter({ hasText: '5, expected "[U+202E]6"' }).waitFor({ timeout: SOON_MS });
    assert.equal((await callMethod(page, "read")).reply, "0", "examples have an instance of their own");
    const refused = await publishFromIde(page);
    assert.equal(refused.id, undefined);
    assert.match(refused.text, /example 2/, refused.text);
    assert.ok(!refused.text.includes("\u202e"), refused.text);
    await rows.nth(1).getByTestId("ide-example-reply").fill("5");
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `counter@${page.id}`, text);
    const { manifest } = await page.evaluate((id) => tabfarm.package(id), id);
    assert.deepEqual(manifest.examples.slice(0, 2), [{ method: "add", body: 2, reply: 2 }, { method: "add", body: 3, reply: 5 }]);
    assert.deepEqual(page.problems, []);
  }));

test("the form fills in the whole manifest; methods are rows or JSON; what is wrong is said while it is typed", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await unfold(page, "Methods");
    const rows = page.getByTestId("ide-method");
    await rows.first().getByTestId("ide-method-name").fill("not a name");
    await rows.first().locator(".problem", { hasText: "0–9" }).waitFor({ timeout: SOON_MS });
    await rows.first().getByTestId("ide-method-name").fill("greet");
    await rows.first().getByTestId("ide-method-description").fill(PAYLOAD);
    await rows.first().getByTestId("ide-method-reply").fill("{");
    await rows.first().locator(".problem", { hasText: "not valid JSON" }).waitFor({ timeout: SOON_MS });
    await rows.first().getByTestId("ide-method-reply").fill("");
    await page.getByTestId("ide-method-add").click();
    await rows.nth(1).getByTestId("ide-method-name").fill("mix");
    await rows.nth(1).getByTestId("ide-method-body").fill('{"type":"object","properties":{"x":{"type":"integer","minimum":0},"word":{"type":"string"},"on":{"type":"boolean"}},"required":["x"]}');
    assert.deepEqual(Object.keys(JSON.parse(await page.getByTestId("ide-interface").inputValue())), ["greet", "mix"]);
    const values = { gas: "1000", up: "5", latency: "90", features: "webgl", response: "150", sessions: "7", min: "2", max: "3", idle: "60", standby: "2", calls: "counter", location: "52.52, 13.40" };
    const wrong = { gas: "x", latency: "0", min: "4", standby: "3", calls: "No Name", location: "95, 0", features: "A B" };
    for (const group of ["What a host needs", "How it is served", "What it may do, and where it is"]) await unfold(page, group);
    for (const [field, value] of Object.entries(values)) await page.getByTestId(`ide-${field}`).fill(value);
    for (const [field, value] of Object.entries(wrong)) {
      await page.getByTestId(`ide-${field}`).fill(value);
      await page.locator(`[data-testid="ide-${field}"][aria-invalid="true"]`).waitFor({ timeout: SOON_MS });
      await page.getByTestId(`ide-${field}`).fill(values[field]);
      await page.locator(`[data-testid="ide-${field}"][aria-invalid="false"]`).waitFor({ timeout: SOON_MS });
    }
    await page.getByTestId("ide-energy").selectOption("mains");
    await page.getByTestId("ide-datagrams").check();
    for (const [width, colorScheme] of [[1280, "light"], [360, "dark"]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      await page.screenshot({ path: `${shots}form-${width}.png`, fullPage: true });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await tryIt(page);
    const mix = page.locator('[data-testid="trial"] [data-method="mix"]');
    const field = (name) => mix.locator(`[data-field="${name}"]`).getByTestId("method-input");
    await mix.getByTestId("method-call").click();
    await mix.getByTestId("method-result").filter({ hasText: "x: this is needed" }).waitFor({ timeout: SOON_MS });
    await field("x").fill("-1");
    await mix.getByTestId("method-call").click();
    await mix.getByTestId("method-result").filter({ hasText: "from 0 on" }).waitFor({ timeout: SOON_MS });
    await field("x").fill("3");
    await field("word").fill("hey");
    await field("on").check();
    await mix.getByTestId("method-call").click();
    await mix.getByTestId("method-result").filter({ hasText: "unknown method" }).waitFor({ timeout: SOON_MS });

    await page.getByTestId("ide-features").fill("");
    await page.getByTestId("ide-energy").selectOption("any");
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `hello@${page.id}`, text);
    const { manifest } = await page.evaluate((id) => tabfarm.package(id), id);
    assert.deepEqual(manifest.qos, { responseMs: 150, sessionsPerServer: 7, minServers: 2, maxServers: 3, idleSeconds: 60, standby: 2 });
    assert.deepEqual([manifest.requires.gasPerSecond, manifest.requires.upKbps, manifest.requires.latencyMs], [1000, 5, 90]);
    assert.deepEqual([manifest.permissions, manifest.location], [{ call: ["counter"], datagrams: true }, [52.52, 13.4]]);
    await openService(page, "hello");
    await page.getByTestId("service-page").locator('[data-method="greet"]', { hasText: "<img src=x" }).waitFor({ timeout: SOON_MS });
    assert.notEqual(await page.title(), "xss");
    assert.deepEqual(page.problems, []);
  }));

test("two sessions of a trial hear each other", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "chat");
    await tryIt(page);
    await page.getByTestId("trial-session-add").click();
    const panel = (number) => page.locator(`[data-testid="trial-panel"][data-session="${number}"]`);
    await panel(2).getByTestId("message-input").fill("from two");
    await panel(2).getByTestId("message-send").click();
    await panel(2).getByTestId("session-log").filter({ hasText: '"from two"' }).waitFor({ timeout: SOON_MS });
    await page.getByTestId("trial-session").first().click();
    await panel(1).getByTestId("session-log").filter({ hasText: '"from two"' }).waitFor({ timeout: SOON_MS });
    assert.deepEqual(page.problems, []);
  }));

test("five megabytes of source are kept and stay responsive; they are not compiled, and that is said", () =>
  inWorld(async (world) => {
    const { page, relay } = await openIde(world);
    const line = "export const answer: i32 = 42; // nothing that anybody needs to read\n";
    const long = line.repeat(Math.ceil((5 << 20) / line.length));
    await page.getByTestId("ide-upload").setInputFiles({ name: "service.ts", mimeType: "text/plain", buffer: Buffer.from("// short\n") });
    await page.locator(".cm-content", { hasText: "// short" }).waitFor({ timeout: SOON_MS });
    await typeSource(page, long);
    await outputSays(page, /have 5\.\d MiB together; at most 1\.0 MiB/);
    // A person goes on typing and clicking while it is there.
    await page.locator(".cm-content").click();
    await page.keyboard.press("ControlOrMeta+Home");
    await page.keyboard.type("// typed");
    await page.locator(".cm-content", { hasText: "// typed" }).waitFor({ timeout: SOON_MS });
    await view(page, "services");
    await view(page, "ide");
    const refused = await publishFromIde(page);
    assert.match(refused.text, /at most 1\.0 MiB make a project/, refused.text);
    await page.reload();
    await openApp(page, relay, "/#/ide");
    await page.locator(".cm-content", { hasText: "// typed" }).waitFor({ timeout: SOON_MS });
    assert.equal((await keptText(page)).length, long.length + "// typed".length);
    assert.deepEqual(page.problems, []);
  }));

test("a browser without room says so, and keeps again when there is room", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await page.evaluate(() => {
      const put = IDBObjectStore.prototype.put;
      window.full = true;
      IDBObjectStore.prototype.put = function (...given) {
        if (window.full) throw new DOMException("no room", "QuotaExceededError");
        return put.apply(this, given);
      };
    });
    await typeSource(page, "// written without room");
    await page.getByText("has no room left to keep your work").waitFor({ timeout: SOON_MS });
    await page.evaluate(() => (window.full = false));
    await page.locator(".cm-content").click();
    await page.keyboard.type("!");
    await page.getByText("has no room left to keep your work").waitFor({ state: "detached", timeout: SOON_MS });
    assert.match(await keptText(page), /written without room/);
    assert.deepEqual(page.problems, []);
  }));
