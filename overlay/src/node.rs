//! The node: every input goes through here to the module that decides, and signals from one module to the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ed25519_dalek::SigningKey;

use crate::balance::Balance;
use crate::commands::Publishing;
use crate::cx::{Cx, Signal};
use crate::directory::Directory;
use crate::external::External;
use crate::handover::target::Targets;
use crate::hosting::Hosted;
use crate::id::{InstanceId, PackageId, PeerId, RequestId, ServiceId, SessionId};
use crate::io::{Config, Event, HostedInfo, Input, Lane, Output, Role, Status, VolunteerPolicy, MAX_FRAME};
use crate::leaving::Leaving;
use crate::lookup::Purpose;
use crate::net::Net;
use crate::nicknames::Nicknames;
use crate::packages::Packages;
use crate::placement::Placement;
use crate::rings::Rings;
use crate::sandbox::SandboxEvent;
use crate::session::client::ClientSession;
use crate::time::{Millis, Time};
use crate::wire::{self, Control, GroupFrame, SessionFrame};

/// How often records, idle sessions and dials are looked after.
pub(crate) const HOUSEKEEPING: Millis = Millis::secs(5);

/// How often peers that count are listened for.
const WATCH_EVERY: Millis = Millis(350);
/// A pause between two such looks that means that this node was asleep itself.
const SLEPT: Millis = Millis(1000);
/// Bad frames of one peer are mentioned this often.
const COMPLAIN_EVERY: Millis = Millis::secs(10);

/// Where a service went that was served here.
pub(crate) struct Moved {
    pub to: PeerId,
    pub authority: (u64, u64),
    pub until: Time,
    /// Until when late datagrams are passed on.
    pub late_until: Time,
}

/// One node of the overlay. See the crate's documentation for how to drive it.
pub struct Node {
    pub(crate) cx: Cx,
    pub(crate) secret: [u8; 32],
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) net: Net,
    pub(crate) directory: Directory,
    pub(crate) packages: Packages,
    pub(crate) hosted: BTreeMap<ServiceId, Hosted>,
    pub(crate) targets: Targets,
    pub(crate) moved: BTreeMap<ServiceId, Moved>,
    pub(crate) sessions: BTreeMap<SessionId, ClientSession>,
    pub(crate) searches: BTreeMap<u64, Purpose>,
    /// Commands that look again later: a host that is not known yet, or has no time.
    pub(crate) retries: VecDeque<(Time, Purpose)>,
    /// Services of this node's own.
    pub(crate) published: BTreeSet<ServiceId>,
    pub(crate) publishing: BTreeMap<PackageId, Publishing>,
    /// Services that run outside of all tabs.
    pub(crate) external: External,
    /// Packages that replace those of services hosted here.
    pub(crate) upgrading: BTreeMap<PackageId, ServiceId>,
    /// Packages that the log of a service here needs.
    pub(crate) awaited: BTreeMap<PackageId, ServiceId>,
    /// Services that may come back from checkpoints.
    pub(crate) recalled: crate::checkpoint::RecalledServices,
    pub(crate) package_requests: Vec<crate::commands::PackageRequest>,
    /// Stateless services on their way here; without a request, by this node's own decision.
    pub(crate) pulls: BTreeMap<PackageId, (Option<RequestId>, ServiceId)>,
    pub(crate) policy: Option<VolunteerPolicy>,
    pub(crate) nicknames: Nicknames,
    pub(crate) rings: Rings,
    pub(crate) leaving: Option<Leaving>,
    /// Until when the handover that is being tried again may wait.
    pub(crate) handovers_until: Option<Time>,
    pub(crate) instances: BTreeMap<InstanceId, ServiceId>,
    pub(crate) next_instance: u64,
    /// Services whose group or instance may move along.
    pub(crate) dirty: BTreeSet<ServiceId>,
    /// What the services here cost.
    pub(crate) balance: Balance,
    /// What calls cost here and there.
    pub(crate) placement: Placement,
    housekeeping_at: Time,
    /// When peers that count are listened for next; `None` while nobody counts.
    watch_at: Option<Time>,
    watched_at: Time,
    hello_changed: bool,
    /// What the connected peers were told last.
    pub(crate) greeted: Option<wire::Hello>,
}

