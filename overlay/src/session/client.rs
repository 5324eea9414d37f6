//! The consumer's side of a session.
//!
//! Invariants: H3, items are delivered in sequence, without gap or repeat; H4, frames of a lower (epoch, term) are
//! dropped, but for datagrams: they take a way of their own, on which a change of server overtakes them. Only the
//! current server, the successor that it announced and hosts that the registry names are heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_bytes::ByteBuf;

use crate::id::{PeerId, RequestId, ServiceId, SessionId};
use crate::io::{Answer, Error, Event};
use crate::session::queries::Queries;
use crate::session::window::Windows;
use crate::session::NOT_PERMITTED;
use crate::time::{Millis, Time};
use crate::wire::{CallResult, ClientBody, ClientFrame, OutItem, ServerBody, ServerFrame, SessionInput};

/// Inputs that are not executed yet; further ones are refused as overload.
pub const MAX_UNACKED: usize = 1024;
/// Bytes of inputs that are not executed yet.
pub const MAX_UNACKED_BYTES: usize = 4 * 1024 * 1024;
/// After this time without progress everything unacknowledged is sent again.
const RESEND_AFTER: Millis = Millis(1000);
/// A server that is connected and says nothing to so many of these is left for another one: it may have been voted out of its group
/// without having heard of it.
const MAX_UNHEARD: u32 = 3;
/// Between two attempts to find the server after it was lost.
const SEEK_EVERY: Millis = Millis(250);
/// A session that finds no server for this long is closed.
const GIVE_UP_AFTER: Millis = Millis::secs(30);
/// Received items that are not acknowledged before an acknowledgement is sent on its own.
const ACK_EVERY: u64 = 16;
const ACK_AFTER: Millis = Millis(500);
/// Servers of a stateless service that are told that another one was faster.
const MAX_ASKED: usize = 32;
/// Datagrams that wait while no server is known, and for how long one is of use: a voice's last third of a second.
const MAX_HELD: usize = 16;
const HOLD_FOR: Millis = Millis(320);
/// After a datagram was refused the next ones are refused here, for so long: a newer package may permit them.
const ASK_AGAIN: Millis = Millis::secs(5);
const NO_DATAGRAMS: &str = "the service's manifest does not permit datagrams";

/// What the session wants done.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Send to a peer, connecting first where needed.
    Send(PeerId, ClientBody),
    /// Be connected to a peer.
    Connect(PeerId),
    /// Answer a command.
    Answer(RequestId, Result<Answer, Error>),
    /// Tell the person or program.
    Event(Event),
    /// A server answered the `open` command with this id.
    Opened(RequestId),
    /// The session's server or its authority is another one now.
    Moved,
    /// Send an input of a session on the wire that is this session's no more.
    SendAs(PeerId, SessionId, u64, SessionInput),
    /// Ask the registry who serves.
    Lookup,
    /// Forget the session.
    Ended,
}

#[derive(Debug, PartialEq)]
enum Phase {
    /// Nobody has answered yet.
    Opening { request: RequestId, deadline: Time },
    /// The server answers.
    Open,
    /// The server is lost.
    Seeking { since: Time },
}

