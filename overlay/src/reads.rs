//! Reads at members that do not lead: replicas and standbys.
//!
//! A member asks its leader how far the log is committed; the leader confirms with a majority that it still leads, and
//! answers (Raft, Ongaro 2014, section 6.4). What the member has executed up to there is as new as its question is: a read
//! that allows no age waits for a question that was asked after it came, others may use an earlier one. The age that a
//! consumer is told is measured on the member's own clock, from its question on.

use std::collections::VecDeque;

use crate::cx::Cx;
use crate::hosting::{is_sealing, Hosted};
use crate::id::{PeerId, ServiceId};
use crate::instance::QueryJob;
use crate::io::Lane;
use crate::net::Net;
use crate::node::Node;
use crate::session::server::{post, Parts};
use crate::time::{Millis, Time};
use crate::wire::{CallResult, ClientBody, ClientFrame, Control, Reading, ServerBody};

/// Reads that wait here, those of one peer, and the bytes of all; further ones are for the server.
const MAX_WAITING: usize = 256;
const MAX_WAITING_OF_PEER: usize = 64;
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// A question that was not answered for this long is asked again.
const ASK_AGAIN: Millis = Millis(250);
/// A read that waits longer is forgotten: its consumer has asked the server meanwhile.
const FORGET_AFTER: Millis = Millis::secs(2);
/// Queries per second that make a service popular: it gets as many copies that read as a group may have learners (row 39).
const POPULAR: u64 = 50;
/// For how long it stays popular.
const POPULAR_FOR: Millis = Millis::secs(60);

#[derive(Debug)]
struct Waiting {
    job: QueryJob,
    reading: Reading,
    since: Time,
    /// The last question that was asked before it came.
    after: u64,
}

/// The leader's last answer.
#[derive(Clone, Copy, Debug)]
struct Known {
    question: u64,
    /// When it was asked.
    at: Time,
    /// The committed index since.
    index: u64,
}

impl Waiting {
    /// Is that answer new enough? A clock does not tell which of two things within one of its steps came first.
    fn may_use(&self, now: Time, known: &Known) -> bool {
        let max_age = self.reading.max_age;
        known.question > self.after || max_age > Millis(0) && now.since(known.at) <= max_age
    }
}

/// What a member remembers of reads.
#[derive(Debug, Default)]
pub struct Reads {
    waiting: VecDeque<Waiting>,
    /// The question under way, and when it was asked.
    asked: Option<(u64, Time)>,
    known: Option<Known>,
    next: u64,
    /// Queries in the second that began then.
    recent: (Time, u64),
    popular_until: Option<Time>,
}

impl Reads {
    /// Counts a query, for [`Reads::is_popular`].
    pub fn note(&mut self, now: Time) {
        if now.since(self.recent.0) >= Millis::secs(1) {
            self.recent = (now, 0);
        }
        self.recent.1 += 1;
        if self.recent.1 >= POPULAR {
            self.popular_until = Some(now + POPULAR_FOR);
        }
    }

    fn has_room(&self, from: PeerId, bytes: usize) -> bool {
        let size = |waiting: &Waiting| waiting.job.method.len() + waiting.job.body.len();
        let waiting = &self.waiting;
        waiting.len() < MAX_WAITING
            && waiting.iter().filter(|waiting| waiting.job.key.0 == from).count() < MAX_WAITING_OF_PEER
            && waiting.iter().map(size).sum::<usize>() + bytes <= MAX_WAITING_BYTES
    }

    /// Many read it.
    pub fn is_popular(&self, now: Time) -> bool {
        self.popular_until.is_some_and(|until| now < until)
    }
}

impl Hosted {
    /// A consumer's query that a member may answer without leading. False when it cannot be answered here.
    pub fn read_here(&mut self, cx: &mut Cx, net: &mut Net, from: PeerId, frame: &ClientFrame) -> bool {
        let ClientBody::Query { id, method, body, reading: Some(reading) } = &frame.body else {
            return false;
        };
        let leader = self.group.leader().filter(|leader| leader.peer != cx.me);
        let ready = self.instance.as_ref().is_some_and(|instance| instance.is_ready());
        if leader.is_none() || !ready || !self.reads.has_room(from, method.len() + body.len()) {
            return false;
        }
        let job = QueryJob::new((from, frame.session), *id, method.clone(), body.to_vec());
        let (since, after) = (cx.now, self.reads.next);
        self.reads.waiting.push_back(Waiting { job, reading: *reading, since, after });
        self.run_reads_here(cx, net);
        true
    }

    /// The leader's answer.
    pub fn on_index(&mut self, cx: &mut Cx, net: &mut Net, from: PeerId, token: u64, index: u64) {
        let Some((_, at)) = self.reads.asked.filter(|(asked, _)| *asked == token && self.is_led_by(from))
        else {
            return;
        };
        self.reads.asked = None;
        self.reads.known = Some(Known { question: token, at, index });
        self.run_reads_here(cx, net);
    }