impl Node {
    /// A node that has met nobody.
    pub fn new(config: Config, now: Time) -> Self {
        let me = PeerId(SigningKey::from_bytes(&config.secret_key).verifying_key().to_bytes());
        let mut name = config.name;
        while name.len() > 64 {
            name.pop();
        }
        Self {
            cx: Cx::new(me, config.seed, now),
            secret: config.secret_key,
            role: config.role,
            name,
            addresses: Vec::new(),
            net: Net::default(),
            directory: Directory::new(config.role),
            packages: Packages::new(),
            hosted: BTreeMap::new(),
            targets: Targets::default(),
            moved: BTreeMap::new(),
            sessions: BTreeMap::new(),
            searches: BTreeMap::new(),
            retries: VecDeque::new(),
            published: BTreeSet::new(),
            publishing: BTreeMap::new(),
            external: External::default(),
            upgrading: BTreeMap::new(),
            awaited: BTreeMap::new(),
            recalled: BTreeMap::new(),
            package_requests: Vec::new(),
            pulls: BTreeMap::new(),
            policy: None,
            nicknames: Nicknames::default(),
            rings: Rings::default(),
            leaving: None,
            handovers_until: None,
            instances: BTreeMap::new(),
            next_instance: 0,
            dirty: BTreeSet::new(),
            balance: Balance::default(),
            placement: Placement::default(),
            housekeeping_at: now + HOUSEKEEPING,
            watch_at: None,
            watched_at: now,
            hello_changed: false,
            greeted: None,
        }
    }

    /// This node.
    pub fn id(&self) -> PeerId {
        self.cx.me
    }

