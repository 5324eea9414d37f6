//! One run of a scenario: who is told what when, consumers that call and check their replies, faults, final checks.
//!
//! | file | holds |
//! |---|---|
//! | this one | a run's state, and what nodes did: answers, events, frames |
//! | `plan` | the run's own events: what happens when |
//! | `consumers`, `ledger`, `reads` | consumers that call, that keep books, that read at any copy |
//! | `handovers` | moves that somebody asks for |
//! | `faults` | what goes wrong |
//! | `verdict` | what must hold in the end |
//! | `log` | what a person reads of it |

mod consumers;
mod faults;
mod handovers;
mod ledger;
mod log;
mod plan;
mod reads;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use overlay::id::RequestId;
use overlay::io::{Answer, Command, Config, Error, Input, Lane, Output, VolunteerPolicy};
use overlay::time::Time;

use crate::check::Checker;
use crate::link::Micros;
use crate::peer::Peer;
use crate::report::RunReport;
use crate::rng::Rng;
use crate::scenario::{PlannedFault, Scenario};
use crate::world::{NodeIndex, Step, World};

use handovers::Moving;
use plan::Todo;

/// The most lines of a run's log.
const MAX_LOG: usize = 20_000;
/// A consumer that opens in vain tries again after this.
const REOPEN: Micros = 500_000;
/// The journal is asked for so long before the end, and new calls end as long before that.
const JOURNAL_BEFORE: Micros = 3_000_000;

/// Runs `scenario` once. `make` makes a node.
pub fn run<P: Peer>(scenario: &Scenario, seed: u64, make: impl Fn(Config, Time) -> P) -> RunReport {
    let mut run = Run::new(scenario, seed, make);
    run.start();
    let end = (scenario.seconds + scenario.quiet_seconds) * 1_000_000;
    while let Some(step) = run.world.step(end) {
        run.on_step(step);
    }
    run.finish()
}

struct Run<'a, P, F> {
    scenario: &'a Scenario,
    world: World<P>,
    make: F,
    seed: u64,
    rng: Rng,
    checker: Checker,
    report: RunReport,
    todo: BTreeMap<u64, Todo>,
    waiting: BTreeMap<(NodeIndex, u64), Waiting>,
    next: u64,
    services: Vec<Service>,
    consumers: Vec<Consumer>,
    incarnations: Vec<u64>,
    fault: Option<PlannedFault>,
    handovers_begun: u64,
    /// A host of the service died while its state was nowhere else for sure, by service.
    doomed: BTreeSet<usize>,
}

/// What an answer is for.
enum Waiting {
    Volunteer,
    Publish(usize),
    Open(usize),
    Read {
        consumer: usize,
        at: Micros,
    },
    /// `entry` is its place in the history.
    Call {
        consumer: usize,
        opened: u64,
        number: u64,
        entry: Option<usize>,
    },
    Query {
        entry: usize,
    },
    Close,
    Handover(usize, u64),
}

struct Service {
    publisher: NodeIndex,
    name: Option<String>,
    moving: Option<Moving>,
    known: reads::Known,
}

struct Consumer {
    node: NodeIndex,
    service: usize,
    session: Option<Session>,
    opened: u64,
    last_reply: Micros,
}

struct Session {
    id: String,
    sent: u64,
    /// Calls whose replies must come in this order.
    in_flight: VecDeque<u64>,
    last_line: Option<u64>,
    since: Micros,
}

impl<'a, P: Peer, F: Fn(Config, Time) -> P> Run<'a, P, F> {
    fn new(scenario: &'a Scenario, seed: u64, make: F) -> Self {
        let count = scenario.relays + scenario.volunteers + scenario.consumers;
        let services = match scenario.service.one_publisher {
            true => scenario.service.count,
            false => scenario.service.count.min(scenario.volunteers),
        };
        Self {
            scenario,
            world: World::new(seed, scenario.link.clone()),
            make,
            seed,
            rng: Rng::new(seed, 3),
            checker: Checker::default(),
            report: RunReport::new(seed),
            todo: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            services: (0..services)
                .map(|n| if scenario.service.one_publisher { 0 } else { n })
                .map(|n| Service {
                    publisher: scenario.relays + n,
                    name: None,
                    moving: None,
                    known: reads::Known::default(),
                })
                .collect(),
            consumers: (0..scenario.consumers)
                .map(|n| Consumer {
                    node: scenario.relays + scenario.volunteers + n,
                    service: n % services.max(1),
                    session: None,
                    opened: 0,
                    last_reply: 0,
                })
                .collect(),
            incarnations: vec![0; count],
            fault: scenario.fault_of(seed),
            handovers_begun: 0,
            doomed: BTreeSet::new(),
        }
    }

