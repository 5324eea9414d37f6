//! Groups among themselves: founding, widening, transfer, deaths; and what the guard keeps out.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use prost::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType, Snapshot};
use serde_bytes::ByteBuf;

use super::*;

const S: PeerId = PeerId([1; 32]);
const T: PeerId = PeerId([2; 32]);
const W: PeerId = PeerId([3; 32]);
const OUTSIDER: PeerId = PeerId([9; 32]);

/// Three groups on an instant network that can lose members.
struct World {
    now: Time,
    cx: BTreeMap<PeerId, Cx>,
    groups: BTreeMap<PeerId, Group>,
    committed: BTreeMap<PeerId, Vec<Vec<u8>>>,
    wire: VecDeque<(PeerId, PeerId, ByteBuf)>,
}

impl World {
    fn new() -> Self {
        let now = Time(1_000_000);
        let cx: BTreeMap<_, _> =
            [S, T, W].into_iter().map(|peer| (peer, Cx::new(peer, [peer.0[0]; 32], now))).collect();
        Self { now, cx, groups: BTreeMap::new(), committed: BTreeMap::new(), wire: VecDeque::new() }
    }

    /// S leads alone and has committed `entries`.
    fn founded(entries: &[&[u8]]) -> Self {
        let mut world = Self::new();
        let group = Group::found(world.cx.get_mut(&S).unwrap(), 1, 0, 0);
        world.groups.insert(S, group);
        world.settle();
        for entry in entries {
            world.group(S).propose(entry.to_vec()).unwrap();
        }
        world.settle();
        world
    }

    /// S leads {S, T, W}, all caught up.
    fn widened(entries: &[&[u8]]) -> Self {
        let mut world = Self::founded(entries);
        let index = world.group(S).committed();
        let start = world.group(S).start_at(index).unwrap();
        let mut wanted = world.group(S).members().clone();
        for (peer, witness) in [(T, false), (W, true)] {
            let cx = world.cx.get_mut(&peer).unwrap();
            let id = cx.random_id();
            world.groups.insert(peer, Group::join(cx, id, &start, witness));
            wanted.insert(id, Member { peer, witness });
        }
        assert!(world.group(S).change(&wanted));
        world.run(2);
        assert!(world.group(S).leave_joint());
        world.run(4);
        assert_eq!(world.group(S).voters().len(), 3);
        assert!(!world.group(S).is_joint());
        world
    }

    fn group(&mut self, peer: PeerId) -> &mut Group {
        self.groups.get_mut(&peer).unwrap()
    }

    fn settle(&mut self) {
        loop {
            for (peer, group) in &mut self.groups {
                let progress = group.drain(self.cx.get_mut(peer).unwrap()).unwrap();
                let payloads = progress.committed.into_iter().map(|entry| entry.payload);
                self.committed
                    .entry(*peer)
                    .or_default()
                    .extend(payloads.filter(|payload| !payload.is_empty()));
                self.wire.extend(progress.messages.into_iter().map(|(to, bytes)| (*peer, to, bytes)));
            }
            let Some((from, to, bytes)) = self.wire.pop_front() else { return };
            if let Some(group) = self.groups.get_mut(&to) {
                let _ = group.handle_message(from, &bytes);
            }
        }
    }

    fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.settle();
            self.now = self.now + TICK;
            for (peer, group) in &mut self.groups {
                let cx = self.cx.get_mut(peer).unwrap();
                cx.now = self.now;
                group.handle_timeout(cx);
            }
        }
        self.settle();
    }

    fn kill(&mut self, peer: PeerId) {
        self.groups.remove(&peer);
        for group in self.groups.values_mut() {
            group.on_disconnected(self.now, peer);
        }
    }

    fn leader(&self) -> Option<PeerId> {
        self.groups.iter().find(|(_, group)| group.serves()).map(|(peer, _)| *peer)
    }

    fn id(&self, peer: PeerId) -> u64 {
        self.groups[&peer].id()
    }

    /// A message as T would send it to S.
    fn of_t(&self, kind: MessageType) -> Message {
        let mut message = Message::default();
        message.set_msg_type(kind);
        message.from = self.id(T);
        message.to = self.id(S);
        message.term = self.groups[&S].term();
        message
    }

    fn refused(&mut self, at: PeerId, from: PeerId, message: &Message) -> GuardError {
        let bytes = message.encode_to_vec();
        let error = self.group(at).handle_message(from, &bytes).unwrap_err();
        self.settle();
        error
    }
}

