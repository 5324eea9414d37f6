// A stranger's way from opening the address to a service that runs in somebody else's tab and is called by curl, with a clock at each step:
// `node playwright-tests/run.mjs playwright-tests/walk.mjs` writes docs/walk.md, and pictures to target/screenshots/walk-*.png.
// It needs what `cargo xtask build` makes, and `curl`. A step that does not come to its end fails the walk; how long it takes does not.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { callMethod, openApp, openService, publishFromIde, view, volunteerInApp } from "./lib/app.mjs";
import { begin, outputSays, title, tryIt } from "./lib/ide.mjs";
import { SOON_MS } from "./lib/peer.mjs";
import { inWorld } from "./lib/world.mjs";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const shots = at("../target/screenshots/");
/** Twenty steps on a machine that others use as well. */
const LIMIT_MS = 600_000;
/** The line of the counter that is changed, as the editor shows it. */
const LINE = "this.total += <i64>amount;";

const steps = [];

/** Does a step and notes how long it took; `does` gives the words for what one sees, and may name a page to take a picture of. */
async function step(what, does) {
  const begun = performance.now();
  const { sees, page } = await does();
  const seconds = (performance.now() - begun) / 1000;
  steps.push({ what, sees, seconds });
  const number = String(steps.length).padStart(2, "0");
  console.log(`${number}  ${seconds.toFixed(1).padStart(5)} s  ${what}: ${sees}`);
  if (page) await page.screenshot({ path: `${shots}walk-${number}.png` });
}

/** Runs curl as a shell would; the body of its answer and the headers. */
async function curl(...args) {
  const { stdout } = await promisify(execFile)("curl", ["-sS", "-i", "--max-time", "30", ...args]);
  const end = stdout.indexOf("\r\n\r\n");
  const [status, ...lines] = stdout.slice(0, end).split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  return { status: Number(status.split(" ")[1]), headers, body: stdout.slice(end + 4) };
}

/** Clicks the editor's line with this text and types something at its end. */
async function typeBehind(page, line, text) {
  const shown = page.locator(".cm-line", { hasText: line }).first();
  const editor = page.getByTestId("ide-editor");
  await editor.scrollIntoViewIfNeeded();
  await editor.hover();
  // The editor draws what is in sight, so one scrolls to it as a person would.
  for (let turns = 0; turns < 40 && (await shown.count()) === 0; turns += 1) {
    await page.mouse.wheel(0, 120);
    await page.waitForTimeout(50);
  }
  await shown.click();
  await page.keyboard.press("End");
  await page.keyboard.type(text);
}

/** Waits until the clean text of the editor has compiled. */
const compiles = (page) => outputSays(page, "No problems found.");

/** What a tab says about the service that it runs for others. */
const hostedBy = (page) => page.locator('[data-testid="hosted-service"][data-service="tally"]');

/** Opens the address in a profile of its own. */
const visit = async (world, browser, name, relay) => {
  const page = await world.page(browser, name, { viewport: { width: 1280, height: 800 } });
  return openApp(page, relay);
};

/** The author: from the address to a published service. */
async function write(page, relay) {
  await step("Open *IDE*", async () => {
    await view(page, "ide");
    await title(page);
    await page.locator(".cm-content").waitFor({ timeout: SOON_MS });
    return { sees: "an editor with a first project, *hello*; beside it what the service says about itself", page };
  });
  await step("*New from a template…* → *counter* (AssemblyScript)", async () => {
    await begin(page, "counter");
    await compiles(page);
    return { sees: "a project of one file; under the editor “No problems found.”" };
  });
  await step("Make an error in a line", async () => {
    await typeBehind(page, LINE, " + tree");
    await page.getByTestId("ide-jump").first().waitFor({ timeout: SOON_MS });
    const found = await page.getByTestId("ide-output").innerText();
    assert.match(found, /service\.ts line \d+/);
    return { sees: `under the editor: “${found.trim().replace(/\s+/g, " ").slice(0, 90)}”; the line is marked`, page };
  });
  await step("Undo it (Ctrl+Z)", async () => {
    await page.keyboard.press("ControlOrMeta+z");
    await compiles(page);
    return { sees: "“No problems found.”" };
  });
  await step("Press *Try it here*", async () => {
    await tryIt(page);
    return { sees: "“It runs below, in this tab alone.”, and a form for each method" };
  });
  await step("Call `add` with 2 in the form", async () => {
    const { reply } = await callMethod(page, "add", "2");
    assert.equal(reply, "2");
    return { sees: "the reply 2, how long it took and what gas it burnt", page };
  });
  await step("Press *Run the examples*", async () => {
    await page.getByTestId("examples-run").click();
    await page.getByTestId("example").first().waitFor({ timeout: SOON_MS });
    const passed = await page.getByTestId("example").evaluateAll((all) => all.map((each) => each.dataset.passed));
    assert.deepEqual(passed, ["true", "true", "true"]);
    return { sees: "three examples, all passed" };
  });
  await step("Name it *tally* and press *Publish*", async () => {
    await page.getByTestId("ide-name").fill("tally");
    const { id, text } = await publishFromIde(page);
    assert.equal(id, `tally@${page.id}`, text);
    return { sees: "“Published tally@…”, and a button that opens it", page };
  });
  await step("In a terminal: `curl -X POST ADDRESS/s/tally/add -d 40`", async () => {
    const { status, body, headers } = await curl("-X", "POST", `${relay.url}/s/tally/add`, "-d", "40");
    assert.deepEqual([status, body, headers["tabfarm-server"]], [200, "40", page.id]);
    return { sees: "`40`, answered by the author's tab" };
  });
}

