//! The driver: a swarm, a kernel and one alarm, run by one poll.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{identify, ping, Multiaddr};
use overlay::id::{PeerId, RequestId};
use overlay::io::{Answer, Command, Error, Event, Input, Output, Path, Status};
use overlay::sandbox::{SandboxCommand, SandboxEvent};
use overlay::time::{Millis, Time};
use web_time::{Instant, SystemTime};

use crate::addresses::{
    claimed, is_circuit, is_webrtc, kernel_peer, last_peer, libp2p_peer, relay_of, MAX_ADDRESSES,
};
use crate::behaviour::{Behaviour, BehaviourEvent};
use crate::dht::{self, Admit, Dht};
use crate::dials::{Dials, Step};
use crate::doors::Doors;
use crate::lanes;
use crate::relays::{Relays, Use};

/// Commands and sandbox events that wait for the kernel; more commands are refused as `overloaded`.
const MAX_INPUTS: usize = 4_096;
/// Steps in one poll, so that a busy node leaves its thread to others.
const POLL_BUDGET: usize = 512;
/// Between two sweeps of expired records and idle connections.
const SWEEP: Millis = Millis::secs(15);

/// The kernel as the driver sees it: [`overlay::Node`], or something simple in a test of the driver.
pub trait Kernel {
    /// Takes one input; the outputs are drained before the next.
    fn handle(&mut self, now: Time, input: Input);
    /// The next output.
    fn poll_output(&mut self) -> Option<Output>;
    /// When to wake it next.
    fn poll_timeout(&self) -> Option<Time>;
    /// Its state at a glance.
    fn status(&self) -> Status;
}

impl Kernel for overlay::Node {
    fn handle(&mut self, now: Time, input: Input) {
        overlay::Node::handle(self, now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        overlay::Node::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        overlay::Node::poll_timeout(self)
    }

    fn status(&self) -> Status {
        overlay::Node::status(self)
    }
}

/// One alarm of the platform: hidden tabs need one that the browser does not throttle.
pub trait Alarm {
    /// Replaces the alarm by one after `delay`.
    fn set(&mut self, delay: Duration);
    /// Ready once after each `set`.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// What the driver hands to its platform.
#[derive(Debug)]
pub enum Outgoing<E> {
    /// The answer to a command.
    Answer(RequestId, Result<Answer, Error>),
    /// Something happened.
    Event(Event),
    /// Work for the sandbox; what it reports goes to [`Driver::handle_sandbox`].
    Sandbox(SandboxCommand),
    /// A value to keep on disk for later runs, or (`None`) to forget. When it is to be flushed, its end goes to
    /// [`Driver::handle_stored`].
    Store {
        /// Its key.
        key: String,
        /// The value.
        value: Option<Vec<u8>>,
        /// Somebody waits until it is on the medium.
        flush: bool,
    },
    /// An event of the platform's own protocols.
    Platform(E),
    /// The node listens on this address now.
    Listening(Multiaddr),
}

/// Drives one node.
pub struct Driver<P: NetworkBehaviour, K = overlay::Node> {
    swarm: Swarm<Behaviour<P>>,
    kernel: K,
    clock: Clock,
    alarm: Box<dyn Alarm + Send>,
    armed: Option<Time>,
    woken: Option<Time>,
    inputs: VecDeque<Input>,
    refused: VecDeque<RequestId>,
    relays: Relays,
    dials: Dials,
    dht: Dht,
    sweep_at: Time,
    waker: Option<Waker>,
}

impl<P: NetworkBehaviour, K: Kernel> Driver<P, K> {
    /// A driver of `kernel` over `swarm`. Addresses that the swarm listens on or has confirmed are reported to the
    /// kernel as they come. The relays' sockets are added to `doors`, which the swarm's transport should have before it.
    pub fn new(
        swarm: Swarm<Behaviour<P>>,
        kernel: K,
        clock: Clock,
        alarm: Box<dyn Alarm + Send>,
        (relays, doors): (Use, Doors),
        admit: Admit,
    ) -> Self {
        let sweep_at = clock.now() + SWEEP;
        Self {
            swarm,
            kernel,
            clock,
            alarm,
            armed: None,
            woken: None,
            inputs: VecDeque::new(),
            refused: VecDeque::new(),
            relays: Relays::new(relays, doors),
            dials: Dials::default(),
            dht: Dht::new(admit),
            sweep_at,
            waker: None,
        }
    }