    /// A node's key depends on its place only, so that it comes back as itself; its seed is always new.
    fn node(&self, node: NodeIndex) -> P {
        let role = match node < self.scenario.relays {
            true => overlay::io::Role::Relay,
            false => overlay::io::Role::Tab,
        };
        let incarnation = self.incarnations[node];
        let config = Config {
            secret_key: Rng::new(self.seed, 1000 + node as u64).bytes(),
            role,
            name: format!("node {node}"),
            seed: Rng::new(self.seed, (incarnation + 1) << 32 | node as u64).bytes(),
        };
        (self.make)(config, self.world.time())
    }

    fn volunteer(&mut self, node: NodeIndex) {
        if (self.scenario.relays..self.scenario.relays + self.scenario.volunteers).contains(&node) {
            let policy =
                VolunteerPolicy { memory_mib: 1024, storage_mib: 1024, ..VolunteerPolicy::default() };
            self.command(node, Command::Volunteer(Some(policy)), Waiting::Volunteer);
        }
    }

    fn later(&mut self, at: Micros, todo: Todo) {
        self.next += 1;
        self.todo.insert(self.next, todo);
        self.world.call_back(at.max(self.world.now()), self.next);
    }

    fn command(&mut self, node: NodeIndex, command: Command, waiting: Waiting) {
        self.next += 1;
        self.waiting.insert((node, self.next), waiting);
        self.world.tell(node, Input::Command(RequestId(self.next), command));
    }

    fn is_over(&self) -> bool {
        self.world.now() >= self.scenario.seconds * 1_000_000
    }

    fn on_step(&mut self, step: Step) {
        if let Some(todo) = step.token.and_then(|token| self.todo.remove(&token)) {
            self.on_todo(todo);
        }
        let Some(node) = step.node else { return };
        self.note_log(&step, node);
        self.checker.on_step(&step, self.incarnations[node]);
        for group in self.world.peer(node).map(Peer::groups).unwrap_or_default() {
            self.checker.on_voters(&step, node, &group.majorities);
        }
        for output in &step.outputs {
            match output {
                Output::Answer { request, result } => {
                    if let Some(waiting) = self.waiting.remove(&(node, request.0)) {
                        self.on_answer(&step, waiting, result);
                    }
                }
                Output::Event(event) => self.on_event(&step, node, event),
                Output::Send { peer, lane: Lane::Control, frame } => self.on_control(node, peer, frame),
                Output::Send { lane: Lane::Group, .. } => self.on_stage(node, "sent-group"),
                _ => {}
            }
        }
    }

    fn on_answer(&mut self, step: &Step, waiting: Waiting, result: &Result<Answer, Error>) {
        let now = self.world.now();
        if let Err(error) = result {
            *self.report.errors.entry(error.code().to_owned()).or_default() += 1;
        }
        match (waiting, result) {
            (Waiting::Publish(service), Ok(Answer::Service(name))) => {
                self.services[service].name = Some(name.clone());
            }
            (Waiting::Publish(service), other) => {
                self.checker.violate(step, format!("publishing service {service} failed: {other:?}"));
            }
            (Waiting::Open(consumer), Ok(Answer::Opened(info))) => {
                let place = &mut self.consumers[consumer];
                place.opened += 1;
                place.last_reply = now;
                let (id, in_flight) = (info.id.clone(), VecDeque::new());
                place.session = Some(Session { id, sent: 0, in_flight, last_line: None, since: now });
                self.report.sessions += 1;
                self.later(now, Todo::Call(consumer));
            }
            (Waiting::Open(consumer), _) => self.later(now + REOPEN, Todo::Open(consumer)),
            (Waiting::Call { consumer, opened, number, entry }, result) => {
                if let Some(entry) = entry {
                    self.record_answer(entry, result);
                }
                self.on_reply(step, consumer, opened, number, result);
            }
            (Waiting::Read { consumer, at }, result) => self.on_read(step, consumer, at, result),
            (Waiting::Query { entry }, result) => self.record_answer(entry, result),
            (Waiting::Handover(service, number), result) => {
                let outcome = &mut self.report.handovers;
                match result {
                    Ok(Answer::Handover(report)) if report.uncertain => outcome.uncertain += 1,
                    Ok(Answer::Handover(report)) => {
                        outcome.done += 1;
                        outcome.pauses_ms.push(report.pause_ms);
                    }
                    Ok(_) => {}
                    Err(error) => *outcome.failed.entry(error.to_string()).or_default() += 1,
                }
                let place = &mut self.services[service];
                if place.moving.as_ref().is_some_and(|moving| moving.number == number) {
                    place.moving = None;
                    self.later(now + self.scenario.handovers.every_ms * 1000, Todo::Handover(service));
                }
            }
            (Waiting::Volunteer | Waiting::Close, _) => {}
        }
    }
}

fn service_id(name: &str) -> Option<overlay::id::ServiceId> {
    let (name, publisher) = name.split_once('@')?;
    Some(overlay::id::ServiceId::new(publisher.parse().ok()?, name))
}

fn session_id(hex: &str) -> Option<overlay::id::SessionId> {
    u128::from_str_radix(hex, 16).ok().map(overlay::id::SessionId)
}