#[test]
fn a_lone_founder_leads_at_once_and_needs_no_ticks() {
    let mut world = World::founded(&[b"a", b"b"]);
    assert_eq!(world.leader(), Some(S));
    assert_eq!(world.committed[&S], [b"a", b"b"]);
    assert_eq!(world.group(S).timeout(), None);
}

#[test]
fn leadership_moves_and_the_target_makes_the_group_its_own() {
    let mut world = World::widened(&[b"a"]);
    let (term, target) = (world.group(S).term(), world.id(T));
    world.group(S).transfer_to(target);
    world.run(1);
    assert_eq!(world.leader(), Some(T));
    assert!(world.group(T).term() > term);
    world.group(T).propose(b"b".to_vec()).unwrap();
    let alone = Members::from([(target, Member { peer: T, witness: false })]);
    assert!(world.group(T).change(&alone));
    world.run(2);
    world.group(T).leave_joint();
    world.run(2);
    assert_eq!(world.group(T).voters(), [target]);
    assert_eq!(world.committed[&T], [b"b".to_vec()]);
}

#[test]
fn the_death_of_any_one_of_three_leaves_a_leader() {
    for dead in [S, T, W] {
        let mut world = World::widened(&[b"a"]);
        world.kill(dead);
        world.run(60);
        let leader = world.leader().unwrap_or_else(|| panic!("nobody leads after the death of {dead}"));
        world.group(leader).propose(b"c".to_vec()).unwrap();
        world.run(4);
        assert_eq!(world.committed[&leader].last().unwrap(), b"c");
    }
}

#[test]
fn a_closed_connection_of_the_leader_is_not_waited_out() {
    let mut world = World::widened(&[]);
    world.kill(S);
    world.run(2);
    assert_eq!(world.leader(), Some(T));
}

#[test]
fn forged_messages_are_refused_by_name() {
    let mut world = World::widened(&[b"a"]);
    let last = world.group(S).committed();

    let mut message = world.of_t(MessageType::MsgAppendResponse);
    message.index = last + 1;
    assert_eq!(world.refused(S, T, &message), GuardError::Index);

    let mut message = world.of_t(MessageType::MsgHeartbeat);
    message.commit = 1 << 40;
    assert_eq!(world.refused(S, T, &message), GuardError::Index);

    let mut message = world.of_t(MessageType::MsgRequestVote);
    message.term = u64::MAX;
    assert_eq!(world.refused(S, T, &message), GuardError::Term);
    message.term = 0;
    assert_eq!(world.refused(S, T, &message), GuardError::Term);

    for kind in [
        MessageType::MsgPropose,
        MessageType::MsgHup,
        MessageType::MsgSnapshot,
        MessageType::MsgReadIndex,
        MessageType::MsgTransferLeader,
        MessageType::MsgUnreachable,
    ] {
        let message = world.of_t(kind);
        assert_eq!(world.refused(S, T, &message), GuardError::Kind(kind as i32));
    }

    let mut message = world.of_t(MessageType::MsgHeartbeatResponse);
    message.snapshot = Some(Snapshot { data: vec![1], ..Default::default() });
    assert_eq!(world.refused(S, T, &message), GuardError::Kind(MessageType::MsgSnapshot as i32));

    let message = world.of_t(MessageType::MsgTimeoutNow);
    assert_eq!(world.refused(S, T, &message), GuardError::NotLeader);

    let message = world.of_t(MessageType::MsgHeartbeatResponse);
    assert_eq!(world.refused(S, OUTSIDER, &message), GuardError::NotMember);
    assert_eq!(world.refused(S, W, &message), GuardError::Stale);
    assert_eq!(world.group(S).handle_message(T, &[0xff; 9]), Err(GuardError::Malformed));
    assert_eq!(world.leader(), Some(S));
}

#[test]
fn entries_that_contradict_what_is_committed_are_refused() {
    let mut world = World::widened(&[b"a"]);
    let (last, term) = (world.group(T).committed(), world.group(T).term());
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    (message.from, message.to, message.term) = (world.id(S), world.id(T), term + 1);
    let entry = |index, term, kind: EntryType| {
        let mut entry = Entry { index, term, ..Default::default() };
        entry.set_entry_type(kind);
        entry
    };
    (message.index, message.log_term) = (last, term + 1);
    message.entries = vec![entry(last + 1, term + 1, EntryType::EntryNormal)];
    assert_eq!(world.refused(T, S, &message), GuardError::Conflict);
    (message.index, message.log_term) = (last, term);
    message.entries = vec![entry(last + 2, term, EntryType::EntryNormal)];
    assert_eq!(world.refused(T, S, &message), GuardError::Entries);
    message.entries = vec![entry(last + 1, term, EntryType::EntryConfChange)];
    assert_eq!(world.refused(T, S, &message), GuardError::Entries);
    message.entries = vec![entry(last + 1, term + 5, EntryType::EntryNormal)];
    assert_eq!(world.refused(T, S, &message), GuardError::Entries);
}

