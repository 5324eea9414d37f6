//! Ringing: asking a peer's person into a conference, and the answer.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{PeerId, RequestId};
use crate::io::{Answer, Error, Event, Lane};
use crate::node::Node;
use crate::registry::is_nick;
use crate::time::{Millis, Time};
use crate::wire::{Control, Pickup};

/// How long it rings.
const RING_WITHIN: Millis = Millis::secs(30);
/// Rings from here at a time.
const MAX_OUTGOING: usize = 8;
/// Rings that wait for this node's person.
const MAX_INCOMING: usize = 8;
/// Rings of one peer within [`RATE_WINDOW`]; further ones find the line busy.
const MAX_RATE: usize = 6;
const RATE_WINDOW: Millis = Millis::secs(60);
/// Peers whose rings are counted; beyond them the one that comes first in order of keys is forgotten.
const MAX_COUNTED: usize = 256;
/// The longest conference, in bytes.
pub(crate) const MAX_CONFERENCE: usize = 512;

/// Rings both ways.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    outgoing: BTreeMap<u64, Outgoing>,
    /// By a number of this node's own, which its page knows.
    incoming: BTreeMap<u64, Incoming>,
    next: u64,
    recent: BTreeMap<PeerId, VecDeque<Time>>,
}

#[derive(Debug)]
struct Outgoing {
    request: RequestId,
    to: PeerId,
    until: Time,
}

#[derive(Debug)]
struct Incoming {
    from: PeerId,
    /// The caller's number.
    id: u64,
    until: Time,
}

impl Rings {
    /// When [`Node::keep_rings`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let outgoing = self.outgoing.values().map(|ring| ring.until);
        outgoing.chain(self.incoming.values().map(|ring| ring.until)).min()
    }

    /// May this peer ring now? One ring at a time, few in a minute, few in all.
    fn admits(&mut self, now: Time, from: PeerId) -> bool {
        if self.incoming.len() >= MAX_INCOMING || self.incoming.values().any(|ring| ring.from == from) {
            return false;
        }
        if self.recent.len() >= MAX_COUNTED && !self.recent.contains_key(&from) {
            self.recent.retain(|_, times| times.back().is_some_and(|at| now.since(*at) < RATE_WINDOW));
            if self.recent.len() >= MAX_COUNTED {
                self.recent.pop_first();
            }
        }
        let times = self.recent.entry(from).or_default();
        while times.front().is_some_and(|at| now.since(*at) >= RATE_WINDOW) {
            times.pop_front();
        }
        if times.len() >= MAX_RATE {
            return false;
        }
        times.push_back(now);
        true
    }
}

impl Node {
    /// Asks a peer's person into a conference; answered when the person does, or nobody does within 30 s.
    pub(crate) fn ring(&mut self, request: RequestId, to: PeerId, conference: String, nick: String) {
        let refused = |why: &str| Err(Error::Refused(why.to_owned()));
        if to == self.cx.me {
            return self.answer(request, refused("this is you"));
        }
        if conference.is_empty() || conference.len() > MAX_CONFERENCE {
            return self.answer(request, refused("a conference has 1 to 512 bytes"));
        }
        if !nick.is_empty() && !is_nick(&nick) {
            return self.answer(request, refused("a nick name has 1 to 32 characters"));
        }
        if self.rings.outgoing.len() >= MAX_OUTGOING {
            let error = Error::Overloaded("too many people are being rung".to_owned(), Millis::secs(5));
            return self.answer(request, Err(error));
        }
        let id = self.cx.random_id();
        let own = || self.nicknames.mine().unwrap_or(&self.name).to_owned();
        let nick = if nick.is_empty() { own() } else { nick };
        let ring = Control::Ring { id, nick, conference };
        if !self.net.send_or_dial(&mut self.cx, to, Lane::Control, &ring) {
            return self.answer(request, Err(unreachable_peer()));
        }
        self.rings.outgoing.insert(id, Outgoing { request, to, until: self.cx.now + RING_WITHIN });
    }

