//! The server's side of sessions: what the leader of a group remembers about connected consumers.
//!
//! Nothing here is replicated. It is rebuilt from the consumers' `Resume` when another member leads.

use std::collections::{BTreeMap, VecDeque};

use crate::checkpoint::Marks;
use crate::cx::Cx;
use crate::group::Group;
use crate::id::{PeerId, ServiceId};
use crate::instance::machine::{follows, Entry, Machine, SessionKey, SessionState};
use crate::instance::{Instance, QueryJob};
use crate::io::{Lane, MAX_BODY, MAX_DATAGRAM};
use crate::net::Net;
use crate::seeded::{self, SeededBug};
use crate::session::resends::Resends;
use crate::time::{Millis, Time};
use crate::wire::{
    self, CallResult, ClientBody, ClientFrame, Control, OutItem, ServerBody, ServerFrame, SessionFrame,
    SessionInput,
};

/// Frames that wait while leadership moves; the consumers resend what is dropped.
const MAX_HELD: usize = 4096;
const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;
/// Reads that wait for the confirmation of leadership.
const MAX_READS: usize = 256;
/// Committed entries that wait for the module; further inputs are dropped, and the consumers resend.
const MAX_BACKLOG: usize = 8192;
const MAX_BACKLOG_BYTES: usize = 16 * 1024 * 1024;
/// Unlogged acknowledgements after which one is logged on its own.
const LOG_ACK_EVERY: u64 = 32;
/// A session whose consumer is not connected for this long expires.
const EXPIRE_AFTER: Millis = Millis::secs(120);

#[derive(Debug, Default)]
struct Attached {
    /// Inputs up to here are proposed.
    proposed: u64,
    /// The consumer has items up to here.
    acked: u64,
    /// Acknowledgements up to here are proposed.
    ack_proposed: u64,
    /// Items up to here were sent over the present connection.
    sent: u64,
    absent_since: Option<Time>,
    /// An input of it followed on what is executed.
    continued: bool,
}

/// For whom leadership is confirmed.
#[derive(Debug)]
enum Read {
    Query(QueryJob),
    /// Another member, and its token.
    Member(PeerId, u64),
}

/// Sessions as their leader sees them.
#[derive(Debug)]
pub struct Server {
    service: ServiceId,
    attached: BTreeMap<SessionKey, Attached>,
    held: VecDeque<(PeerId, ClientFrame)>,
    held_bytes: usize,
    reads: BTreeMap<u64, Read>,
    ready_reads: Vec<(u64, QueryJob)>,
    next_read: u64,
    timer_proposed: Option<(u32, Time)>,
    timer_retry: Option<Time>,
    /// What consumers ask for again.
    resends: Resends,
    /// Who may serve next.
    next: Vec<PeerId>,
    /// What of each session is on disk, of a durable service: more is not acknowledged.
    flushed: Option<Marks>,
    /// The service came back from a checkpoint: consumers may have seen more of it than it knows itself.
    state_lost: bool,
}

/// A leader's group and instance.
pub struct Parts<'a> {
    /// The group.
    pub group: &'a mut Group,
    /// The instance.
    pub instance: &'a mut Instance,
    /// The connections.
    pub net: &'a mut Net,
}

impl Server {
    /// Of a service.
    pub fn new(service: ServiceId) -> Self {
        Self {
            service,
            attached: BTreeMap::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            reads: BTreeMap::new(),
            ready_reads: Vec::new(),
            next_read: 0,
            timer_proposed: None,
            timer_retry: None,
            resends: Resends::default(),
            next: Vec::new(),
            flushed: None,
            state_lost: false,
        }
    }

