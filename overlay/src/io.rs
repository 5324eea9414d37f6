//! The kernel's two sides as data: what a driver puts in, what it takes out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Hash, PeerId, RequestId, SessionId};
use crate::sandbox::{SandboxCommand, SandboxEvent};
use crate::time::{Millis, Time};

/// The most bytes of one frame on any lane; a driver closes a stream that announces a larger one.
pub const MAX_FRAME: usize = 320 * 1024;
/// The most bytes of a call's, a reply's or a message's body.
pub const MAX_BODY: usize = 256 * 1024;
/// The most bytes of a datagram's body: fits an IP packet behind the headers of SCTP, DTLS and a tunnel.
pub const MAX_DATAGRAM: usize = 1200;
/// The most bytes of a frame of the datagram lane: a datagram behind the longest header.
pub const MAX_DATAGRAM_FRAME: usize = MAX_DATAGRAM + 160;

/// The independent lanes between two peers. A driver keeps one stream per lane and peer pair, opened on first use;
/// frames of one lane arrive in order and once while the two stay connected. Those of [`Lane::Datagram`] alone may be
/// lost, overtaken and late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Greetings, queries, records, handover: `/tabfarm/control/1`.
    Control,
    /// Frames of sessions: `/tabfarm/session/1`.
    Session,
    /// Raft messages: `/tabfarm/group/1`.
    Group,
    /// Chunks: `/tabfarm/bulk/1`.
    Bulk,
    /// Datagrams of sessions, each of at most [`MAX_DATAGRAM_FRAME`] bytes: `/tabfarm/datagram/1`.
    Datagram,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Lane; 5] = [Lane::Control, Lane::Session, Lane::Group, Lane::Bulk, Lane::Datagram];

    /// The stream protocol's name.
    pub const fn protocol(self) -> &'static str {
        match self {
            Lane::Control => "/tabfarm/control/1",
            Lane::Session => "/tabfarm/session/1",
            Lane::Group => "/tabfarm/group/1",
            Lane::Bulk => "/tabfarm/bulk/1",
            Lane::Datagram => "/tabfarm/datagram/1",
        }
    }
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// WebRTC between tabs, or a socket to a native node.
    Direct,
    /// Through a relay's circuit: slow and limited.
    Relayed,
}

/// What a driver tells the kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The time of `poll_timeout` has come; spurious and late wakes are harmless.
    Wake,
    /// A person or program asks for something; answered by exactly one [`Output::Answer`] with the same id.
    Command(RequestId, Command),
    /// A peer is connected, or its path changed.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// How it is reached now.
        path: Path,
    },
    /// The last connection to a peer closed. Frames in flight both ways may be lost.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// A [`Output::Dial`] failed.
    DialFailed {
        /// The peer.
        peer: PeerId,
    },
    /// A frame came.
    Received {
        /// The authenticated sender.
        peer: PeerId,
        /// Its lane.
        lane: Lane,
        /// At most [`MAX_FRAME`] bytes.
        frame: Vec<u8>,
    },
    /// A round trip was measured by libp2p's ping.
    Rtt {
        /// The peer.
        peer: PeerId,
        /// Microseconds.
        micros: u64,
    },
    /// The addresses under which others reach this node changed (a reservation came or went).
    Addresses(Vec<String>),
    /// The DHT answered.
    Dht(DhtEvent),
    /// The sandbox reports.
    Sandbox(SandboxEvent),
    /// What an [`Output::Store`] with `flush` asked for is on disk, or could not be put there.
    Stored {
        /// Its key.
        key: String,
        /// It is on disk.
        done: bool,
    },
}

