//! A service that this node takes part in serving: its group, its instance, its sessions. `inputs` is what comes to it, `pump`
//! moves it along, `info` is what people see of it.
//!
//! Invariants: H1 and H5, only the leader of a group sends, and only what is in the replicated outbox; H6, a leader
//! that holds no handover brings its group back to what it is at rest: one voter, itself, or the replicas that the
//! manifest wants (`replicas`).

mod info;
mod inputs;
mod pump;

use crate::checkpoint::{Marks, Saved};
use crate::cx::Cx;
use crate::group::Group;
use crate::handover::source::Source;
use crate::id::{PackageId, PeerId, ServiceId};
use crate::instance::machine::Upgraded;
use crate::instance::{Image, Instance};
use crate::io::Lane;
use crate::manifest::{Manifest, StateKind};
use crate::net::Net;
use crate::reads::Reads;
use crate::registry::Succession;
use crate::replicas::Keeper;
use crate::revival::Votes;
use crate::session::server::{Parts, Server};
use crate::standby::{Ended, Seeded};
use crate::time::{Millis, Time};
use crate::wire::{ClientFrame, SessionFrame};

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
