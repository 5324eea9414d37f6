// A person at the IDE: projects, files, what it says.

import { createRequire } from "node:module";

import { SOON_MS } from "./peer.mjs";

const requireIde = createRequire(new URL("../../www/ide/package.json", import.meta.url));
const { zipSync, unzipSync, strToU8, strFromU8 } = requireIde("fflate");

/** A zip of `{ path: text or bytes }`. */
export function zipOf(files) {
  const entries = Object.entries(files).map(([path, content]) => [path, typeof content === "string" ? strToU8(content) : content]);
  return Buffer.from(zipSync(Object.fromEntries(entries)));
}

/** The text of a file in a zip. */
export const textOf = (zip, path) => strFromU8(unzipSync(new Uint8Array(zip))[path]);

/** Begins a project from a template, `counter` or `wat/plain`. */
export async function begin(page, template) {
  const before = await title(page);
  await page.getByTestId("ide-template").selectOption(template);
  await page.waitForFunction((before) => document.querySelector('[data-testid="ide-title"] bdi')?.textContent !== before, before, { timeout: SOON_MS });
  await page.getByTestId("ide-editor").locator(".cm-content").waitFor({ timeout: SOON_MS });
}

/** The title of the open project. */
export async function title(page) {
  const shown = page.getByTestId("ide-title").locator("bdi");
  await shown.waitFor({ timeout: SOON_MS });
  return shown.innerText();
}

/** Adds a file and shows it. */
export async function addFile(page, path) {
  await page.getByTestId("ide-file-add").click();
  await page.getByTestId("ide-file-name").fill(path);
  await page.getByTestId("ide-file-name-yes").click();
}

/** The files that are listed. */
export const files = (page) => page.getByTestId("ide-file").evaluateAll((all) => all.map((each) => each.dataset.path));

/** Shows a file. */
export const openFile = (page, path) => page.locator(`[data-testid="ide-file"][data-path="${path}"]`).click();

/** The file that is shown. */
export const shownFile = (page) => page.locator('[data-testid="ide-file"][aria-pressed="true"]').getAttribute("data-path");

/** Opens the list of projects. */
export async function showProjects(page) {
  const button = page.getByTestId("ide-projects");
  if ((await button.getAttribute("aria-expanded")) !== "true") await button.click();
  await page.getByTestId("ide-import").waitFor({ state: "attached", timeout: SOON_MS });
}

/** Imports a zip; the notice that refuses it, or null. */
export async function importZip(page, name, buffer) {
  await showProjects(page);
  const before = await title(page);
  await page.getByTestId("ide-import").setInputFiles({ name, mimeType: "application/zip", buffer });
  const refused = page.locator(".notice.bad p").last();
  const outcome = await page.waitForFunction(
    (before) => {
      const notice = [...document.querySelectorAll(".notice.bad p")].at(-1);
      if (notice) return { refused: notice.textContent };
      const now = document.querySelector('[data-testid="ide-title"] bdi')?.textContent;
      return now !== before ? { refused: null } : null;
    },
    before,
    { timeout: SOON_MS, polling: 50 },
  );
  const { refused: words } = await outcome.jsonValue();
  // Read and dismissed, so that the next one is not this one.
  while (words && (await refused.count()) > 0) await page.locator(".notice.bad button").last().click();
  return words;
}

/** Exports the open project; the zip's bytes. */
export async function exportZip(page) {
  await showProjects(page);
  if (page.context().browser()?.browserType().name() === "firefox") return exportedInFirefox(page);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByTestId("ide-export").click()]);
  const pieces = [];
  for await (const piece of await download.createReadStream()) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Playwright does not see what Firefox saves: the bytes are those that the page gives it to save. */
async function exportedInFirefox(page) {
  await page.evaluate(() => {
    const create = URL.createObjectURL;
    URL.createObjectURL = (blob) => ((window.exported = blob), (URL.createObjectURL = create).call(URL, blob));
  });
  await page.getByTestId("ide-export").click();
  await page.waitForFunction(() => window.exported, undefined, { timeout: SOON_MS });
  return Buffer.from(await page.evaluate(async () => [...new Uint8Array(await exported.arrayBuffer())]));
}

/** Waits until the output says something. */
export const outputSays = (page, hasText) => page.getByTestId("ide-output").filter({ hasText }).waitFor({ timeout: SOON_MS });

/** Tries the project in its tab. */
export async function tryIt(page) {
  await page.getByTestId("ide-try").click();
  await outputSays(page, "in this tab alone");
  await page.getByTestId("trial").locator("form").first().waitFor({ timeout: SOON_MS });
}

/** Opens a folded part of the form by the name on it. */
export const unfold = (page, name) => page.locator(".ide-form summary", { hasText: new RegExp(`^${name}$`) }).evaluate((summary) => (summary.parentElement.open = true));
