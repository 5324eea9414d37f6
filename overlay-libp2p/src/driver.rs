//! The driver: a swarm, a kernel and one alarm, run by one poll.
//!
//! | file | does |
//! |---|---|
//! | this one | the poll: outputs carried out, what is due done, the alarm set |
//! | `network` | what the swarm reports, as inputs for the kernel |
//! | `platform` | what the driver wants of its platform: a kernel, an alarm, a clock |

mod network;
mod platform;

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::Multiaddr;
use overlay::id::{PeerId, RequestId};
use overlay::io::{Command, Error, Input, Output, Path, Status};
use overlay::sandbox::SandboxEvent;
use overlay::time::{Millis, Time};

use crate::addresses::libp2p_peer;
use crate::behaviour::Behaviour;
use crate::dht::{Admit, Dht};
use crate::dials::{Dials, Step};
use crate::doors::Doors;
use crate::relays::{Relays, Use};

pub use platform::{Alarm, Clock, Kernel, Outgoing, TimerAlarm};

/// Commands and sandbox events that wait for the kernel; more commands are refused as `overloaded`.
const MAX_INPUTS: usize = 4_096;
/// Steps in one poll, so that a busy node leaves its thread to others.
const POLL_BUDGET: usize = 512;
/// Between two sweeps of expired records and idle connections.
const SWEEP: Millis = Millis::secs(15);

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

    /// Addresses of the relays that are up.
    pub fn relays_up(&self) -> Vec<Multiaddr> {
        self.relays.up().cloned().collect()
    }

    /// Peers that are connected now, and the path to each.
    pub fn connected(&self) -> Vec<(libp2p::PeerId, Path)> {
        let peers = self.swarm.behaviour().lanes.peers();
        peers.filter_map(|(peer, path)| Some((libp2p_peer(peer)?, path))).collect()
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
}
