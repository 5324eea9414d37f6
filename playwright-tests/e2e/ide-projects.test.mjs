// Projects of the IDE: several files, kept in the browser, out and in as zip files, in several languages.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { callMethod, keptText, openApp, publishFromIde, typeSource, view } from "../lib/app.mjs";
import { addFile, begin, exportZip, files, importZip, openFile, outputSays, showProjects, shownFile, textOf, title, tryIt, zipOf } from "../lib/ide.mjs";
import { SOON_MS, soon } from "../lib/peer.mjs";
import { manifestOf, MEMORY, moduleOf, onCall } from "../lib/wasm.mjs";
import { inBoth, inWorld } from "../lib/world.mjs";

const shots = fileURLToPath(new URL("../../target/screenshots/", import.meta.url));
mkdirSync(shots, { recursive: true });

const MAIN = `import { Service, Cx, Session, serve, text, bytes } from "tabfarm";
import { doubled } from "./lib/double";

class Doubler extends Service {
  query(cx: Cx, session: Session, method: string, body: Uint8Array): Uint8Array {
    return bytes(doubled(I32.parseInt(text(body))).toString());
  }
}

serve(new Doubler());
`;
const LIB = "export function doubled(n: i64): i64 {\n  return n * 2;\n}\n";

async function openIde(world) {
  const relay = await world.relay();
  const page = await openApp(await world.page(await world.browser(), "author"), relay, "/#/ide");
  await title(page);
  return { page, relay };
}