    /// One input, run to completion. Drain [`Node::poll_output`] before the next.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.cx.now = self.cx.now.max(now);
        match input {
            Input::Wake => {}
            Input::Command(request, command) => self.on_command(request, command),
            Input::Connected { peer, path } => self.on_connected(peer, path),
            Input::Disconnected { peer } => {
                if self.net.on_disconnected(&mut self.cx, peer) {
                    self.on_unreachable(peer, true);
                }
            }
            Input::DialFailed { peer } => {
                if self.net.on_dial_failed(self.cx.now, peer) {
                    self.on_unreachable(peer, false);
                }
            }
            Input::Received { peer, lane, frame } => self.on_frame(peer, lane, &frame),
            Input::Rtt { peer, micros } => {
                if let Some(peer) = self.net.peer_mut(&peer) {
                    peer.rtt = Some(micros);
                }
            }
            Input::Addresses(addresses) => self.on_addresses(addresses),
            Input::Dht(event) => {
                self.on_nick_dht(&event);
                self.directory.on_dht(&mut self.cx, &mut self.net, event);
            }
            Input::Sandbox(event) => self.on_sandbox(event),
            Input::Stored { key, done } => self.on_stored(&key, done),
        }
        self.handle_timeouts();
        self.settle();
    }

    /// What the driver is to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.poll()
    }

    /// When the node wants [`Input::Wake`], if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Time> {
        let hosted = self.hosted.values().flat_map(|hosted| {
            let source = hosted.source.as_ref().map(|source| source.timeout());
            let others = [source, hosted.keeper.at, hosted.checkpoint_at()];
            hosted.timeout().into_iter().chain(others.into_iter().flatten())
        });
        let sessions = self.sessions.values().filter_map(ClientSession::timeout);
        let others = [
            Some(self.housekeeping_at),
            self.directory.timeout(),
            self.packages.timeout(),
            self.targets.timeout(),
            self.nicknames.timeout(),
            self.rings.timeout(),
            self.leaving.as_ref().map(Leaving::timeout),
            self.retries.iter().map(|(at, _)| *at).min(),
            self.watch_at,
            self.balance.timeout(),
            self.placement.timeout(),
        ];
        hosted.chain(sessions).chain(others.into_iter().flatten()).min()
    }

    /// The node's state at a glance.
    pub fn status(&self) -> Status {
        Status {
            joined: self.is_joined(),
            peers: self.net.infos(),
            relays: self.net.of_role(Role::Relay).map(|peer| peer.to_string()).collect(),
            hosting: self.hosted.values().map(|hosted| self.hosted_info(hosted)).collect(),
            waiting: self.waiting_services(),
            sessions: self.sessions.values().map(|session| self.session_info(session)).collect(),
            volunteer: self.policy.clone(),
        }
    }

    fn hosted_info(&self, hosted: &Hosted) -> HostedInfo {
        let for_own_calls = self.placement.is_own(&hosted.service);
        HostedInfo { for_own_calls, ..hosted.info(&self.cx, &self.net) }
    }

    /// The groups that this node takes part in, for observers such as the simulator.
    pub fn groups(&self) -> impl Iterator<Item = (&ServiceId, &crate::group::Group)> {
        self.hosted.iter().map(|(service, hosted)| (service, &hosted.group))
    }

    /// The services whose calls this node answers now, with epoch and term.
    pub fn serving(&self) -> impl Iterator<Item = (&ServiceId, u64, u64)> {
        let serving = self.hosted.iter().filter(|(_, hosted)| hosted.is_serving());
        serving.map(|(service, hosted)| (service, hosted.group.epoch(), hosted.group.term()))
    }

    /// Others can reach it and a relay has greeted it, or it talks to tabs.
    pub(crate) fn is_joined(&self) -> bool {
        let relay = self.role == Role::Relay || self.net.of_role(Role::Relay).next().is_some();
        (relay && !self.addresses.is_empty()) || self.net.of_role(Role::Tab).next().is_some()
    }

    fn on_frame(&mut self, from: PeerId, lane: Lane, frame: &[u8]) {
        if frame.len() > MAX_FRAME || !self.net.is_connected(&self.cx, from) {
            return;
        }
        self.net.on_heard(self.cx.now, from);
        match lane {
            Lane::Bulk => self.packages.handle_bulk(&mut self.cx, &mut self.net, from, frame),
            Lane::Control => match wire::decode::<Control>(frame) {
                Ok(control) if control.check().is_ok() => self.on_control(from, control),
                _ => self.on_bad_frame(from, lane),
            },
            Lane::Session | Lane::Datagram => match SessionFrame::decode(lane, frame) {
                Ok(SessionFrame::Client(frame)) => self.on_client_frame(from, frame),
                Ok(SessionFrame::Server(frame)) => self.on_server_frame(from, frame),
                Ok(SessionFrame::Late { consumer, frame }) => self.on_late_frame(from, consumer, frame),
                Err(_) => self.on_bad_frame(from, lane),
            },
            Lane::Group => match wire::decode::<GroupFrame>(frame) {
                Ok(frame) => {
                    if let Some(hosted) = self.hosted.get_mut(&frame.service) {
                        // Refusals are counted in the hosted service; late messages of former members are normal.
                        let _ = hosted.handle_group(from, &frame);
                        self.dirty.insert(frame.service);
                    } else {
                        let message = Control::NoGroup(frame.service);
                        self.net.send(&mut self.cx, from, Lane::Control, &message);
                    }
                }
                Err(_) => self.on_bad_frame(from, lane),
            },
        }
    }

    /// Another version or garbage: nothing else is harmed. Said at most every ten seconds and peer.
    fn on_bad_frame(&mut self, from: PeerId, lane: Lane) {
        let now = self.cx.now;
        let Some(peer) = self.net.peer_mut(&from) else { return };
        if peer.complained_at.is_some_and(|at| now.since(at) < COMPLAIN_EVERY) {
            return;
        }
        peer.complained_at = Some(now);
        let message = format!("a message of {} on {} was refused", from.short(), lane.protocol());
        self.cx.event(Event::Error { code: "refused".to_owned(), message });
    }

    fn on_sandbox(&mut self, event: SandboxEvent) {
        let instance = match &event {
            SandboxEvent::Prepared { package } => {
                return self.packages.on_compiled(&mut self.cx, *package, Ok(()));
            }
            SandboxEvent::Refused { package, reason } => {
                return self.packages.on_compiled(&mut self.cx, *package, Err(reason.clone()));
            }
            SandboxEvent::Created { instance }
            | SandboxEvent::Ran { instance, .. }
            | SandboxEvent::Snapshot { instance, .. }
            | SandboxEvent::Failed { instance, .. } => *instance,
        };
        let Some(service) = self.instances.get(&instance).copied() else { return };
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let Some(running) = hosted.instance.as_mut().filter(|running| running.id() == instance) else {
            return;
        };
        let cx = &mut self.cx;
        match event {
            SandboxEvent::Created { .. } => {
                let first = !running.is_ready();
                running.on_created(cx);
                if first {
                    hosted.on_instance_ready(cx, &mut self.net);
                }
            }
            SandboxEvent::Ran { run, outcome, .. } => running.on_ran(cx, run, outcome),
            SandboxEvent::Snapshot { run, state, .. } => running.on_snapshot(cx, run, state),
            SandboxEvent::Failed { reason, .. } => running.on_failed(cx, reason),
            SandboxEvent::Prepared { .. } | SandboxEvent::Refused { .. } => {}
        }
        self.dirty.insert(service);
    }

    fn handle_timeouts(&mut self) {
        let now = self.cx.now;
        let due = |hosted: &Hosted| {
            let source = hosted.source.as_ref().is_some_and(|source| source.timeout() <= now);
            source || hosted.timeout().is_some_and(|at| at <= now)
        };
        let services: Vec<ServiceId> =
            self.hosted.iter().filter(|(_, hosted)| due(hosted)).map(|(service, _)| *service).collect();
        for service in services {
            if let Some(hosted) = self.hosted.get_mut(&service) {
                hosted.handle_timeout(&mut self.cx, &mut self.net);
                let verdict = hosted.handle_handover_timeout(&mut self.cx, &mut self.net, &mut self.packages);
                self.dirty.insert(service);
                self.on_verdict(service, verdict);
            }
        }
        let sessions = self.sessions.iter().filter(|(_, s)| s.timeout().is_some_and(|at| at <= now));
        for id in sessions.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.with_session(id, |session, now, out| session.handle_timeout(now, out));
        }
        if self.directory.timeout().is_some_and(|at| at <= now) {
            self.directory.handle_timeout(&mut self.cx, &mut self.net);
        }
        if self.packages.timeout().is_some_and(|at| at <= now) {
            self.packages.handle_timeout(&mut self.cx, &mut self.net);
        }
        self.targets.handle_timeout(now);
        self.fail_late_commands();
        self.keep_nicknames();
        self.keep_rings();
        self.keep_replicas();
        self.keep_checkpoints();
        self.keep_balance();
        self.keep_placement();
        self.listen();
        if self.housekeeping_at <= now {
            self.housekeeping_at = now + HOUSEKEEPING;
            self.keep_house();
        }
    }

    /// Heartbeats, one per pair of peers: members of common groups, and the servers of this node's sessions.
    fn listen(&mut self) {
        let now = self.cx.now;
        if self.watch_at.unwrap_or(self.watched_at + WATCH_EVERY) > now {
            return;
        }
        let members = self.hosted.values().filter(|hosted| hosted.group.members().len() > 1);
        let members = members.flat_map(|hosted| hosted.group.members().values().map(|member| member.peer));
        let servers = self.sessions.values().map(|session| session.authority().0);
        let watched: BTreeSet<PeerId> =
            members.chain(servers).filter(|peer| self.net.peer(peer).is_some()).collect();
        if self.watch_at.is_none() || now.since(self.watched_at) > SLEPT {
            self.net.on_slept(now);
        }
        self.watched_at = now;
        self.watch_at = (!watched.is_empty()).then_some(now + WATCH_EVERY);
        for peer in self.net.watch(&mut self.cx, watched) {
            self.on_silent(peer);
        }
    }

    /// Until nothing moves any more: signals, frames to this node itself, groups and instances.
    fn settle(&mut self) {
        loop {
            if let Some(signal) = self.cx.poll_signal() {
                self.on_signal(signal);
            } else if let Some((lane, frame)) = self.net.poll_loopback() {
                self.on_frame(self.cx.me, lane, &frame);
            } else if let Some(service) = self.dirty.pop_first() {
                self.pump(service);
            } else if self.hello_changed {
                self.hello_changed = false;
                self.greet_all();
            } else {
                return;
            }
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Manifest(package, result) => self.on_manifest(package, result),
            Signal::Prepared(package, result) => self.on_prepared(package, result),
            Signal::Blob(blob, result) => self.on_blob(blob, result),
            Signal::Searched(id) => self.on_searched(id),
            Signal::HelloChanged => self.hello_changed = true,
        }
    }
}
