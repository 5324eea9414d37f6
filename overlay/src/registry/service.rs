//! What a publisher says about a service.

use serde::{Deserialize, Serialize};

use super::record::{seal, RecordError, KIND_EXTERNAL, KIND_SERVICE};
use crate::id::{PackageId, PeerId, ServiceId};
use crate::manifest::{address, is_location, is_name, is_printable, is_version, Permit, StateKind};
use crate::time::{Millis, Time};

/// The longest life of a [`ServiceRecord`]; its publisher, or anybody who holds it, puts it again before that.
pub const SERVICE_LIFETIME: Millis = Millis::secs(30 * 24 * 3600);

/// What a publisher says about a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRecord {
    /// The name; with the publisher it is the service.
    pub name: String,
    /// The owner, who signs.
    pub publisher: PeerId,
    /// Higher replaces lower: ms since the Unix epoch.
    pub sequence: u64,
    /// The package.
    pub package: PackageId,
    /// Its version.
    pub version: String,
    /// A sentence.
    pub description: String,
    /// Tags.
    pub tags: Vec<String>,
    /// How its state is kept.
    pub state: StateKind,
    /// Latitude and longitude in degrees.
    pub location: Option<(f64, f64)>,
    /// Does the package bring a UI.
    pub has_ui: bool,
    /// Where it runs, if that is outside of all tabs: nobody hosts it then.
    pub url: Option<String>,
    /// Who may host it.
    pub hosts: Permit,
    /// How its group began.
    pub genesis: Genesis,
    /// When it was signed.
    pub created: Time,
    /// When it ends, at most [`SERVICE_LIFETIME`] later.
    pub expires: Time,
    /// The publisher withdraws the service; the record stays so that older ones cannot come back.
    pub withdrawn: bool,
}

/// How a service's group began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The first host, whose succession everybody follows.
    pub host: PeerId,
    /// The version of the replicated session machine.
    pub machine_version: u16,
}

impl ServiceRecord {
    /// The service.
    pub fn service(&self) -> ServiceId {
        ServiceId::new(self.publisher, &self.name)
    }

    /// `name@publisher`.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.name, self.publisher)
    }

    /// May `peer` host it? The publisher always may, and nobody what runs elsewhere.
    pub fn hosts_permit(&self, peer: &PeerId) -> bool {
        self.url.is_none() && self.hosts.permits(peer, &self.publisher)
    }

    /// Scheme, host and port of where it runs, if that is outside of all tabs.
    pub fn origin(&self) -> Option<&str> {
        self.url.as_deref().and_then(|url| address(url).ok()).map(|address| address.origin)
    }

    /// Signs and encodes it; an error names a field that others would refuse.
    pub fn encode(&self, secret_key: &[u8; 32]) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        let service = Wire::from(self);
        match self.url.clone() {
            None => seal(KIND_SERVICE, &service, self.publisher, secret_key),
            Some(url) => seal(KIND_EXTERNAL, &External { service, url }, self.publisher, secret_key),
        }
    }

    pub(super) fn check(&self) -> Result<(), RecordError> {
        let ensure = |holds, field| if holds { Ok(()) } else { Err(RecordError::Field(field)) };
        ensure(is_name(&self.name, 64), "name")?;
        ensure(is_version(&self.version), "version")?;
        ensure(is_printable(&self.description, 500), "description")?;
        ensure(self.tags.len() <= 8 && self.tags.iter().all(|tag| is_name(tag, 32)), "tags")?;
        ensure(self.location.is_none_or(is_location), "location")?;
        if let Some(url) = &self.url {
            ensure(address(url).is_ok(), "url")?;
            ensure(self.state == StateKind::None, "state")?;
            ensure(self.hosts == Permit::Anyone, "hosts")?;
        }
        match &self.hosts {
            Permit::Peers(peers) => ensure((1..=32).contains(&peers.len()), "hosts"),
            Permit::Anyone => Ok(()),
        }
    }
}

/// A service record as bytes: the manifest's texts for JSON become compact here.
#[derive(Serialize, Deserialize)]
pub(super) struct Wire {
    name: String,
    publisher: PeerId,
    sequence: u64,
    package: PackageId,
    version: String,
    description: String,
    tags: Vec<String>,
    state: StateKind,
    location: Option<(f64, f64)>,
    has_ui: bool,
    hosts: Option<Vec<PeerId>>,
    genesis: Genesis,
    created: Time,
    expires: Time,
    withdrawn: bool,
}

/// The record of a service that runs elsewhere.
#[derive(Serialize, Deserialize)]
pub(super) struct External {
    pub(super) service: Wire,
    pub(super) url: String,
}

impl From<&ServiceRecord> for Wire {
    fn from(record: &ServiceRecord) -> Self {
        let record = record.clone();
        Self {
            name: record.name,
            publisher: record.publisher,
            sequence: record.sequence,
            package: record.package,
            version: record.version,
            description: record.description,
            tags: record.tags,
            state: record.state,
            location: record.location,
            has_ui: record.has_ui,
            hosts: match record.hosts {
                Permit::Anyone => None,
                Permit::Peers(peers) => Some(peers),
            },
            genesis: record.genesis,
            created: record.created,
            expires: record.expires,
            withdrawn: record.withdrawn,
        }
    }
}

impl From<Wire> for ServiceRecord {
    fn from(wire: Wire) -> Self {
        Self {
            name: wire.name,
            publisher: wire.publisher,
            sequence: wire.sequence,
            package: wire.package,
            version: wire.version,
            description: wire.description,
            tags: wire.tags,
            state: wire.state,
            location: wire.location,
            has_ui: wire.has_ui,
            url: None,
            hosts: wire.hosts.map_or(Permit::Anyone, Permit::Peers),
            genesis: wire.genesis,
            created: wire.created,
            expires: wire.expires,
            withdrawn: wire.withdrawn,
        }
    }
}

impl From<External> for ServiceRecord {
    fn from(External { service, url }: External) -> Self {
        Self { url: Some(url), ..service.into() }
    }
}
