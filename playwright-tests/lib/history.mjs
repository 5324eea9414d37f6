// Histories: what clients in tabs ask of the service `ledger` and what they hear, as JSON lines that `simulator check` judges.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const simulator = process.env.TABFARM_SIMULATOR ?? `${root}target/debug/simulator`;
/** Pages take their time from one clock of the machine, but read its start at different moments. */
const CLOCK_ERROR_US = 3000;

/**
 * Starts a client of the ledger in a page: `add`s alone, or a mix of all operations.
 * @param {{name: string, index: number, hz: number, mix?: boolean}} options `index` is unique in the history: ids are made of it
 */
export async function startClient(page, service, options) {
  await page.evaluate(inPage);
  await page.evaluate(([service, options]) => ledgerClient(service, options), [service, options]);
}

/** How many calls of a page's clients were answered until now. */
export const answered = (page) => page.evaluate(() => ledger.operations.filter((op) => op.outcome === "ok").length);

/** Resolves once the page's clients have so many answers more. */
export async function moreAnswers(page, count, ms = 60_000) {
  const before = await answered(page);
  await page.waitForFunction((goal) => ledger.operations.filter((op) => op.outcome === "ok").length >= goal, before + count, { timeout: ms, polling: 50 });
}

/**
 * Stops the clients of all pages and asks for the journal.
 * @returns {Promise<{operations: object[], authorities: [string, number, number][][], closed: string[]}>} authorities: per client those that
 *   it has followed (server, epoch, term); closed: why sessions ended
 */
export async function stopClients(pages) {
  const parts = await Promise.all(pages.map((page) => page.evaluate(() => stopLedger())));
  const journal = await pages[0].evaluate(() => askJournal());
  const operations = [...parts.flatMap((part) => part.operations), journal];
  const of = (name) => parts.flatMap((part) => part[name]);
  return { operations, authorities: of("authorities"), closed: of("closed") };
}

/** Writes a history and has it judged: `{good, text}`. */
export function judge(history, path) {
  if (!existsSync(simulator)) throw new Error(`${simulator} is not built: cargo build -p simulator`);
  mkdirSync(dirname(path), { recursive: true });
  const lines = [{ clock_error_us: CLOCK_ERROR_US }, ...history.operations].map((line) => JSON.stringify(line));
  writeFileSync(path, lines.join("\n") + "\n");
  const { status, stdout, stderr } = spawnSync(simulator, ["check", path], { encoding: "utf8" });
  if (status !== 0 && status !== 1) throw new Error(`simulator check: ${stderr}`);
  // A server of a lower authority that answers after a higher one was followed.
  const falls = history.authorities.some((list) => list.some(([, epoch, term], n) => n > 0 && (epoch - list[n - 1][1] || term - list[n - 1][2]) < 0));
  const fell = falls ? "\n  an answer came from a lower authority than one before" : "";
  return { good: status === 0 && !falls, text: stdout.trim().slice(path.length + 2) + fell };
}

/** When the answers of clients that only add came, in ms of the machine's clock, per client in order. */
export function answersOf(history, client) {
  const own = history.operations.filter((op) => op.outcome === "ok" && op.client.startsWith(`${client}.`));
  return own.map((op) => op.return / 1000).sort((a, b) => a - b);
}

/** The longest time without an answer that has to do with a fault between `from` and `until`. */
export function gapAround(times, from, until) {
  let longest = 0;
  for (let n = 1; n < times.length; n += 1) {
    if (times[n] > from && times[n - 1] < until) longest = Math.max(longest, times[n] - times[n - 1]);
  }
  return longest;
}

/** Counts of a history: answered, failed, unknown. */
export function countsOf(history) {
  const count = (outcome) => history.operations.filter((op) => op.outcome === outcome).length;
  return { calls: history.operations.length, ok: count("ok"), failed: count("fail"), unknown: count("unknown") };
}