    /// A frame from a consumer, while this node serves.
    pub fn handle_frame(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, from: PeerId, frame: ClientFrame) {
        let key = (from, frame.session);
        let session = parts.instance.machine().session(&key);
        let (executed, sent) = session.map_or((0, 0), |session| (session.executed, session.sent));
        // A consumer that has seen what this state does not know cannot go on with it: its items would repeat numbers.
        let fresh = self.attached.get(&key).is_none_or(|attached| !attached.continued);
        let next = match &frame.body {
            ClientBody::Input { seq, .. } | ClientBody::Resume { next: seq } => *seq,
            _ => 0,
        };
        let gap = next > executed + 1;
        if self.state_lost && fresh && (frame.ack > sent || gap) {
            self.attached.remove(&key);
            let reason = "the service lost what happened after its last checkpoint".to_owned();
            return self.send(cx, parts, key, ServerBody::Gone { reason });
        }
        // Nobody has items that were not sent.
        let ack = frame.ack.min(sent);
        if session.is_none() && !self.attached.contains_key(&key) {
            // Never opened here, as far as is known: it takes no place of those that are.
            match frame.body {
                ClientBody::Input { .. } | ClientBody::Resume { .. } => {}
                ClientBody::Query { id, method, body, .. } => {
                    return self.query(cx, parts, QueryJob::new(key, id, method, body.into_vec()));
                }
                ClientBody::Ack | ClientBody::Datagram { .. } => return,
            }
        }
        if self.attached.len() >= 2 * crate::instance::machine::MAX_SESSIONS
            && !self.attached.contains_key(&key)
        {
            return;
        }
        if !self.attached.contains_key(&key) {
            for next in self.next.clone() {
                self.send(cx, parts, key, ServerBody::Prepare { next });
            }
        }
        let attached = self.attached.entry(key).or_insert_with(|| Attached {
            proposed: executed,
            acked: ack,
            ack_proposed: 0,
            sent: ack,
            absent_since: None,
            continued: false,
        });
        // Entries of an earlier leader may have been executed since: what they hold needs no proposal.
        attached.proposed = attached.proposed.max(executed);
        attached.acked = attached.acked.max(ack);
        attached.absent_since = None;
        attached.continued |= matches!(frame.body, ClientBody::Input { .. });
        match frame.body {
            ClientBody::Input { seq, input } => self.input(cx, parts, key, seq, input),
            ClientBody::Resume { next } => {
                if executed == 0 && attached.proposed == 0 {
                    // Unknown: its `Open` is right behind this, or it is gone.
                    self.attached.remove(&key);
                    if next > 1 {
                        let reason = "no such session".to_owned();
                        self.send(cx, parts, key, ServerBody::Gone { reason });
                    }
                } else if let Some(until) = self.resends.wait(cx.now, from) {
                    if self.resends.postpone(key, until) {
                        self.send(cx, parts, key, ServerBody::Ack);
                    }
                } else {
                    self.resume(cx, parts, key);
                }
            }
            ClientBody::Ack => self.log_ack(parts, key),
            ClientBody::Query { id, method, body, .. } => {
                self.query(cx, parts, QueryJob::new(key, id, method, body.into_vec()));
            }
            ClientBody::Datagram { seq, body } => {
                let handle = parts.instance.machine().session(&key).map(|session| session.handle);
                let may = body.len() <= MAX_DATAGRAM && parts.instance.may_send(cx.now);
                let Some(from) = handle.filter(|_| may) else { return };
                for other in parts.instance.machine().roommates(&key) {
                    self.send(cx, parts, other, ServerBody::Datagram { from, seq, body: body.clone() });
                }
            }
        }
    }

    /// The state is that of a checkpoint.
    pub fn on_state_lost(&mut self) {
        self.state_lost = true;
    }

    /// Keeps a frame until it is clear who serves.
    pub fn hold(&mut self, from: PeerId, frame: ClientFrame) {
        let size = match &frame.body {
            ClientBody::Input { input, .. } => input.size(),
            ClientBody::Query { method, body, .. } => method.len() + body.len(),
            ClientBody::Datagram { body, .. } => body.len(),
            ClientBody::Resume { .. } | ClientBody::Ack => 0,
        };
        if self.held.len() < MAX_HELD && self.held_bytes + size <= MAX_HELD_BYTES {
            self.held_bytes += size;
            self.held.push_back((from, frame));
        }
    }

    /// The frames that were held.
    pub fn take_held(&mut self) -> VecDeque<(PeerId, ClientFrame)> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// This node begins to serve: nothing of an earlier time counts. `durable`: nothing is acknowledged before it is on disk.
    pub fn on_serving(&mut self, durable: bool) {
        self.flushed = durable.then(Marks::new);
        self.attached.clear();
        self.reads.clear();
        self.ready_reads.clear();
        self.timer_proposed = None;
        self.resends = Resends::default();
        self.next.clear();
    }

