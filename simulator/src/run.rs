//! One run of a scenario: who is told what when, consumers that call and check their replies, faults, final checks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use overlay::id::{PeerId, RequestId};
use overlay::io::{Answer, Command, Config, Error, Event, HostedInfo, Input, Lane, Output, VolunteerPolicy};
use overlay::time::Time;
use overlay::wire::{self, Control, Step as HandoverStep};

use crate::check::Checker;
use crate::link::Micros;
use crate::peer::{GroupView, Peer};
use crate::report::RunReport;
use crate::rng::Rng;
use crate::sandbox::CounterReply;
use crate::scenario::{FaultKind, PlannedFault, Role, Scenario};
use crate::world::{Death, NodeIndex, Step, World};

/// The most violations that a run collects before it ends.
const MAX_VIOLATIONS: usize = 20;
/// The most lines of a run's log.
const MAX_LOG: usize = 20_000;
/// A consumer that opens in vain tries again after this.
const REOPEN: Micros = 500_000;
/// A handover whose answer does not come is given up after this, so that the next one is tried.
const HANDOVER_TIMEOUT: Micros = 20_000_000;
/// An open session must have had a reply in this last part of a run.
const FRESH: Micros = 4_000_000;

/// Runs `scenario` once. `make` makes a node.
pub fn run<P: Peer>(scenario: &Scenario, seed: u64, make: impl Fn(Config, Time) -> P) -> RunReport {
    let mut run = Run::new(scenario, seed, make);
    run.start();
    let end = (scenario.seconds + scenario.quiet_seconds) * 1_000_000;
    while let Some(step) = run.world.step(end) {
        run.on_step(step);
        if run.checker.violations.len() >= MAX_VIOLATIONS {
            break;
        }
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
    Handover(usize),
    GiveUp(usize, u64),
    Strike(PlannedFault, NodeIndex, usize),
    Thaw(NodeIndex),
    Unblock(Vec<(NodeIndex, NodeIndex)>),
    Revive(NodeIndex),
    Death,
    Block,
    Breaks,
    RelayDies,
}

/// What an answer is for.
enum Waiting {
    Volunteer,
    Publish(usize),
    Open(usize),
    Call { consumer: usize, opened: u64, number: u64 },
    Close,
    Handover(usize, u64),
}

struct Service {
    publisher: NodeIndex,
    name: Option<String>,
    moving: Option<Moving>,
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
        let services = scenario.service.count.min(scenario.volunteers);
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
                .map(|n| Service { publisher: scenario.relays + n, name: None, moving: None })
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
        }
        let churn = &self.scenario.churn;
        let every = [(churn.death_every_ms, Todo::Death), (churn.block_every_ms, Todo::Block)];
        for (ms, todo) in every.into_iter().filter(|(ms, _)| *ms > 0) {
            self.later(4_000_000 + ms * 1000, todo);
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
                VolunteerPolicy { cpu: 50, memory_mib: 1024, storage_mib: 1024, services: Vec::new() };
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

    /// What a person wants to read of a run: handovers, faults, errors, connections.
    fn note_log(&mut self, step: &Step, node: NodeIndex) {
        let mut log = |line: String| {
            if self.report.log.len() < MAX_LOG {
                self.report.log.push(format!("{:>10.4} node {node:<3} {line}", step.at as f64 / 1e6));
            }
        };
        let place = |peer: &PeerId| self.world.find(peer).map_or(-1, |node| node as i64);
        match &step.input {
            Some(Input::Disconnected { peer }) => log(format!("disconnected from {}", place(peer))),
            Some(Input::Connected { peer, .. }) => log(format!("connected to {}", place(peer))),
            Some(Input::DialFailed { peer }) => log(format!("cannot reach {}", place(peer))),
            _ => {}
        }
        for output in &step.outputs {
            match output {
                Output::Send { peer, lane: Lane::Control, frame } => {
                    if let Ok(Control::Handover { step, .. }) = wire::decode(frame) {
                        let text: String = format!("{step:?}").chars().take(90).collect();
                        log(format!("to {}: {text}", place(peer)));
                    }
                }
                Output::Event(Event::Handover { step, reason, .. }) => log(format!("at {step} {reason}")),
                Output::Event(Event::Error { message, .. }) => log(format!("error: {message}")),
                Output::Event(Event::Closed { reason, .. }) => log(format!("session closed: {reason}")),
                Output::Event(Event::Hosting { .. }) => {
                    let hosting = self.world.peer(node).map(Peer::hosting).unwrap_or_default();
                    let roles: Vec<_> =
                        hosting.iter().map(|h| (&h.role, h.epoch, h.term, h.members.len())).collect();
                    log(format!("hosts {roles:?}"));
                }
                Output::Event(Event::Moved(info)) => {
                    let server = info.server.parse().map_or(-1, |peer| place(&peer));
                    log(format!("follows to {server} in {:?}", (info.epoch, info.term)));
                }
                Output::Answer { result: Err(error), .. } => log(format!("{error}")),
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
                    "interface":{{"add":{{}},"say":{{}},"later":{{}}}}}}"#,
                    model.state
                );
                let (manifest, module) = (manifest.into_bytes(), model.module.clone().into_bytes());
                let publish = Command::Publish { manifest, module, ui: Vec::new() };
                self.command(self.services[service].publisher, publish, Waiting::Publish(service));
            }
            Todo::Open(consumer) => self.open(consumer),
            Todo::Call(consumer) => self.call(consumer),
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

    fn open(&mut self, consumer: usize) {
        let place = &self.consumers[consumer];
        let node = place.node;
        match (&self.services[place.service].name, self.world.is_running(node)) {
            (Some(name), true) => {
                let open = Command::Open { service: name.clone(), deadline_ms: 0 };
                self.command(node, open, Waiting::Open(consumer));
            }
            _ => self.later(self.world.now() + REOPEN, Todo::Open(consumer)),
        }
    }

    fn call(&mut self, consumer: usize) {
        let calls = &self.scenario.calls;
        let gap = 1_000_000 / calls.per_second.max(1);
        let say = self.rng.chance(calls.say);
        let place = &mut self.consumers[consumer];
        let (node, opened) = (place.node, place.opened);
        let Some(session) = &mut place.session else { return };
        let id = session.id.clone();
        if calls.session_calls > 0 && session.sent >= calls.session_calls && session.in_flight.is_empty() {
            place.session = None;
            if let Some(session) = session_id(&id) {
                self.command(node, Command::Close { session }, Waiting::Close);
            }
            return self.later(self.world.now() + gap, Todo::Open(consumer));
        }
        if session.in_flight.len() < calls.in_flight {
            session.sent += 1;
            let number = session.sent;
            session.in_flight.push_back(number);
            let method = match number % 17 {
                0 => "later",
                _ if say => "say",
                _ => "add",
            };
            if let Some(session) = session_id(&id) {
                let body = number.to_le_bytes().to_vec();
                let call = Command::Call { session, method: method.into(), body, deadline_ms: 0 };
                self.report.calls += 1;
                self.command(node, call, Waiting::Call { consumer, opened, number });
            }
        }
        self.later(self.world.now() + gap, Todo::Call(consumer));
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
            (Waiting::Call { consumer, opened, number }, result) => {
                self.on_reply(step, consumer, opened, number, result);
            }
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

    /// H3: the k-th call of a session gets k, whatever happened in between; and replies come in order.
    fn on_reply(
        &mut self,
        step: &Step,
        consumer: usize,
        opened: u64,
        number: u64,
        result: &Result<Answer, Error>,
    ) {
        let now = self.world.now();
        let place = &mut self.consumers[consumer];
        let Some(session) = place.session.as_mut().filter(|_| place.opened == opened) else { return };
        let in_order = session.in_flight.front() == Some(&number);
        session.in_flight.retain(|waiting| *waiting != number);
        match result {
            Ok(Answer::Reply(body)) => {
                self.report.replies += 1;
                self.report.longest_gap_ms =
                    self.report.longest_gap_ms.max((now - place.last_reply.max(session.since)) / 1000);
                place.last_reply = now;
                let found = postcard::from_bytes::<CounterReply>(body).map(|reply| reply.session);
                if found != Ok(number) {
                    let what = format!("H3: call {number} of consumer {consumer} was counted as {found:?}");
                    self.checker.violate(step, what);
                } else if !in_order {
                    self.checker.violate(step, format!("H3: the reply to call {number} came out of order"));
                }
            }
            Err(Error::Disconnected(_) | Error::UnknownOutcome(_) | Error::Deadline(_)) => {}
            other => {
                self.checker
                    .violate(step, format!("call {number} of consumer {consumer} ended with {other:?}"));
            }
        }
    }

    fn on_event(&mut self, step: &Step, node: NodeIndex, event: &Event) {
        match event {
            Event::Handover { step: stage, .. } => self.on_stage(node, &stage.clone()),
            Event::Message { session, body } => {
                let line = body.as_slice().try_into().map(u64::from_le_bytes);
                let open = self.consumers.iter_mut().filter(|consumer| consumer.node == node);
                let session =
                    open.filter_map(|consumer| consumer.session.as_mut()).find(|open| open.id == *session);
                let (Some(session), Ok(line)) = (session, line) else { return };
                self.report.messages += 1;
                let last = session.last_line.replace(line);
                if last.is_some_and(|last| line != last + 1) {
                    self.checker.violate(step, format!("H3: node {node} got line {line} after {last:?}"));
                }
            }
            Event::Closed { session, .. } => {
                let now = self.world.now();
                let closed = |consumer: &Consumer| {
                    consumer.node == node && consumer.session.as_ref().is_some_and(|open| open.id == *session)
                };
                if let Some(consumer) = self.consumers.iter().position(closed) {
                    self.consumers[consumer].session = None;
                    self.report.sessions_lost += 1;
                    self.later(now + REOPEN, Todo::Open(consumer));
                }
            }
            _ => {}
        }
    }

    fn on_control(&mut self, node: NodeIndex, to: &PeerId, frame: &[u8]) {
        if self.services.iter().all(|service| service.moving.is_none()) {
            return;
        }
        let Ok(Control::Handover { step, .. }) = wire::decode(frame) else { return };
        let to = self.world.find(to);
        if matches!(step, HandoverStep::AskWitness { .. }) {
            let moving = self.services.iter_mut().filter_map(|service| service.moving.as_mut());
            moving.filter(|moving| moving.source == node).for_each(|moving| moving.witness = to);
        }
        let stage = match step {
            HandoverStep::Offer { .. } => "sent-offer",
            HandoverStep::Ready { .. } => "sent-ready",
            HandoverStep::AskWitness { .. } => "sent-ask-witness",
            HandoverStep::Seed { .. } => "sent-seed",
            HandoverStep::SeedWitness { .. } => "sent-seed-witness",
            HandoverStep::Seeded => "sent-seeded",
            HandoverStep::Warm { .. } => "sent-warm",
            HandoverStep::Release { .. } => "sent-release",
            _ => return,
        };
        self.on_stage(node, stage);
    }

    /// A step of a handover in which `node` takes part; the seed's fault may strike here.
    fn on_stage(&mut self, node: NodeIndex, stage: &str) {
        let parts = |moving: &Moving| [Some(moving.source), Some(moving.target), moving.witness];
        let Some(service) = self.services.iter().position(|service| {
            service.moving.as_ref().is_some_and(|moving| parts(moving).contains(&Some(node)))
        }) else {
            return;
        };
        let Some(moving) = self.services[service].moving.as_mut() else { return };
        let seen = moving.seen.entry(stage.to_owned()).or_default();
        let occurrence = *seen;
        *seen += 1;
        let Some(fault) = &self.fault else { return };
        if fault.at != stage || fault.occurrence != occurrence || fault.handover > moving.number {
            return;
        }
        let victim = match fault.who {
            Role::Source => Some(moving.source),
            Role::Target => Some(moving.target),
            Role::Witness => moving.witness,
        };
        // Without a witness yet, the next handover that has one is hit.
        let Some(victim) = victim else { return };
        let at = self.world.now() + fault.delay_us;
        if let Some(fault) = self.fault.take() {
            self.later(at, Todo::Strike(fault, victim, service));
        }
    }

    fn strike(&mut self, fault: &PlannedFault, victim: NodeIndex, service: usize) {
        let at = self.world.now() as f64 / 1e6;
        let what = format!("{:?} of {:?} (node {victim}) at {}, {at:.4} s", fault.kind, fault.who, fault.at);
        self.report.log.push(format!("{at:>10.4} {what}"));
        self.report.fault = Some(what);
        let until = self.world.now() + fault.seconds * 1_000_000;
        let others: Vec<NodeIndex> = (0..self.world.len()).filter(|node| *node != victim).collect();
        match fault.kind {
            FaultKind::None => {}
            FaultKind::Close | FaultKind::Kill => {
                if let Some(name) = self.services[service].name.clone() {
                    self.note_doom(service, &name, victim);
                }
                let death = if fault.kind == FaultKind::Kill { Death::Silent } else { Death::Closed };
                self.world.kill(victim, death);
                self.incarnations[victim] += 1;
            }
            FaultKind::Freeze => {
                self.world.freeze(victim);
                self.later(until, Todo::Thaw(victim));
            }
            FaultKind::Mute | FaultKind::Isolate => {
                let mut pairs: Vec<_> = others.iter().map(|other| (victim, *other)).collect();
                if fault.kind == FaultKind::Isolate {
                    pairs.extend(others.iter().map(|other| (*other, victim)));
                }
                pairs.iter().for_each(|(from, to)| self.world.block(*from, *to));
                self.later(until, Todo::Unblock(pairs));
            }
            FaultKind::Cut => others.into_iter().for_each(|other| self.world.cut(victim, other)),
        }
    }

    /// May the service's state be lost with `victim`? Only if some member sees a configuration without a majority then.
    fn note_doom(&mut self, service: usize, name: &str, victim: NodeIndex) {
        let Some(id) = service_id(name) else { return };
        let peer = self.world.id(victim);
        let outvoted = |voters: &Vec<PeerId>| {
            let others = voters.iter().filter(|voter| **voter != peer).count();
            2 * others <= voters.len()
        };
        let lost_if = |group: GroupView| group.service == id && group.majorities.iter().any(outvoted);
        let nodes = (0..self.world.len()).filter_map(|node| self.world.peer(node));
        let mut own = self.world.peer(victim).map(Peer::groups).unwrap_or_default().into_iter();
        if nodes.flat_map(Peer::groups).any(lost_if) || own.any(|group| group.service == id && group.changing)
        {
            self.doomed.insert(service);
        }
    }

    fn random_death(&mut self) {
        let churn = &self.scenario.churn;
        let (every, back) = (churn.death_every_ms * 1000, churn.revive_after_ms * 1000);
        let publishers: BTreeSet<NodeIndex> = self.services.iter().map(|service| service.publisher).collect();
        let is_idle = |node: &NodeIndex| {
            let hosts = self.world.peer(*node).is_some_and(|peer| !peer.hosting().is_empty());
            self.world.is_running(*node) && !publishers.contains(node) && !hosts
        };
        let tabs = self.scenario.relays..self.scenario.relays + self.scenario.volunteers;
        let idle: Vec<NodeIndex> = tabs.filter(is_idle).collect();
        if let Some(&victim) = self.rng.pick(&idle) {
            let death = if self.rng.chance(0.5) { Death::Silent } else { Death::Closed };
            self.world.kill(victim, death);
            self.report.deaths += 1;
            self.later(self.world.now() + back, Todo::Revive(victim));
        }
        if !self.is_over() {
            self.later(self.world.now() + every, Todo::Death);
        }
    }

    fn random_block(&mut self) {
        let churn = &self.scenario.churn;
        let (every, lasts, one_way) = (churn.block_every_ms * 1000, churn.block_ms * 1000, churn.one_way);
        if let Some(&(a, b)) = self.rng.pick(&self.world.pairs()) {
            let (a, b) = if self.rng.chance(0.5) { (a, b) } else { (b, a) };
            let mut pairs = vec![(a, b)];
            if !one_way {
                pairs.push((b, a));
            }
            pairs.iter().for_each(|(from, to)| self.world.block(*from, *to));
            self.report.blocks += 1;
            self.later(self.world.now() + lasts, Todo::Unblock(pairs));
        }
        if !self.is_over() {
            self.later(self.world.now() + every, Todo::Block);
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
        for service in 0..self.services.len() {
            let Some(name) = self.services[service].name.clone() else {
                self.checker.violate(&end, format!("service {service} was never published"));
                continue;
            };
            let roles: Vec<String> =
                self.hosting(&name).iter().map(|(node, info)| format!("{node} {}", info.role)).collect();
            let leads = self.leader(&name).is_some();
            let doomed = self.doomed.contains(&service);
            if !leads && !(doomed && roles.is_empty()) {
                self.checker.violate(&end, format!("H6: nobody serves {name}; members: {roles:?}"));
            }
            self.report.lost += u64::from(!leads);
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
