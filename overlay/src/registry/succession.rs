//! Who was given a service by whom: from the host that its publisher named, each host signs its successor.
//!
//! A chain of signatures lets anybody refuse an outsider that merely claims to serve (`docs/decisions`, 10). It does
//! not tell whether a former host still serves: that is what epoch and term are for. A chain never names a peer twice:
//! who gets the service back goes on from where it stood.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{PeerId, ServiceId};

/// The most links of a chain. A service that went further from its genesis is found by an unproven record, which counts
/// only while no proven one is alive.
pub const MAX_LINKS: usize = 32;

const DOMAIN: &[u8] = b"tabfarm succession 1\0";

/// One host's signature on its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The successor.
    pub to: PeerId,
    /// Of the host before it, over service, itself and the successor.
    pub signature: ByteBuf,
}

/// A chain of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// Where it begins.
    pub first: PeerId,
    /// Its successors in order, at most [`MAX_LINKS`].
    pub links: Vec<Link>,
}

impl Succession {
    /// A chain of one host, the genesis itself.
    pub fn of(first: PeerId) -> Self {
        Self { first, links: Vec::new() }
    }

    /// The last host.
    pub fn holder(&self) -> PeerId {
        self.links.last().map_or(self.first, |link| link.to)
    }

    /// The chain of the holder's successor `to`, signed with the holder's key. A full chain forgets its beginning.
    pub fn extended(&self, service: ServiceId, to: PeerId, secret_key: &[u8; 32]) -> Self {
        let mut next = self.clone();
        if to == next.first {
            next.links.clear();
        } else if let Some(at) = next.links.iter().position(|link| link.to == to) {
            next.links.truncate(at + 1);
        } else {
            if next.links.len() >= MAX_LINKS {
                next.first = next.links.remove(0).to;
            }
            let signed = SigningKey::from_bytes(secret_key).sign(&statement(service, self.holder(), to));
            next.links.push(Link { to, signature: ByteBuf::from(signed.to_bytes().to_vec()) });
        }
        next
    }

    /// Does the chain lead from `genesis`, wherever in it that stands, to `host`?
    pub fn proves(&self, service: ServiceId, genesis: PeerId, host: PeerId) -> bool {
        let Some(start) = self.hosts().position(|peer| peer == genesis) else { return false };
        self.holder() == host && self.is_signed_from(service, start)
    }

    /// Has it forgotten its beginning, as far as it says itself, and is signed throughout?
    pub fn is_full(&self, service: ServiceId, host: PeerId) -> bool {
        self.links.len() == MAX_LINKS && self.holder() == host && self.is_signed_from(service, 0)
    }

    /// Within its bounds.
    pub fn is_bounded(&self) -> bool {
        self.links.len() <= MAX_LINKS && self.links.iter().all(|link| link.signature.len() == 64)
    }

    fn hosts(&self) -> impl Iterator<Item = PeerId> + '_ {
        std::iter::once(self.first).chain(self.links.iter().map(|link| link.to))
    }

    fn is_signed_from(&self, service: ServiceId, start: usize) -> bool {
        let signers = self.hosts().skip(start);
        signers.zip(&self.links[start..]).all(|(from, link)| is_signed(service, from, link))
    }
}

fn is_signed(service: ServiceId, from: PeerId, link: &Link) -> bool {
    let key = VerifyingKey::from_bytes(&from.0);
    let signature = Signature::from_slice(&link.signature);
    let (Ok(key), Ok(signature)) = (key, signature) else { return false };
    key.verify_strict(&statement(service, from, link.to), &signature).is_ok()
}

fn statement(service: ServiceId, from: PeerId, to: PeerId) -> Vec<u8> {
    [DOMAIN, &service.0 .0, &from.0, &to.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::record::tests::{peer, secret};

    fn service() -> ServiceId {
        ServiceId::new(peer(1), "counter")
    }

    fn chain(hosts: &[u8]) -> Succession {
        let start = Succession::of(peer(hosts[0]));
        hosts.windows(2).fold(start, |chain, pair| chain.extended(service(), peer(pair[1]), &secret(pair[0])))
    }

    #[test]
    fn a_chain_proves_its_last_host_from_any_of_its_hosts() {
        let chain = chain(&[1, 2, 3]);
        assert!(chain.proves(service(), peer(1), peer(3)));
        assert!(chain.proves(service(), peer(2), peer(3)), "the publisher may name a later host");
        assert!(chain.proves(service(), peer(3), peer(3)));
        assert!(!chain.proves(service(), peer(1), peer(2)), "not the holder");
        assert!(!chain.proves(service(), peer(4), peer(3)), "another genesis");
        assert!(!chain.proves(ServiceId::new(peer(1), "other"), peer(1), peer(3)), "another service");
    }

    #[test]
    fn an_outsider_cannot_extend_what_it_does_not_hold() {
        let forged = chain(&[1, 2]).extended(service(), peer(9), &secret(9));
        assert!(!forged.proves(service(), peer(1), peer(9)));
        let mut spliced = chain(&[1, 2]);
        spliced.links[0].to = peer(9);
        assert!(!spliced.proves(service(), peer(1), peer(9)));
        let mut flipped = chain(&[1, 2]);
        flipped.links[0].signature[5] ^= 1;
        assert!(!flipped.proves(service(), peer(1), peer(2)));
    }

    #[test]
    fn who_gets_the_service_back_stands_where_it_stood() {
        assert_eq!(chain(&[1, 2, 3, 2]), chain(&[1, 2]));
        assert_eq!(chain(&[1, 2, 3, 1]), chain(&[1]));
    }

    #[test]
    fn a_full_chain_forgets_its_beginning_and_says_so() {
        let hosts: Vec<u8> = (1..=34).collect();
        let full = chain(&hosts[..33]);
        assert!(full.proves(service(), peer(1), peer(33)) && full.is_full(service(), peer(33)));
        let over = chain(&hosts);
        assert!(!over.proves(service(), peer(1), peer(34)));
        assert!(over.proves(service(), peer(2), peer(34)) && over.is_full(service(), peer(34)));
        assert!(over.is_bounded() && !chain(&[1, 2]).is_full(service(), peer(2)));
    }
}