/// What the kernel asks of its driver. Drained fully after each input.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a frame to a connected peer. A driver whose queue for the peer and lane is full (4 MiB) closes the
    /// connection and reports `Disconnected`; of the datagram lane it drops frames instead.
    Send {
        /// A connected peer.
        peer: PeerId,
        /// The lane.
        lane: Lane,
        /// At most [`MAX_FRAME`] bytes.
        frame: Vec<u8>,
    },
    /// Connect to a peer. Answered by `Connected` or `DialFailed`.
    Dial {
        /// The peer.
        peer: PeerId,
        /// Addresses that somebody claims for it (at most 8); the driver adds what it knows itself.
        hints: Vec<String>,
    },
    /// Close the connections to a peer.
    Hangup {
        /// The peer.
        peer: PeerId,
    },
    /// Ask the DHT.
    Dht(DhtCommand),
    /// Ask the sandbox.
    Sandbox(SandboxCommand),
    /// Keep a value on disk for later runs of this node, or forget it. What is kept goes to [`Command::Recall`].
    Store {
        /// Of at most 128 characters.
        key: String,
        /// `None` forgets.
        value: Option<Vec<u8>>,
        /// Put it on the medium itself, and say so with [`Input::Stored`]: somebody waits for it.
        flush: bool,
    },
    /// The answer to a command.
    Answer {
        /// The command's id.
        request: RequestId,
        /// What came of it.
        result: Result<Answer, Error>,
    },
    /// Something happened that a person or program may want to know.
    Event(Event),
}

/// What the kernel asks of the DHT. Keys are 32-byte hashes; a driver gives up after 10 s and reports what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtCommand {
    /// Store a record (validated by each node with [`crate::registry::validate`]).
    Put {
        /// Where.
        key: Hash,
        /// An encoded record.
        value: Vec<u8>,
        /// After which nodes forget it.
        expires: Time,
    },
    /// Fetch the best record; answered by [`DhtEvent::Got`].
    Get {
        /// Where.
        key: Hash,
    },
    /// Announce this node as a provider of a key.
    Provide {
        /// The key.
        key: Hash,
    },
    /// Stop announcing.
    Unprovide {
        /// The key.
        key: Hash,
    },
    /// Find up to 20 providers; answered by [`DhtEvent::Providers`].
    FindProviders {
        /// The key.
        key: Hash,
    },
}

/// What the DHT answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtEvent {
    /// End of a `Get`: every distinct valid value that was found (at most 20), empty when none or in time-out.
    Got {
        /// The key.
        key: Hash,
        /// Encoded records, not yet trusted by the kernel.
        values: Vec<Vec<u8>>,
    },
    /// End of a `FindProviders`.
    Providers {
        /// The key.
        key: Hash,
        /// Claimed providers, at most 20.
        peers: Vec<PeerId>,
    },
}

