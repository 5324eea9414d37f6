// A peer in a page of its own, by the public JavaScript API alone: no app around it.

/** How long joining, finding and opening may take on a busy machine. */
export const SOON_MS = 30_000;

/** A document of the relay's origin without scripts. One that the test makes up would have no address, and Chromium
 * lets only pages of the machine itself connect to the machine itself. */
const BLANK = "/tabfarm.d.ts";

/**
 * Joins from an empty page of the relay's origin. The page then has `peer` and the helpers of `inPage` as globals.
 * @returns the page, with `id`.
 */
export async function joinPage(page, relay, options = {}) {
  await page.goto(relay.url + BLANK);
  await page.evaluate(inPage);
  page.id = await page.evaluate(async (options) => {
    const { Peer } = await import("/tabfarm.js");
    window.peer = await Peer.join(options);
    await until(() => peer.status().joined, 30_000, "joined");
    return peer.id;
  }, options);
  return page;
}

/** Publishes an example service of the web tree from a page; its id. `change` is merged into the manifest. */
export function publish(page, service, change = {}) {
  return page.evaluate(([service, change]) => publishExample(service, change), [service, change]);
}

/** Opens a session and calls `method` of it `hz` times a second until `stopCalls`; replies are JSON or a `u32`. */
export function startCalls(page, service, { hz, method = "add", body = 1, reply = "json" }) {
  return page.evaluate((args) => startCalling(...args), [service, hz, method, body, reply]);
}

/** How many calls were sent and answered until now. */
export const callsNow = (page) => page.evaluate(() => ({ sent: calling.sent, answered: calling.replies.length }));

/** Resolves once the caller has that many replies more. */
export async function moreReplies(page, count, ms = SOON_MS) {
  await page.evaluate(([count, ms]) => {
    const goal = calling.replies.length + count;
    return until(() => calling.replies.length >= goal || calling.errors.length > 0, ms, `${count} more replies`);
  }, [count, ms]);
}

/**
 * Stops calling and waits for the calls under way.
 * @returns {Promise<{sent: number, replies: number[], errors: string[], times: [number, number][], moved: number, server: string}>}
 *   replies and times (sent, answered; ms of the page's clock) in the order of the calls.
 */
export function stopCalls(page) {
  return page.evaluate(() => stopCalling());
}

/** Waits until `test(argument)`, run in the page, is true. */
export function soon(page, test, argument, ms = SOON_MS) {
  return page.waitForFunction(test, argument, { timeout: ms, polling: 50 });
}

/** Defines the helpers inside a page. */
export function inPage() {
  window.encode = (value) => new TextEncoder().encode(JSON.stringify(value));
  window.decode = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

  window.until = async (test, ms, what) => {
    const end = performance.now() + ms;
    while (!(await test())) {
      if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  };

  window.fetchPackage = async (name) => {
    const file = async (path) => {
      const response = await fetch(`/services/${name}/${path}`);
      if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
      return response;
    };
    const manifest = await (await file("manifest.json")).json();
    const module = new Uint8Array(await (await file("module.wasm")).arrayBuffer());
    const paths = await (await file("ui.json")).json();
    const asset = async (path) => [path, new Uint8Array(await (await file(`ui/${path}`)).arrayBuffer())];
    const ui = Object.fromEntries(await Promise.all(paths.map(asset)));
    return { manifest, module, ui };
  };

  window.publishExample = async (name, change) => {
    const { manifest, module, ui } = await fetchPackage(name);
    return peer.publish({ manifest: { ...manifest, ...change }, module, ui });
  };

  window.codeOf = async (promise) => {
    try {
      await promise;
      return "ok";
    } catch (error) {
      return error.code ?? String(error);
    }
  };

  const readers = { json: (bytes) => decode(bytes), u32: (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) };

  window.startCalling = async (service, hz, method, body, kind) => {
    const session = await peer.open(service);
    const calling = { session, sent: 0, replies: [], errors: [], times: [], open: new Set(), moved: 0 };
    session.addEventListener("moved", () => (calling.moved += 1));
    const call = () => {
      const index = calling.sent++;
      const start = performance.now();
      const open = session.call(method, encode(body)).then(
        (reply) => {
          calling.replies[index] = readers[kind](reply);
          calling.times[index] = [start, performance.now()];
        },
        (error) => calling.errors.push(`call ${index}: ${error.code}: ${error.message}`),
      );
      calling.open.add(open);
      open.finally(() => calling.open.delete(open));
    };
    // By the clock, not by the count of ticks: a busy page calls late, but as often.
    const begin = performance.now();
    calling.timer = setInterval(() => {
      while (calling.sent < ((performance.now() - begin) * hz) / 1000) call();
    }, 1000 / hz);
    window.calling = calling;
    await until(() => calling.replies.length > 0 || calling.errors.length > 0, 30_000, "a first reply");
  };

  window.stopCalling = async () => {
    clearInterval(calling.timer);
    while (calling.open.size > 0) await Promise.all(calling.open);
    const { sent, replies, errors, times, moved, session } = calling;
    return { sent, replies: [...replies], errors, times, moved, server: session.server };
  };
}
