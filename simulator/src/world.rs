//! Nodes, clock, event queue and connections. One event at a time, in the order of (time, sequence of scheduling).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher};

use overlay::id::PeerId;
use overlay::io::{DhtCommand, DhtEvent, Input, Lane, Output, Path, MAX_FRAME};
use overlay::sandbox::{SandboxCommand, SandboxEvent};
use overlay::time::Time;

use crate::dht::Dht;
use crate::link::{Link, LinkModel, Micros};
use crate::peer::Peer;
use crate::rng::Rng;
use crate::sandbox::{Point, ToySandbox};

/// A node's place in the world.
pub type NodeIndex = usize;

/// What the clock of the nodes shows at the start of a run.
pub const START: Time = Time(1_800_000_000_000);
/// The most inputs that a frozen node keeps for later; its transport drops the rest with the connection.
const MAX_BACKLOG: usize = 10_000;
/// Wakes within one virtual second above which a node is said to spin.
const MAX_WAKES: u32 = 4_000;

/// How a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// A closed tab: its peers notice within 30 ms and a one-way delay.
    Closed,
    /// A killed browser: its peers notice after 12 to 17 s (`platform-facts.md`: 15.7 s).
    Silent,
}

/// One processed event: what a node was told and what it answered.
#[derive(Debug)]
pub struct Step {
    /// When.
    pub at: Micros,
    /// Which node, unless the event was the scenario's own.
    pub node: Option<NodeIndex>,
    /// What it was told.
    pub input: Option<Input>,
    /// What it did.
    pub outputs: Vec<Output>,
    /// States that its sandbox reached.
    pub points: Vec<Point>,
    /// The scenario's own event.
    pub token: Option<u64>,
}

/// The world.
pub struct World<P> {
    now: Micros,
    rng: Rng,
    model: LinkModel,
    queue: BTreeMap<(Micros, u64), Happening>,
    scheduled: u64,
    nodes: Vec<Node<P>>,
    index: BTreeMap<PeerId, NodeIndex>,
    links: BTreeMap<(NodeIndex, NodeIndex), Link>,
    generations: u64,
    blocked: BTreeSet<(NodeIndex, NodeIndex)>,
    dht: Dht,
    trace: DefaultHasher,
    faults: Vec<String>,
    /// Events processed.
    pub events: u64,
    /// Frames and bytes sent.
    pub sent: (u64, u64),
}

struct Node<P> {
    id: PeerId,
    peer: Option<P>,
    relay: bool,
    incarnation: u64,
    alarm: Option<Micros>,
    wakes: (Micros, u32),
    frozen: bool,
    backlog: VecDeque<Input>,
    up_free: Micros,
    sandbox: ToySandbox,
}

enum Happening {
    Wake(NodeIndex),
    Input { node: NodeIndex, incarnation: u64, input: Input },
    Arrive { from: NodeIndex, to: NodeIndex, generation: u64, lane: Lane, frame: Vec<u8> },
    Up { node: NodeIndex, peer: NodeIndex, generation: u64 },
    Down { node: NodeIndex, peer: NodeIndex, generation: u64 },
    Dialled { from: NodeIndex, incarnation: u64, to: NodeIndex },
    GiveUp { pair: (NodeIndex, NodeIndex), generation: u64 },
    Token(u64),
}

impl<P: Peer> World<P> {
    /// An empty world.
    pub fn new(seed: u64, model: LinkModel) -> Self {
        Self {
            now: 0,
            rng: Rng::new(seed, 1),
            model,
            queue: BTreeMap::new(),
            scheduled: 0,
            nodes: Vec::new(),
            index: BTreeMap::new(),
            links: BTreeMap::new(),
            generations: 0,
            blocked: BTreeSet::new(),
            dht: Dht::default(),
            trace: DefaultHasher::new(),
            faults: Vec::new(),
            events: 0,
            sent: (0, 0),
        }
    }

