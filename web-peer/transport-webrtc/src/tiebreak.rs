//! One connection when both sides dial.
//!
//! The rule: an offer that arrives while we dial the same peer takes our dial's place, unless our own offer is out
//! already and our peer id is the greater one; then theirs is refused, and their dial is served by ours. A dial that
//! begins while an offer is being answered waits for that connection. So each side's dial succeeds with the same
//! connection. Nothing of this goes over the wire: a peer that knows no such rule sees one of its attempts refused.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::channel::oneshot;
use libp2p_identity::PeerId;

/// Offers of one peer that are answered at once; more are refused.
const MAX_ANSWERS_PER_PEER: usize = 2;

/// All dials and answers under way. `I` is an inbound offer, `C` a connection.
pub(crate) struct Rendezvous<I, C>(Arc<Mutex<State<I, C>>>);

/// What a dial may be given instead of what it asked for.
pub(crate) enum Handover<I, C> {
    /// The peer's offer: answer it and call that connection yours.
    Offer(I),
    /// A connection that was made by answering.
    Connection(C),
}

/// What is to be done with an inbound offer.
pub(crate) enum Verdict<I, C> {
    /// Answer it.
    Answer(I, AnswerGuard<I, C>),
    /// A dial of ours got it.
    HandedOver,
    /// Drop it.
    Refused,
}

struct State<I, C> {
    local: PeerId,
    next: u64,
    peers: BTreeMap<PeerId, Slot<I, C>>,
}

struct Slot<I, C> {
    dials: Vec<Dial<I, C>>,
    answering: usize,
    wakers: Vec<Waker>,
}

struct Dial<I, C> {
    id: u64,
    /// Its offer is out, or it was given the peer's.
    busy: bool,
    give: Option<oneshot::Sender<Handover<I, C>>>,
}

impl<I, C> Rendezvous<I, C> {
    pub(crate) fn new(local: PeerId) -> Self {
        Rendezvous(Arc::new(Mutex::new(State { local, next: 0, peers: BTreeMap::new() })))
    }

    /// Registers a dial until the guard is dropped.
    pub(crate) fn dial(&self, peer: PeerId) -> (DialGuard<I, C>, oneshot::Receiver<Handover<I, C>>) {
        let (give, handover) = oneshot::channel();
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.slot(peer).dials.push(Dial { id, busy: false, give: Some(give) });
        drop(state);
        (DialGuard { all: self.clone(), peer, id }, handover)
    }

    /// Whether a dial of ours to this peer is under way.
    pub(crate) fn is_dialling(&self, peer: &PeerId) -> bool {
        self.lock().peers.get(peer).is_some_and(|slot| !slot.dials.is_empty())
    }

