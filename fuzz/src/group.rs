//! A real Raft group of three behind its guard, on a network that a script delays, reorders, repeats and loses, with a liar.
//!
//! The first byte says who lies. An *outsider* is refused whatever it sends, and changes nothing: the members agree on
//! what is committed, and elect and commit again once the network is whole. A *member* that lies may stop or falsify its
//! group (a crash-fault model); it makes no other member panic.

use std::collections::BTreeMap;

use overlay::group::{Committed, Group, Poisoned, TICK};
use overlay::id::PeerId;
use overlay::time::Time;
use overlay::wire::Member;
use overlay::Cx;
use prost::Message as _;
use raft::eraftpb::{Entry, Message};

use crate::script::Script;

const MEMBERS: [PeerId; 3] = [PeerId([1; 32]), PeerId([2; 32]), PeerId([3; 32])];
const OUTSIDER: PeerId = PeerId([9; 32]);
/// Steps of one script, so that a long one ends.
const MAX_STEPS: usize = 400;
/// Messages under way; the oldest are lost.
const MAX_WAITING: usize = 64;
/// Messages that a liar remembers and changes.
const MAX_HEARD: usize = 16;

struct World {
    now: Time,
    places: BTreeMap<PeerId, (Cx, Group)>,
    waiting: Vec<(PeerId, PeerId, Vec<u8>)>,
    heard: Vec<Vec<u8>>,
    committed: BTreeMap<u64, Committed>,
    /// Members may lie: agreement is not claimed.
    betrayed: bool,
}

/// Runs a script.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut world = World::widened();
    world.betrayed = script.pick(2) == 1;
    for _ in 0..MAX_STEPS {
        if script.is_over() {
            break;
        }
        world.step(&mut script);
    }
    if !world.betrayed {
        world.recovers();
    }
}

/// Ordinary life, a transfer, silence, and lies about each kind of message.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let life = [0, 4, 0, 7, 3, 0, 5, 0, 3, 8, 1, 3, 0, 3, 0, 3, 9, 0, 3];
    let mut seeds = vec![life.to_vec(), [&[0][..], &[0; 60]].concat()];
    for betrayed in [0, 1] {
        for kind in 0..20 {
            let mut lies = vec![betrayed];
            for to in 0..3 {
                lies.extend([4, 0, 3, 12, 1, to, 0, 1, 0, 64 + kind, 12, 1, to, 1, 2, 1, 65, 3, 66]);
            }
            seeds.push(lies);
        }
    }
    seeds
}

impl World {
    /// The first leads all three, who have caught up; the third is a witness.
    fn widened() -> World {
        let now = Time(1_000_000);
        let mut cx = MEMBERS.map(|peer| Cx::new(peer, [peer.0[0]; 32], now)).into_iter();
        let mut next = || cx.next().unwrap_or_else(|| unreachable!("three members"));
        let mut world = World {
            now,
            places: BTreeMap::new(),
            waiting: Vec::new(),
            heard: Vec::new(),
            committed: BTreeMap::new(),
            betrayed: false,
        };
        let mut founder = next();
        let group = Group::found(&mut founder, 1, 0, 0);
        world.places.insert(MEMBERS[0], (founder, group));
        world.deliver_all();
        let group =
            &mut world.places.get_mut(&MEMBERS[0]).unwrap_or_else(|| unreachable!("it has founded")).1;
        let mut wanted = group.members().clone();
        let Some(start) = group.start_at(group.committed()) else { unreachable!("its own log") };
        for (peer, witness) in [(MEMBERS[1], false), (MEMBERS[2], true)] {
            let mut cx = next();
            let id = 100 + u64::from(peer.0[0]);
            wanted.insert(id, Member { peer, witness });
            let group = Group::join(&mut cx, id, &start, witness);
            world.places.insert(peer, (cx, group));
        }
        let change = |world: &mut World, act: &dyn Fn(&mut Group) -> bool| {
            let done = world.places.get_mut(&MEMBERS[0]).is_some_and(|(_, group)| act(group));
            assert!(done, "the founder leads");
            for _ in 0..4 {
                world.deliver_all();
                world.tick();
            }
            world.deliver_all();
        };
        change(&mut world, &|group| group.change(&wanted));
        change(&mut world, &|group| group.leave_joint());
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let member = self.who(script);
        match script.pick(14) {
            0 | 1 => self.tick(),
            2 => {
                let at = script.pick(self.waiting.len());
                self.deliver(at);
            }
            3 => self.deliver_all(),
            4 => {
                let payload = vec![script.byte()];
                self.at(member, |_, group| {
                    // Refused by who does not lead.
                    let _ = group.propose(payload);
                });
            }
            5 => {
                let at = script.pick(self.waiting.len());
                if at < self.waiting.len() {
                    drop(self.waiting.remove(at));
                }
            }
            6 => {
                let again = self.waiting.get(script.pick(self.waiting.len())).cloned();
                self.waiting.extend(again);
            }
            7 => {
                let to = script.pick(4);
                self.at(member, |_, group| {
                    let id = group.members().keys().nth(to).copied().unwrap_or(u64::MAX);
                    group.transfer_to(id);
                });
            }
            8 => self.at(member, |_, group| group.trim(group.committed())),
            9 => {
                let (other, now) = (MEMBERS[script.pick(3)], self.now);
                self.at(member, |_, group| group.on_disconnected(now, other));
            }
            10 => self.at(member, |_, group| group.read(7)),
            11 => self.at(member, |_, group| group.abort_transfer()),
            _ => self.lie(script),
        }
        self.drain();
    }