    /// Adds a node. A tab connects to all relays that are there, as its driver would, and keeps trying.
    pub fn add(&mut self, peer: P, relay: bool) -> NodeIndex {
        let node = self.nodes.len();
        let id = peer.id();
        self.index.insert(id, node);
        self.nodes.push(Node {
            id,
            peer: Some(peer),
            relay,
            incarnation: 0,
            alarm: None,
            wakes: (0, 0),
            frozen: false,
            backlog: VecDeque::new(),
            up_free: 0,
            sandbox: ToySandbox::new(node as u64 + 1),
        });
        self.bootstrap(node);
        node
    }

    /// Brings a dead node back as another incarnation.
    pub fn revive(&mut self, node: NodeIndex, peer: P) {
        let incarnation = self.nodes[node].incarnation;
        self.nodes[node].peer = Some(peer);
        self.nodes[node].sandbox = ToySandbox::new((incarnation << 32) + node as u64 + 1);
        self.nodes[node].alarm = None;
        self.bootstrap(node);
    }

    /// Virtual time in µs since the start.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// What the nodes' clocks show.
    pub fn time(&self) -> Time {
        Time(START.0 + self.now / 1000)
    }

    /// The number of nodes, dead ones included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Is there no node?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A living node.
    pub fn peer(&self, node: NodeIndex) -> Option<&P> {
        self.nodes[node].peer.as_ref()
    }

    /// A node's identity.
    pub fn id(&self, node: NodeIndex) -> PeerId {
        self.nodes[node].id
    }

    /// The node with this identity.
    pub fn find(&self, id: &PeerId) -> Option<NodeIndex> {
        self.index.get(id).copied()
    }

    /// Does the node live and run?
    pub fn is_running(&self, node: NodeIndex) -> bool {
        self.nodes[node].peer.is_some() && !self.nodes[node].frozen
    }

    /// Records that the DHT refused.
    pub fn refused_records(&self) -> u64 {
        self.dht.refused
    }

    /// A digest of everything that happened: equal for equal scenarios and seeds.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// What nodes did that no driver would accept.
    pub fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// Gives a node an input at once.
    pub fn tell(&mut self, node: NodeIndex, input: Input) {
        let incarnation = self.nodes[node].incarnation;
        self.schedule(self.now, Happening::Input { node, incarnation, input });
    }

    /// Schedules an event of the scenario's own.
    pub fn call_back(&mut self, at: Micros, token: u64) {
        self.schedule(at, Happening::Token(token));
    }

    /// Kills a node.
    pub fn kill(&mut self, node: NodeIndex, death: Death) {
        if self.nodes[node].peer.take().is_none() {
            return;
        }
        self.nodes[node].incarnation += 1;
        self.nodes[node].frozen = false;
        self.nodes[node].backlog.clear();
        for (pair, other) in self.links_of(node) {
            let Some(link) = self.links.get_mut(&pair) else { continue };
            link.up[side(pair, node)] = false;
            let (generation, latency) = (link.generation, link.latency());
            let at = match death {
                Death::Closed => self.now + latency + 30_000,
                Death::Silent => self.now + self.rng.between([12_000_000, 17_000_000]),
            };
            link.broken |= death == Death::Closed;
            self.schedule(at, Happening::Down { node: other, peer: node, generation });
        }
    }

    /// Stops a node's clock; what comes in waits.
    pub fn freeze(&mut self, node: NodeIndex) {
        self.nodes[node].frozen = self.nodes[node].peer.is_some();
    }

