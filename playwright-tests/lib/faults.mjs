// Faults of tabs that host a replicated ledger, and what its clients notice of them. One round is one fault; what a run finds is
// `{rounds: [{gap, back}], history, hz, …}`: gap is the longest time in ms without an answer, back the time until three replicas live again.

import { answersOf, gapAround, moreAnswers, stopClients } from "./history.mjs";
import { Lan } from "./lan.mjs";
import { ANYTHING, move } from "./moves.mjs";
import { joinPage, soon } from "./peer.mjs";
import { replicatedLedger, whole } from "./replicas.mjs";

/** Calls that are answered between two faults. */
const CALM = 100;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Ends a run: the gap of each round, from the answers of the client that adds all the time. */
async function finish(ledger, marks, more = {}) {
  const history = await stopClients(ledger.callers);
  const times = answersOf(history, "adder");
  const rounds = marks.map(({ at, until, ...round }) => ({ ...round, gap: Math.round(gapAround(times, at, until)) }));
  return { rounds, history, ...more };
}

/** Loses the leader `count` times; a new tab takes the place of each that is lost. `lose(page)` does it. */
async function loseLeaders(world, { count, hz, lose }) {
  const ledger = await replicatedLedger(world, { hz });
  const marks = [];
  for (let n = 0; n < count; n += 1) {
    const leader = await whole(ledger.hosts, ledger.service);
    await moreAnswers(ledger.callers[0], CALM);
    const at = Date.now();
    await lose(leader);
    ledger.lose(leader);
    await whole(ledger.hosts, ledger.service);
    const back = Date.now() - at;
    await moreAnswers(ledger.callers[0], CALM / 2);
    marks.push({ at, until: Date.now(), back });
    await leader.context().close().catch(() => {});
    await ledger.join();
  }
  return finish(ledger, marks);
}

/** F1: the leader's renderer process is killed. */
export const kill = (world, options) =>
  loseLeaders(world, {
    ...options,
    lose: async (page) => {
      const devtools = await page.context().newCDPSession(page);
      const crashed = new Promise((done) => page.once("crash", done));
      // It dies before it can answer.
      devtools.send("Page.crash").catch(() => {});
      await crashed;
    },
  });

/** F2: the leader's tab is closed by its user; its handlers of `pagehide` run. */
export const close = (world, options) => loseLeaders(world, { ...options, lose: (page) => page.close({ runBeforeUnload: true }) });

/** F3: the leader's whole browser is stopped for `frozenMs`, then goes on. */
export async function freeze(world, { count, hz, frozenMs }) {
  const ledger = await replicatedLedger(world, { hz, apart: true });
  const marks = [];
  for (let n = 0; n < count; n += 1) {
    const leader = await whole(ledger.hosts, ledger.service);
    await moreAnswers(ledger.callers[0], CALM);
    const at = Date.now();
    leader.browserProcess.freeze();
    try {
      await sleep(frozenMs);
    } finally {
      leader.browserProcess.thaw();
    }
    const thawed = Date.now();
    // The thawed one is a follower, or has left: nobody but the new leader says that it leads.
    await soon(leader, (service) => peer.status().hosting.find((each) => each.service === service)?.role !== "leader", ledger.service, 60_000);
    const deposed = Date.now() - thawed;
    await moreAnswers(ledger.callers[0], CALM / 2);
    marks.push({ at, until: thawed, deposed });
  }
  return finish(ledger, marks);
}

/** F6: the service moves from replica to replica, and to tabs that have no replica, while it is called. */
export async function handOver(world, { count, hz, state }) {
  const ledger = await replicatedLedger(world, { hz, state });
  const marks = [];
  let [from, refused] = [ledger.hosts[0], 0];
  for (let n = 0; n < count; n += 1) {
    if (state === "replicated-3") from = await whole(ledger.hosts, ledger.service);
    const to = ledger.hosts[(ledger.hosts.indexOf(from) + 1 + (n % (ledger.hosts.length - 1))) % ledger.hosts.length];
    const at = Date.now();
    const report = await move(from, to, ledger.service).catch((error) => ({ error }));
    if (report.error) {
      // Said in words, and the service stays where it is.
      refused += 1;
      continue;
    }
    await moreAnswers(ledger.callers[0], CALM / 5);
    marks.push({ at, until: Date.now(), pause: report.pauseMs });
    from = to;
  }
  return finish(ledger, marks, { refused });
}

/** F7: the leader's tab is reloaded, and a second tab of its profile is opened: it is who it was, the second one is somebody else. */
export async function reload(world, { count, hz }) {
  const ledger = await replicatedLedger(world, { hz });
  const marks = [];
  for (let n = 0; n < count; n += 1) {
    const leader = await whole(ledger.hosts, ledger.service);
    await moreAnswers(ledger.callers[0], CALM);
    const [at, before] = [Date.now(), leader.id];
    await joinPage(leader, ledger.relays[0], { name: "reloaded" });
    const same = leader.id === before;
    await leader.evaluate((policy) => peer.volunteer(policy), ANYTHING);
    await whole(ledger.hosts, ledger.service);
    const back = Date.now() - at;
    const second = await joinPage(world.watch(await leader.context().newPage(), "second"), ledger.relays[0]);
    const other = second.id !== leader.id;
    await second.close();
    await moreAnswers(ledger.callers[0], CALM / 2);
    marks.push({ at, until: Date.now(), back, same, other });
  }
  return finish(ledger, marks);
}

