//! What a person or program asks of the node, and what comes of it.

use serde::{Deserialize, Serialize};

use super::{ExternalInfo, HandoverReport, LeftInfo, NickInfo, ServiceInfo, SessionInfo};
use crate::id::{PeerId, SessionId};
use crate::time::Millis;

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
        /// At most [`super::MAX_BODY`] bytes.
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
    /// What [`super::Output::Store`] kept in earlier runs: services come back that nobody serves meanwhile. Answer: `Done`.
    Recall(Vec<(String, Vec<u8>)>),
    /// Go on with this tab's stored copy of a replicated service of this node's own, without the other copies. Answer: `Done`.
    Recover {
        /// As in `Open`.
        service: String,
    },
    /// Hand over what is served here, store what nobody takes, close sessions. Answer: `Left`, after at most 12 s.
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
    /// What became of each service that was served here.
    Left(Vec<LeftInfo>),
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