    /// Lets a frozen node go on, with all that waited.
    pub fn thaw(&mut self, node: NodeIndex) {
        self.nodes[node].frozen = false;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.tell(node, input);
        }
        self.tell(node, Input::Wake);
    }

    /// From now on nothing goes from one node to the other; a connection gives up after 8 to 16 s of that.
    pub fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.insert((from, to));
        let pair = (from.min(to), from.max(to));
        if let Some(link) = self.links.get(&pair) {
            let generation = link.generation;
            let at = self.now + self.rng.between([8_000_000, 16_000_000]);
            self.schedule(at, Happening::GiveUp { pair, generation });
        }
    }

    /// Ends a [`World::block`]; what waited goes on its way.
    pub fn unblock(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.remove(&(from, to));
        let pair = (from.min(to), from.max(to));
        let Some(link) = self.links.get_mut(&pair) else { return };
        for (lane, frame) in std::mem::take(&mut link.held[side(pair, from)]) {
            self.transmit(from, to, lane, frame);
        }
    }

    /// Breaks the connection of two nodes: what is in flight is lost, both notice soon, neither at the same time.
    pub fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        let pair = (a.min(b), a.max(b));
        let delays = [self.rng.between([0, 400_000]), self.rng.between([0, 400_000])];
        self.break_link(pair, delays);
    }

    /// All connected pairs.
    pub fn pairs(&self) -> Vec<(NodeIndex, NodeIndex)> {
        self.links.iter().filter(|(_, link)| !link.broken).map(|(pair, _)| *pair).collect()
    }

    /// Processes the next event, if there is one before `until`.
    pub fn step(&mut self, until: Micros) -> Option<Step> {
        let (&(at, sequence), _) = self.queue.first_key_value()?;
        if at > until {
            self.now = until;
            return None;
        }
        let happening = self.queue.remove(&(at, sequence))?;
        self.now = at;
        self.events += 1;
        let mut step =
            Step { at, node: None, input: None, outputs: Vec::new(), points: Vec::new(), token: None };
        match happening {
            Happening::Token(token) => step.token = Some(token),
            Happening::Wake(node) => {
                if self.nodes[node].alarm == Some(at) {
                    self.nodes[node].alarm = None;
                    self.count_wake(node);
                    self.feed(node, Input::Wake, &mut step);
                }
            }
            Happening::Input { node, incarnation, input } => {
                if self.nodes[node].incarnation == incarnation {
                    self.feed(node, input, &mut step);
                }
            }
            Happening::Arrive { from, to, generation, lane, frame } => {
                let pair = (from.min(to), from.max(to));
                let link = self.links.get(&pair).filter(|link| link.generation == generation);
                if link.is_some_and(|link| link.up[side(pair, to)]) {
                    let peer = self.nodes[from].id;
                    self.feed(to, Input::Received { peer, lane, frame }, &mut step);
                }
            }
            Happening::Up { node, peer, generation } => self.up(node, peer, generation, &mut step),
            Happening::Down { node, peer, generation } => self.down(node, peer, generation, &mut step),
            Happening::Dialled { from, incarnation, to } => {
                if self.nodes[from].incarnation == incarnation {
                    self.dialled(from, to);
                }
            }
            Happening::GiveUp { pair, generation } => {
                let blocked = self.blocked.contains(&pair) || self.blocked.contains(&(pair.1, pair.0));
                if blocked && self.links.get(&pair).is_some_and(|link| link.generation == generation) {
                    let delays = [self.rng.between([0, 2_000_000]), self.rng.between([0, 2_000_000])];
                    self.break_link(pair, delays);
                }
            }
        }
        Some(step)
    }

    fn schedule(&mut self, at: Micros, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((at, self.scheduled), happening);
    }

    fn feed(&mut self, node: NodeIndex, input: Input, step: &mut Step) {
        let time = self.time();
        let place = &mut self.nodes[node];
        let Some(peer) = &mut place.peer else { return };
        if place.frozen {
            if place.backlog.len() < MAX_BACKLOG {
                place.backlog.push_back(input);
            }
            return;
        }
        (self.now, node).hash(&mut self.trace);
        hash_input(&input, &mut self.trace);
        step.node = Some(node);
        step.input = Some(input.clone());
        peer.handle(time, input);
        let first = step.outputs.len();
        while let Some(output) = peer.poll_output() {
            step.outputs.push(output);
        }
        for output in &step.outputs[first..] {
            self.apply(node, output, &mut step.points);
        }
        self.set_alarm(node);
    }

    fn set_alarm(&mut self, node: NodeIndex) {
        let Some(wanted) = self.nodes[node].peer.as_ref().and_then(Peer::poll_timeout) else {
            self.nodes[node].alarm = None;
            return;
        };
        // A time-out that is due already comes a millisecond later, so that a node that spins is seen, not waited for.
        let at = (wanted.0.saturating_sub(START.0).saturating_mul(1000)).max(self.now + 1000);
        if self.nodes[node].alarm != Some(at) {
            self.nodes[node].alarm = Some(at);
            self.schedule(at, Happening::Wake(node));
        }
    }

    fn count_wake(&mut self, node: NodeIndex) {
        let second = self.now / 1_000_000;
        let wakes = &mut self.nodes[node].wakes;
        *wakes = if wakes.0 == second { (second, wakes.1 + 1) } else { (second, 1) };
        if wakes.1 == MAX_WAKES {
            self.faults.push(format!("node {node} spins: {MAX_WAKES} wakes in second {second}"));
        }
    }

    fn apply(&mut self, node: NodeIndex, output: &Output, points: &mut Vec<Point>) {
        let incarnation = self.nodes[node].incarnation;
        match output {
            Output::Send { peer, lane, frame } => {
                if frame.len() > MAX_FRAME {
                    self.faults.push(format!("node {node} sent a frame of {} bytes", frame.len()));
                }
                if let Some(to) = self.find(peer) {
                    self.transmit(node, to, *lane, frame.clone());
                }
            }
            Output::Dial { peer, .. } => match self.find(peer).filter(|to| *to != node) {
                Some(to) => self.dial(node, to),
                None => self.tell(node, Input::DialFailed { peer: *peer }),
            },
            Output::Hangup { peer } => {
                if let Some(to) = self.find(peer) {
                    let pair = (node.min(to), node.max(to));
                    let latency = self.links.get(&pair).map_or(0, Link::latency);
                    let mut delays = [latency; 2];
                    delays[side(pair, node)] = 0;
                    self.break_link(pair, delays);
                }
            }
            Output::Dht(command) => self.dht(node, incarnation, command),
            Output::Sandbox(command) => self.sandbox(node, incarnation, command, points),
            Output::Store { key, flush: true, .. } => {
                self.tell(node, Input::Stored { key: key.clone(), done: true });
            }
            Output::Answer { .. } | Output::Event(_) | Output::Store { .. } => {}
        }
    }

    fn dht(&mut self, node: NodeIndex, incarnation: u64, command: &DhtCommand) {
        let from = self.nodes[node].id;
        let connected = self.links_of(node).iter().any(|(pair, _)| self.links[pair].up[side(*pair, node)]);
        let (answer, delay) = match (connected, command) {
            (true, _) => (self.dht.handle(self.time(), from, command), [60_000, 500_000]),
            (false, DhtCommand::Get { key }) => {
                (Some(DhtEvent::Got { key: *key, values: Vec::new() }), [10_000_000; 2])
            }
            (false, DhtCommand::FindProviders { key }) => {
                (Some(DhtEvent::Providers { key: *key, peers: Vec::new() }), [10_000_000; 2])
            }
            (false, _) => (None, [0; 2]),
        };
        if let Some(event) = answer {
            let at = self.now + self.rng.between(delay);
            self.schedule(at, Happening::Input { node, incarnation, input: Input::Dht(event) });
        }
    }

    fn sandbox(
        &mut self,
        node: NodeIndex,
        incarnation: u64,
        command: &SandboxCommand,
        points: &mut Vec<Point>,
    ) {
        let (answer, point) = self.nodes[node].sandbox.handle(self.now, &mut self.rng, command);
        points.extend(point);
        if let Some((at, event)) = answer {
            let event: SandboxEvent = event;
            self.schedule(at, Happening::Input { node, incarnation, input: Input::Sandbox(event) });
        }
    }

    fn transmit(&mut self, from: NodeIndex, to: NodeIndex, lane: Lane, frame: Vec<u8>) {
        let pair = (from.min(to), from.max(to));
        let direction = side(pair, from);
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.up[direction] && !link.broken) else {
            return;
        };
        self.sent.0 += 1;
        self.sent.1 += frame.len() as u64;
        if self.blocked.contains(&(from, to)) {
            link.held[direction].push_back((lane, frame));
            return;
        }
        let took = (frame.len() as u64 + 60) * 8 / self.model.up_mbps.max(1);
        let place = &mut self.nodes[from];
        place.up_free = place.up_free.max(self.now) + took;
        let at = link.arrival(&self.model, &mut self.rng, place.up_free, direction, lane);
        let generation = link.generation;
        self.schedule(at, Happening::Arrive { from, to, generation, lane, frame });
    }

    fn bootstrap(&mut self, node: NodeIndex) {
        if self.nodes[node].relay {
            for other in (0..node).filter(|other| self.nodes[*other].relay).collect::<Vec<_>>() {
                self.dial(node, other);
            }
            return;
        }
        let relays: Vec<NodeIndex> = (0..self.nodes.len()).filter(|other| self.nodes[*other].relay).collect();
        relays.into_iter().for_each(|relay| self.dial(node, relay));
    }

    fn dial(&mut self, from: NodeIndex, to: NodeIndex) {
        let round_trip = 2 * self.latency(from, to);
        // Signalling, ICE, DTLS and the protocols' negotiation.
        let at = self.now + 4 * round_trip + self.rng.between([20_000, 150_000]);
        let incarnation = self.nodes[from].incarnation;
        self.schedule(at, Happening::Dialled { from, incarnation, to });
    }

    fn dialled(&mut self, from: NodeIndex, to: NodeIndex) {
        let pair = (from.min(to), from.max(to));
        if let Some(link) = self.links.get(&pair) {
            if link.up == [true; 2] && !link.broken {
                let peer = self.nodes[to].id;
                self.tell(from, Input::Connected { peer, path: Path::Direct });
                return;
            }
        }
        if !self.is_reachable(from, to) {
            let wait =
                if self.nodes[to].peer.is_some() { [200_000, 2_000_000] } else { [3_000_000, 10_000_000] };
            let at = self.now + self.rng.between(wait);
            let (incarnation, peer) = (self.nodes[from].incarnation, self.nodes[to].id);
            self.schedule(
                at,
                Happening::Input { node: from, incarnation, input: Input::DialFailed { peer } },
            );
            if self.nodes[to].relay && !self.nodes[from].relay {
                self.schedule(at + 3_000_000, Happening::Dialled { from, incarnation, to });
            }
            return;
        }
        // Who still believes in an older connection learns first that it is gone.
        if let Some(old) = self.links.remove(&pair) {
            for (node, peer) in [(pair.0, pair.1), (pair.1, pair.0)] {
                if old.up[side(pair, node)] {
                    let peer = self.nodes[peer].id;
                    self.tell(node, Input::Disconnected { peer });
                }
            }
        }
        self.generations += 1;
        let generation = self.generations;
        let latency = self.latency(from, to);
        self.links.insert(pair, Link::new(generation, latency));
        self.schedule(self.now, Happening::Up { node: from, peer: to, generation });
        self.schedule(self.now + latency, Happening::Up { node: to, peer: from, generation });
    }

    fn is_reachable(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let cut = |a, b| self.blocked.contains(&(a, b)) || self.blocked.contains(&(b, a));
        if !self.is_running(to) || cut(from, to) {
            return false;
        }
        // A tab is met through somebody whom it is connected to and whom the dialler reaches.
        self.nodes[to].relay
            || self.links_of(to).into_iter().any(|(pair, middle)| {
                let up = self.links[&pair].up == [true; 2] && self.is_running(middle) && !cut(to, middle);
                up && !cut(from, middle) && (self.nodes[middle].relay || self.is_linked(from, middle))
            })
    }

    /// Are the two connected, and know it both?
    pub fn is_linked(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.links.get(&(a.min(b), a.max(b))).is_some_and(|link| link.up == [true; 2])
    }

    fn up(&mut self, node: NodeIndex, peer: NodeIndex, generation: u64, step: &mut Step) {
        let pair = (node.min(peer), node.max(peer));
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.generation == generation) else {
            return;
        };
        if link.broken || self.nodes[node].peer.is_none() {
            return;
        }
        link.up[side(pair, node)] = true;
        let latency = link.latency();
        let (id, incarnation) = (self.nodes[peer].id, self.nodes[node].incarnation);
        self.feed(node, Input::Connected { peer: id, path: Path::Direct }, step);
        let rtt = Input::Rtt { peer: id, micros: 2 * latency };
        self.schedule(self.now + 2 * latency, Happening::Input { node, incarnation, input: rtt });
        if self.nodes[peer].relay && !self.nodes[node].relay {
            let address = format!("/sim/{id}/p2p-circuit");
            self.schedule(
                self.now + 2 * latency,
                Happening::Input { node, incarnation, input: Input::Addresses(vec![address]) },
            );
        }
    }

    fn down(&mut self, node: NodeIndex, peer: NodeIndex, generation: u64, step: &mut Step) {
        let pair = (node.min(peer), node.max(peer));
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.generation == generation) else {
            return;
        };
        link.broken = true;
        let was_up = std::mem::take(&mut link.up[side(pair, node)]);
        if link.up == [false; 2] {
            self.links.remove(&pair);
        }
        if was_up {
            let id = self.nodes[peer].id;
            self.feed(node, Input::Disconnected { peer: id }, step);
            if self.nodes[peer].relay && !self.nodes[node].relay && self.nodes[node].peer.is_some() {
                let at = self.now + self.rng.between([1_000_000, 3_000_000]);
                let incarnation = self.nodes[node].incarnation;
                self.schedule(at, Happening::Dialled { from: node, incarnation, to: peer });
            }
        }
    }

    /// `delays` are those of the lower and of the higher node.
    fn break_link(&mut self, pair: (NodeIndex, NodeIndex), delays: [Micros; 2]) {
        let Some(link) = self.links.get_mut(&pair).filter(|link| !link.broken) else { return };
        link.broken = true;
        link.held = [VecDeque::new(), VecDeque::new()];
        // What is in flight belongs to the old generation and is lost.
        self.generations += 1;
        link.generation = self.generations;
        let generation = link.generation;
        self.schedule(self.now + delays[0], Happening::Down { node: pair.0, peer: pair.1, generation });
        self.schedule(self.now + delays[1], Happening::Down { node: pair.1, peer: pair.0, generation });
    }

    fn links_of(&self, node: NodeIndex) -> Vec<((NodeIndex, NodeIndex), NodeIndex)> {
        let other = |pair: &(NodeIndex, NodeIndex)| match *pair {
            (a, b) if a == node => Some(b),
            (a, b) if b == node => Some(a),
            _ => None,
        };
        self.links.keys().filter_map(|pair| Some((*pair, other(pair)?))).collect()
    }

    /// The one-way delay of a pair: the same each time they connect.
    fn latency(&self, a: NodeIndex, b: NodeIndex) -> Micros {
        let [low, high] = self.model.latency_ms;
        let (a, b) = (a.min(b) as u64, a.max(b) as u64);
        let draw = Rng::new(a << 32 | b, 2).between([low * 1000, high * 1000]);
        draw.max(100)
    }
}

/// Which of the pair the node is: 0 the lower, 1 the higher.
fn side(pair: (NodeIndex, NodeIndex), node: NodeIndex) -> usize {
    usize::from(pair.1 == node)
}

fn hash_input(input: &Input, hasher: &mut DefaultHasher) {
    match input {
        Input::Received { peer, lane, frame } => (peer, lane, frame).hash(hasher),
        Input::Sandbox(SandboxEvent::Snapshot { instance, run, state }) => {
            (instance, run, state).hash(hasher)
        }
        other => format!("{other:?}").hash(hasher),
    }
}
