//! The consumer's side of a session: what a program asks of it. `frames` is what servers say to it, `servers` which of them it
//! follows and looks for, `moving` how one of a stateless service goes to another server.
//!
//! Invariants: H3, items are delivered in sequence, without gap or repeat; H4, frames of a lower (epoch, term) are
//! dropped, but for datagrams: they take a way of their own, on which a change of server overtakes them. Only the
//! current server, the successor that it announced and hosts that the registry names are heard.

mod frames;
mod moving;
mod servers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_bytes::ByteBuf;

use crate::id::{PeerId, RequestId, ServiceId, SessionId};
use crate::io::{Answer, Error, Event};
use crate::session::queries::Queries;
use crate::session::window::Windows;
use crate::time::{Millis, Time};
use crate::wire::{ClientBody, ClientFrame, SessionInput};

pub(super) use frames::reply;
pub use moving::Tally;

/// Inputs that are not executed yet; further ones are refused as overload.
pub const MAX_UNACKED: usize = 1024;
/// Bytes of inputs that are not executed yet.
pub const MAX_UNACKED_BYTES: usize = 4 * 1024 * 1024;
/// Between two attempts to find the server after it was lost.
const SEEK_EVERY: Millis = Millis(250);
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
}
