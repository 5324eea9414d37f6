//! A service that this node takes part in serving: its group, its instance, its sessions.
//!
//! Invariants: H1 and H5, only the leader of a group sends, and only what is in the replicated outbox; H6, a leader
//! that holds no handover brings its group back to what it is at rest: one voter, itself, or the replicas that the
//! manifest wants (`replicas`).

use crate::checkpoint::{Marks, Saved};
use crate::cx::Cx;
use crate::group::{Group, GuardError};
use crate::handover::source::Source;
use crate::id::{PackageId, PeerId, ServiceId};
use crate::instance::machine::Upgraded;
use crate::instance::{Image, Instance};
use crate::io::{Event, HostedInfo, Lane};
use crate::manifest::{Manifest, StateKind};
use crate::net::Net;
use crate::reads::Reads;
use crate::registry::Succession;
use crate::replicas::Keeper;
use crate::revival::Votes;
use crate::session::server::{post, Parts, Server};
use crate::standby::{Ended, Seeded};
use crate::time::{Millis, Time};
use crate::wire::{ClientBody, ClientFrame, Control, GroupBody, GroupFrame, ServerBody, SessionFrame, Step};

/// Peers that were members and are not released yet, at most.
const MAX_FORMER: usize = 32;

/// A group that this node takes part in as a target, until it leads alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The handover.
    pub id: u64,
    /// Who hands over.
    pub source: PeerId,
    /// This node becomes a replica only.
    pub replica: bool,
}

/// What the node does after [`Hosted::pump`].
#[derive(Debug, PartialEq)]
pub enum Happened {
    /// This node serves now.
    Serving,
    /// The log needs a package.
    Needs(PackageId),
    /// An image that the handover asked for.
    Image(Box<Image>),
    /// The configuration changed.
    Configured,
    /// The log replaced the module, or tried to.
    Upgraded(Upgraded),
    /// The service cannot go on here.
    Broken(String),
    /// This node handed over: somebody else leads.
    Led(PeerId),
}

/// One service.
pub struct Hosted {
    /// The service.
    pub service: ServiceId,
    /// `name@publisher`.
    pub name: String,
    /// The publisher's record, signed; empty for a witness.
    pub record: Vec<u8>,
    /// How this node came to host it; a witness does not.
    pub succession: Succession,
    /// The package; a witness has none.
    pub package: Option<PackageId>,
    /// The group.
    pub group: Group,
    /// The module's state; a witness has none.
    pub instance: Option<Instance>,
    /// Sessions.
    pub server: Server,
    /// A handover from here.
    pub source: Option<Source>,
    /// Why the last handover from here did not happen.
    pub stays: String,
    /// A handover to here.
    pub incoming: Option<Incoming>,
    /// State holders that the manifest wants.
    pub wanted: usize,
    /// Who is missing, as the leader sees it.
    pub keeper: Keeper,
    /// What is on disk.
    pub saved: Saved,
    /// When the host record is to be signed anew.
    pub renew_at: Time,
    /// The host record, until it goes into the DHT.
    pub signed: Vec<u8>,
    /// When it went there.
    pub put_at: Time,
    /// A newer package that did not take the state over; it is not tried again.
    pub unwanted: Option<PackageId>,
    /// The service's record names another package, and that was not looked after yet.
    pub newer: bool,
    /// The manifest's memory limit.
    pub memory_mib: u32,
    /// The manifest's storage limit.
    pub storage_mib: u32,
    /// The bandwidth up that the manifest asks for, in kbit/s.
    pub up_kbps: u32,
    /// The host ended its log: this standby goes on once it has all of it.
    pub take_over: Option<Ended>,
    standby_wanted: usize,
    stateful: bool,
    /// Nothing is acknowledged before it is on disk.
    pub durable: bool,
    serving_since: Option<Time>,
    serving: bool,
    /// What this node must have executed before it serves in a term: its first entry of that term.
    serve_from: Option<(u64, u64)>,
    told: Option<(u64, PeerId)>,
    warm_sent: (u64, u64),
    retry_transfer: Option<Time>,
    events: u64,
    gas: u64,
    traps: u64,
    /// Peers that were members; they are released when this node serves alone.
    pub former: std::collections::BTreeSet<PeerId>,
    /// Who served before this node, and until when it may pass on late datagrams.
    pub before: Option<(PeerId, Time)>,
    /// Messages that the guard refused.
    pub refused: u64,
    /// How often others asked for it.
    pub pulled: Pulled,
    /// Reads that are answered without leading.
    pub reads: Reads,
    /// What its standbys cost.
    pub seeded: Seeded,
    /// What others say of a group that nobody leads.
    pub votes: Votes,
}