    /// Runs the reads that may run, and asks for those that may not.
    pub fn run_reads_here(&mut self, cx: &mut Cx, net: &mut Net) {
        let Some(instance) = self.instance.as_mut().filter(|_| !self.reads.waiting.is_empty()) else {
            return;
        };
        let reads = &mut self.reads;
        reads.waiting.retain(|waiting| cx.now.since(waiting.since) < FORGET_AFTER);
        let executed = instance.executed();
        let mut stays = VecDeque::new();
        let mut lacks_answer = false;
        for mut waiting in std::mem::take(&mut reads.waiting) {
            let Reading { seen, done, .. } = waiting.reading;
            let known = reads.known.filter(|known| waiting.may_use(cx.now, known));
            let own = instance.machine().session(&waiting.job.key).is_some_and(|s| s.executed >= done);
            lacks_answer |= known.is_none();
            match known {
                Some(known) if own && executed >= known.index.max(seen) => {
                    waiting.job.as_of = known.at;
                    // A full queue: the consumer asks the server when nothing comes.
                    instance.query(cx, waiting.job);
                }
                _ => stays.push_back(waiting),
            }
        }
        reads.waiting = stays;
        if reads.asked.is_some_and(|(_, at)| cx.now.since(at) < ASK_AGAIN) {
            return;
        }
        // Without a leader there is nothing to wait for: whatever names one comes here.
        reads.asked = None;
        let leader = self.group.leader().filter(|leader| leader.peer != cx.me);
        if let (true, Some(leader)) = (lacks_answer, leader) {
            reads.next += 1;
            reads.asked = Some((reads.next, cx.now));
            let ask = Control::AskIndex { service: self.service, token: reads.next };
            net.send(cx, leader.peer, Lane::Control, &ask);
        }
    }

    /// A query ran here.
    pub fn answer_here(&mut self, cx: &mut Cx, net: &mut Net, job: &QueryJob, result: CallResult) {
        let age_ms = u32::try_from(cx.now.since(job.as_of).0).unwrap_or(u32::MAX);
        let body = ServerBody::Answer { id: job.id, result, index: job.index, age_ms };
        let authority = (self.group.epoch(), self.group.term());
        let bytes = post(cx, net, self.service, job.key, authority, 0, body);
        self.instance.iter_mut().for_each(|instance| instance.sent(bytes.unwrap_or_default()));
    }

    /// When waiting reads are looked at again.
    pub fn reads_timeout(&self) -> Option<Time> {
        let (_, asked) = self.reads.asked.filter(|_| !self.reads.waiting.is_empty())?;
        Some(asked + ASK_AGAIN)
    }
}

impl Node {
    /// A member asks how far the log is committed.
    pub(crate) fn on_ask_index(&mut self, from: PeerId, service: ServiceId, token: u64) {
        // Once its log is sealed, somebody else may serve already.
        let confirms = |hosted: &&mut Hosted| hosted.is_serving() && !is_sealing(&hosted.source);
        let Some(hosted) = self.hosted.get_mut(&service).filter(confirms) else { return };
        let holds = hosted.group.members().values().any(|member| member.peer == from && !member.witness);
        let Some(instance) = hosted.instance.as_mut().filter(|_| holds) else { return };
        hosted.reads.note(self.cx.now);
        let mut parts = Parts { group: &mut hosted.group, instance, net: &mut self.net };
        hosted.server.ask_index(&mut self.cx, &mut parts, from, token);
        self.dirty.insert(service);
    }

    /// The leader's answer.
    pub(crate) fn on_index_is(&mut self, from: PeerId, service: ServiceId, token: u64, index: u64) {
        if let Some(hosted) = self.hosted.get_mut(&service) {
            hosted.on_index(&mut self.cx, &mut self.net, from, token, index);
            self.dirty.insert(service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn waiting(peer: u8, bytes: usize) -> Waiting {
        let job = QueryJob::new((PeerId([peer; 32]), SessionId(1)), 1, "m".into(), vec![0; bytes]);
        Waiting { job, reading: Reading { max_age: Millis(0), seen: 0, done: 1 }, since: Time(1), after: 4 }
    }

    #[test]
    fn a_question_of_the_same_millisecond_may_be_older_than_the_read() {
        let known = |question| Known { question, at: Time(1), index: 7 };
        assert!(!waiting(1, 1).may_use(Time(1), &known(4)));
        assert!(waiting(1, 1).may_use(Time(1), &known(5)));
        let mut aged = waiting(1, 1);
        aged.reading.max_age = Millis(10);
        assert!(aged.may_use(Time(11), &known(4)) && !aged.may_use(Time(12), &known(4)));
    }

    #[test]
    fn one_peer_does_not_take_all_places() {
        let mut reads = Reads::default();
        reads.waiting.extend((0..MAX_WAITING_OF_PEER).map(|_| waiting(1, 1)));
        assert!(!reads.has_room(PeerId([1; 32]), 1));
        assert!(reads.has_room(PeerId([2; 32]), 1));
        reads.waiting.extend((0..16).map(|_| waiting(3, 256 * 1024)));
        assert!(!reads.has_room(PeerId([2; 32]), 1), "too many bytes wait");
    }

    #[test]
    fn a_member_without_a_leader_does_not_spin() {
        use crate::handover::hostile_tests::{host, service, NOW};
        let mut node = host();
        node.cx.now = NOW + ASK_AGAIN;
        let hosted = node.hosted.get_mut(&service()).unwrap();
        hosted.reads.waiting.push_back(Waiting { since: NOW, ..waiting(3, 1) });
        hosted.reads.asked = Some((1, NOW));
        hosted.run_reads_here(&mut node.cx, &mut node.net);
        assert!(hosted.reads_timeout().is_none_or(|at| at > node.cx.now));
    }

    #[test]
    fn a_service_is_popular_for_a_minute_after_its_last_busy_second() {
        let mut reads = Reads::default();
        (0..POPULAR - 1).for_each(|_| reads.note(Time(5_000)));
        assert!(!reads.is_popular(Time(5_000)));
        reads.note(Time(5_900));
        assert!(reads.is_popular(Time(65_899)) && !reads.is_popular(Time(65_900)));
        let mut slow = Reads::default();
        (0..200).for_each(|n| slow.note(Time(10_000 + n * 50)));
        assert!(!slow.is_popular(Time(20_000)), "twenty a second");
    }
}
