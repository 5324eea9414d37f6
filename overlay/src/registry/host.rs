//! What whoever serves a service says.

use serde::{Deserialize, Serialize};

use super::record::{seal, RecordError, KIND_HOST};
use super::Succession;
use crate::id::{PeerId, ServiceId};
use crate::time::{Millis, Time};

/// The longest life of a [`HostRecord`].
pub const HOST_LIFETIME: Millis = Millis::secs(90);
/// The most members in a host record.
const MAX_MEMBERS: usize = 8;
/// The most address hints, and the most bytes of one.
const MAX_ADDRESSES: (usize, usize) = (4, 256);

/// Who serves a service now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The service.
    pub service: ServiceId,
    /// The authority's epoch.
    pub epoch: u64,
    /// The authority's term.
    pub term: u64,
    /// The server, who signs.
    pub host: PeerId,
    /// How the host came to serve.
    pub succession: Succession,
    /// The group's members, at most 8.
    pub members: Vec<PeerId>,
    /// Where the host can be reached: at most 4 of at most 256 bytes.
    pub addresses: Vec<String>,
    /// Higher replaces lower within a term: ms since the Unix epoch.
    pub sequence: u64,
    /// When it was signed.
    pub created: Time,
    /// When it ends, at most [`HOST_LIFETIME`] later.
    pub expires: Time,
}

impl HostRecord {
    /// Signs and encodes it; an error names a field that others would refuse.
    pub fn encode(&self, secret_key: &[u8; 32]) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        seal(KIND_HOST, self, self.host, secret_key)
    }

    pub(super) fn check(&self) -> Result<(), RecordError> {
        if self.members.len() > MAX_MEMBERS {
            return Err(RecordError::Field("members"));
        }
        if !self.succession.is_bounded() || self.succession.holder() != self.host {
            return Err(RecordError::Field("succession"));
        }
        Self::check_addresses(&self.addresses)
    }

    /// The bounds of every record's addresses.
    pub(super) fn check_addresses(addresses: &[String]) -> Result<(), RecordError> {
        let (most, bytes) = MAX_ADDRESSES;
        let printable = |text: &String| text.len() <= bytes && text.bytes().all(|b| b.is_ascii_graphic());
        if addresses.len() > most || !addresses.iter().all(printable) {
            return Err(RecordError::Field("addresses"));
        }
        Ok(())
    }
}