/// Bounds how often a service moves because others ask for it: nobody makes it spend its life on the road.
#[derive(Debug, Default)]
pub struct Pulled {
    last: Option<(Time, u32)>,
}

impl Pulled {
    /// Takes a request; `Some` is how long whoever asks has to wait. Each request within a minute of the one before
    /// doubles the wait, from half a second on.
    pub fn admit(&mut self, now: Time) -> Option<Millis> {
        let (at, count) = self.last.filter(|(at, _)| now.since(*at) < Millis::secs(60)).unwrap_or((now, 0));
        let wait = Millis(if count == 0 { 0 } else { 250 << count.min(7) });
        let waited = now.since(at);
        if waited < wait {
            return Some(Millis(wait.0 - waited.0));
        }
        self.last = Some((now, count + 1));
        None
    }
}

impl Hosted {
    /// A service whose group and instance were made.
    pub fn new(cx: &Cx, service: ServiceId, name: String, group: Group, instance: Option<Instance>) -> Self {
        Self {
            service,
            name,
            record: Vec::new(),
            succession: Succession::of(cx.me),
            package: None,
            group,
            instance,
            server: Server::new(service),
            source: None,
            stays: String::new(),
            incoming: None,
            wanted: 1,
            keeper: Keeper::default(),
            saved: Saved::default(),
            renew_at: cx.now,
            signed: Vec::new(),
            put_at: Time(0),
            unwanted: None,
            newer: false,
            memory_mib: 0,
            up_kbps: 0,
            storage_mib: 0,
            take_over: None,
            standby_wanted: 0,
            stateful: false,
            durable: false,
            serving_since: None,
            serving: false,
            serve_from: None,
            told: None,
            warm_sent: (0, 0),
            retry_transfer: None,
            events: 0,
            gas: 0,
            traps: 0,
            former: std::collections::BTreeSet::new(),
            before: None,
            refused: 0,
            pulled: Pulled::default(),
            reads: Reads::default(),
            seeded: Seeded::default(),
            votes: Votes::default(),
        }
    }

    /// Leads, knows what is committed, and has executed what was committed before: only then it knows which inputs
    /// of a session are in the log.
    pub fn is_serving(&self) -> bool {
        let executed = self.instance.as_ref().filter(|instance| instance.is_ready()).map(Instance::executed);
        let from = self.serve_from.filter(|(term, _)| self.group.serves() && *term == self.group.term());
        from.is_some_and(|(_, index)| executed >= Some(index))
    }

    /// Serves, and nothing of the service is on its way elsewhere: a newer package can go into its log.
    pub fn takes_version(&self) -> bool {
        let settled = self.wanted > 1 || self.group.voters().len() == 1;
        self.is_serving() && self.source.is_none() && settled && !self.group.is_transferring()
    }

    /// Runs this package from now on, within what its manifest requires.
    pub fn runs(&mut self, package: PackageId, manifest: &Manifest) {
        self.package = Some(package);
        let requires = &manifest.requires;
        (self.memory_mib, self.storage_mib) = (requires.memory_mib, requires.storage_mib);
        self.up_kbps = requires.up_kbps;
        self.stateful = manifest.state != StateKind::None;
        let is_single = manifest.state == StateKind::Single;
        self.standby_wanted = if is_single { manifest.qos.standby as usize } else { 0 };
        self.durable = manifest.durable && self.stateful;
    }

