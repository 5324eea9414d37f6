//! One run of a scenario: who is told what when, consumers that call and check their replies, faults, final checks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use overlay::id::RequestId;
use overlay::io::{Answer, Command, Config, Error, HostedInfo, Input, Lane, Output, VolunteerPolicy};
use overlay::time::Time;

use crate::check::Checker;
use crate::link::Micros;
use crate::peer::Peer;
use crate::report::RunReport;
use crate::rng::Rng;
use crate::scenario::{PlannedFault, Scenario};
use crate::world::{Death, NodeIndex, Step, World};

mod consumers;
mod faults;
mod ledger;
mod log;
mod reads;

/// The most lines of a run's log.
const MAX_LOG: usize = 20_000;
/// A consumer that opens in vain tries again after this.
const REOPEN: Micros = 500_000;
/// A handover whose answer does not come is given up after this, so that the next one is tried.
const HANDOVER_TIMEOUT: Micros = 20_000_000;
/// From a page's last words until its connections close.
const PAGE_GONE: Micros = 150_000;
/// The journal is asked for so long before the end, and new calls end as long before that.
const JOURNAL_BEFORE: Micros = 3_000_000;
/// An open session must have had a reply in this last part of a run.
const FRESH: Micros = 4_000_000;

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

/// The scenario's own events.
enum Todo {
    Publish(usize),
    Open(usize),
    Call(usize),
    Read(usize),
    Journal(usize),
    Handover(usize),
    GiveUp(usize, u64),
    Strike(PlannedFault, NodeIndex, usize),
    Thaw(NodeIndex),
    LastWords(NodeIndex),
    Close(NodeIndex),
    Unblock(Vec<(NodeIndex, NodeIndex)>),
    Revive(NodeIndex),
    Death,
    LeaderDeath(usize),
    Block,
    Breaks,
    RelayDies,
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

/// A handover under way.
struct Moving {
    number: u64,
    source: NodeIndex,
    target: NodeIndex,
    witness: Option<NodeIndex>,
    seen: BTreeMap<String, u64>,
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

    fn start(&mut self) {
        for node in 0..self.incarnations.len() {
            let peer = self.node(node);
            self.world.add(peer, node < self.scenario.relays);
            self.volunteer(node);
        }
        for service in 0..self.services.len() {
            self.later(1_500_000 + 100_000 * service as Micros, Todo::Publish(service));
            if self.scenario.handovers.every_ms > 0 {
                let at = 5_000_000 + self.rng.below(1_000_000);
                self.later(at, Todo::Handover(service));
            }
        }
        for consumer in 0..self.consumers.len() {
            let at = 2_500_000 + self.rng.below(1_000_000);
            self.later(at, Todo::Open(consumer));
            self.later(at, Todo::Read(consumer));
        }
        let churn = &self.scenario.churn;
        let every = [(churn.death_every_ms, Todo::Death), (churn.block_every_ms, Todo::Block)];
        for (ms, todo) in every.into_iter().filter(|(ms, _)| *ms > 0) {
            self.later(4_000_000 + ms * 1000, todo);
        }
        for service in (0..self.services.len()).filter(|_| churn.leader_death_every_ms > 0) {
            self.later(8_000_000 + churn.leader_death_every_ms * 1000, Todo::LeaderDeath(service));
        }
        if self.scenario.calls.ledger {
            let at = (self.scenario.seconds + self.scenario.quiet_seconds) * 1_000_000 - JOURNAL_BEFORE;
            (0..self.consumers.len()).for_each(|consumer| self.later(at, Todo::Journal(consumer)));
        }
        if churn.relay_dies_at > 0 {
            self.later(churn.relay_dies_at * 1_000_000, Todo::RelayDies);
        }
        if self.scenario.link.breaks_per_second > 0.0 {
            self.later(4_000_000, Todo::Breaks);
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

    fn on_todo(&mut self, todo: Todo) {
        let now = self.world.now();
        match todo {
            Todo::Publish(service) => {
                let model = &self.scenario.service;
                let manifest = format!(
                    r#"{{"name":"toy-{service}","version":"1.0.0","engine":"wasm","state":"{}",
                    "interface":{{"add":{{}},"say":{{}},"later":{{}}}},"qos":{{"standby":{}}}}}"#,
                    model.state, model.standby
                );
                let (manifest, module) = (manifest.into_bytes(), model.module.clone().into_bytes());
                let publish = Command::Publish { manifest, module, ui: Vec::new() };
                self.command(self.services[service].publisher, publish, Waiting::Publish(service));
            }
            Todo::Open(consumer) => self.open(consumer),
            Todo::Call(consumer) => self.call(consumer),
            Todo::Read(consumer) => self.read(consumer),
            Todo::Journal(consumer) => self.ask_journal(consumer),
            Todo::Handover(service) => self.hand_over(service),
            Todo::GiveUp(service, number) => {
                if self.services[service].moving.as_ref().is_some_and(|moving| moving.number == number) {
                    self.services[service].moving = None;
                    self.report.handovers.unanswered += 1;
                    self.later(now, Todo::Handover(service));
                }
            }
            Todo::Strike(fault, victim, service) => self.strike(&fault, victim, service),
            Todo::Thaw(node) => self.world.thaw(node),
            Todo::LastWords(node) => {
                // Its page runs no more; what it has sent still arrives.
                self.world.freeze(node);
                self.later(now + PAGE_GONE, Todo::Close(node));
            }
            Todo::Close(node) => self.world.kill(node, Death::Closed),
            Todo::Unblock(pairs) => pairs.into_iter().for_each(|(from, to)| self.world.unblock(from, to)),
            Todo::Revive(node) => {
                if self.world.peer(node).is_none() {
                    self.incarnations[node] += 1;
                    let peer = self.node(node);
                    self.world.revive(node, peer);
                    self.volunteer(node);
                }
            }
            Todo::Death => self.random_death(),
            Todo::LeaderDeath(service) => self.leader_death(service),
            Todo::Block => self.random_block(),
            Todo::Breaks => {
                for (a, b) in self.world.pairs() {
                    if self.rng.chance(self.scenario.link.breaks_per_second) {
                        self.world.cut(a, b);
                    }
                }
                if !self.is_over() {
                    self.later(now + 1_000_000, Todo::Breaks);
                }
            }
            Todo::RelayDies => {
                self.world.kill(0, Death::Closed);
                self.later(now + 10_000_000, Todo::Revive(0));
            }
        }
    }