/// A learner has no vote: whatever it claims, the only voter leads on.
#[test]
fn a_learner_takes_no_leadership_from_the_only_voter() {
    let mut world = World::founded(&[b"a"]);
    let index = world.group(S).committed();
    let start = world.group(S).start_at(index).unwrap();
    let cx = world.cx.get_mut(&T).unwrap();
    let id = cx.random_id();
    world.groups.insert(T, Group::join(cx, id, &start, false));
    assert!(world.group(S).add_learner(id, T));
    world.run(4);
    assert!(world.group(S).is_learner(id));
    for kind in [
        MessageType::MsgRequestVote,
        MessageType::MsgRequestPreVote,
        MessageType::MsgAppend,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgAppendResponse,
    ] {
        let mut message = world.of_t(kind);
        message.term += 1;
        (message.index, message.log_term) = (world.group(S).committed(), world.group(S).term());
        message.context = b"CampaignTransfer".to_vec();
        assert_eq!(world.refused(S, T, &message), GuardError::Term, "{kind:?}");
        assert_eq!(world.leader(), Some(S));
    }
}

/// raft-rs takes term 0 for the term of every index beyond its log, and panics on what follows from it.
#[test]
fn an_append_beyond_the_log_is_refused() {
    let mut world = World::widened(&[b"a"]);
    let mut message = world.of_t(MessageType::MsgAppend);
    message.term += 1;
    message.index = world.group(S).committed() + 5;
    message.commit = message.index;
    assert_eq!(world.refused(S, T, &message), GuardError::Term);
    message.entries = vec![Entry { index: message.index + 1, term: message.term, ..Default::default() }];
    assert_eq!(world.refused(S, T, &message), GuardError::Term);
}

/// raft-rs looks for the last entry of the message's term or an older one, and panics when it is compacted.
#[test]
fn an_append_of_a_term_before_the_commit_is_refused() {
    let mut world = World::widened(&[b"a"]);
    let target = world.id(T);
    world.group(S).transfer_to(target);
    world.run(2);
    for _ in 0..4 {
        world.group(T).propose(b"b".to_vec()).unwrap();
    }
    world.run(2);
    let committed = world.group(S).committed();
    world.group(S).compact(committed);
    let mut message = world.of_t(MessageType::MsgAppend);
    (message.index, message.log_term) = (committed + 1, 1);
    assert_eq!(world.refused(S, T, &message), GuardError::Conflict);
}

fn hostile() -> impl Strategy<Value = Message> {
    let small = || prop_oneof![0u64..12, Just(u64::MAX), any::<u64>()];
    let entries = proptest::collection::vec((small(), 0u64..4, 0i32..4), 0..4);
    ((0i32..20, 0usize..3, 0u64..5, small(), small()), (small(), any::<bool>(), small(), small(), entries))
        .prop_map(|((kind, from, term, log_term, index), (commit, reject, hint, commit_term, entries))| {
            let mut message =
                Message { msg_type: kind, term, log_term, index, commit, reject, ..Default::default() };
            (message.reject_hint, message.commit_term, message.from) = (hint, commit_term, from as u64);
            message.entries = entries
                .into_iter()
                .map(|(index, term, entry_type)| Entry { index, term, entry_type, ..Default::default() })
                .collect();
            message
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// S7: whatever members and outsiders send, raft behind the guard does not panic.
    #[test]
    fn no_sequence_of_messages_panics(
        messages in proptest::collection::vec((hostile(), 0usize..3, 0usize..4), 1..24),
        transfer in any::<bool>(),
    ) {
        let mut world = World::widened(&[b"a", b"b"]);
        let peers = [S, T, W, OUTSIDER];
        let ids: Vec<u64> = [S, T, W].iter().map(|peer| world.id(*peer)).collect();
        if transfer {
            let target = ids[1];
            world.group(S).transfer_to(target);
        }
        for (mut message, to, from) in messages {
            message.from = ids[(message.from as usize).min(2)];
            message.to = ids[to];
            let _ = world.group(peers[to]).handle_message(peers[from], &message.encode_to_vec());
            for (peer, group) in &mut world.groups {
                let _ = group.drain(world.cx.get_mut(peer).unwrap());
            }
        }
        // What honest members would answer is dropped: only the absence of panics is claimed here.
        world.wire.clear();
    }
}