/// What a person or program asks of the node.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Sign and publish a package, and serve it here until a volunteer takes over. Answer: `Service`.
    Publish {
        /// The author's manifest, JSON.
        manifest: Vec<u8>,
        /// The wasm module.
        module: Vec<u8>,
        /// UI assets by path.
        ui: Vec<(String, Vec<u8>)>,
    },
    /// Search. Answer: `Found`.
    Find(Query),
    /// Open a session to `NAME`, or `NAME@PUBLISHER`. Answer: `Opened`.
    Open {
        /// The service.
        service: String,
        /// Give up after this time; 0 means the default of 10 s.
        deadline_ms: u64,
    },
    /// Call a method. Answer: `Reply`.
    Call {
        /// An open session.
        session: SessionId,
        /// The method's name, at most 256 bytes.
        method: String,
        /// At most [`MAX_BODY`] bytes.
        body: Vec<u8>,
        /// Give up after this time; 0 means the default of 30 s. The call may still be executed.
        deadline_ms: u64,
    },
    /// A read-only call outside the order of calls. Answer: `Reply`.
    Query {
        /// An open session.
        session: SessionId,
        /// The method's name.
        method: String,
        /// The body.
        body: Vec<u8>,
        /// As in `Call`.
        deadline_ms: u64,
        /// Any replica or standby may answer, with what is at most this old; zero: with everything that was acknowledged
        /// before. Answer: `Read`. `None`: only who serves answers.
        max_age_ms: Option<u64>,
    },
    /// An ordered message. Answer: `Done` as soon as it is queued, or `overloaded`.
    Message {
        /// An open session.
        session: SessionId,
        /// The message.
        body: Vec<u8>,
    },
    /// A lossy message to the session's rooms. Answer: `Done`.
    Datagram {
        /// An open session.
        session: SessionId,
        /// At most 1,200 bytes.
        body: Vec<u8>,
    },
    /// Close a session. Answer: `Done`.
    Close {
        /// The session.
        session: SessionId,
    },
    /// Set what this node takes on; `None` stops volunteering. Answer: `Done`.
    Volunteer(Option<VolunteerPolicy>),
    /// Pull a service and serve it here. Answer: `Done`.
    Host {
        /// As in `Open`.
        service: String,
    },
    /// Move the serving role held here to `to`. Answer: `Handover`.
    Handover {
        /// As in `Open`.
        service: String,
        /// The target.
        to: PeerId,
    },
    /// Fetch a service's manifest and UI assets. Answer: `Package`.
    Package {
        /// As in `Open`.
        service: String,
        /// The assets, too; else none are in the answer.
        files: bool,
    },
    /// Give a service one to five stars; zero takes them back. Answer: `Done`.
    Rate {
        /// As in `Open`.
        service: String,
        /// At most 5.
        stars: u8,
    },
    /// Stop serving a service here without handing it over: its state is lost. One of this node's own that runs elsewhere
    /// is taken out of the catalogue. Answer: `Done`.
    Drop {
        /// As in `Open`.
        service: String,
    },
    /// What [`Output::Store`] kept in earlier runs: services come back that nobody serves meanwhile. Answer: `Done`.
    Recall(Vec<(String, Vec<u8>)>),
    /// Go on with this tab's stored copy of a replicated service of this node's own, without the other copies. Answer: `Done`.
    Recover {
        /// As in `Open`.
        service: String,
    },
    /// Hand over what is served here, close sessions. Answer: `Done`, after at most 10 s.
    Leave,
    /// The page ends or freezes now: whoever is warm takes over at once, nothing is waited for. Answer: `Done`.
    Vanish,
    /// Let people find this peer by a nick name; `None` withdraws it. Answer: `Done`, before others know it.
    Announce {
        /// 1 to 32 characters.
        nick: Option<String>,
        /// A line about the person, at most 200 characters.
        profile: String,
    },
    /// Who uses a nick name. Answer: `Nicknames`, after at most 8 s.
    Lookup {
        /// As in `Announce`; case does not matter.
        nick: String,
    },
    /// Ask a peer's person into a conference. Answer: `Rung`, or `deadline` after 30 s.
    Ring {
        /// Whom.
        peer: PeerId,
        /// Which: 1 to 512 bytes that the other side understands.
        conference: String,
        /// Who asks, as a nick name; empty for the one that is announced, or this node's name.
        nick: String,
    },
    /// Answer an [`Event::Ring`]. Answer: `Done`.
    PickUp {
        /// Its number.
        ring: u64,
        /// Yes or no.
        accept: bool,
    },
}

/// What somebody searches for; empty fields match everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Exactly this name.
    pub name: Option<String>,
    /// This text in name, description or tags.
    pub text: Option<String>,
    /// Exactly this tag.
    pub tag: Option<String>,
    /// Latitude, longitude in degrees, radius in km.
    pub near: Option<(f64, f64, f64)>,
}

/// What a volunteer takes on. A list that is empty takes any; a service has to be on each list that is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct VolunteerPolicy {
    /// Share of a core in percent.
    pub cpu: u32,
    /// Memory of all hosted modules together.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// Storage of all hosted modules together.
    #[serde(rename = "storageMiB")]
    pub storage_mib: u32,
    /// Bandwidth up of all hosted services together, as their manifests ask for it, in kbit/s.
    pub up_kbps: u32,
    /// It runs on mains power, as far as is known.
    pub mains: bool,
    /// Names, or `name@publisher`.
    pub services: Vec<String>,
    /// Peer ids of publishers.
    pub publishers: Vec<String>,
    /// Tags, of which a service has one at least.
    pub tags: Vec<String>,
}