    /// Keeps in touch with a relay from now on. False if the address does not end in a peer id or there are enough.
    pub fn add_relay(&mut self, address: Multiaddr) -> bool {
        let added = self.relays.add(address, self.clock.now());
        self.wake();
        added
    }

    /// Tries lost relays at once: the network is said to be back.
    pub fn retry_relays(&mut self) {
        self.relays.retry_now(self.clock.now());
        self.wake();
    }

    /// Gives the kernel a command; its answer comes as [`Outgoing::Answer`].
    pub fn command(&mut self, request: RequestId, command: Command) {
        if self.inputs.len() < MAX_INPUTS {
            self.inputs.push_back(Input::Command(request, command));
        } else {
            self.refused.push_back(request);
        }
        self.wake();
    }

    /// Tells the kernel what the sandbox reports. Never refused: the sandbox answers commands, so that their number
    /// bounds the reports.
    pub fn handle_sandbox(&mut self, event: SandboxEvent) {
        self.inputs.push_back(Input::Sandbox(event));
        self.wake();
    }

    /// Tells the kernel that what it wanted flushed is on disk, or could not be put there. Never refused: the kernel flushes
    /// one value of a service at a time.
    pub fn handle_stored(&mut self, key: String, done: bool) {
        self.inputs.push_back(Input::Stored { key, done });
        self.wake();
    }

    /// The node's state at a glance.
    pub fn status(&self) -> Status {
        self.kernel.status()
    }

    /// The swarm, for what only the platform knows: listening, external addresses.
    pub fn swarm(&mut self) -> &mut Swarm<Behaviour<P>> {
        &mut self.swarm
    }

    /// The driver's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Runs the node until it has something for the platform or nothing is left to do.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing<P::ToSwarm>> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        for _ in 0..POLL_BUDGET {
            if let Some(output) = self.kernel.poll_output() {
                match self.perform(output) {
                    Some(outgoing) => return Poll::Ready(outgoing),
                    None => continue,
                }
            }
            if let Some(request) = self.refused.pop_front() {
                let error = Error::Overloaded("too many commands wait".into(), Millis(200));
                return Poll::Ready(Outgoing::Answer(request, Err(error)));
            }
            if let Some(input) = self.inputs.pop_front() {
                self.feed(input);
                continue;
            }
            if let Poll::Ready(Some(event)) = self.swarm.poll_next_unpin(cx) {
                match self.on_swarm(event) {
                    Some(outgoing) => return Poll::Ready(outgoing),
                    None => continue,
                }
            }
            if !self.poll_clock(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn wake(&mut self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn feed(&mut self, input: Input) {
        self.kernel.handle(self.clock.now(), input);
    }

    /// Does what is due, or sets the alarm for what is next; true if something was done.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        if self.relays.timeout().is_some_and(|at| at <= now) {
            self.relays.tick(&mut self.swarm, now);
            return true;
        }
        if let Some(peer) = self.dials.expired(now) {
            self.feed(Input::DialFailed { peer });
            return true;
        }
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP;
            self.dht.sweep(&mut self.swarm.behaviour_mut().kad);
            self.swarm.behaviour_mut().lanes.close_idle();
            return true;
        }
        let mut kernel = self.kernel.poll_timeout();
        if kernel.is_some_and(|at| at <= now) {
            if self.woken != Some(now) {
                self.woken = Some(now);
                self.feed(Input::Wake);
                return true;
            }
            // It was woken in this very millisecond and asks again: go on in the next.
            kernel = Some(now + Millis(1));
        }
        let next = [kernel, self.relays.timeout(), self.dials.timeout()].into_iter().flatten();
        let next = next.fold(self.sweep_at, Time::min);
        // An alarm that comes too early is harmless, so one that is set is only ever replaced by an earlier one.
        if self.armed.is_none_or(|at| next < at) {
            self.armed = Some(next);
            self.alarm.set(Duration::from_millis(next.since(now).0));
        }
        let rung = self.alarm.poll(cx).is_ready();
        if rung {
            self.armed = None;
        }
        rung
    }