    /// Mostly whoever leads, by whom most things are done.
    fn who(&self, script: &mut Script<'_>) -> PeerId {
        let leader = self.places.iter().find(|(_, (_, group))| group.leads()).map(|(peer, _)| *peer);
        match (script.pick(4), leader) {
            (0..3, Some(leader)) => leader,
            (n, _) => MEMBERS[n % 3],
        }
    }

    /// Somebody says what it should not: something it has heard, changed, or something of its own.
    fn lie(&mut self, script: &mut Script<'_>) {
        let from = if self.betrayed { MEMBERS[script.pick(3)] } else { OUTSIDER };
        let to = MEMBERS[script.pick(3)];
        let heard = self.heard.get(script.pick(self.heard.len() + 1));
        let mut message = heard.and_then(|bytes| Message::decode(&bytes[..]).ok()).unwrap_or_default();
        let Some((_, group)) = self.places.get(&to) else { return };
        let ids: Vec<u64> = group.members().keys().copied().collect();
        message.to = group.id();
        message.from = match ids.iter().find(|id| group.members()[id].peer == from) {
            Some(own) => *own,
            None => ids[script.pick(ids.len())],
        };
        if message.term == 0 {
            message.term = group.term();
        }
        for _ in 0..script.pick(5) {
            change(&mut message, group.committed(), script);
        }
        let before = (group.term(), group.leader(), group.committed());
        let bytes = message.encode_to_vec();
        let Some((_, group)) = self.places.get_mut(&to) else { return };
        let heard = group.handle_message(from, &bytes);
        if from == OUTSIDER {
            assert!(heard.is_err(), "an outsider was heard: {message:?}");
            assert_eq!(
                (group.term(), group.leader(), group.committed()),
                before,
                "an outsider changed something"
            );
        }
    }

    fn at(&mut self, peer: PeerId, act: impl FnOnce(&mut Cx, &mut Group)) {
        if let Some((cx, group)) = self.places.get_mut(&peer) {
            act(cx, group);
        }
    }

    fn tick(&mut self) {
        self.now = self.now + TICK;
        for (cx, group) in self.places.values_mut() {
            cx.now = self.now;
            group.handle_timeout(cx);
        }
        self.drain();
    }

    fn deliver(&mut self, at: usize) {
        if at >= self.waiting.len() {
            return;
        }
        let (from, to, bytes) = self.waiting.remove(at);
        if let Some((_, group)) = self.places.get_mut(&to) {
            // Of a former term, or from before the member joined: the guard's business.
            let _ = group.handle_message(from, &bytes);
        }
        self.drain();
    }

    fn deliver_all(&mut self) {
        self.drain();
        for _ in 0..4 * MAX_WAITING {
            if self.waiting.is_empty() {
                return;
            }
            self.deliver(0);
        }
    }

    fn drain(&mut self) {
        let mut broken = Vec::new();
        for (peer, (cx, group)) in &mut self.places {
            match group.drain(cx) {
                Ok(progress) => {
                    for (to, bytes) in progress.messages {
                        self.heard.push(bytes.to_vec());
                        self.waiting.push((*peer, to, bytes.into_vec()));
                    }
                    for entry in progress.committed {
                        let known = self.committed.entry(entry.index).or_insert_with(|| entry.clone());
                        assert!(
                            self.betrayed || *known == entry,
                            "{known:?} and {entry:?} are both committed"
                        );
                    }
                }
                Err(Poisoned(reason)) => {
                    assert!(self.betrayed, "broken among honest members: {reason}");
                    broken.push(*peer);
                }
            }
        }
        // What a service does whose group is broken.
        for peer in broken {
            self.places.remove(&peer);
        }
        let (waiting, heard) = (self.waiting.len(), self.heard.len());
        drop(self.waiting.drain(..waiting.saturating_sub(MAX_WAITING)));
        drop(self.heard.drain(..heard.saturating_sub(MAX_HEARD)));
    }

    /// The network is whole again: somebody leads, and commits.
    fn recovers(&mut self) {
        for round in 0..2_000 {
            self.deliver_all();
            self.tick();
            let leader = self.places.values_mut().map(|(_, group)| group).find(|group| group.serves());
            if let Some(group) = leader {
                let before = group.committed();
                let proposed = group.propose(b"after".to_vec()).is_ok();
                self.deliver_all();
                self.tick();
                self.deliver_all();
                let after = self.places.values().map(|(_, group)| group.committed()).max();
                if proposed && after > Some(before) {
                    return;
                }
            }
            // A witness that leads hands over to who holds the state, as its host makes it do.
            if round % 4 == 0 {
                for (_, group) in self.places.values_mut() {
                    if let (true, true, Some(id)) =
                        (group.leads(), group.is_witness(), group.best_state_holder())
                    {
                        group.transfer_to(id);
                    }
                }
            }
        }
        let terms: Vec<u64> = self.places.values().map(|(_, group)| group.term()).collect();
        panic!("nobody leads and commits though everybody is connected; terms {terms:?}");
    }
}

fn change(message: &mut Message, committed: u64, script: &mut Script<'_>) {
    let term = message.term;
    match script.pick(12) {
        0 => message.msg_type = i32::from(script.byte()) - 64,
        1 => message.term = script.number(term),
        2 => message.log_term = script.number(term),
        3 => message.index = script.number(committed),
        4 => message.commit = script.number(committed),
        5 => message.commit_term = script.number(term),
        6 => message.reject = !message.reject,
        7 => message.reject_hint = script.number(committed),
        8 => message.request_snapshot = script.number(0),
        9 => {
            let entry = Entry {
                index: script.number(message.index + 1),
                term: script.number(term),
                entry_type: i32::from(script.byte() % 4),
                data: script.bytes(3).to_vec(),
                ..Entry::default()
            };
            message.entries.push(entry);
        }
        10 => message.entries.truncate(script.pick(3)),
        _ => message.context = script.bytes(8).to_vec(),
    }
}
