//! A toy sandbox: deterministic services without wasm, which answer as the real one does.
//!
//! A package's module is a text, `toy:counter` or `toy:echo`, with an optional `:BYTES` of ballast that makes its state
//! large; one that is called `sour` traps when it takes the state of another over. Methods of `counter`, body and reply in postcard:
//! `add` counts the session's calls and answers with a [`CounterReply`]; `say` sends a numbered line to everybody who
//! has a session; `later` does so by timer; `ledger` executes a [`Call`] on the model itself and journals its id, its JSON answer
//! follows the [`CounterReply`]; the query `look` answers a call that changes nothing. Each state knows its *lineage* (who created it fresh) and how many events
//! changed it; two states of one lineage and count must be equal, whoever holds them.

use std::collections::{BTreeMap, BTreeSet};

use overlay::id::{Hash, InstanceId, PackageId};
use overlay::sandbox::{Effect, EventKind, GuestEvent, Outcome, SandboxCommand, SandboxEvent};
use serde::{Deserialize, Serialize};

use crate::history::model::{self, Call};
use crate::link::Micros;
use crate::rng::Rng;

/// The room that every session of a toy service joins.
pub const ROOM: u32 = 7;

/// What `add` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterReply {
    /// How many calls this session has made: 1, 2, 3, …
    pub session: u64,
    /// How many calls all sessions have made.
    pub total: u64,
    /// Who created the state.
    pub lineage: u64,
    /// How many events changed it.
    pub events: u64,
    /// The digest of the state after this event.
    pub digest: u64,
}

/// The body of `ledger` and `look`, in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// For the journal.
    pub id: u64,
    /// What.
    #[serde(flatten)]
    pub call: Call,
}

/// A state at one point of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Who created the state.
    pub lineage: u64,
    /// How many events changed it.
    pub events: u64,
    /// Its digest.
    pub digest: u64,
}

/// The sandbox of one node.
#[derive(Debug)]
pub struct ToySandbox {
    /// Distinguishes this sandbox's fresh states from all others.
    tag: u64,
    packages: BTreeSet<PackageId>,
    ballast: BTreeMap<PackageId, (usize, u64)>,
    /// Packages that take no state over.
    sour: BTreeSet<PackageId>,
    instances: BTreeMap<InstanceId, Instance>,
}

#[derive(Debug)]
struct Instance {
    package: PackageId,
    state: State,
    /// Commands run in order: when the last one ends.
    busy_until: Micros,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    lineage: u64,
    events: u64,
    digest: u64,
    total: u64,
    lines: u64,
    sessions: BTreeMap<u32, u64>,
    objects: BTreeMap<String, model::State>,
    journal: Vec<u64>,
    ballast: Vec<u8>,
    /// Of an event.
    gas: u64,
}

impl ToySandbox {
    /// An empty sandbox; `tag` must be unique in the run.
    pub fn new(tag: u64) -> Self {
        let (packages, ballast, sour) = Default::default();
        Self { tag, packages, ballast, sour, instances: BTreeMap::new() }
    }

    /// Runs a command; its answer and when it is ready. The second list are the states that came about.
    pub fn handle(
        &mut self,
        now: Micros,
        rng: &mut Rng,
        command: &SandboxCommand,
    ) -> (Option<(Micros, SandboxEvent)>, Option<Point>) {
        let package_of = |id: &InstanceId| self.instances.get(id).map(|instance| instance.package);
        match command {
            SandboxCommand::Prepare { package, module, .. } => {
                let event = match ballast(module) {
                    Some(bytes) => {
                        self.packages.insert(*package);
                        if module.starts_with(b"toy:sour") {
                            self.sour.insert(*package);
                        }
                        self.ballast.insert(*package, (bytes, gas(module)));
                        SandboxEvent::Prepared { package: *package }
                    }
                    None => SandboxEvent::Refused { package: *package, reason: "not a toy module".into() },
                };
                (Some((now + rng.between([2_000, 20_000]), event)), None)
            }
            SandboxCommand::Create { instance, package, restore } => {
                let state = match restore {
                    _ if !self.packages.contains(package) => None,
                    Some(bytes) => postcard::from_bytes(bytes).ok(),
                    None => Some(self.fresh(*instance, *package)),
                };
                let at = now + rng.between([3_000, 40_000]);
                let Some(state) = state else {
                    let reason = "not prepared, or the state cannot be read".into();
                    return (Some((at, SandboxEvent::Failed { instance: *instance, reason })), None);
                };
                let point = state.point();
                self.instances.insert(*instance, Instance { package: *package, state, busy_until: at });
                (Some((at, SandboxEvent::Created { instance: *instance })), Some(point))
            }
            SandboxCommand::Upgrade { instance, package } => {
                let known = self.packages.contains(package) && package_of(instance).is_some();
                if let Some(found) = self.instances.get_mut(instance).filter(|_| known) {
                    found.package = *package;
                }
                let at = now + rng.between([3_000, 40_000]);
                let event = match known {
                    true => SandboxEvent::Created { instance: *instance },
                    false => SandboxEvent::Failed { instance: *instance, reason: "not prepared".into() },
                };
                (Some((at, event)), None)
            }
            SandboxCommand::Run { instance, run, event } => {
                let took = rng.between([20, 400]);
                let traps = event.kind == EventKind::Upgrade
                    && package_of(instance).is_some_and(|package| self.sour.contains(&package));
                self.with(now, took, *instance, |state| {
                    let outcome = match traps {
                        true => Outcome::Trapped { reason: "unreachable".into() },
                        false => state.run(event),
                    };
                    SandboxEvent::Ran { instance: *instance, run: *run, outcome }
                })
            }
            SandboxCommand::Snapshot { instance, run } => {
                let took = rng.between([500, 5_000]);
                self.with(now, took, *instance, |state| {
                    let bytes = postcard::to_allocvec(state).unwrap_or_default();
                    SandboxEvent::Snapshot { instance: *instance, run: *run, state: bytes }
                })
            }
            SandboxCommand::Release { package } => {
                self.packages.remove(package);
                (None, None)
            }
            SandboxCommand::Stop { instance } => {
                self.instances.remove(instance);
                (None, None)
            }
        }
    }