    /// What a checkpoint on disk holds may be acknowledged.
    pub fn on_flushed(&mut self, cx: &mut Cx, net: &mut Net, marks: Marks) {
        if let Some(instance) = self.instance.as_mut().filter(|_| self.serving) {
            let mut parts = Parts { group: &mut self.group, instance, net };
            self.server.on_flushed(cx, &mut parts, marks);
        }
    }

    /// Gas that it burnt here.
    pub fn gas(&self) -> u64 {
        self.gas
    }

    /// Since when this node serves it.
    pub fn serving_since(&self) -> Option<Time> {
        self.serving_since.filter(|_| self.serving)
    }

    /// It has a state that copies can hold.
    pub fn is_stateful(&self) -> bool {
        self.stateful
    }

    /// Standbys that the manifest wants.
    pub fn standby_wanted(&self) -> usize {
        self.standby_wanted
    }

    /// A replica, a standby or a vote: what its leader may seed anew. The one host of a `single` service is none of them.
    pub fn is_one_of_several(&self) -> bool {
        self.wanted > 1 || self.instance.is_none() || !self.group.is_voter()
    }

    /// Takes part in a group that this peer leads.
    pub fn is_led_by(&self, peer: PeerId) -> bool {
        self.group.leader().is_some_and(|leader| leader.peer == peer)
    }

    /// Tells the source again how warm this node is.
    pub fn forget_warm(&mut self) {
        self.warm_sent = (0, 0);
    }

    /// A handover to this replica does not happen.
    pub fn forget_incoming(&mut self, from: PeerId, id: u64) {
        let ended = |incoming: &Incoming| incoming.source == from && incoming.id == id;
        let stays = self.wanted > 1 || self.is_standby();
        if stays && self.incoming.as_ref().is_some_and(ended) {
            self.incoming = None;
        }
    }

    /// Goes on in a group of a later epoch.
    pub fn restart(&mut self, group: Group) {
        self.group = group;
        self.serving = false;
        self.serve_from = None;
    }

    /// May that peer pass on datagrams of consumers: a member, or who served until a moment ago.
    pub fn takes_late_from(&self, now: Time, peer: PeerId) -> bool {
        self.before.is_some_and(|(before, until)| before == peer && now < until)
            || self.group.members().values().any(|member| member.peer == peer && !member.witness)
    }

    /// A raft message.
    pub fn handle_group(&mut self, from: PeerId, frame: &GroupFrame) -> Result<(), GuardError> {
        if frame.epoch != self.group.epoch() {
            return Err(GuardError::Stale);
        }
        let result = match &frame.body {
            GroupBody::Raft(message) => self.group.handle_message(from, message),
            GroupBody::Rest { term, last } => {
                self.group.on_rest(from, *term, *last);
                Ok(())
            }
        };
        self.refused += u64::from(result.is_err());
        result
    }

    /// A consumer's frame.
    pub fn handle_client(&mut self, cx: &mut Cx, net: &mut Net, from: PeerId, frame: ClientFrame) {
        let leads = self.group.leads() && self.instance.is_some();
        let waits = self.group.is_transferring() || is_sealing(&self.source);
        if leads && (!self.serving || !self.is_serving() || waits) {
            return self.server.hold(from, frame);
        }
        if !leads && self.read_here(cx, net, from, &frame) {
            return;
        }
        let Some(instance) = self.instance.as_mut().filter(|_| leads) else {
            let leader = self.group.leader().filter(|member| !member.witness && member.peer != cx.me);
            match leader {
                Some(leader) if pass_on(cx, net, leader.peer, from, &frame) => {}
                Some(leader) => {
                    let authority = (self.group.epoch(), self.group.term());
                    let body = ServerBody::Moved { to: Some(leader.peer) };
                    post(cx, net, self.service, (from, frame.session), authority, 0, body);
                }
                // Between this node's leadership and the next, known in a moment: what waits is passed on then.
                None if self.told.is_some() && frame.is_datagram() => self.server.hold(from, frame),
                None => {}
            }
            return;
        };
        if matches!(frame.body, ClientBody::Query { .. }) {
            self.reads.note(cx.now);
        }
        let mut parts = Parts { group: &mut self.group, instance, net };
        self.server.handle_frame(cx, &mut parts, from, frame);
    }