/// One session of this node as a consumer.
pub struct ClientSession {
    /// The id that programs know.
    pub id: SessionId,
    /// The service.
    pub service: ServiceId,
    /// `name@publisher`.
    pub name: String,
    /// The id on the wire: a stateless service gets a new one at each server.
    wire: SessionId,
    stateless: bool,
    phase: Phase,
    server: PeerId,
    epoch: u64,
    term: u64,
    candidates: BTreeSet<PeerId>,
    seek_at: Option<Time>,
    seek_turn: usize,
    /// Who was asked to open a stateless session: whoever answers first has it.
    asked: BTreeSet<PeerId>,
    next_seq: u64,
    unacked: VecDeque<(u64, SessionInput)>,
    unacked_bytes: usize,
    progress_at: Time,
    /// How often all was sent again since the server was last heard.
    unheard: u32,
    received: u64,
    acknowledged: u64,
    ack_at: Option<Time>,
    /// Calls under way.
    calls: BTreeMap<u64, Called>,
    /// Read-only calls.
    queries: Queries,
    /// Inputs up to here are executed, as the server said.
    done: u64,
    /// Number of the last datagram sent.
    datagrams: u32,
    /// Datagrams that wait for a server.
    held: VecDeque<(Time, ClientBody)>,
    /// When the server last said that the service takes none.
    no_datagrams: Option<Time>,
    /// Datagrams received.
    windows: Windows,
    /// Neither side sent anything but calls and their replies.
    only_calls: bool,
    /// What calls took.
    tally: Tally,
    /// The session is about to go to another server.
    moving: Option<moving::Move>,
}

/// A call under way.
#[derive(Debug)]
struct Called {
    request: RequestId,
    at: Time,
    deadline: Time,
}

impl ClientSession {
    /// Opens a session at `server`; `fresh` is a random number for stateless services.
    #[allow(clippy::too_many_arguments)]
    pub fn open(
        now: Time,
        id: SessionId,
        service: ServiceId,
        name: String,
        stateless: bool,
        hosts: Vec<PeerId>,
        request: RequestId,
        deadline: Time,
        out: &mut Vec<Action>,
    ) -> Self {
        let server = hosts.first().copied().unwrap_or(PeerId([0; 32]));
        let mut session = Self {
            id,
            service,
            name,
            wire: id,
            stateless,
            phase: Phase::Opening { request, deadline },
            server,
            epoch: 0,
            term: 0,
            candidates: hosts.iter().copied().collect(),
            seek_at: Some(now + SEEK_EVERY),
            seek_turn: 0,
            asked: hosts.first().copied().filter(|_| stateless).into_iter().collect(),
            next_seq: 1,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            progress_at: now,
            unheard: 0,
            received: 0,
            acknowledged: 0,
            ack_at: None,
            calls: BTreeMap::new(),
            queries: Queries::default(),
            done: 0,
            datagrams: 0,
            held: VecDeque::new(),
            no_datagrams: None,
            windows: Windows::default(),
            only_calls: true,
            tally: Tally::default(),
            moving: None,
        };
        session.push(SessionInput::Open, out);
        session
    }

    /// The id on the wire.
    pub fn wire_id(&self) -> SessionId {
        self.wire
    }

    /// Who serves, as far as known: peer, epoch, term.
    pub fn authority(&self) -> (PeerId, u64, u64) {
        (self.server, self.epoch, self.term)
    }