    fn hand_over(&mut self, service: usize) {
        let limit = self.scenario.handovers.most;
        if self.is_over() || (limit > 0 && self.handovers_begun >= limit) {
            return;
        }
        let retry = self.world.now() + 1_000_000;
        let host = self.services[service].name.as_ref().and_then(|name| self.leader(name));
        let volunteers = self.scenario.relays..self.scenario.relays + self.scenario.volunteers;
        // As a person does, whom they see: a peer that the host is connected to.
        let sees = |node: &NodeIndex| host.is_some_and(|host| self.world.is_linked(host, *node));
        let targets: Vec<NodeIndex> =
            volunteers.filter(|node| self.world.is_running(*node) && sees(node)).collect();
        let (Some(source), Some(&target), Some(name)) =
            (host, self.rng.pick(&targets), self.services[service].name.clone())
        else {
            return self.later(retry, Todo::Handover(service));
        };
        let number = self.handovers_begun;
        self.handovers_begun += 1;
        let moving = Moving { number, source, target, witness: None, seen: BTreeMap::new() };
        self.services[service].moving = Some(moving);
        let command = Command::Handover { service: name, to: self.world.id(target) };
        self.command(source, command, Waiting::Handover(service, number));
        self.later(self.world.now() + HANDOVER_TIMEOUT, Todo::GiveUp(service, number));
    }

    /// Who leads the service's group in the highest authority, as living nodes say.
    fn leader(&self, name: &str) -> Option<NodeIndex> {
        let roles = self.hosting(name);
        let leaders = roles.into_iter().filter(|(_, info)| info.role == "leader");
        leaders.max_by_key(|(_, info)| (info.epoch, info.term)).map(|(node, _)| node)
    }

    fn hosting(&self, name: &str) -> Vec<(NodeIndex, HostedInfo)> {
        let running = (0..self.world.len()).filter(|node| self.world.is_running(*node));
        running
            .filter_map(|node| Some((node, self.world.peer(node)?.hosting())))
            .flat_map(|(node, hosted)| hosted.into_iter().map(move |info| (node, info)))
            .filter(|(_, info)| info.service == name)
            .collect()
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

    /// H6, and that consumers are served in the end.
    fn finish(mut self) -> RunReport {
        let end = Step {
            at: self.world.now(),
            node: None,
            input: None,
            outputs: Vec::new(),
            points: Vec::new(),
            token: None,
        };
        for fault in self.world.faults() {
            self.checker.violate(&end, fault);
        }
        if self.world.refused_records() > 0 {
            let refused = self.world.refused_records();
            self.checker.violate(&end, format!("the DHT refused {refused} records of honest nodes"));
        }
        let mut leaders: BTreeMap<Option<NodeIndex>, u64> = BTreeMap::new();
        for service in 0..self.services.len() {
            let Some(name) = self.services[service].name.clone() else {
                self.checker.violate(&end, format!("service {service} was never published"));
                continue;
            };
            let roles: Vec<String> =
                self.hosting(&name).iter().map(|(node, info)| format!("{node} {}", info.role)).collect();
            let leads = self.leader(&name).is_some();
            let doomed = self.doomed.contains(&service);
            let stuck = !roles.is_empty();
            if !leads && (stuck || !doomed) {
                self.checker.violate(&end, format!("H6: nobody serves {name}; members: {roles:?}"));
            }
            self.report.lost += u64::from(!leads);
            *leaders.entry(self.leader(&name)).or_default() += 1;
            let served = |consumer: &Consumer| consumer.last_reply + FRESH >= end.at;
            let consumers = self.consumers.iter().filter(|consumer| consumer.service == service);
            let starved: Vec<NodeIndex> = consumers
                .filter(|consumer| leads && !served(consumer))
                .map(|consumer| consumer.node)
                .collect();
            if !starved.is_empty() {
                let what =
                    format!("H6: {name} is led, but the consumers at nodes {starved:?} are not served");
                self.checker.violate(&end, what);
            }
        }
        self.report.most_led = leaders.into_values().max().unwrap_or(0);
        self.check_history(&end);
        self.report.violations = self.checker.violations;
        self.report.events = self.world.events;
        self.report.frames = self.world.sent.0;
        self.report.bytes = self.world.sent.1;
        self.report.trace = self.world.trace();
        self.report
    }
}

fn service_id(name: &str) -> Option<overlay::id::ServiceId> {
    let (name, publisher) = name.split_once('@')?;
    Some(overlay::id::ServiceId::new(publisher.parse().ok()?, name))
}

fn session_id(hex: &str) -> Option<overlay::id::SessionId> {
    u128::from_str_radix(hex, 16).ok().map(overlay::id::SessionId)
}