    /// Entries were executed: send what they put into outboxes.
    pub fn on_executed(
        &mut self,
        cx: &mut Cx,
        parts: &mut Parts<'_>,
        touched: impl IntoIterator<Item = SessionKey>,
        gone: Vec<(SessionKey, &'static str)>,
    ) {
        for key in touched {
            let before = self.attached.get(&key).map_or(0, |attached| attached.sent);
            self.flush(cx, parts, key);
            let unsaid = self.attached.get(&key).is_some_and(|attached| attached.sent == before);
            if unsaid && self.flushed.is_none() {
                self.send(cx, parts, key, ServerBody::Ack);
            }
            self.log_ack(parts, key);
            if parts.instance.machine().session(&key).is_none() {
                // Closed by the service and acknowledged.
                self.attached.remove(&key);
            }
        }
        for (key, reason) in gone {
            self.send(cx, parts, key, ServerBody::Gone { reason: reason.to_owned() });
            self.attached.remove(&key);
        }
        self.run_reads(cx, parts);
    }

    /// A checkpoint is on disk: what it holds is acknowledged.
    pub fn on_flushed(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, marks: Marks) {
        let before = self.flushed.take().unwrap_or_default();
        let news = marks.iter().filter(|(key, mark)| before.get(key) != Some(mark));
        let no_items =
            |key: &SessionKey, sent: u64| before.get(key).is_none_or(|(_, before)| *before == sent);
        let news: Vec<(SessionKey, bool)> =
            news.map(|(key, (_, sent))| (*key, no_items(key, *sent))).collect();
        self.flushed = Some(marks);
        for (key, no_items) in news {
            self.flush(cx, parts, key);
            if no_items {
                self.send(cx, parts, key, ServerBody::Ack);
            }
        }
    }

    /// What a consumer may be told of its session: the last input that counts as executed, and the last item.
    fn told(&self, key: &SessionKey, session: &SessionState) -> (u64, u64) {
        let marks = self.flushed.as_ref().map(|flushed| flushed.get(key).copied().unwrap_or_default());
        let (executed, sent) = marks.unwrap_or((u64::MAX, u64::MAX));
        (session.executed.min(executed), session.sent.min(sent))
    }

    /// A query was answered.
    pub fn on_answer(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, job: &QueryJob, result: CallResult) {
        let age_ms = u32::try_from(cx.now.since(job.as_of).0).unwrap_or(u32::MAX);
        let body = ServerBody::Answer { id: job.id, result, index: job.index, age_ms };
        self.send(cx, parts, job.key, body);
    }

    /// raft confirmed a read.
    pub fn on_read(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, token: u64, index: u64) {
        match self.reads.remove(&token) {
            Some(Read::Query(job)) => {
                self.ready_reads.push((index, job));
                self.run_reads(cx, parts);
            }
            Some(Read::Member(peer, token)) => self.tell_index(cx, parts, peer, token, index),
            None => {}
        }
    }

    /// A member that holds the state wants to answer reads.
    pub fn ask_index(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, member: PeerId, token: u64) {
        if parts.group.voters().len() == 1 {
            return self.tell_index(cx, parts, member, token, parts.group.committed());
        }
        if self.reads.len() < MAX_READS {
            self.next_read += 1;
            self.reads.insert(self.next_read, Read::Member(member, token));
            parts.group.read(self.next_read);
        }
    }

    fn tell_index(&self, cx: &mut Cx, parts: &mut Parts<'_>, member: PeerId, token: u64, index: u64) {
        let message = Control::IndexIs { service: self.service, token, index };
        parts.net.send(cx, member, Lane::Control, &message);
    }

    /// Tells each session of this service who serves now, or that nobody is known to.
    pub fn announce_moved(
        &mut self,
        cx: &mut Cx,
        machine: &Machine,
        net: &mut Net,
        epoch: u64,
        term: u64,
        to: PeerId,
    ) {
        for (key, session) in machine.sessions() {
            let body = ServerBody::Moved { to: Some(to) };
            post(cx, net, self.service, *key, (epoch, term), self.told(key, session).0, body);
        }
    }

    /// Tells each session to connect to the probable next server.
    pub fn announce_next(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, next: PeerId) {
        for key in self.attached.keys().copied().collect::<Vec<_>>() {
            self.send(cx, parts, key, ServerBody::Prepare { next });
        }
    }

    /// Tells each session of those who may serve next, if they are others than before.
    pub fn set_next(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, next: Vec<PeerId>) {
        let news: Vec<PeerId> = next.iter().filter(|peer| !self.next.contains(peer)).copied().collect();
        self.next = next;
        for peer in news {
            self.announce_next(cx, parts, peer);
        }
    }

    /// Proposes timers that are due, and sends outboxes that waited for it.
    pub fn handle_timeout(&mut self, cx: &mut Cx, parts: &mut Parts<'_>) {
        for key in self.resends.due(cx.now) {
            match self.resends.wait(cx.now, key.0) {
                // Another session of the same consumer came first.
                Some(until) => {
                    self.resends.postpone(key, until);
                }
                None => self.resume(cx, parts, key),
            }
        }
        if let Some((id, deadline)) = parts.instance.machine().next_timer().filter(|(_, at)| *at <= cx.now) {
            if self.timer_proposed != Some((id, deadline)) {
                let entry = Entry::Timer { id, deadline, now: cx.now, seed: cx.random() };
                if parts.group.propose(wire::encode(&entry)).is_ok() {
                    self.timer_proposed = Some((id, deadline));
                } else {
                    self.timer_retry = Some(cx.now + Millis(50));
                }
            }
        }
    }

    /// Now and then: sessions whose consumer is not connected.
    pub fn sweep(&mut self, cx: &mut Cx, parts: &mut Parts<'_>) {
        self.resends.sweep(cx.now);
        let sessions = parts.instance.machine().sessions();
        let sessions: Vec<_> = sessions.map(|(key, session)| (*key, session.executed)).collect();
        for (key, proposed) in sessions {
            let connected = parts.net.is_connected(cx, key.0);
            let absent = || Attached { proposed, ..Attached::default() };
            let attached = self.attached.entry(key).or_insert_with(absent);
            if connected {
                attached.absent_since = None;
            } else if cx.now.since(*attached.absent_since.get_or_insert(cx.now)) >= EXPIRE_AFTER {
                let _ = parts.group.propose(wire::encode(&Entry::Expire { key }));
            }
        }
        let machine = parts.instance.machine();
        self.attached.retain(|key, attached| machine.session(key).is_some() || attached.proposed > 0);
    }

    /// When [`Server::handle_timeout`] wants to be called.
    pub fn timeout(&self, instance: &Instance) -> Option<Time> {
        let timer = instance.machine().next_timer().filter(|timer| self.timer_proposed != Some(*timer));
        let timer = timer.map(|(_, deadline)| self.timer_retry.map_or(deadline, |retry| retry.max(deadline)));
        timer.into_iter().chain(self.resends.timeout()).min()
    }

    /// Connected sessions.
    pub fn attached(&self) -> usize {
        self.attached.len()
    }

    fn input(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, key: SessionKey, seq: u64, input: SessionInput) {
        let Some(attached) = self.attached.get_mut(&key) else { return };
        if input.size() > MAX_BODY + 256 {
            return;
        }
        if !follows(seq, attached.proposed) {
            // A repeat: the consumer may have lost the acknowledgement. A gap: it resends from its first.
            if seq <= attached.proposed {
                self.send(cx, parts, key, ServerBody::Ack);
            } else if attached.proposed == 0 {
                let reason = "no such session".to_owned();
                self.send(cx, parts, key, ServerBody::Gone { reason });
                self.attached.remove(&key);
            }
            return;
        }
        // What a module cannot follow stays with its consumers: they send it again.
        if parts.instance.backlog_bytes() + input.size() > MAX_BACKLOG_BYTES
            || parts.instance.backlog() >= MAX_BACKLOG
        {
            return;
        }
        let ack = attached.acked;
        let entry = Entry::Session { key, seq, ack, input, now: cx.now, seed: cx.random() };
        // Refused when too much is uncommitted: the consumer sends it again.
        if parts.group.propose(wire::encode(&entry)).is_ok() {
            attached.proposed = attached.proposed.max(seq);
            attached.ack_proposed = attached.ack_proposed.max(ack);
        }
    }

    fn query(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, mut job: QueryJob) {
        job.as_of = cx.now;
        let refusal = if job.body.len() > MAX_BODY || job.method.len() > 256 {
            Some("the query is too large")
        } else if self.reads.len() + self.ready_reads.len() >= MAX_READS {
            Some("too many queries wait")
        } else {
            None
        };
        if let Some(reason) = refusal {
            let result = CallResult::Trapped(reason.to_owned());
            return self.on_answer(cx, parts, &job, result);
        }
        if parts.group.voters().len() == 1 || seeded::has(SeededBug::StaleRead) {
            let index = parts.group.committed();
            self.ready_reads.push((index, job));
            return self.run_reads(cx, parts);
        }
        self.next_read += 1;
        self.reads.insert(self.next_read, Read::Query(job));
        parts.group.read(self.next_read);
    }

    fn run_reads(&mut self, cx: &mut Cx, parts: &mut Parts<'_>) {
        let executed = parts.instance.executed();
        let (now, later) =
            std::mem::take(&mut self.ready_reads).into_iter().partition(|(i, _)| *i <= executed);
        self.ready_reads = later;
        let now: Vec<(u64, QueryJob)> = now;
        for (_, job) in now {
            if !parts.instance.query(cx, job.clone()) {
                self.on_answer(cx, parts, &job, CallResult::Trapped("too many queries wait".to_owned()));
            }
        }
    }

    /// Sends the outbox once more, from what the consumer has.
    fn resume(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, key: SessionKey) {
        let Some(attached) = self.attached.get_mut(&key) else { return };
        attached.sent = attached.acked;
        let bytes = self.flush(cx, parts, key);
        self.resends.charge(cx.now, key.0, bytes);
        self.send(cx, parts, key, ServerBody::Ack);
    }

    /// Sends the outbox from where this connection stands; how many bytes go out.
    fn flush(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, key: SessionKey) -> usize {
        let Some(attached) = self.attached.get(&key) else { return 0 };
        let Some(session) = parts.instance.machine().session(&key) else { return 0 };
        let first = session.first();
        let from = attached.sent.max(first - 1) + 1;
        let (executed, last) = self.told(&key, session);
        if from > last {
            return 0;
        }
        let items: Vec<(u64, OutItem)> = session
            .outbox
            .iter()
            .skip((from - first) as usize)
            .cloned()
            .zip(from..=last)
            .map(|(item, seq)| (seq, item))
            .collect();
        let authority = (parts.group.epoch(), parts.group.term());
        let mut total = 0;
        for (seq, item) in items {
            let body = ServerBody::Out { seq, item };
            let Some(bytes) = post(cx, parts.net, self.service, key, authority, executed, body) else {
                return total;
            };
            parts.instance.sent(bytes);
            total += bytes;
        }
        if let Some(attached) = self.attached.get_mut(&key) {
            attached.sent = last;
        }
        total
    }

    /// Logs an acknowledgement when it frees enough, or lets a closed session end.
    fn log_ack(&mut self, parts: &mut Parts<'_>, key: SessionKey) {
        let Some(attached) = self.attached.get_mut(&key) else { return };
        let Some(session) = parts.instance.machine().session(&key) else { return };
        let known = attached.ack_proposed.max(session.first() - 1);
        let frees = attached.acked.saturating_sub(known);
        let ends = session.is_closed() && attached.acked >= session.sent && frees > 0;
        if frees >= LOG_ACK_EVERY || ends {
            let entry = Entry::Ack { key, ack: attached.acked };
            if parts.group.propose(wire::encode(&entry)).is_ok() {
                attached.ack_proposed = attached.acked;
            }
        }
    }

    fn send(&mut self, cx: &mut Cx, parts: &mut Parts<'_>, key: SessionKey, body: ServerBody) {
        let session = parts.instance.machine().session(&key);
        let executed = session.map_or(0, |session| self.told(&key, session).0);
        let authority = (parts.group.epoch(), parts.group.term());
        let bytes = post(cx, parts.net, self.service, key, authority, executed, body);
        parts.instance.sent(bytes.unwrap_or_default());
    }
}

/// Sends a frame of a session to its consumer, if that is connected; how many bytes go out.
pub fn post(
    cx: &mut Cx,
    net: &mut Net,
    service: ServiceId,
    key: SessionKey,
    (epoch, term): (u64, u64),
    ack: u64,
    body: ServerBody,
) -> Option<usize> {
    let frame = SessionFrame::Server(ServerFrame { service, session: key.1, epoch, term, ack, body });
    let (lane, frame) = (frame.lane(), wire::encode(&frame));
    let bytes = if key.0 == cx.me { 0 } else { frame.len() };
    net.send_frame(cx, key.0, lane, frame).then_some(bytes)
}
