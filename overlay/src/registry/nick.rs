//! Nick names: a person's name for people, signed by the peer that uses it.
//!
//! A nick name belongs to nobody: each peer that claims it has a record of its own under [`nick_record_key`] and is a provider
//! of [`nick_key`], so that a search lists all of them and people compare keys.

use serde::{Deserialize, Serialize};

use super::record::{seal, RecordError, KIND_NICK};
use super::{key, HostRecord};
use crate::id::{Hash, PeerId};
use crate::manifest::is_printable;
use crate::time::{Millis, Time};

/// The longest life of a [`NickRecord`]: a person whose tab is gone is not found for longer.
pub const NICK_LIFETIME: Millis = Millis::secs(180);
/// The longest nick name, in characters.
pub const MAX_NICK: usize = 32;
/// The longest profile, in characters.
pub const MAX_PROFILE: usize = 200;

/// Who uses a nick name, and how that peer is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NickRecord {
    /// The name as its person writes it.
    pub nick: String,
    /// The peer, who signs.
    pub peer: PeerId,
    /// A line about the person; untrusted text.
    pub profile: String,
    /// Where the peer can be reached: at most 4 of at most 256 bytes.
    pub addresses: Vec<String>,
    /// Higher replaces lower: ms since the Unix epoch.
    pub sequence: u64,
    /// When it was signed.
    pub created: Time,
    /// When it ends, at most [`NICK_LIFETIME`] later.
    pub expires: Time,
    /// The peer does not use the name any more.
    pub withdrawn: bool,
}

impl NickRecord {
    /// Signs and encodes it; an error names a field that others would refuse.
    pub fn encode(&self, secret_key: &[u8; 32]) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        seal(KIND_NICK, self, self.peer, secret_key)
    }

    /// The key under which it belongs.
    pub fn key(&self) -> Hash {
        nick_record_key(&self.nick, self.peer)
    }

    pub(super) fn check(&self) -> Result<(), RecordError> {
        if !is_nick(&self.nick) {
            return Err(RecordError::Field("nick name"));
        }
        if !is_printable(&self.profile, MAX_PROFILE) {
            return Err(RecordError::Field("profile"));
        }
        HostRecord::check_addresses(&self.addresses)
    }
}

/// 1 to 32 printable characters without white space around them.
pub fn is_nick(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && is_printable(text, MAX_NICK)
}

/// Whose providers use this nick name, however they write its letters.
pub fn nick_key(nick: &str) -> Hash {
    key(b"nick", folded(nick).as_bytes())
}

/// Where one peer's record of this nick name is.
pub fn nick_record_key(nick: &str, peer: PeerId) -> Hash {
    key(b"nick record", &[&peer.0, folded(nick).as_bytes()].concat())
}

/// Nick names that differ in case or in the white space around them are one.
fn folded(nick: &str) -> String {
    nick.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{peer, secret, NOW};
    use super::super::{validate, Validated, MAX_RECORD, SKEW};
    use super::*;

    fn record(by: u8, nick: &str) -> NickRecord {
        NickRecord {
            nick: nick.to_owned(),
            peer: peer(by),
            profile: "plays the cello".to_owned(),
            addresses: vec!["/dns4/example.org/tcp/443/wss".to_owned()],
            sequence: NOW.0,
            created: NOW,
            expires: NOW + NICK_LIFETIME,
            withdrawn: false,
        }
    }

    #[test]
    fn a_nick_name_is_found_under_its_peers_key_however_it_is_written() {
        let ann = record(1, "Ann");
        let bytes = ann.encode(&secret(1)).unwrap();
        assert_eq!(
            validate(nick_record_key(" aNN ", peer(1)), &bytes, NOW),
            Ok(Validated::Nick(ann.clone()))
        );
        assert_eq!(validate(nick_record_key("ann", peer(2)), &bytes, NOW), Err(RecordError::Key));
        assert_eq!(validate(nick_record_key("bob", peer(1)), &bytes, NOW), Err(RecordError::Key));
        assert_eq!(ann.encode(&secret(2)), Err(RecordError::Signature));
        assert_ne!(nick_key("ann"), nick_key("bob"));
    }

    #[test]
    fn the_largest_record_fits() {
        let largest = NickRecord {
            profile: "é".repeat(MAX_PROFILE),
            addresses: vec!["a".repeat(256); 4],
            ..record(1, &"𝄞".repeat(MAX_NICK))
        };
        assert!(largest.encode(&secret(1)).unwrap().len() <= MAX_RECORD);
    }

    #[test]
    fn fields_and_times_are_refused_by_name() {
        let refused = |record: NickRecord| record.encode(&secret(1)).map(|_| ());
        for nick in ["", " Ann", "a\nb", "\u{202e}nna", &"n".repeat(MAX_NICK + 1)] {
            assert_eq!(refused(record(1, nick)), Err(RecordError::Field("nick name")), "{nick:?}");
        }
        let profile = "p".repeat(MAX_PROFILE + 1);
        assert_eq!(refused(NickRecord { profile, ..record(1, "x") }), Err(RecordError::Field("profile")));
        let addresses = vec!["a".to_owned(); 5];
        assert_eq!(refused(NickRecord { addresses, ..record(1, "x") }), Err(RecordError::Field("addresses")));
        let long = NickRecord { expires: NOW + NICK_LIFETIME + Millis(1), ..record(1, "x") };
        let judged = |record: &NickRecord, now| {
            validate(record.key(), &record.encode(&secret(1)).unwrap(), now).map(|_| ())
        };
        assert_eq!(judged(&long, NOW), Err(RecordError::Lifetime));
        assert_eq!(
            judged(&record(1, "x"), NOW + NICK_LIFETIME + SKEW + Millis(1)),
            Err(RecordError::Expired)
        );
        assert_eq!(judged(&record(1, "x"), NOW - SKEW - Millis(1)), Err(RecordError::Future));
    }

    #[test]
    fn a_newer_record_of_the_same_peer_and_name_replaces_an_older_one() {
        let nick = |record: &NickRecord| Validated::Nick(record.clone());
        let old = record(1, "Ann");
        let new = NickRecord { sequence: old.sequence + 1, withdrawn: true, ..record(1, "ANN") };
        assert!(nick(&new).supersedes(&nick(&old)));
        assert!(!nick(&old).supersedes(&nick(&new)));
        assert!(!nick(&NickRecord { sequence: old.sequence + 1, ..record(2, "Ann") }).supersedes(&nick(&old)));
        assert!(!nick(&NickRecord { sequence: old.sequence + 1, ..record(1, "Bob") }).supersedes(&nick(&old)));
    }
}