    fn perform(&mut self, output: Output) -> Option<Outgoing<P::ToSwarm>> {
        match output {
            Output::Send { peer, lane, frame } => self.swarm.behaviour_mut().lanes.send(peer, lane, frame),
            Output::Dial { peer, hints } => self.dial(peer, &hints),
            Output::Hangup { peer } => self.swarm.behaviour_mut().lanes.hangup(peer),
            Output::Dht(command) => {
                let now = self.clock.now();
                let kad = &mut self.swarm.behaviour_mut().kad;
                if let Some(event) = self.dht.command(kad, now, command) {
                    self.inputs.push_back(Input::Dht(event));
                }
            }
            Output::Sandbox(command) => return Some(Outgoing::Sandbox(command)),
            Output::Store { key, value, flush } => return Some(Outgoing::Store { key, value, flush }),
            Output::Answer { request, result } => return Some(Outgoing::Answer(request, result)),
            Output::Event(event) => return Some(Outgoing::Event(event)),
        }
        None
    }

    fn dial(&mut self, peer: PeerId, hints: &[String]) {
        if let Some(path) = self.swarm.behaviour().lanes.path(peer) {
            self.inputs.push_back(Input::Connected { peer, path });
            return;
        }
        if self.swarm.behaviour().lanes.is_foreign(peer) {
            self.inputs.push_back(Input::DialFailed { peer });
            return;
        }
        let now = self.clock.now();
        let step = self.dials.start(&mut self.swarm, now, peer, hints, &self.relays);
        if step == Step::Failed {
            self.inputs.push_back(Input::DialFailed { peer });
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent<P>>) -> Option<Outgoing<P::ToSwarm>> {
        match event {
            SwarmEvent::Behaviour(event) => return self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.relays.on_connected(&peer_id),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.relays.on_down(&peer_id, self.clock.now());
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), .. } => {
                self.on_dial_failed(peer_id)
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_confirmed(&address),
            SwarmEvent::ExternalAddrExpired { .. } => self.report_addresses(),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.relays.on_listener_closed(listener_id, self.clock.now());
            }
            SwarmEvent::NewListenAddr { address, .. } => return Some(Outgoing::Listening(address)),
            _ => {}
        }
        None
    }