    /// This node's person answers.
    pub(crate) fn pick_up(&mut self, request: RequestId, ring: u64, accept: bool) {
        let Some(ring) = self.rings.incoming.remove(&ring) else {
            return self.answer(request, Err(Error::NotFound("the ring: it is over".to_owned())));
        };
        let answer = if accept { Pickup::Accepted } else { Pickup::Declined };
        self.net.send(&mut self.cx, ring.from, Lane::Control, &Control::PickUp { id: ring.id, answer });
        self.answer(request, Ok(Answer::Done));
    }

    pub(crate) fn on_ring(&mut self, from: PeerId, id: u64, nick: String, conference: String) {
        let now = self.cx.now;
        if !self.rings.admits(now, from) {
            let busy = Control::PickUp { id, answer: Pickup::Busy };
            self.net.send(&mut self.cx, from, Lane::Control, &busy);
            return;
        }
        self.rings.next += 1;
        let ring = self.rings.next;
        self.rings.incoming.insert(ring, Incoming { from, id, until: now + RING_WITHIN });
        self.cx.event(Event::Ring { ring, from: from.to_string(), short: from.short(), nick, conference });
    }

    pub(crate) fn on_pick_up(&mut self, from: PeerId, id: u64, answer: Pickup) {
        if self.rings.outgoing.get(&id).is_none_or(|ring| ring.to != from) {
            return;
        }
        let Some(ring) = self.rings.outgoing.remove(&id) else { return };
        let result = match answer {
            Pickup::Accepted => Ok(Answer::Rung { accepted: true }),
            Pickup::Declined => Ok(Answer::Rung { accepted: false }),
            Pickup::Busy => Err(Error::Overloaded("the line is busy".to_owned(), Millis::secs(15))),
        };
        self.answer(ring.request, result);
    }

    /// The caller has given up.
    pub(crate) fn on_ring_over(&mut self, from: PeerId, id: u64) {
        self.end_incoming(|ring| ring.from == from && ring.id == id);
    }

    /// A peer is gone, or could not be reached.
    pub(crate) fn on_unreachable_ring(&mut self, peer: PeerId) {
        self.end_incoming(|ring| ring.from == peer);
        self.end_outgoing(|ring| ring.to == peer, &unreachable_peer());
    }

    /// Ends what has rung for too long.
    pub(crate) fn keep_rings(&mut self) {
        let now = self.cx.now;
        let late = self.rings.outgoing.iter().filter(|(_, ring)| ring.until <= now);
        let late: Vec<(u64, PeerId)> = late.map(|(id, ring)| (*id, ring.to)).collect();
        for (id, to) in late {
            self.net.send(&mut self.cx, to, Lane::Control, &Control::RingOver { id });
        }
        self.end_outgoing(|ring| ring.until <= now, &Error::Deadline("nobody answered".to_owned()));
        self.end_incoming(|ring| ring.until <= now);
    }

    fn end_incoming(&mut self, ends: impl Fn(&Incoming) -> bool) {
        let ended = self.rings.incoming.iter().filter(|(_, ring)| ends(ring));
        for ring in ended.map(|(ring, _)| *ring).collect::<Vec<_>>() {
            self.rings.incoming.remove(&ring);
            self.cx.event(Event::RingOver { ring });
        }
    }

    fn end_outgoing(&mut self, ends: impl Fn(&Outgoing) -> bool, error: &Error) {
        let ended = self.rings.outgoing.iter().filter(|(_, ring)| ends(ring));
        for id in ended.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(ring) = self.rings.outgoing.remove(&id) {
                self.answer(ring.request, Err(error.clone()));
            }
        }
    }
}

fn unreachable_peer() -> Error {
    Error::Disconnected("the peer cannot be reached".to_owned())
}
