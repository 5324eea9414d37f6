//! What people and programs are shown: services, peers, sessions, and the node at a glance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Path, VolunteerPolicy};

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

/// What became of a service that a node served which left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftInfo {
    /// The service, `name@publisher`.
    pub service: String,
    /// Who serves it now, if anybody does.
    pub to: Option<String>,
    /// Why nobody does.
    pub reason: Option<String>,
    /// Nobody does, and this node's last checkpoint holds all of its state: it goes on when the node comes back.
    pub stored: bool,
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