    fn with(
        &mut self,
        now: Micros,
        took: Micros,
        instance: InstanceId,
        f: impl FnOnce(&mut State) -> SandboxEvent,
    ) -> (Option<(Micros, SandboxEvent)>, Option<Point>) {
        let Some(found) = self.instances.get_mut(&instance) else {
            let event = SandboxEvent::Failed { instance, reason: "no such instance".into() };
            return (Some((now + took, event)), None);
        };
        found.busy_until = found.busy_until.max(now) + took;
        let event = f(&mut found.state);
        (Some((found.busy_until, event)), Some(found.state.point()))
    }

    fn fresh(&self, instance: InstanceId, package: PackageId) -> State {
        let seed = Hash::of(&[&self.tag.to_le_bytes(), &instance.0.to_le_bytes()]);
        let lineage = u64::from_le_bytes(seed.0[..8].try_into().unwrap_or_default());
        let (bytes, gas) = self.ballast.get(&package).copied().unwrap_or((0, 100));
        // Half of it compresses, as real memories do.
        let ballast =
            (0..bytes).map(|n| if n % 8192 < 4096 { 0 } else { seed.0[n % 32] ^ (n / 32) as u8 }).collect();
        State { lineage, ballast, gas, ..State::default() }
    }
}

/// The bytes of ballast that a toy module asks for; `None` for what is no toy module.
fn ballast(module: &[u8]) -> Option<usize> {
    let rest = std::str::from_utf8(module).ok()?.strip_prefix("toy:")?;
    match rest.split(':').nth(1) {
        Some(bytes) => bytes.parse().ok().filter(|bytes| *bytes <= 64 << 20),
        None => Some(0),
    }
}

/// The gas of an event, which a toy module may say after its ballast.
fn gas(module: &[u8]) -> u64 {
    let text = std::str::from_utf8(module).unwrap_or_default();
    text.split(':').nth(3).and_then(|gas| gas.parse().ok()).unwrap_or(100)
}

impl State {
    fn point(&self) -> Point {
        Point { lineage: self.lineage, events: self.events, digest: self.digest }
    }