    /// Moves everything along that can move: raft to log, log to sandbox, outcomes to consumers.
    pub fn pump(&mut self, cx: &mut Cx, net: &mut Net) -> Vec<Happened> {
        let mut happened = Vec::new();
        let progress = match self.group.drain(cx) {
            Ok(progress) => progress,
            Err(poisoned) => return vec![Happened::Broken(poisoned.to_string())],
        };
        for (peer, message) in progress.messages {
            let body = GroupBody::Raft(message);
            let frame = GroupFrame { service: self.service, epoch: self.group.epoch(), body };
            net.send_or_dial(cx, peer, Lane::Group, &frame);
        }
        if progress.configured {
            // Who said that its vote is gone may have joined anew.
            self.votes = Votes::default();
            if self.former.len() > MAX_FORMER {
                self.former.clear();
            }
            self.former.extend(
                self.group.members().values().map(|member| member.peer).filter(|peer| *peer != cx.me),
            );
            happened.push(Happened::Configured);
        }
        if let Some(instance) = &mut self.instance {
            for entry in progress.committed {
                instance.enqueue(cx, entry.index, &entry.payload);
            }
            for (token, index) in progress.reads {
                let mut parts = Parts { group: &mut self.group, instance, net };
                self.server.on_read(cx, &mut parts, token, index);
            }
        }
        let term = self.group.term();
        if self.group.serves() && self.serve_from.is_none_or(|(known, _)| known != term) {
            self.serve_from = Some((term, self.group.committed()));
        }
        self.report(cx, net, &mut happened);
        while self.instance.as_mut().is_some_and(|instance| instance.go_on(cx)) {
            self.report(cx, net, &mut happened);
        }
        self.try_take_over(cx);
        self.follow_authority(cx, net, &mut happened);
        self.settle(cx);
        self.tell_warm(cx, net);
        self.trim();
        self.note_unstored(cx.now);
        self.rest(cx, net);
        happened
    }

    /// A group in which nothing happens, all of whose members are there, rests.
    fn rest(&mut self, cx: &mut Cx, net: &mut Net) {
        let there = |net: &Net| self.group.members().values().all(|member| net.is_alive(cx, member.peer));
        if self.source.is_some() || self.incoming.is_some() || !there(net) {
            return;
        }
        let Some((term, last)) = self.group.try_rest(cx.now) else { return };
        let body = GroupBody::Rest { term, last };
        let frame = GroupFrame { service: self.service, epoch: self.group.epoch(), body };
        for member in self.group.members().values() {
            if member.peer != cx.me {
                net.send(cx, member.peer, Lane::Group, &frame);
            }
        }
    }

    fn report(&mut self, cx: &mut Cx, net: &mut Net, happened: &mut Vec<Happened>) {
        let Some(instance) = &mut self.instance else { return };
        let report = instance.take_report();
        if let Some(reason) = report.broken {
            happened.push(Happened::Broken(reason));
        }
        happened.extend(report.needs.map(Happened::Needs));
        if let Some(image) = report.image {
            happened.push(Happened::Image(Box::new(image)));
        }
        self.events += report.notes.events;
        self.gas += report.notes.gas;
        self.traps += report.notes.traps;
        happened.extend(report.notes.upgrade.map(Happened::Upgraded));
        for (level, text) in report.notes.logs {
            cx.event(Event::Log { service: self.name.clone(), level, text });
        }
        if !self.serving || !self.group.leads() {
            for (job, result) in report.answers {
                self.answer_here(cx, net, &job, result);
            }
            return self.run_reads_here(cx, net);
        }
        let mut parts = Parts { group: &mut self.group, instance, net };
        self.server.on_executed(cx, &mut parts, report.notes.touched, report.notes.gone);
        for (job, result) in report.answers {
            self.server.on_answer(cx, &mut parts, &job, result);
        }
    }