/// Of a node whose person set none.
impl Default for VolunteerPolicy {
    fn default() -> Self {
        Self {
            cpu: 50,
            memory_mib: 512,
            storage_mib: 256,
            up_kbps: 2_000,
            mains: true,
            services: Vec::new(),
            publishers: Vec::new(),
            tags: Vec::new(),
        }
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The published service, `name@publisher`.
    Service(String),
    /// What was found, and how sure the search is that nothing is missing.
    Found {
        /// Matches.
        services: Vec<ServiceInfo>,
        /// False when no index could be asked, so that the list may be incomplete.
        complete: bool,
    },
    /// A session is open.
    Opened(SessionInfo),
    /// The service runs outside of all tabs: whoever opened it calls it itself, by HTTP.
    External(ExternalInfo),
    /// A method's reply.
    Reply(Vec<u8>),
    /// The reply to a read at any copy.
    Read {
        /// The reply.
        body: Vec<u8>,
        /// Who answered.
        server: String,
        /// What it read is at most this old, in ms, when it left there.
        age_ms: u32,
    },
    /// A handover is complete.
    Handover(HandoverReport),
    /// A package.
    Package {
        /// The manifest's JSON.
        manifest: Vec<u8>,
        /// UI assets by path.
        ui: Vec<(String, Vec<u8>)>,
    },
    /// Who uses a nick name.
    Nicknames {
        /// Everybody who claims it, by key.
        found: Vec<NickInfo>,
        /// How long the search took.
        took_ms: u64,
    },
    /// Somebody answered a ring.
    Rung {
        /// Does the person come.
        accepted: bool,
    },
}

/// Somebody who uses a nick name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NickInfo {
    /// As its person writes it; untrusted text.
    pub nick: String,
    /// The peer's id.
    pub peer: String,
    /// Its end, for people to compare.
    pub short: String,
    /// A line about the person; untrusted text.
    pub profile: String,
    /// When it was signed, in ms since the Unix epoch.
    pub announced: u64,
}

/// A service as a catalogue shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInfo {
    /// `name@publisher`.
    pub id: String,
    /// The name.
    pub name: String,
    /// The publisher's PeerId.
    pub publisher: String,
    /// The package's version.
    pub version: String,
    /// A sentence.
    pub description: String,
    /// Tags.
    pub tags: Vec<String>,
    /// `none`, `single`, `replicated-3`, `replicated-5`.
    pub state: String,
    /// The package.
    pub package: String,
    /// Latitude and longitude, where the publisher gave them.
    pub location: Option<(f64, f64)>,
    /// Does the package bring a UI.
    pub has_ui: bool,
    /// Where it runs, if that is outside of all tabs; nobody hosts it then.
    pub url: Option<String>,
    /// Who is known to serve it now.
    pub hosts: Vec<String>,
    /// The publisher's sequence number of this record: ms since the Unix epoch.
    pub sequence: u64,
    /// How it is rated, if anybody rated it.
    pub rating: Option<RatingInfo>,
}

/// How a service is rated, by how many keys; one person may have many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatingInfo {
    /// 1 to 5 stars.
    pub mean: f64,
    /// Who rated.
    pub count: u32,
}

/// How a service is called that runs outside of all tabs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalInfo {
    /// `name@publisher`.
    pub service: String,
    /// A method is called by POST to this address, a slash and the method's name.
    pub url: String,
    /// Its scheme, host and port.
    pub origin: String,
    /// It is on the very machine of whoever calls it: for development.
    pub loopback: bool,
    /// Its interface.
    pub methods: BTreeMap<String, ExternalMethod>,
}

/// A method of such a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMethod {
    /// It changes nothing.
    pub read_only: bool,
    /// Its body is JSON, else bytes.
    pub json_body: bool,
}

/// A session's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Its id in hex.
    pub id: String,
    /// `name@publisher`.
    pub service: String,
    /// The peer that serves it.
    pub server: String,
    /// The authority's epoch.
    pub epoch: u64,
    /// The authority's term.
    pub term: u64,
    /// How the server is reached.
    pub path: Path,
}

/// What a handover cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandoverReport {
    /// The service, `name@publisher`.
    pub service: String,
    /// The old server.
    pub from: String,
    /// The new server.
    pub to: String,
    /// The witness, where there was one.
    pub witness: Option<String>,
    /// The term of the new server.
    pub term: u64,
    /// From the last call accepted here to the new server's authority, in ms.
    pub pause_ms: u64,
    /// Bytes sent: package and compressed state; to a standby, when it became one.
    pub bytes: u64,
    /// Bytes of the uncompressed state.
    pub state_bytes: u64,
    /// It is not known whether the target serves.
    pub uncertain: bool,
}