    fn on_behaviour(&mut self, event: BehaviourEvent<P>) -> Option<Outgoing<P::ToSwarm>> {
        match event {
            BehaviourEvent::Lanes(lanes::Event::Received { peer, lane, frame }) => {
                self.feed(Input::Received { peer, lane, frame });
            }
            BehaviourEvent::Lanes(lanes::Event::Connected { peer, path }) => {
                self.dials.on_connected(peer);
                self.feed(Input::Connected { peer, path });
            }
            BehaviourEvent::Lanes(lanes::Event::Disconnected { peer }) => {
                self.feed(Input::Disconnected { peer })
            }
            BehaviourEvent::Platform(event) => return Some(Outgoing::Platform(event)),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info)
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Kad(event) => {
                let now = self.clock.now();
                let answer = self.dht.on_event(&mut self.swarm.behaviour_mut().kad, now, event);
                if let Some(answer) = answer {
                    self.feed(Input::Dht(answer));
                }
            }
        }
        None
    }

    fn on_ping(&mut self, event: ping::Event) {
        match (kernel_peer(&event.peer), event.result) {
            // The round trip of a circuit says nothing about the direct connection beside it.
            (Some(peer), Ok(rtt)) if self.swarm.behaviour().lanes.carries(peer, event.connection) => {
                let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
                self.feed(Input::Rtt { peer, micros });
            }
            (_, Err(ping::Failure::Timeout)) => {
                self.swarm.close_connection(event.connection);
            }
            _ => {}
        }
    }

    fn on_identified(&mut self, peer: libp2p::PeerId, info: identify::Info) {
        if !info.protocols.contains(&dht::PROTOCOL) {
            return;
        }
        for address in info.listen_addrs.into_iter().take(MAX_ADDRESSES) {
            if let Some(address) = claimed(address, peer) {
                self.swarm.behaviour_mut().kad.add_address(&peer, address);
            }
        }
    }

    fn on_dial_failed(&mut self, peer_id: libp2p::PeerId) {
        if !self.swarm.is_connected(&peer_id) {
            if !self.relays.contains(&peer_id) {
                self.swarm.behaviour_mut().kad.remove_peer(&peer_id);
            }
            self.relays.on_down(&peer_id, self.clock.now());
        }
        let Some(peer) = kernel_peer(&peer_id) else { return };
        if self.dials.on_failed(&mut self.swarm, peer) == Some(Step::Failed) {
            self.feed(Input::DialFailed { peer });
        }
    }

    /// A circuit is ours: the WebRTC behaviour announces the way through it.
    fn on_confirmed(&mut self, address: &Multiaddr) {
        if let Some(relay) = relay_of(address).and_then(|relay| last_peer(&relay)) {
            self.relays.on_up(&relay);
        }
        self.report_addresses();
    }

    /// Tells the kernel, and kad, under which addresses others reach this node.
    pub fn report_addresses(&mut self) {
        let local = *self.swarm.local_peer_id();
        let addresses: Vec<Multiaddr> = self
            .swarm
            .external_addresses()
            .filter_map(|address| address.clone().with_p2p(local).ok())
            .collect();
        let mode = if addresses.is_empty() { libp2p::kad::Mode::Client } else { libp2p::kad::Mode::Server };
        self.swarm.behaviour_mut().kad.set_mode(Some(mode));
        let addresses = addresses.iter().filter(|address| !is_circuit(address) || is_webrtc(address));
        self.inputs.push_back(Input::Addresses(addresses.map(Multiaddr::to_string).collect()));
        self.wake();
    }

    /// Addresses of the relays that are up.
    pub fn relays_up(&self) -> Vec<Multiaddr> {
        self.relays.up().cloned().collect()
    }

    /// Peers that are connected now, and the path to each.
    pub fn connected(&self) -> Vec<(libp2p::PeerId, Path)> {
        let peers = self.swarm.behaviour().lanes.peers();
        peers.filter_map(|(peer, path)| Some((libp2p_peer(peer)?, path))).collect()
    }
}

/// Wall time at the start plus a monotonic clock: milliseconds since the Unix epoch that never go backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Time,
    origin: Instant,
}

impl Clock {
    /// Reads the wall clock, once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Time(since_epoch.as_millis() as u64), origin: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        self.start + Millis(self.origin.elapsed().as_millis() as u64)
    }
}

/// An alarm by `futures-timer`: native threads, or `setTimeout`.
#[derive(Default)]
pub struct TimerAlarm(Option<futures_timer::Delay>);

impl Alarm for TimerAlarm {
    fn set(&mut self, delay: Duration) {
        self.0 = Some(futures_timer::Delay::new(delay));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(delay) = &mut self.0 else { return Poll::Pending };
        let poll = futures::FutureExt::poll_unpin(delay, cx);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }
}