    /// The log of a seed that is on its way is kept.
    fn trim(&mut self) {
        if self.source.is_none() {
            let executed = self.instance.as_ref().map_or(u64::MAX, Instance::executed);
            self.group.trim(executed.min(self.group.committed()));
        }
    }

    /// Notices that this node began or ceased to serve, and tells the consumers.
    fn follow_authority(&mut self, cx: &mut Cx, net: &mut Net, happened: &mut Vec<Happened>) {
        let serves = self.is_serving();
        if serves && !self.serving {
            self.serving = true;
            self.serving_since = Some(cx.now);
            self.server.on_serving(self.durable);
            self.told = Some((self.group.term(), cx.me));
            self.renew_at = cx.now;
            happened.push(Happened::Serving);
            self.announce(cx, net, cx.me);
            self.announce_replicas(cx, net);
            self.keeper.at = self.stateful.then_some(cx.now);
        }
        if !self.group.leads() && self.instance.is_some() {
            self.serving = false;
            let leader = self.group.leader().filter(|member| !member.witness && member.peer != cx.me);
            let term = self.group.term();
            if let Some(leader) = leader.filter(|leader| self.told != Some((term, leader.peer))) {
                let led_before = self.told.is_some();
                self.told = Some((term, leader.peer));
                if led_before {
                    // Inputs are sent again by their consumers; datagrams are not.
                    for (consumer, frame) in self.server.take_held() {
                        pass_on(cx, net, leader.peer, consumer, &frame);
                    }
                    self.announce(cx, net, leader.peer);
                    happened.push(Happened::Led(leader.peer));
                }
            }
        }
        if serves && !self.group.is_transferring() && !is_sealing(&self.source) {
            for (from, frame) in self.server.take_held() {
                self.handle_client(cx, net, from, frame);
            }
        }
    }

    fn announce(&mut self, cx: &mut Cx, net: &mut Net, to: PeerId) {
        if let Some(instance) = &self.instance {
            let (epoch, term) = (self.group.epoch(), self.group.term());
            self.server.announce_moved(cx, instance.machine(), net, epoch, term, to);
        }
    }

    /// H6 and H7: what a leader without a handover does with a group of several.
    fn settle(&mut self, cx: &mut Cx) {
        if !self.group.leads() {
            return;
        }
        if self.group.is_witness() {
            // It serves nothing: the best state holder is brought up to date and takes over.
            let due = self.retry_transfer.is_none_or(|at| at <= cx.now);
            if let (true, Some(id)) = (due, self.group.best_state_holder()) {
                self.retry_transfer = Some(cx.now + crate::time::Millis(200));
                self.group.transfer_to(id);
            }
        } else if self.group.is_joint() {
            self.group.leave_joint();
        } else if self.source.is_none() && self.group.serves() {
            self.settle_voters(cx);
        }
    }

    /// Consumers connect to whoever may serve next before they need it.
    pub fn announce_replicas(&mut self, cx: &mut Cx, net: &mut Net) {
        let Some(instance) = self.instance.as_mut().filter(|_| self.serving) else { return };
        let holders = self.group.members().values().filter(|member| !member.witness);
        let next: Vec<PeerId> = holders.map(|member| member.peer).filter(|peer| *peer != cx.me).collect();
        let mut parts = Parts { group: &mut self.group, instance, net };
        self.server.set_next(cx, &mut parts, next);
    }