test("several files: an error in another file is named and jumped to, undo is per file, all survive a reload", () =>
  inWorld(async (world) => {
    const { page, relay } = await openIde(world);
    await typeSource(page, MAIN);
    await outputSays(page, /lib\/double/);
    await addFile(page, "lib/double.ts");
    assert.equal(await shownFile(page), "lib/double.ts");
    await typeSource(page, LIB.replace("* 2", "* twoo"));
    await openFile(page, "service.ts");
    const jump = page.getByTestId("ide-jump").filter({ hasText: "lib/double.ts line 2" });
    await jump.waitFor({ timeout: SOON_MS });
    await jump.click();
    assert.equal(await shownFile(page), "lib/double.ts");
    await page.locator(".cm-lintRange-error").first().waitFor({ timeout: SOON_MS });
    assert.equal(await page.locator(".cm-activeLine").innerText(), "  return n * twoo;");
    await typeSource(page, LIB);
    await outputSays(page, "No problems found.");

    // What was typed into one file is undone there, and nowhere else.
    await openFile(page, "service.ts");
    await page.locator(".cm-content").click();
    await page.keyboard.press("ControlOrMeta+End");
    await page.keyboard.insertText("// a last line");
    await openFile(page, "lib/double.ts");
    await openFile(page, "service.ts");
    await page.locator(".cm-content").click();
    await page.keyboard.press("ControlOrMeta+z");
    await soon(page, () => !document.querySelector('[data-testid="ide-editor"]').shadowRoot.textContent.includes("a last line"));
    await page.locator(".cm-content", { hasText: "class Doubler" }).waitFor({ timeout: SOON_MS });

    for (const [width, colorScheme] of [[1280, "light"], [360, "dark"]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await showProjects(page);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide at ${width} px`);
      await page.screenshot({ path: `${shots}projects-${width}.png`, fullPage: true });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    // Typed and gone in the same moment: it is there all the same.
    await openFile(page, "lib/double.ts");
    await typeSource(page, LIB.replace("* 2", "* 3"));
    await page.reload();
    await openApp(page, relay, "/#/ide");
    await page.locator(".cm-content", { hasText: "class Doubler" }).waitFor({ timeout: SOON_MS });
    assert.deepEqual(await files(page), ["service.ts", "lib/double.ts"]);
    assert.equal(await keptText(page, "lib/double.ts"), LIB.replace("* 2", "* 3"));
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `hello@${page.id}`, text);
    assert.equal(await page.evaluate(async (id) => new TextDecoder().decode(await tabfarm.call(id, "greet", "14")), id), "42");
    assert.deepEqual(page.problems, []);
  }));

test("files and projects are renamed, duplicated and deleted, the latter after a question", () =>
  inWorld(async (world) => {
    const { page, relay } = await openIde(world);
    await begin(page, "shared-list");
    assert.deepEqual(await files(page), ["service.ts", "ui/index.html"]);
    await addFile(page, "notes.txt");
    await page.getByTestId("ide-file-rename").click();
    await page.getByTestId("ide-file-name").fill("docs/notes.txt");
    await page.getByTestId("ide-file-name-yes").click();
    assert.deepEqual(await files(page), ["service.ts", "docs/notes.txt", "ui/index.html"]);
    for (const [bad, why] of [["../up.ts", "no empty parts"], ["a<b>.ts", "is made of"], ["service.ts", "already"], ["", "Give the file a name"]]) {
      await addFile(page, bad);
      await page.locator(".files .problem", { hasText: why }).waitFor({ timeout: SOON_MS });
      await page.locator(".files button", { hasText: "Leave it" }).click();
    }
    await openFile(page, "docs/notes.txt");
    await page.getByTestId("ide-file-delete").click();
    await page.getByTestId("ide-file-delete-yes").click();
    assert.deepEqual(await files(page), ["service.ts", "ui/index.html"]);

    await showProjects(page);
    const row = (name) => page.locator(`[data-testid="ide-project"][data-title="${name}"]`);
    await row("shared-list").getByTestId("ide-project-rename").click();
    await page.getByTestId("ide-project-title").fill("<img src=x onerror=document.title='xss'>");
    await page.getByTestId("ide-project-rename-yes").click();
    await page.getByTestId("ide-title").filter({ hasText: "<img src=x" }).waitFor({ timeout: SOON_MS });
    await row("hello").getByTestId("ide-project-duplicate").click();
    await page.getByTestId("ide-title").filter({ hasText: "hello 2" }).waitFor({ timeout: SOON_MS });
    await showProjects(page);
    await row("hello").getByTestId("ide-project-delete").click();
    await row("hello").getByTestId("ide-project-delete-yes").click();
    await row("hello").waitFor({ state: "detached", timeout: SOON_MS });
    await soon(page, () => !document.querySelector('[data-testid="ide-project"][data-title="hello"]'));
    await page.reload();
    await openApp(page, relay, "/#/ide");
    assert.equal(await title(page), "hello 2");
    await showProjects(page);
    const titles = await page.getByTestId("ide-project").evaluateAll((all) => all.map((each) => each.dataset.title).sort());
    assert.deepEqual(titles, ["<img src=x onerror=document.title='xss'>", "hello 2"]);
    assert.notEqual(await page.title(), "xss");
    assert.deepEqual(page.problems, []);
  }));

inBoth("a zip goes out and comes in the same; hostile ones are refused in words and change nothing", (inWorld) =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "game-of-life");
    await page.getByTestId("ide-description").fill("mine <script>document.title='xss'</script>");
    const zip = await exportZip(page);
    assert.equal(await importZip(page, "game.zip", zip), null);
    assert.equal(await title(page), "game-of-life 2");
    assert.deepEqual(await files(page), ["service.ts", "ui/index.html"]);
    assert.match(await page.getByTestId("ide-description").inputValue(), /^mine <script>/);
    const again = await exportZip(page);
    assert.equal(await importZip(page, "again.zip", again), null);
    assert.deepEqual(await files(page), ["service.ts", "ui/index.html"]);
    assert.equal(await keptText(page, "ui/index.html"), textOf(zip, "ui/index.html"));

    const many = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`f${n}.ts`, "1"]));
    const lying = zipOf({ "service.ts": new Uint8Array(50 << 20) });
    lying.writeUInt32LE(10, 22);
    const hostile = [
      [zipOf({ "../../up.ts": "1" }), /“\.\.\/\.\.\/up\.ts”, which is not taken/],
      [zipOf({ "/etc/passwd": "1" }), /not taken/],
      [zipOf({ "a\\b.ts": "1" }), /not taken/],
      [zipOf({ "<img src=x onerror=document.title='xss'>.ts": "1" }), /not taken/],
      [zipOf(many), /64 files|65 files/],
      [zipOf({ "service.ts": new Uint8Array(200 << 20) }), /larger than 1\.0 MiB when unpacked/],
      [lying, /larger than 1\.0 MiB when unpacked/],
      [zipOf({ "tabfarm.json": "{", "service.ts": "1" }), /not valid JSON/],
      [zipOf({ "tabfarm.json": "{}" }), /holds no files/],
      [zipOf({ "tabfarm.json": `{"form":${"[".repeat(40_000)}${"]".repeat(40_000)}}`, "service.ts": "1" }), /nested more than 16 levels deep/],
      [zipOf({ "tabfarm.json": `{"form":{"a":${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}}}`, "service.ts": "1" }), /nested more than 16 levels deep/],
      [zip.subarray(0, zip.length >> 1), /ends before|can(not)? be read/],
      [Buffer.from("no zip at all, but some bytes"), /no zip file/],
      [Buffer.alloc(0), /no zip file/],
    ];
    for (const [buffer, words] of hostile) assert.match(String(await importZip(page, "hostile.zip", buffer)), words);
    assert.equal(await title(page), "game-of-life 2 2", "nothing was opened");
    assert.equal(await page.getByTestId("ide-project").count(), 4, "nothing was kept");
    assert.notEqual(await page.title(), "xss");
    assert.deepEqual(page.problems, []);
  }));

test("WAT: an error has its line, a service is published and answers", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "wat/plain");
    await outputSays(page, "No problems found.");
    await typeSource(page, "(module\n  (func (result i32)\n    (i32.cnst 1)))\n");
    await page.getByTestId("ide-jump").filter({ hasText: "service.wat line 3" }).waitFor({ timeout: SOON_MS });
    await page.locator(".cm-content").click();
    await page.keyboard.press("ControlOrMeta+z");
    await page.keyboard.press("ControlOrMeta+z");
    await outputSays(page, "No problems found.");
    await page.getByTestId("ide-name").fill("watty");
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `watty@${page.id}`, text);
    assert.equal(await page.evaluate(async (id) => new TextDecoder().decode(await tabfarm.call(id, "echo", "hallo")), id), "hallo");
    assert.deepEqual(page.problems, []);
  }));

test("a wasm file is taken, inspected and published; what is none, is too large or imports too much is refused by name", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "wasm/upload");
    const put = (name, buffer) => page.getByTestId("ide-upload").setInputFiles({ name, mimeType: "application/wasm", buffer });
    const refused = async (words) => {
      await page.locator(".notice.bad p", { hasText: words }).first().waitFor({ timeout: SOON_MS });
      while ((await page.locator(".notice.bad button").count()) > 0) await page.locator(".notice.bad button").last().click();
    };
    await put("text.wasm", Buffer.from("(module)"));
    await refused("no wasm module");
    await put("huge.wasm", Buffer.alloc((16 << 20) + 1));
    await refused("16.0 MiB");
    await put("ones.wasm", Buffer.from(moduleOf(onCall("(call $reply (i32.const 0) (i32.const 0))"), `(import "env" "fetch" (func $fetch)) ${MEMORY}`)));
    await page.locator('[data-testid="ide-file"][data-path="module.wasm"]').waitFor({ timeout: SOON_MS });
    await page.getByTestId("ide-name").fill("uploaded");
    const foreign = await publishFromIde(page);
    assert.equal(foreign.id, undefined);
    assert.match(foreign.text, /env/, foreign.text);
    await put("good.wasm", Buffer.from(moduleOf(onCall("(call $reply (i32.const 0) (i32.const 2))"), `${MEMORY} (data (i32.const 0) "ok")`)));
    await page.getByTestId("ide-output").filter({ hasText: "No problems" }).waitFor({ timeout: SOON_MS });
    const { interface: methods } = manifestOf("uploaded");
    await page.getByTestId("ide-interface").evaluate((area) => (area.closest("details").open = true));
    await page.getByTestId("ide-interface").fill(JSON.stringify(methods));
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `uploaded@${page.id}`, text);
    assert.equal(await page.evaluate(async (id) => new TextDecoder().decode(await tabfarm.call(id, "go")), id), "ok");
    assert.deepEqual(page.problems, []);
  }));

test("the draft of the time before projects becomes a project, once", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const page = await world.page(await world.browser(), "author");
    await page.goto(`${relay.url}/tabfarm.d.ts`);
    await page.evaluate(() => {
      localStorage.setItem("tabfarm.ide.source", "// my old text");
      localStorage.setItem("tabfarm.ide.form", JSON.stringify({ template: "counter", name: "mine", version: "3.1.4", state: "single", interface: '{"go":{}}' }));
    });
    await openApp(page, relay, "/#/ide");
    assert.equal(await title(page), "mine");
    await page.locator(".cm-content", { hasText: "// my old text" }).waitFor({ timeout: SOON_MS });
    assert.equal(await page.getByTestId("ide-version").inputValue(), "3.1.4");
    await soon(page, () => localStorage.getItem("tabfarm.ide.source") === null);
    await page.reload();
    await openApp(page, relay, "/#/ide");
    await showProjects(page);
    assert.equal(await page.getByTestId("ide-project").count(), 1);
    assert.deepEqual(page.problems, []);
  }));

test("every template compiles, passes its examples and runs", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    const all = await page.getByTestId("ide-template").locator("option").evaluateAll((options) => options.map((each) => each.value));
    for (const template of all.filter((value) => value !== "" && !value.startsWith("wasm/"))) {
      await begin(page, template);
      await tryIt(page);
      if (template.endsWith("hello")) {
        assert.equal((await callMethod(page, "greet", "Ada")).reply, "Hello, Ada!");
        continue;
      }
      await page.getByTestId("examples-run").click();
      await page.getByTestId("examples").waitFor({ timeout: SOON_MS });
      const results = await page.getByTestId("example").evaluateAll((items) => items.map((each) => `${each.dataset.passed} ${each.textContent}`));
      assert.ok(results.length > 0 && results.every((each) => each.startsWith("true")), `${template}: ${results.join("; ")}`);
    }
    assert.deepEqual(page.problems, []);
  }));

test("the shared list has a page of its own, in the trial too", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    await begin(page, "shared-list");
    await tryIt(page);
    await page.getByTestId("trial").getByRole("button", { name: "Its own page" }).click();
    const frame = page.getByTestId("trial").getByTestId("service-ui").locator("iframe").contentFrame();
    await frame.locator("#text").fill("buy <b>milk</b>");
    await frame.locator("#text").press("Enter");
    await frame.locator("#items li", { hasText: "buy <b>milk</b>" }).waitFor({ timeout: SOON_MS });
    await page.getByTestId("trial").getByRole("button", { name: "Methods" }).click();
    assert.match((await callMethod(page, "items")).reply, /id.*1.*text.*buy <b>milk<\/b>/);
    assert.deepEqual(page.problems, []);
  }));

test("templates in TypeScript have pages, too: a list with boxes to tick, and the game of life", () =>
  inWorld(async (world) => {
    const { page } = await openIde(world);
    const trial = page.getByTestId("trial");
    const frame = () => trial.getByTestId("service-ui").locator("iframe").contentFrame();
    await begin(page, "script/shared-list");
    await tryIt(page);
    await trial.getByRole("button", { name: "Its own page" }).click();
    await frame().locator("#text").fill("buy <b>milk</b>");
    await frame().locator("#text").press("Enter");
    const line = frame().locator("#items li", { hasText: "buy <b>milk</b>" });
    await line.locator("input").check({ timeout: SOON_MS });
    await line.locator(".done").waitFor({ timeout: SOON_MS });
    await trial.getByRole("button", { name: "Methods" }).click();
    assert.match((await callMethod(page, "list")).reply, /buy <b>milk<\/b>.*done.*true/s);
    assert.match(await page.locator(`[data-method="list"] [data-testid="method-memory"]`).innerText(), /[1-9]\d* (KiB|MiB) memory/);
    await trial.getByRole("button", { name: "Its own page" }).click();
    await line.getByRole("button", { name: "Remove" }).click();
    await line.waitFor({ state: "detached", timeout: SOON_MS });

    await begin(page, "script/game-of-life");
    await tryIt(page);
    await trial.getByRole("button", { name: "Its own page" }).click();
    await frame().locator("#scatter").click();
    // It goes on by itself while somebody looks.
    await frame().locator("#generation", { hasText: /Generation [1-9]/ }).waitFor({ timeout: SOON_MS });
    const painted = () => frame().locator("#board").evaluate((board) => board.getContext("2d").getImageData(0, 0, 48, 32).data.some((value) => value > 0));
    assert.ok(await painted());
    assert.deepEqual(page.problems, []);
  }));