/// A service hosted here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostedInfo {
    /// `name@publisher`.
    pub service: String,
    /// `leader`, `follower`, `standby`, `joining` or `witness`.
    pub role: String,
    /// The authority's epoch.
    pub epoch: u64,
    /// The authority's term.
    pub term: u64,
    /// It has no worker until somebody calls it: nobody did for a minute.
    pub asleep: bool,
    /// Open sessions.
    pub sessions: u32,
    /// Events that ran here.
    pub events: u64,
    /// Gas that they burnt.
    pub gas: u64,
    /// Traps.
    pub traps: u64,
    /// Voters of the group.
    pub members: Vec<String>,
    /// Peers that hold a warm copy of a `single` service, as its host sees them.
    pub standbys: Vec<String>,
    /// How many of them the manifest wants, where volunteers fit.
    pub standbys_wanted: u32,
    /// Where a handover under way goes, and its step.
    pub handover: Option<(String, String)>,
    /// The manifest's memory limit.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// State holders that the manifest wants; 1 for `none` and `single`.
    pub wanted: u32,
    /// State holders that can be counted on, as the leader sees them, itself among them.
    pub replicas: u32,
    /// Log entries that the slowest member lacks, as the leader sees it.
    pub lag: u64,
    /// Log entries that are executed here and not in this node's checkpoint; `None` before the first one, and for
    /// standbys, which keep none.
    pub unstored: Option<u64>,
    /// The service came back from a checkpoint of this time (ms since the Unix epoch): what happened since may be lost.
    pub lost_since: Option<u64>,
    /// A copy of a stateless service that came by itself, since this node calls it much.
    pub for_own_calls: bool,
}

/// A peer as others see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Its PeerId.
    pub id: String,
    /// The name that its person chose; untrusted text.
    pub name: String,
    /// `tab` or `relay`.
    pub role: String,
    /// How it is reached.
    pub path: Path,
    /// Round trip in ms, once measured.
    pub rtt_ms: Option<f64>,
    /// Does it take services.
    pub volunteer: bool,
    /// How much of what its person grants is used, in percent, roughly.
    pub busy: u8,
    /// Services it hosts, `name@publisher`.
    pub hosting: Vec<String>,
}