/** F8: the leader's disk is full, or its processor 20 times slower, for `lastsMs`. */
async function degrade(world, { hz, lastsMs, begin }) {
  const ledger = await replicatedLedger(world, { hz });
  const leader = await whole(ledger.hosts, ledger.service);
  await moreAnswers(ledger.callers[0], CALM);
  const devtools = await leader.context().newCDPSession(leader);
  const at = Date.now();
  const end = await begin(devtools, ledger.relays[0].url);
  await sleep(lastsMs);
  const until = Date.now();
  await end();
  await moreAnswers(ledger.callers[0], CALM);
  return finish(ledger, [{ at, until }]);
}

/** F8: no byte more may be stored. */
export const fillDisk = (world, options) =>
  degrade(world, {
    ...options,
    begin: async (devtools, url) => {
      const { origin } = new URL(url);
      await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1 });
      return () => devtools.send("Storage.overrideQuotaForOrigin", { origin });
    },
  });

/** F8: the leader computes 20 times slower. */
export const throttle = (world, options) =>
  degrade(world, {
    ...options,
    begin: async (devtools) => {
      await devtools.send("Emulation.setCPUThrottlingRate", { rate: 20 });
      return () => devtools.send("Emulation.setCPUThrottlingRate", { rate: 1 });
    },
  });

/** F9: of `tabs` tabs one dies every `everyMs`, whatever it does, and a new one comes after half of that. */
export async function churn(world, { tabs, hz, everyMs, lastsMs }) {
  const ledger = await replicatedLedger(world, { hosts: tabs, hz });
  const [marks, end] = [[], Date.now() + lastsMs];
  while (Date.now() < end) {
    const next = Date.now() + everyMs;
    const victim = ledger.hosts[Math.floor(Math.random() * ledger.hosts.length)];
    const leads = await victim.evaluate((service) => peer.status().hosting.find((each) => each.service === service)?.role === "leader", ledger.service);
    const at = Date.now();
    ledger.lose(victim);
    if (marks.length % 2) await victim.close();
    else victim.context().newCDPSession(victim).then((devtools) => devtools.send("Page.crash")).catch(() => {});
    await sleep(everyMs / 2);
    await victim.context().close().catch(() => {});
    await ledger.join();
    await sleep(Math.max(0, next - Date.now()));
    marks.push({ at, until: Date.now(), leads });
  }
  return finish(ledger, marks);
}

/** F4: of two relays one is killed while tabs talk, and comes back: calls go on, newcomers join by the other one. */
export async function loseRelay(world, { hz }) {
  const ledger = await replicatedLedger(world, { hz, relays: 2 });
  const [first, second] = ledger.relays;
  const direct = (page) => page.evaluate(() => peer.status().peers.filter(({ path }) => path === "direct").map(({ id }) => id));
  const tabs = [...ledger.hosts, ...ledger.callers];
  for (const page of ledger.callers) await soon(page, () => peer.status().sessions.every(({ path }) => path === "direct"));
  const before = await Promise.all(tabs.map(direct));
  const at = Date.now();
  await first.kill();
  await moreAnswers(ledger.callers[0], 3 * CALM);
  const after = await Promise.all(tabs.map(direct));
  const dropped = before.flatMap((ids, n) => ids.filter((id) => id !== first.info.peer_id && !after[n].includes(id))).length;
  const newcomer = await joinPage(await world.page(await world.browser(), "newcomer"), second, { name: "newcomer", relays: [second.info.addresses[0]] });
  const call = async (service) => new TextDecoder().decode(await peer.call(service, "journal", new TextEncoder().encode("1000000")));
  const served = (await newcomer.evaluate(call, ledger.service)) === "[]";
  const until = Date.now();
  const again = await first.again();
  world.atEnd(() => again.kill());
  const back = Date.now();
  const regained = (id) => peer.status().relays.includes(id);
  await Promise.all(tabs.map((page) => soon(page, regained, again.info.peer_id)));
  const mark = { at, until, dropped, served, regained: Date.now() - back };
  return finish(ledger, [mark]);
}

/** F5: the leader and one client are cut off from everybody else, or the leader's packets alone are lost; then the cut heals. */
export async function partition(world, { count, hz, lastsMs, oneWay }) {
  const lan = new Lan(world);
  const ledger = await replicatedLedger(world, { hz, lan });
  const [marks, adder, mixer] = [[], ...ledger.callers];
  for (let n = 0; n < count; n += 1) {
    const leader = await whole(ledger.hosts, ledger.service);
    await moreAnswers(adder, CALM);
    const rest = [...ledger.hosts.filter((host) => host !== leader), adder];
    const others = [...rest.map((page) => page.browserProcess.place), lan.relayPlace];
    const alone = oneWay ? [leader.browserProcess.place] : [leader, mixer].map((page) => page.browserProcess.place);
    const at = Date.now();
    lan.cut(alone, others, oneWay);
    const cut = Date.now();
    await sleep(lastsMs);
    lan.heal();
    const healed = Date.now();
    const next = await whole(ledger.hosts, ledger.service);
    const converged = Date.now() - healed;
    await moreAnswers(mixer, CALM / 10);
    marks.push({ at, until: healed, converged, moved: next !== leader, cut });
  }
  const { rounds, history } = await finish(ledger, marks);
  // Who is cut off with the old leader must be told nothing: what came within a tenth of a second was on its way.
  const told = ({ cut, until }) => (op) => op.client.startsWith("mixer") && op.outcome === "ok" && op.return / 1000 > cut + 100 && op.return / 1000 < until;
  const during = marks.map((mark) => history.operations.filter(told(mark)).length);
  return { rounds: rounds.map(({ cut, ...round }, n) => (oneWay ? round : { ...round, told: during[n] })), history };
}