    /// Has a server answered.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Opening { .. })
    }

    /// A frame to send. It acknowledges what was received; one that may be lost does so beside the others.
    pub fn frame(&mut self, body: ClientBody) -> ClientFrame {
        let frame = ClientFrame { service: self.service, session: self.wire, ack: self.received, body };
        if !frame.is_datagram() {
            self.acknowledged = self.received;
            self.ack_at = None;
        }
        frame
    }

    /// Does this session hear that peer.
    pub fn hears(&self, peer: PeerId) -> bool {
        peer == self.server || self.candidates.contains(&peer)
    }

    /// An ordered call.
    pub fn call(
        &mut self,
        now: Time,
        request: RequestId,
        deadline: Time,
        method: String,
        body: Vec<u8>,
        out: &mut Vec<Action>,
    ) {
        if let Err(error) = self.admit(method.len() + body.len()) {
            out.push(Action::Answer(request, Err(error)));
            return;
        }
        if let Some(moving) = &mut self.moving {
            moving.bytes += method.len() + body.len();
            moving.waiting.push_back(moving::Waiting { request, deadline, method, body });
            return;
        }
        self.send_call(now, moving::Waiting { request, deadline, method, body }, out);
    }

    fn send_call(&mut self, now: Time, call: moving::Waiting, out: &mut Vec<Action>) {
        let moving::Waiting { request, deadline, method, body } = call;
        let seq = self.push(SessionInput::Call { method, body: ByteBuf::from(body) }, out);
        self.calls.insert(seq, Called { request, at: now, deadline });
    }

    /// An ordered message.
    pub fn message(&mut self, now: Time, request: RequestId, body: Vec<u8>, out: &mut Vec<Action>) {
        let result = self.admit(body.len());
        self.only_calls = false;
        // It stays where it is; calls that waited come before this.
        self.go_on_moving(now, out);
        if result.is_ok() {
            self.push(SessionInput::Message(ByteBuf::from(body)), out);
        }
        out.push(Action::Answer(request, result.map(|()| Answer::Done)));
    }

    /// A read-only call, at `replica` or else at the server.
    #[allow(clippy::too_many_arguments)]
    pub fn query(
        &mut self,
        now: Time,
        request: RequestId,
        deadline: Time,
        call: (String, Vec<u8>),
        max_age: Option<Millis>,
        replica: Option<PeerId>,
        out: &mut Vec<Action>,
    ) {
        match self.queries.add(now, request, deadline, call, max_age) {
            Err(error) => out.push(Action::Answer(request, Err(error))),
            Ok(id) if self.phase == Phase::Open => {
                self.queries.send(now, id, (self.epoch, self.done), replica.unwrap_or(self.server), out);
            }
            Ok(_) => {}
        }
    }

    /// Replicas and standbys that may answer reads, besides the server.
    pub fn readers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.queries.readers().filter(|peer| *peer != self.server)
    }

    /// A lossy message to the session's rooms.
    pub fn datagram(&mut self, now: Time, request: RequestId, body: Vec<u8>, out: &mut Vec<Action>) {
        if self.no_datagrams.is_some_and(|at| now.since(at) < ASK_AGAIN) {
            out.push(Action::Answer(request, Err(Error::NotPermitted(NO_DATAGRAMS.to_owned()))));
            return;
        }
        out.push(Action::Answer(request, Ok(Answer::Done)));
        self.only_calls = false;
        self.go_on_moving(now, out);
        self.datagrams = self.datagrams.wrapping_add(1).max(1);
        let body = ClientBody::Datagram { seq: self.datagrams, body: ByteBuf::from(body) };
        if self.phase == Phase::Open {
            out.push(Action::Send(self.server, body));
        } else {
            if self.held.len() >= MAX_HELD {
                self.held.pop_front();
            }
            self.held.push_back((now, body));
        }
    }

    /// There is a server again: it gets the datagrams that are not too old to be of use.
    fn send_held(&mut self, now: Time, out: &mut Vec<Action>) {
        for (at, body) in std::mem::take(&mut self.held) {
            if now.since(at) < HOLD_FOR {
                out.push(Action::Send(self.server, body));
            }
        }
    }

    /// Ends the session. The server learns it from the log, or by expiry.
    pub fn close(&mut self, out: &mut Vec<Action>) {
        let seq = self.next_seq;
        out.push(Action::Send(self.server, ClientBody::Input { seq, input: SessionInput::Close }));
        self.fail("the session was closed", out);
    }

    /// A frame from a peer that [`ClientSession::hears`].
    pub fn handle_frame(&mut self, now: Time, from: PeerId, frame: ServerFrame, out: &mut Vec<Action>) {
        if frame.body == (ServerBody::Moved { to: None }) && from == self.server {
            // It has the service no more, and knows of no authority.
            return self.seek(now, out);
        }
        if let ServerBody::Answer { id, .. } = &frame.body {
            if self.queries.is_asked(*id, from) {
                // A replica's answer says nothing about who serves; one of another authority is left (H4).
                if (frame.epoch, frame.term) == (self.epoch, self.term) {
                    self.on_answer(from, frame, out);
                }
                return;
            }
        }
        if self.stateless && self.phase == Phase::Open && from != self.server {
            // It was asked as well and answers late, or ends what it was asked: authorities of its hosts say nothing of each other.
            return;
        }
        let authority = (frame.epoch, frame.term);
        // H1: in one authority only one peer serves, and this session has met it.
        let other = from != self.server && authority == (self.epoch, self.term);
        match frame.body {
            ServerBody::Datagram { from, seq, body }
                if frame.epoch == self.epoch && frame.term <= self.term =>
            {
                return self.receive_datagram(from, seq, body, out);
            }
            _ if authority < (self.epoch, self.term) => return,
            _ => {}
        }
        if from != self.server && matches!(frame.body, ServerBody::Moved { .. }) {
            self.ask_server(now, from, out);
        }
        match frame.body {
            ServerBody::Moved { to } if to != Some(from) => {
                let newer = (frame.epoch, frame.term) > (self.epoch, self.term);
                if from == self.server || newer {
                    self.follow(now, to, (frame.epoch, frame.term), out);
                }
                return;
            }
            ServerBody::Gone { reason } => {
                if from == self.server || (frame.epoch, frame.term) > (self.epoch, self.term) {
                    self.on_gone(now, reason, out);
                }
                return;
            }
            ServerBody::Prepare { next } => {
                if from == self.server {
                    self.add_candidate(next);
                    self.queries.add_reader(next);
                    out.push(Action::Connect(next));
                }
                return;
            }
            _ => {}
        }
        if other {
            return;
        }
        self.adopt(now, from, authority, out);
        self.done = self.done.max(frame.ack);
        self.trim(now, frame.ack);
        match frame.body {
            ServerBody::Out { seq, item } => self.receive(now, seq, item, out),
            ServerBody::Answer { .. } => {
                let asked = self.on_answer(from, frame, out);
                asked.into_iter().for_each(|at| self.tally.note(now.since(at)));
            }
            ServerBody::Datagram { from, seq, body } => self.receive_datagram(from, seq, body, out),
            ServerBody::NoDatagrams => self.on_no_datagrams(now, out),
            _ => {}
        }
        self.go_on_moving(now, out);
    }

    /// An answer; when the query was asked.
    fn on_answer(&mut self, from: PeerId, frame: ServerFrame, out: &mut Vec<Action>) -> Option<Time> {
        let ServerBody::Answer { id, result, index, age_ms } = frame.body else { return None };
        self.queries.on_answer(from, id, result, (frame.epoch, index), age_ms, out)
    }

    /// What a replica was asked goes to the server.
    fn ask_server(&mut self, now: Time, replica: PeerId, out: &mut Vec<Action>) {
        for id in self.queries.give_up(replica) {
            self.queries.send(now, id, (self.epoch, self.done), self.server, out);
        }
    }

    /// The connection to a peer closed, or could not be made.
    pub fn on_unreachable(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) {
        self.ask_server(now, peer, out);
        if peer == self.server && self.phase == Phase::Open {
            self.seek(now, out);
        }
    }

    /// The registry's hosts of the service.
    pub fn on_hosts(&mut self, hosts: &[PeerId]) {
        hosts.iter().for_each(|host| self.add_candidate(*host));
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Action>) {
        self.expire_calls(now, out);
        self.go_on_moving(now, out);
        for replica in self.queries.late(now) {
            self.ask_server(now, replica, out);
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            out.push(Action::Send(self.server, ClientBody::Ack));
        }
        match self.phase {
            Phase::Opening { request, deadline } if deadline <= now => {
                out.push(Action::Answer(request, Err(Error::NoServer(self.name.clone()))));
                out.push(Action::Ended);
            }
            Phase::Seeking { since } if now.since(since) >= GIVE_UP_AFTER => {
                self.fail("no server of the service could be reached for 30 s", out);
            }
            Phase::Open if !self.unacked.is_empty() && now.since(self.progress_at) >= RESEND_AFTER => {
                self.progress_at = now;
                self.unheard += 1;
                if self.unheard > MAX_UNHEARD && !self.stateless {
                    return self.seek(now, out);
                }
                self.resend(out);
            }
            Phase::Opening { .. } | Phase::Seeking { .. } if self.seek_at.is_some_and(|at| at <= now) => {
                self.seek_at = Some(now + SEEK_EVERY);
                self.try_next(out);
            }
            _ => {}
        }
    }

    /// When [`ClientSession::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let calls = self.calls.values().map(|call| call.deadline).chain(self.move_timeout()).min();
        let queries = self.queries.timeout();
        let phase = match self.phase {
            Phase::Opening { deadline, .. } => self.seek_at.into_iter().chain([deadline]).min(),
            Phase::Seeking { .. } => self.seek_at,
            Phase::Open => (!self.unacked.is_empty()).then_some(self.progress_at + RESEND_AFTER),
        };
        [calls, queries, phase, self.ack_at].into_iter().flatten().min()
    }

    fn admit(&self, bytes: usize) -> Result<(), Error> {
        let (calls, held) =
            self.moving.as_ref().map_or((0, 0), |moving| (moving.waiting.len(), moving.bytes));
        let full = self.unacked.len() + calls >= MAX_UNACKED;
        if full || self.unacked_bytes + held + bytes > MAX_UNACKED_BYTES {
            let what = "too many calls of this session wait for their server".to_owned();
            // One that is looked for is found within seconds; one that is there answers all the time.
            let after = if self.phase == Phase::Open { Millis(200) } else { Millis::secs(1) };
            return Err(Error::Overloaded(what, after));
        }
        Ok(())
    }

    fn push(&mut self, input: SessionInput, out: &mut Vec<Action>) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.unacked_bytes += input.size();
        if !matches!(self.phase, Phase::Seeking { .. }) {
            out.push(Action::Send(self.server, ClientBody::Input { seq, input: input.clone() }));
        }
        self.unacked.push_back((seq, input));
        seq
    }

    /// Takes `from` as the server, if it is not already; then everything unacknowledged goes to it.
    fn adopt(&mut self, now: Time, from: PeerId, authority: (u64, u64), out: &mut Vec<Action>) {
        let opened = match self.phase {
            Phase::Opening { request, .. } => Some(request),
            _ => None,
        };
        self.unheard = 0;
        let same = from == self.server && authority == (self.epoch, self.term);
        let moved = from != self.server;
        if authority.0 != self.epoch {
            // What came back from a checkpoint gives the numbers of lost sessions to others.
            self.windows = Windows::default();
        }
        (self.server, self.epoch, self.term) = (from, authority.0, authority.1);
        if same && self.phase == Phase::Open {
            return;
        }
        self.phase = Phase::Open;
        self.seek_at = None;
        self.progress_at = now;
        for other in std::mem::take(&mut self.asked).into_iter().filter(|other| *other != from) {
            out.push(Action::SendAs(other, self.wire, 2, SessionInput::Close));
        }
        match opened {
            // Its frames are on the way to this server already, unless another one answered.
            Some(request) => {
                out.push(Action::Opened(request));
                if moved {
                    self.resend(out);
                }
            }
            None => {
                self.resend(out);
                out.push(Action::Moved);
            }
        }
        self.send_held(now, out);
    }

    /// The server says that somebody else serves.
    fn follow(&mut self, now: Time, to: Option<PeerId>, authority: (u64, u64), out: &mut Vec<Action>) {
        (self.epoch, self.term) = authority.max((self.epoch, self.term));
        let Some(to) = to else { return self.seek(now, out) };
        self.add_candidate(to);
        let opening = matches!(self.phase, Phase::Opening { .. });
        self.server = to;
        self.unheard = 0;
        self.progress_at = now;
        self.resend(out);
        if !opening {
            self.phase = Phase::Open;
            self.seek_at = None;
            out.push(Action::Moved);
            self.send_held(now, out);
        }
    }

    fn on_gone(&mut self, now: Time, reason: String, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Opening { request, .. } => {
                let error = match reason.as_str() {
                    NOT_PERMITTED => Error::NotPermitted(reason),
                    _ => Error::Refused(reason),
                };
                out.push(Action::Answer(request, Err(error)));
                out.push(Action::Ended);
            }
            // Refused before it was open: trying again at once would go on for ever.
            _ if self.stateless && self.unacked.front().is_none_or(|(seq, _)| *seq > 1) => {
                self.renew(now, out)
            }
            _ => self.fail(&reason, out),
        }
    }

    /// A stateless service forgets its sessions with their server: calls under way have an unknown outcome, and the
    /// session begins anew.
    fn renew(&mut self, now: Time, out: &mut Vec<Action>) {
        for call in std::mem::take(&mut self.calls).into_values() {
            let error = Error::UnknownOutcome("the server was lost".to_owned());
            out.push(Action::Answer(call.request, Err(error)));
        }
        self.unacked.clear();
        self.unacked_bytes = 0;
        self.asked.clear();
        (self.next_seq, self.received, self.acknowledged, self.done) = (1, 0, 0, 0);
        (self.epoch, self.term) = (0, 0);
        self.wire = SessionId(self.wire.0.wrapping_add(1));
        // Another server numbers its sessions anew.
        self.windows = Windows::default();
        self.progress_at = now;
        self.push(SessionInput::Open, out);
    }

    fn seek(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Seeking { since: now };
        self.seek_at = Some(now + SEEK_EVERY);
        if self.stateless {
            self.renew(now, out);
        }
        // Calls that waited for a move wait for the next server now.
        self.go_on_moving(now, out);
        self.try_next(out);
    }

    /// Asks one candidate after the other; announced successors and hosts that the registry names.
    fn try_next(&mut self, out: &mut Vec<Action>) {
        if self.seek_turn.is_multiple_of(4) {
            out.push(Action::Lookup);
        }
        let others: Vec<_> = self.candidates.iter().filter(|peer| **peer != self.server).copied().collect();
        let turn = self.seek_turn % (others.len() + 1);
        self.seek_turn += 1;
        let peer = others.get(turn).copied().unwrap_or(self.server);
        self.ask(peer, out);
    }

    /// Asks a peer whether it serves.
    fn ask(&mut self, peer: PeerId, out: &mut Vec<Action>) {
        out.push(Action::Send(peer, self.resume()));
        if self.stateless && self.asked.len() < MAX_ASKED {
            self.asked.insert(peer);
        }
        if self.stateless || matches!(self.phase, Phase::Opening { .. }) {
            if let Some((seq, input)) = self.unacked.front().cloned() {
                out.push(Action::Send(peer, ClientBody::Input { seq, input }));
            }
        }
    }

    fn resend(&mut self, out: &mut Vec<Action>) {
        out.push(Action::Send(self.server, self.resume()));
        for (seq, input) in &self.unacked {
            let (seq, input) = (*seq, input.clone());
            out.push(Action::Send(self.server, ClientBody::Input { seq, input }));
        }
        for id in self.queries.waiting() {
            self.queries.send(self.progress_at, id, (self.epoch, self.done), self.server, out);
        }
    }

    fn resume(&self) -> ClientBody {
        ClientBody::Resume { next: self.unacked.front().map_or(self.next_seq, |(seq, _)| *seq) }
    }

    fn trim(&mut self, now: Time, ack: u64) {
        while self.unacked.front().is_some_and(|(seq, _)| *seq <= ack) {
            if let Some((_, input)) = self.unacked.pop_front() {
                self.unacked_bytes -= input.size();
                self.progress_at = now;
            }
        }
    }

    fn receive(&mut self, now: Time, seq: u64, item: OutItem, out: &mut Vec<Action>) {
        if seq <= self.received {
            return;
        }
        if seq > self.received + 1 {
            // An item was lost with a connection: ask for it.
            out.push(Action::Send(self.server, self.resume()));
            return;
        }
        self.received = seq;
        self.ack_at = self.ack_at.or(Some(now + ACK_AFTER));
        match item {
            OutItem::Reply { to, result } => {
                if let Some(call) = self.calls.remove(&to) {
                    self.tally.note(now.since(call.at));
                    out.push(Action::Answer(call.request, reply(result)));
                }
            }
            OutItem::Message(body) => {
                self.only_calls = false;
                let event = Event::Message { session: self.id.to_string(), body: body.into_vec() };
                out.push(Action::Event(event));
            }
            OutItem::Closed { reason } => {
                out.push(Action::Send(self.server, ClientBody::Ack));
                self.fail(&reason, out);
                return;
            }
        }
        if self.received - self.acknowledged >= ACK_EVERY {
            out.push(Action::Send(self.server, ClientBody::Ack));
        }
    }

    fn receive_datagram(&mut self, sender: u32, seq: u32, body: ByteBuf, out: &mut Vec<Action>) {
        if self.windows.admit(sender, seq) {
            let event = Event::Datagram { session: self.id.to_string(), body: body.into_vec() };
            out.push(Action::Event(event));
        }
    }

    /// Those that were under way are told of together.
    fn on_no_datagrams(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.no_datagrams.replace(now).is_none_or(|at| now.since(at) >= ASK_AGAIN) {
            let (session, message) = (self.id.to_string(), NO_DATAGRAMS.to_owned());
            let code = Error::NotPermitted(message.clone()).code().to_owned();
            out.push(Action::Event(Event::SessionError { session, code, message }));
        }
    }

    fn expire_calls(&mut self, now: Time, out: &mut Vec<Action>) {
        let text = "the service did not answer in time; it is not known whether the call was executed";
        let calls: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.deadline <= now).map(|(seq, _)| *seq).collect();
        for seq in calls {
            if let Some(call) = self.calls.remove(&seq) {
                out.push(Action::Answer(call.request, Err(Error::Deadline(text.to_owned()))));
            }
        }
        if let Some(moving) = &mut self.moving {
            moving.expire(now, out);
        }
        self.queries.expire(now, out);
    }

    /// Ends the session; what was under way has an unknown outcome.
    fn fail(&mut self, reason: &str, out: &mut Vec<Action>) {
        for call in std::mem::take(&mut self.calls).into_values() {
            out.push(Action::Answer(call.request, Err(Error::UnknownOutcome(reason.to_owned()))));
        }
        for call in self.moving.take().into_iter().flat_map(|moving| moving.waiting) {
            out.push(Action::Answer(call.request, Err(Error::Disconnected(reason.to_owned()))));
        }
        self.queries.fail(reason, out);
        out.push(Action::Event(Event::Closed { session: self.id.to_string(), reason: reason.to_owned() }));
        out.push(Action::Ended);
    }

    fn add_candidate(&mut self, peer: PeerId) {
        // An honest history names few hosts; the bound keeps a lying server from growing the set.
        if self.candidates.len() >= 16 {
            self.candidates.pop_first();
        }
        self.candidates.insert(peer);
    }
}

/// What a caller gets.
pub(super) fn reply(result: CallResult) -> Result<Answer, Error> {
    match result {
        CallResult::Ok(body) => Ok(Answer::Reply(body.into_vec())),
        CallResult::Failed(text) => Err(Error::Trapped(String::from_utf8_lossy(&text).into_owned())),
        CallResult::Trapped(reason) => Err(Error::Trapped(reason)),
    }
}

#[path = "moving.rs"]
mod moving;
pub use moving::Tally;

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