    /// Decides about an offer that has arrived.
    pub(crate) fn offer(&self, peer: PeerId, offer: I) -> Verdict<I, C> {
        let mut state = self.lock();
        let we_win = state.local.to_bytes() > peer.to_bytes();
        let slot = state.slot(peer);
        let crossing = slot.dials.iter().any(|dial| dial.busy && dial.give.is_some());
        if crossing && we_win {
            return Verdict::Refused;
        }
        // The dial whose offer crossed this one first: it would otherwise wait for an answer that never comes.
        slot.dials.sort_by_key(|dial| !dial.busy);
        let mut offer = offer;
        for dial in &mut slot.dials {
            if let Some(give) = dial.give.take() {
                match give.send(Handover::Offer(offer)) {
                    Ok(()) => {
                        dial.busy = true;
                        return Verdict::HandedOver;
                    }
                    Err(Handover::Offer(back)) => offer = back,
                    Err(Handover::Connection(_)) => return Verdict::Refused,
                }
            }
        }
        if slot.answering >= MAX_ANSWERS_PER_PEER {
            return Verdict::Refused;
        }
        slot.answering += 1;
        drop(state);
        Verdict::Answer(offer, AnswerGuard { all: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, State<I, C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I, C> Clone for Rendezvous<I, C> {
    fn clone(&self) -> Self {
        Rendezvous(self.0.clone())
    }
}

impl<I, C> State<I, C> {
    fn slot(&mut self, peer: PeerId) -> &mut Slot<I, C> {
        self.peers.entry(peer).or_insert_with(|| Slot { dials: Vec::new(), answering: 0, wakers: Vec::new() })
    }

    /// Ends the handover of every dial that has not begun: a connection is there.
    fn supersede(&mut self, peer: PeerId) {
        for dial in self.slot(peer).dials.iter_mut().filter(|dial| !dial.busy) {
            dial.give = None;
        }
    }

    fn release(&mut self, peer: PeerId) {
        if let Some(slot) = self.peers.get_mut(&peer) {
            slot.wakers.drain(..).for_each(Waker::wake);
            if slot.dials.is_empty() && slot.answering == 0 {
                self.peers.remove(&peer);
            }
        }
    }
}

/// A dial under way.
pub(crate) struct DialGuard<I, C> {
    all: Rendezvous<I, C>,
    peer: PeerId,
    id: u64,
}

impl<I, C> DialGuard<I, C> {
    /// Ready when this dial may send its offer: no other dial to the peer has, and none of the peer's is being answered.
    pub(crate) fn poll_may_offer(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.all.lock();
        let slot = state.slot(self.peer);
        if slot.answering > 0 || slot.dials.iter().any(|dial| dial.busy && dial.id != self.id) {
            slot.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        for dial in slot.dials.iter_mut().filter(|dial| dial.id == self.id) {
            dial.busy = true;
        }
        Poll::Ready(())
    }

    /// This dial has its connection: the others that still wait are told to give up.
    pub(crate) fn succeeded(self) {
        self.all.lock().supersede(self.peer);
    }

    /// Whether the peer refuses us, and not we it, when offers cross.
    pub(crate) fn peer_wins(&self) -> bool {
        self.all.lock().local.to_bytes() < self.peer.to_bytes()
    }
}

impl<I, C> Drop for DialGuard<I, C> {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        state.slot(self.peer).dials.retain(|dial| dial.id != self.id);
        state.release(self.peer);
    }
}

/// An answer under way.
pub(crate) struct AnswerGuard<I, C> {
    all: Rendezvous<I, C>,
    peer: PeerId,
}

impl<I, C> AnswerGuard<I, C> {
    /// Gives the connection to a dial that waits for it, or back.
    pub(crate) fn finish(self, connection: C) -> Option<C> {
        let mut connection = connection;
        let mut state = self.all.lock();
        for dial in state.slot(self.peer).dials.iter_mut().filter(|dial| !dial.busy) {
            if let Some(give) = dial.give.take() {
                match give.send(Handover::Connection(connection)) {
                    Ok(()) | Err(Handover::Offer(_)) => {
                        state.supersede(self.peer);
                        return None;
                    }
                    Err(Handover::Connection(back)) => connection = back,
                }
            }
        }
        Some(connection)
    }
}

impl<I, C> Drop for AnswerGuard<I, C> {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        let slot = state.slot(self.peer);
        slot.answering = slot.answering.saturating_sub(1);
        state.release(self.peer);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::task::noop_waker;

    type R = Rendezvous<&'static str, u8>;

    /// The smaller and the greater of two peer ids.
    fn ids() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        if a.to_bytes() < b.to_bytes() {
            (a, b)
        } else {
            (b, a)
        }
    }

    fn may_offer(guard: &DialGuard<&'static str, u8>) -> bool {
        guard.poll_may_offer(&mut Context::from_waker(&noop_waker())).is_ready()
    }

    #[test]
    fn crossing_offers_leave_the_greater_ones() {
        let (small, great) = ids();
        let (at_small, at_great) = (R::new(small), R::new(great));
        let (small_dial, mut small_gets) = at_small.dial(great);
        let (great_dial, _keep) = at_great.dial(small);
        assert!(may_offer(&small_dial) && may_offer(&great_dial));
        assert!(matches!(at_great.offer(small, "small's"), Verdict::Refused));
        assert!(matches!(at_small.offer(great, "great's"), Verdict::HandedOver));
        assert!(matches!(small_gets.try_recv(), Ok(Some(Handover::Offer("great's")))));
        assert!(small_dial.peer_wins() && !great_dial.peer_wins());
    }

    #[test]
    fn an_offer_that_comes_before_ours_is_out_takes_our_dials_place() {
        let (small, great) = ids();
        let at_great = R::new(great);
        let (dial, mut gets) = at_great.dial(small);
        assert!(matches!(at_great.offer(small, "small's"), Verdict::HandedOver));
        assert!(matches!(gets.try_recv(), Ok(Some(Handover::Offer("small's")))));
        drop(dial);
        assert!(matches!(at_great.offer(small, "again"), Verdict::Answer("again", _)));
    }

    #[test]
    fn a_dial_waits_for_the_answer_under_way_and_gets_its_connection() {
        let (small, great) = ids();
        let at_great = R::new(great);
        let Verdict::Answer(_, answer) = at_great.offer(small, "small's") else { panic!() };
        let (dial, mut gets) = at_great.dial(small);
        assert!(!may_offer(&dial));
        assert_eq!(answer.finish(7), None);
        assert!(matches!(gets.try_recv(), Ok(Some(Handover::Connection(7)))));
        // And if the answer fails, the dial goes on by itself.
        let Verdict::Answer(_, answer) = at_great.offer(PeerId::random(), "x") else { panic!() };
        let (dial, _gets) = at_great.dial(answer.peer);
        assert!(!may_offer(&dial));
        drop(answer);
        assert!(may_offer(&dial));
    }

    #[test]
    fn of_two_dials_one_offers() {
        let (small, great) = ids();
        let at_small = R::new(small);
        let (first, _a) = at_small.dial(great);
        let (second, _b) = at_small.dial(great);
        assert!(may_offer(&first));
        assert!(!may_offer(&second));
        drop(first);
        assert!(may_offer(&second));
    }

    #[test]
    fn a_dial_that_waits_for_another_ends_with_it() {
        let (small, great) = ids();
        let at_small = R::new(small);
        let (first, _a) = at_small.dial(great);
        let (second, mut told) = at_small.dial(great);
        assert!(may_offer(&first) && !may_offer(&second));
        first.succeeded();
        assert!(told.try_recv().is_err());
        drop(second);
        assert!(at_small.lock().peers.is_empty());
    }

    #[test]
    fn one_peer_is_answered_twice_at_most_and_nothing_is_left_behind() {
        let (small, great) = ids();
        let at_small = R::new(small);
        let first = at_small.offer(great, "1");
        let second = at_small.offer(great, "2");
        assert!(matches!((&first, &second), (Verdict::Answer(..), Verdict::Answer(..))));
        assert!(matches!(at_small.offer(great, "3"), Verdict::Refused));
        drop((first, second));
        assert!(at_small.lock().peers.is_empty());
    }
}