    fn run(&mut self, event: &GuestEvent) -> Outcome {
        if event.kind == EventKind::Query {
            let reply = match method(&event.input) {
                b"look" => self.clone().ask(&event.input),
                _ => self.total.to_le_bytes().to_vec(),
            };
            return Outcome::Done { reply, effects: Vec::new(), gas: 10 };
        }
        self.events += 1;
        let mut effects = Vec::new();
        let mut reply = Vec::new();
        let mut answer = Vec::new();
        match event.kind {
            EventKind::Open => {
                self.sessions.insert(event.session, 0);
                effects.push(Effect::Join { session: event.session, room: ROOM });
            }
            EventKind::Close => {
                self.sessions.remove(&event.session);
            }
            EventKind::Timer => effects.push(self.line()),
            EventKind::Call | EventKind::Message => {
                let method = method(&event.input);
                self.total += 1;
                *self.sessions.entry(event.session).or_default() += 1;
                match method {
                    b"say" => effects.push(self.line()),
                    b"ledger" => answer = self.ask(&event.input),
                    b"later" => effects.push(Effect::Timer { id: (self.total % 8) as u32, ms: 150 }),
                    _ => {}
                }
            }
            EventKind::Query | EventKind::Reply | EventKind::Upgrade => {}
        }
        if let Some(byte) = self.ballast.get_mut((event.seed % (1 << 20)) as usize) {
            *byte = byte.wrapping_add(1);
        }
        // The digest depends on all that came in: replicas that were given different events, times or seeds differ.
        let kind = [event.kind as u8];
        let numbers = [self.digest, event.session.into(), event.now_ms, event.seed, self.total];
        let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let consumer = event.consumer.map_or([0; 32], |peer| peer.0);
        let digest = Hash::of(&[&kind, &numbers, &consumer, &event.input]);
        self.digest = u64::from_le_bytes(digest.0[..8].try_into().unwrap_or_default());
        if event.kind == EventKind::Call {
            let counter = CounterReply {
                session: self.sessions.get(&event.session).copied().unwrap_or_default(),
                total: self.total,
                lineage: self.lineage,
                events: self.events,
                digest: self.digest,
            };
            reply = postcard::to_allocvec(&counter).unwrap_or_default();
            reply.append(&mut answer);
        }
        Outcome::Done { reply, effects, gas: self.gas }
    }

    /// Executes a call of the ledger; its answer in JSON, empty for nonsense.
    fn ask(&mut self, input: &[u8]) -> Vec<u8> {
        let body = input.get(2 + method(input).len()..).unwrap_or_default();
        let Ok(asked) = serde_json::from_slice::<Asked>(body) else { return Vec::new() };
        let Some(object) = asked.call.object() else {
            return serde_json::to_vec(&self.journal).unwrap_or_default();
        };
        let state = self.objects.entry(object).or_insert_with(|| asked.call.initial());
        let Some((next, answer)) = asked.call.execute(state) else { return Vec::new() };
        *state = next;
        self.journal.push(asked.id);
        serde_json::to_vec(&answer).unwrap_or_default()
    }

    fn line(&mut self) -> Effect {
        self.lines += 1;
        Effect::Broadcast { room: ROOM, bytes: self.lines.to_le_bytes().to_vec() }
    }
}

/// The method's name in a call's input.
fn method(input: &[u8]) -> &[u8] {
    match input.split_first_chunk::<2>() {
        Some((length, rest)) => rest.get(..usize::from(u16::from_le_bytes(*length))).unwrap_or_default(),
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, session: u32, method: &str) -> GuestEvent {
        let input = [&(method.len() as u16).to_le_bytes()[..], method.as_bytes()].concat();
        GuestEvent { kind, session, now_ms: 1, seed: 2, consumer: None, input }
    }

    #[test]
    fn a_restored_state_goes_on_as_the_saved_one() {
        let mut rng = Rng::new(1, 1);
        let package = PackageId(Hash([1; 32]));
        let limits = overlay::sandbox::Limits {
            memory_pages: 1,
            gas_per_event: 1,
            stack_depth: 1,
            output_bytes: 1,
            kv_bytes: 0,
        };
        let mut run = |sandbox: &mut ToySandbox, command| sandbox.handle(0, &mut rng, &command);
        let prepare = SandboxCommand::Prepare {
            package,
            module: b"toy:counter:100".to_vec(),
            limits,
            examples: Vec::new(),
        };
        let (mut one, mut two) = (ToySandbox::new(1), ToySandbox::new(2));
        run(&mut one, prepare.clone());
        run(&mut two, prepare);
        let id = InstanceId(1);
        run(&mut one, SandboxCommand::Create { instance: id, package, restore: None });
        let call = |run| SandboxCommand::Run { instance: id, run, event: event(EventKind::Call, 3, "add") };
        run(&mut one, call(1));
        let (Some((_, SandboxEvent::Snapshot { state, .. })), _) =
            run(&mut one, SandboxCommand::Snapshot { instance: id, run: 2 })
        else {
            panic!("a snapshot");
        };
        run(&mut two, SandboxCommand::Create { instance: id, package, restore: Some(state) });
        let (a, b) = (run(&mut one, call(3)), run(&mut two, call(3)));
        assert_eq!(a.1, b.1);
        let reply = |answer: Option<(Micros, SandboxEvent)>| match answer {
            Some((_, SandboxEvent::Ran { outcome: Outcome::Done { reply, .. }, .. })) => {
                postcard::from_bytes::<CounterReply>(&reply).unwrap()
            }
            other => panic!("{other:?}"),
        };
        let reply = (reply(a.0), reply(b.0));
        assert_eq!(reply.0, reply.1);
        assert_eq!((reply.0.session, reply.0.total, reply.0.events), (2, 2, 2));
    }
}
