// A person at the app: clicks, types, reads.

import { SOON_MS } from "./peer.mjs";

/** Opens the app and waits until it has joined. `page.id` is the peer's id, from the page. */
export async function openApp(page, relay, path = "/") {
  await page.goto(relay.url + path);
  await page.locator('[data-testid="status"]', { hasText: /^joined/ }).waitFor({ timeout: SOON_MS });
  page.id = (await page.getByTestId("peer-id").textContent()).trim();
  return page;
}

/** Goes to a tab of the app. */
export const view = (page, name) => page.getByTestId(`tab-${name}`).click();

/** Replaces the editor's text by typing, as a person would. */
export async function typeSource(page, source) {
  const editor = page.getByTestId("ide-editor").locator(".cm-content");
  await editor.waitFor({ timeout: SOON_MS });
  await editor.click();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.press("Delete");
  // The editor closes brackets and indents by itself; pasting keeps the text as it is, typing proves that keys arrive.
  await page.keyboard.insertText(source);
}

/** What this browser keeps of the open project's file `path`. */
export const keptText = (page, path = "service.ts") =>
  page.evaluate(
    (path) =>
      new Promise((resolve, reject) => {
        const asked = indexedDB.open("tabfarm-ide");
        asked.onerror = () => reject(asked.error);
        asked.onsuccess = () => {
          const found = asked.result.transaction("files").objectStore("files").get([sessionStorage.getItem("tabfarm.ide.project"), path]);
          found.onsuccess = () => (asked.result.close(), resolve(found.result?.content ?? null));
          found.onerror = () => reject(found.error);
        };
      }),
    path,
  );

/** Publishes what the IDE holds; the id that the output names, or an error with its words. */
export async function publishFromIde(page) {
  await page.getByTestId("ide-publish").click();
  const output = page.getByTestId("ide-output");
  const settled = output.locator(".published, .problem");
  await settled.first().waitFor({ timeout: SOON_MS });
  const text = await output.innerText();
  const id = /Published\s+(\S+@\S+)/.exec(text)?.[1];
  return { id, text };
}

/** Opens a service from the catalogue by its name. */
export async function openService(page, name) {
  await view(page, "services");
  const card = page.locator(`[data-testid="service-card"][data-service="${name}"]`);
  await card.waitFor({ timeout: SOON_MS });
  await card.getByTestId("open-service").click();
  await page.getByTestId("session-server").waitFor({ timeout: SOON_MS });
}

/** Calls a method on a service's page; the reply or the error as shown. */
export async function callMethod(page, method, body) {
  const form = page.locator(`[data-testid="method"][data-method="${method}"]`);
  await form.waitFor({ timeout: SOON_MS });
  if (body !== undefined) await form.getByTestId("method-body").fill(body);
  const result = form.getByTestId("method-result");
  const before = await result.innerText();
  await form.getByTestId("method-call").click();
  await form.locator('[data-testid="method-call"]:not([disabled])').waitFor({ timeout: SOON_MS });
  const text = await result.innerText();
  return { text, changed: text !== before, reply: await form.getByTestId("method-reply").textContent({ timeout: 1000 }).catch(() => null) };
}

/** Switches volunteering on. */
export async function volunteerInApp(page) {
  await view(page, "volunteer");
  await page.getByTestId("volunteer-toggle").check({ force: true });
}

/** Moves a service that this page hosts. */
export async function moveInApp(page, name, to) {
  await view(page, "volunteer");
  const hosted = page.locator(`[data-testid="hosted-service"][data-service="${name}"]`);
  await hosted.waitFor({ timeout: SOON_MS });
  const target = hosted.getByTestId("handover-target");
  await target.locator(`option[value="${to}"]`).waitFor({ state: "attached", timeout: SOON_MS });
  await target.selectOption(to);
  await hosted.getByTestId("handover").click();
}