/** Others: one uses it, one takes it over, the author goes. */
async function share(world, author, browser, relay) {
  let user, volunteer;
  await step("A second browser opens the address", async () => {
    user = await visit(world, browser, "user", relay);
    await user.locator('[data-testid="service-card"][data-service="tally"]').waitFor({ timeout: SOON_MS });
    return { sees: "*tally* under *Services*, without a search", page: user };
  });
  await step("It opens *tally* and calls `add` with 1", async () => {
    await openService(user, "tally");
    assert.equal((await callMethod(user, "add", "1")).reply, "41");
    return { sees: "41: the number that curl left, and one", page: user };
  });
  await step("The author changes the code, *Raise the version*, *Publish*", async () => {
    await view(author, "ide");
    await typeBehind(author, LINE, " // now with a comment");
    await author.getByTestId("ide-raise").check();
    const { text } = await publishFromIde(author);
    assert.match(text, /Version 1\.0\.1/, text);
    assert.equal((await callMethod(user, "add", "1")).reply, "42");
    return { sees: "“Version 1.0.1…”; the second browser's session goes on: 42" };
  });
  await step("A third browser opens the address and switches *Volunteer* on", async () => {
    volunteer = await visit(world, browser, "volunteer", relay);
    await volunteerInApp(volunteer);
    await view(author, "volunteer");
    await hostedBy(author).locator(`[data-testid="handover-target"] option[value="${volunteer.id}"]`).waitFor({ state: "attached", timeout: SOON_MS });
    return { sees: "a switch, limits, and who can see what; the author's tab lists it at *Move*", page: volunteer };
  });
  await step("The author, under *Volunteer*, presses *Move*", async () => {
    await hostedBy(author).getByTestId("handover-target").selectOption(volunteer.id);
    await hostedBy(author).getByTestId("handover").click();
    await author.getByTestId("handover-report").waitFor({ timeout: SOON_MS });
    const report = (await author.getByTestId("handover-report").innerText()).replace(/\s+/g, " ");
    const pause = /pause (\S+ \S+)/i.exec(report)?.[1];
    assert.ok(pause, report);
    return { sees: `*Moved from here*: the pause (${pause} here), the bytes sent`, page: author };
  });
  await step("The second browser calls `add` with 1", async () => {
    assert.equal((await callMethod(user, "add", "1")).reply, "43");
    return { sees: "43, in the same session; above it who serves now", page: user };
  });
  await step("In the terminal: curl once more", async () => {
    const { status, body, headers } = await curl("-X", "POST", `${relay.url}/s/tally/add`, "-d", "1");
    assert.deepEqual([status, body, headers["tabfarm-server"]], [200, "44", volunteer.id]);
    return { sees: "`44`, answered by the third browser's tab" };
  });
  await step("The author closes the tab; curl once more", async () => {
    await author.close();
    const { status, body, headers } = await curl("-X", "POST", `${relay.url}/s/tally/add`, "-d", "1");
    assert.deepEqual([status, body, headers["tabfarm-server"]], [200, "45", volunteer.id]);
    return { sees: "`45`: the service has left its author" };
  });
  assert.deepEqual([...user.problems, ...volunteer.problems], []);
}

/** The page of the documentation. */
function page() {
  const total = steps.reduce((sum, { seconds }) => sum + seconds, 0);
  const busy = loadavg()[0] / availableParallelism();
  const rows = steps.map(({ what, sees, seconds }, at) => `| ${at + 1} | ${what} | ${sees.replaceAll("|", "\\|")} | ${seconds.toFixed(1)} |`);
  return `# A walk

What somebody does who has never seen this, from opening the address to a service that runs in somebody else's tab and is called by curl. A script takes
each step with mouse and keyboard and stops its time: \`node playwright-tests/run.mjs playwright-tests/walk.mjs\` writes this page anew.

The seconds are those that the project takes: from the first key or click of a step until what one sees is there. Reading and thinking are not in them.
This run: ${new Date().toISOString().slice(0, 10)}, ${availableParallelism()} cores, ${busy > 0.9 ? `busy with other work as well (${loadavg()[0].toFixed(1)} processes wanted to run)` : "nothing else to do"}; relay, curl and all browsers
on one machine, Chromium without a window, a debug build of the relay.

| | step | what one sees | seconds |
|---|---|---|---|
${rows.join("\n")}
| | all of it | | ${total.toFixed(1)} |

Before the first step the app has to be built, \`cargo xtask serve\`: see [README](../README.md).
`;
}

mkdirSync(shots, { recursive: true });
await inWorld(async (world) => {
  const relay = await world.relay();
  const browser = await world.browser();
  let author;
  await step("Open the address", async () => {
    author = await visit(world, browser, "author", relay);
    await author.getByText("Nothing is published yet").waitFor({ timeout: SOON_MS });
    return { sees: "“joined”, one sentence on what this is, and examples to publish", page: author };
  });
  await step("Press *Publish* beside *chat*", async () => {
    await author.locator('[data-testid="publish-example"][data-service="chat"]').click();
    await author.locator('[data-testid="service-card"][data-service="chat"]').waitFor({ timeout: SOON_MS });
    return { sees: "a card *chat* under *Services*, served by this tab", page: author };
  });
  await write(author, relay);
  assert.deepEqual(author.problems, []);
  await share(world, author, await world.browser(), relay);
  writeFileSync(at("../docs/walk.md"), page());
}, LIMIT_MS);