/** Defines the clients inside a page. */
function inPage() {
  if (window.ledger) return;
  /** The most calls of one client that wait; further ticks make none. */
  const MAX_OPEN = 800;
  /** Few objects, so that clients meet at them. */
  const [REGISTERS, QUEUES] = [3, 2];
  window.ledger = { operations: [], clients: [] };
  const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
  const below = (bound) => Math.floor(Math.random() * bound);
  const seen = new Map();
  const text = (value) => new TextEncoder().encode(value);

  const draw = (id) => {
    const [register, queue] = [`r${below(REGISTERS)}`, `q${below(QUEUES)}`];
    switch (below(10)) {
      case 0: case 1: return { op: "add" };
      case 2: return { op: "write", key: register, value: id };
      case 3: return { op: "cas", key: register, from: seen.get(register) ?? null, to: id };
      case 4: return { op: "read", key: register };
      case 5: case 6: return { op: "read", key: register, query: true };
      case 7: case 8: return { op: "enqueue", key: queue, value: id };
      default: return { op: "dequeue", key: queue };
    }
  };
  const words = { write: ["key", "value"], cas: ["key", "from", "to"], enqueue: ["key", "value"], add: [], read: ["key"], dequeue: ["key"] };

  window.ledgerClient = async (service, { name, index, hz, mix = false }) => {
    ledger.service = service;
    const client = { name, index, sessions: 0, number: 0, ids: 0, open: new Set(), authorities: [], closed: [], stopped: false };
    ledger.clients.push(client);
    const connect = async () => {
      while (!client.stopped) {
        try {
          const session = await peer.open(service);
          [client.sessions, client.number] = [client.sessions + 1, 0];
          session.addEventListener("close", ({ detail }) => {
            client.closed.push(detail.reason);
            client.session = null;
            connect();
          });
          client.session = session;
          return;
        } catch {
          await new Promise((done) => setTimeout(done, 200));
        }
      }
    };
    const note = ({ server, epoch, term }) => {
      const last = client.authorities.at(-1);
      if (!last || last[0] !== server || last[1] !== epoch || last[2] !== term) client.authorities.push([server, epoch, term]);
    };
    const ask = () => {
      const session = client.session;
      if (!session || client.open.size >= MAX_OPEN) return;
      const id = index * 1_000_000 + ++client.ids;
      const { query = false, ...call } = mix ? draw(id) : { op: "add" };
      const op = { client: `${name}.${client.sessions}`, number: query ? 0 : ++client.number, ...(query ? {} : { id }), ...call, invoke: now(), outcome: "unknown", result: null };
      ledger.operations.push(op);
      const rest = words[call.op].map((word) => `${call[word]}`);
      const answer = query ? session.query(call.op, text(call.key)) : session.call(call.op, text([`${id}`, ...rest].join(" ")));
      const open = answer.then(
        (reply) => {
          [op.return, op.outcome, op.result] = [now(), "ok", JSON.parse(new TextDecoder().decode(reply))];
          if (call.op === "write") seen.set(call.key, call.value);
          if (call.op === "cas" && op.result) seen.set(call.key, call.to);
          note(session);
        },
        ({ code }) => {
          // Refused before it was sent: it will never happen. Of everything else the outcome is unknown.
          [op.return, op.outcome, op.error] = [now(), code === "overloaded" ? "fail" : "unknown", code];
        },
      );
      client.open.add(open);
      open.finally(() => client.open.delete(open));
    };
    await connect();
    // By the clock, not by the count of ticks: a busy page asks late, but as often.
    const begin = performance.now();
    let asked = 0;
    client.timer = setInterval(() => {
      for (; asked < ((performance.now() - begin) * hz) / 1000; asked += 1) ask();
    }, Math.max(1000 / hz, 5));
  };

  window.stopLedger = async () => {
    for (const client of ledger.clients) clearInterval(client.timer);
    for (const client of ledger.clients) while (client.open.size > 0) await Promise.all(client.open);
    for (const client of ledger.clients) client.stopped = true;
    const of = (name) => ledger.clients.map((client) => client[name]);
    // What the reader of the lines does not know stays here.
    return { operations: ledger.operations.map(({ error, ...op }) => op), authorities: of("authorities"), closed: of("closed").flat() };
  };

  window.askJournal = async () => {
    // Its own session may have ended.
    const session = ledger.clients.find((client) => client.session)?.session ?? (await peer.open(ledger.service));
    const journal = { client: "journal.1", number: 1, op: "journal", invoke: now(), outcome: "ok", result: [] };
    for (let page = null; page === null || page.length > 0; ) {
      page = JSON.parse(new TextDecoder().decode(await session.call("journal", text(`${journal.result.length}`))));
      journal.result.push(...page);
    }
    return { ...journal, return: now() };
  };
}