    /// A target tells its source how far it is.
    fn tell_warm(&mut self, cx: &mut Cx, net: &mut Net) {
        let (Some(incoming), Some(instance)) = (self.incoming, &self.instance) else { return };
        if incoming.replica && self.is_standby() {
            self.incoming = None;
            return;
        }
        let named = self.group.is_voter() && !self.group.is_joint();
        if self.group.leads() || !named || !instance.is_ready() {
            return;
        }
        if incoming.replica {
            self.incoming = None;
            return;
        }
        let warm = (instance.executed(), self.group.configured());
        if warm != self.warm_sent {
            self.warm_sent = warm;
            let step = Step::Warm { executed: warm.0, configured: warm.1 };
            let message = Control::Handover { service: self.service, id: incoming.id, step };
            net.send(cx, incoming.source, Lane::Control, &message);
        }
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, cx: &mut Cx, net: &mut Net) {
        if self.group.timeout().is_some_and(|at| at <= cx.now) {
            self.group.handle_timeout(cx);
        }
        if let Some(instance) = &mut self.instance {
            if instance.timeout().is_some_and(|at| at <= cx.now) {
                instance.handle_timeout(cx);
            }
        }
        if self.reads_timeout().is_some_and(|at| at <= cx.now) {
            self.run_reads_here(cx, net);
        }
        if let Some(instance) = &mut self.instance {
            if self.serving && !self.group.is_transferring() && !is_sealing(&self.source) {
                let mut parts = Parts { group: &mut self.group, instance, net };
                self.server.handle_timeout(cx, &mut parts);
            }
        }
    }

    /// When [`Hosted::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let instance = self.instance.as_ref();
        let serves = self.serving && !self.group.is_transferring() && !is_sealing(&self.source);
        let timer = instance.filter(|_| serves).and_then(|instance| self.server.timeout(instance));
        let gas = instance.and_then(Instance::timeout);
        self.group.timeout().into_iter().chain(timer).chain(gas).chain(self.reads_timeout()).min()
    }

    /// Now and then: sessions whose consumers are gone.
    pub fn sweep(&mut self, cx: &mut Cx, net: &mut Net) {
        if let (true, Some(instance)) = (self.serving && !is_sealing(&self.source), &mut self.instance) {
            let mut parts = Parts { group: &mut self.group, instance, net };
            self.server.sweep(cx, &mut parts);
        }
    }

    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.instance.as_ref().map_or(0, |instance| instance.machine().sessions().count())
    }

    /// For people.
    pub fn info(&self, cx: &Cx, net: &Net) -> HostedInfo {
        let role = match &self.instance {
            None => "witness",
            Some(instance) if !instance.is_ready() => "joining",
            Some(_) if self.group.leads() => "leader",
            Some(_) if self.is_standby() => "standby",
            Some(_) => "follower",
        };
        let voters = self.group.voting_members();
        HostedInfo {
            service: self.name.clone(),
            role: role.to_owned(),
            epoch: self.group.epoch(),
            term: self.group.term(),
            asleep: self.instance.as_ref().is_some_and(Instance::is_asleep),
            sessions: self.sessions() as u32,
            events: self.events,
            gas: self.gas,
            traps: self.traps,
            members: voters.values().map(|member| member.peer.to_string()).collect(),
            standbys: self.standbys(cx, net).into_iter().map(|(_, peer)| peer.to_string()).collect(),
            standbys_wanted: self.standby_wanted as u32,
            handover: self
                .source
                .as_ref()
                .map(|source| (source.target().to_string(), source.step_name().to_owned())),
            memory_mib: self.memory_mib,
            wanted: self.wanted as u32,
            replicas: self.live_holders(cx, net) as u32,
            lag: self.group.members().keys().map(|id| self.group.lag(*id)).max().unwrap_or(0),
            unstored: self.instance.as_ref().and_then(|instance| self.saved.behind(instance.executed())),
            lost_since: self.saved.back_from.map(|at| at.0),
            for_own_calls: false,
        }
    }
}

/// Passes a late datagram on to who leads now; false for any other frame.
pub fn pass_on(cx: &mut Cx, net: &mut Net, leader: PeerId, consumer: PeerId, frame: &ClientFrame) -> bool {
    if frame.is_datagram() {
        net.send(cx, leader, Lane::Datagram, &SessionFrame::Late { consumer, frame: frame.clone() });
    }
    frame.is_datagram()
}

/// A sealed log takes nothing more: what this node executed after the image, the target would execute again.
pub fn is_sealing(source: &Option<Source>) -> bool {
    source.as_ref().is_some_and(Source::is_sealing)
}
