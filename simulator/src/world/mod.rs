//! Nodes, clock, event queue and connections. One event at a time, in the order of (time, sequence of scheduling).
//!
//! | file | holds |
//! |---|---|
//! | this one | nodes, and the queue of what happens |
//! | `links` | connections: dialled, used, broken |
//! | `faults` | what a scenario does to nodes and connections |
//! | `driver` | what a node asks of its driver: frames, the DHT, the sandbox |

mod driver;
mod faults;
mod links;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher};

use overlay::id::PeerId;
use overlay::io::{Input, Lane, Output};
use overlay::sandbox::SandboxEvent;
use overlay::time::Time;

use crate::dht::Dht;
use crate::link::{Link, LinkModel, Micros};
use crate::peer::Peer;
use crate::rng::Rng;
use crate::sandbox::{Point, ToySandbox};
use links::{pair, side};

pub use faults::Death;

/// A node's place in the world.
pub type NodeIndex = usize;

/// What the clock of the nodes shows at the start of a run.
pub const START: Time = Time(1_800_000_000_000);
/// The most inputs that a frozen node keeps for later; its transport drops the rest with the connection.
const MAX_BACKLOG: usize = 10_000;
/// Wakes within one virtual second above which a node is said to spin.
const MAX_WAKES: u32 = 4_000;

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
                let pair = pair(from, to);
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