/// The node's state at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Has an address under which others can reach it, or is connected to another tab.
    pub joined: bool,
    /// Connected peers.
    pub peers: Vec<PeerInfo>,
    /// Connected relays.
    pub relays: Vec<String>,
    /// What is hosted here.
    pub hosting: Vec<HostedInfo>,
    /// Replicated services, `name@publisher`, whose stored copies wait here for the other copies.
    pub waiting: Vec<String>,
    /// Open sessions of this node as a consumer.
    pub sessions: Vec<SessionInfo>,
    /// What it takes on.
    pub volunteer: Option<VolunteerPolicy>,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// `joined` or the relays changed.
    Status,
    /// A peer came, went or changed.
    Peer {
        /// The peer.
        id: String,
        /// Is it connected now.
        connected: bool,
    },
    /// What is hosted here changed.
    Hosting {
        /// `name@publisher`.
        service: String,
    },
    /// A step of a handover in which this node takes part.
    Handover {
        /// `name@publisher`.
        service: String,
        /// From.
        from: String,
        /// To.
        to: String,
        /// `offer`, `seed`, `join`, `warm`, `take-over`, `release`, `done`, `aborted`.
        step: String,
        /// Why it was aborted, or empty.
        reason: String,
    },
    /// A service came back from a checkpoint: what happened since may be lost.
    Restored {
        /// `name@publisher`.
        service: String,
        /// When the checkpoint was taken, in ms since the Unix epoch.
        since: u64,
    },
    /// This node foresees more load than its person grants, or cannot keep up: a service moves.
    Shed {
        /// `name@publisher`.
        service: String,
        /// Who takes it.
        to: String,
        /// The load that is foreseen, in percent of what is granted.
        percent: u32,
        /// How late this node's alarms ring, in ms, when that is why; else 0.
        late_ms: u32,
    },
    /// A stateless service that this node calls runs here from now on, or not any more.
    Placed {
        /// `name@publisher`.
        service: String,
        /// Here, or at another peer.
        here: bool,
        /// What a call took here, in ms, as far as measured.
        here_ms: Option<f64>,
        /// What a call took at another peer, in ms, as far as measured.
        there_ms: Option<f64>,
        /// Calls in a second.
        rate: f64,
        /// What it costs to have it here, in ms.
        cost_ms: f64,
    },
    /// A session follows its service to another server.
    Moved(SessionInfo),
    /// A message for a session of this node.
    Message {
        /// The session's id in hex.
        session: String,
        /// The message.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// A datagram for a session of this node.
    Datagram {
        /// The session's id in hex.
        session: String,
        /// The datagram.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// Something that a session sent without waiting for an answer was refused.
    SessionError {
        /// The session's id in hex.
        session: String,
        /// One of the codes of [`Error`].
        code: String,
        /// In words.
        message: String,
    },
    /// A session ended.
    Closed {
        /// The session's id in hex.
        session: String,
        /// Why, in words.
        reason: String,
    },
    /// A line that a hosted module logged.
    Log {
        /// `name@publisher`.
        service: String,
        /// 0 error … 3 debug.
        level: u8,
        /// The text; untrusted.
        text: String,
    },
    /// Somebody asks this node's person into a conference; answered by [`Command::PickUp`].
    Ring {
        /// Its number.
        ring: u64,
        /// The caller's peer id.
        from: String,
        /// The id's end, for people to compare.
        short: String,
        /// The caller's nick name; untrusted text.
        nick: String,
        /// Which conference; untrusted text.
        conference: String,
    },
    /// A ring ended unanswered.
    RingOver {
        /// Its number.
        ring: u64,
    },
    /// Something went wrong that no command's answer tells.
    Error {
        /// One of the codes of [`Error`].
        code: String,
        /// In words.
        message: String,
    },
}

/// Why a command failed. The code is a promise to programs, the message is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No service of this name is known.
    #[error("no service named {0} was found")]
    NotFound(String),
    /// The service is known; nobody serves it now.
    #[error("nobody serves {0} now")]
    NoServer(String),
    /// The time is over. For a call: it is not known whether it was executed, and it will not be executed twice.
    #[error("the deadline passed: {0}")]
    Deadline(String),
    /// The module trapped, or its call failed; the message is its own.
    #[error("the service failed: {0}")]
    Trapped(String),
    /// Somebody refused.
    #[error("refused: {0}")]
    Refused(String),
    /// The package is not valid.
    #[error("the package is not valid: {0}")]
    InvalidPackage(String),
    /// A policy forbids it.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// A queue is full; it is worth trying again after that time.
    #[error("overloaded: {0}")]
    Overloaded(String, Millis),
    /// Several owners have a service of this name.
    #[error("several publishers have a service of this name")]
    Ambiguous(Vec<String>),
    /// The session is closed or unknown.
    #[error("disconnected: {0}")]
    Disconnected(String),
    /// It is not known whether the call was executed.
    #[error("it is not known whether the call was executed: {0}")]
    UnknownOutcome(String),
}

impl Error {
    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Millis> {
        match self {
            Error::Overloaded(_, after) => Some(*after),
            _ => None,
        }
    }

    /// The code that programs rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound(_) => "not-found",
            Error::NoServer(_) => "no-server",
            Error::Deadline(_) => "deadline",
            Error::Trapped(_) => "trapped",
            Error::Refused(_) => "refused",
            Error::InvalidPackage(_) => "invalid-package",
            Error::NotPermitted(_) => "not-permitted",
            Error::Overloaded(..) => "overloaded",
            Error::Ambiguous(_) => "ambiguous",
            Error::Disconnected(_) => "disconnected",
            Error::UnknownOutcome(_) => "unknown-outcome",
        }
    }
}

/// Which kind of node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A browser tab.
    Tab,
    /// A native node with a public address.
    Relay,
}

/// What a node is made with.
#[derive(Clone)]
pub struct Config {
    /// The secret ed25519 key.
    pub secret_key: [u8; 32],
    /// The kind of node.
    pub role: Role,
    /// A name that its person chose; at most 64 bytes are used.
    pub name: String,
    /// The seed of every random choice.
    pub seed: [u8; 32],
}
