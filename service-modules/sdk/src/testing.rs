//! Runs a service natively, without wasm, for unit tests.
//!
//! Errors of host functions are those of the real host. Gas, memory and stack limits are not modelled, and a panic of
//! the service is a panic of the test.

use std::cell::RefCell;
use std::collections::BTreeMap;

use service_abi::{input, limits, Code, Kind};

use crate::rooms;
use crate::service::{dispatch, RequestId, Service, SessionId, TimerId};

/// What an event did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Effect {
    /// A message to one session.
    Send { session: u32, body: Vec<u8> },
    /// A session was closed.
    Close { session: u32 },
    /// A session joined a room.
    Join { session: u32, room: u32 },
    /// A session left a room.
    Leave { session: u32, room: u32 },
    /// A message to a room.
    Broadcast { room: u32, body: Vec<u8> },
    /// A timer was set, or cancelled by a negative `ms`.
    Timer { id: u32, ms: i32 },
    /// Another service was called.
    Call { request: u32, service: String, input: Vec<u8> },
    /// A log line.
    Log { level: i32, text: String },
}

/// A service with a host around it.
#[derive(Debug)]
pub struct Harness<S> {
    /// The service itself.
    pub service: S,
    /// Effects since they were last taken.
    pub effects: Vec<Effect>,
    host: Host,
}

impl<S: Service> Default for Harness<S> {
    fn default() -> Self {
        Harness { service: S::default(), effects: Vec::new(), host: Host::new() }
    }
}

impl<S: Service> Harness<S> {
    /// A fresh service at time 0, without sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what `now` returns in the events that follow.
    pub fn set_now(&mut self, ms: u64) {
        self.host.now_ms = ms;
    }

    /// Sets the limits of the kv store and of one event's output, in bytes.
    pub fn set_limits(&mut self, kv: usize, output: usize) {
        self.host.kv_limit = kv;
        self.host.output_limit = output;
    }

    /// Opens a session of the consumer with this key.
    pub fn open(&mut self, session: u32, consumer: [u8; 32]) -> SessionId {
        self.host.sessions.insert(session, consumer);
        self.run(Kind::Open, session, Vec::new());
        SessionId(session)
    }

    /// Sends a message to the service.
    pub fn message(&mut self, session: SessionId, body: &[u8]) {
        self.run(Kind::Message, session.0, body.to_vec());
    }

    /// Closes a session.
    pub fn close(&mut self, session: SessionId) {
        self.host.sessions.remove(&session.0);
        self.run(Kind::Close, session.0, Vec::new());
    }

    /// Calls a method: the reply, or the error's text.
    pub fn call(&mut self, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        self.answer(Kind::Call, session, method, body)
    }

    /// Queries a method. Effects and writes to kv are discarded.
    pub fn query(&mut self, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let (effects, kv) = (self.effects.clone(), self.host.kv.clone());
        let answer = self.answer(Kind::Query, session, method, body);
        (self.effects, self.host.kv) = (effects, kv);
        answer
    }

    /// Fires a timer.
    pub fn timer(&mut self, timer: TimerId) {
        self.run(Kind::Timer, timer.0, Vec::new());
    }

    /// Answers an outgoing call.
    pub fn reply(&mut self, request: RequestId, answer: Result<&[u8], &str>) {
        self.run(Kind::Reply, request.0, input::join_reply(answer));
    }

    /// Replaces the service by a fresh one that keeps sessions and kv, as an upgrade does.
    pub fn upgrade(&mut self) {
        self.service = S::default();
        self.run(Kind::Upgrade, 0, Vec::new());
    }

    /// Takes the effects so far.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The number of a room of this service.
    pub fn room(&self, name: &str) -> u32 {
        rooms::number(name)
    }

    fn answer(
        &mut self,
        kind: Kind,
        session: SessionId,
        method: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, String> {
        let input = input::join_call(method, body).ok_or("the method's name is too long")?;
        match self.run(kind, session.0, input) {
            0 => Ok(std::mem::take(&mut self.host.reply)),
            _ => Err(String::from_utf8_lossy(&self.host.reply).into_owned()),
        }
    }

    fn run(&mut self, kind: Kind, session: u32, input: Vec<u8>) -> i32 {
        let host = &mut self.host;
        (host.input, host.reply, host.put, host.reply_too_large) = (input, Vec::new(), 0, false);
        let length = host.input.len() as i32;
        HOST.with(|current| std::mem::swap(&mut *current.borrow_mut(), host));
        let code = dispatch(&mut self.service, kind as i32, session as i32, length);
        HOST.with(|current| std::mem::swap(&mut *current.borrow_mut(), host));
        self.effects.append(&mut host.effects);
        code.max(i32::from(host.reply_too_large))
    }
}

/// The host's side of a harness.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) sessions: BTreeMap<u32, [u8; 32]>,
    pub(crate) kv: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) kv_limit: usize,
    pub(crate) output_limit: usize,
    pub(crate) requests: u32,
    pub(crate) now_ms: u64,
    pub(crate) input: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) put: usize,
    pub(crate) reply_too_large: bool,
    effects: Vec<Effect>,
    random: u64,
}

impl Host {
    const fn new() -> Self {
        Host {
            sessions: BTreeMap::new(),
            kv: BTreeMap::new(),
            kv_limit: 1 << 20,
            output_limit: 1 << 20,
            requests: 0,
            now_ms: 0,
            input: Vec::new(),
            reply: Vec::new(),
            put: 0,
            reply_too_large: false,
            effects: Vec::new(),
            random: 0,
        }
    }

    pub(crate) fn put_out(&mut self, bytes: usize, effect: Effect) -> i32 {
        if self.put + self.reply.len() + bytes > self.output_limit
            || self.effects.len() >= limits::MAX_EFFECTS
        {
            return Code::OutputLimit as i32;
        }
        self.put += bytes;
        self.effects.push(effect);
        0
    }

    pub(crate) fn for_session(&mut self, session: u32, bytes: usize, effect: Effect) -> i32 {
        match self.sessions.contains_key(&session) {
            true => self.put_out(bytes, effect),
            false => Code::NoSession as i32,
        }
    }

    /// SplitMix64, a byte at a time; the stream differs from that of a real host.
    pub(crate) fn random_byte(&mut self) -> u8 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 56) as u8
    }
}

thread_local! {
    static HOST: RefCell<Host> = const { RefCell::new(Host::new()) };
}

pub(crate) fn with_host<T>(run: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with(|host| run(&mut host.borrow_mut()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cx, Error, Level};

    #[derive(Default)]
    struct Probe {
        answers: Vec<Result<Vec<u8>, Vec<u8>>>,
    }

    impl Service for Probe {
        fn open(&mut self, cx: &mut Cx, session: SessionId) {
            cx.join(session, "lobby").unwrap();
            cx.set_timer(TimerId(3), 50);
        }

        fn message(&mut self, cx: &mut Cx, session: SessionId, body: &[u8]) {
            assert_eq!(cx.peer(session), Ok([9; 32]));
            assert_eq!(cx.send(SessionId(99), body), Err(Code::NoSession));
            cx.broadcast("lobby", body).unwrap();
            cx.log(Level::Info, "said");
        }

        fn call(&mut self, cx: &mut Cx, _: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
            match method {
                "store" => Ok(cx.kv_put(b"k", body).map(|()| Vec::new())?),
                "ask" => Ok(cx.call("other", "m", body)?.0.to_string().into_bytes()),
                "huge" => Ok(vec![0; 2 << 20]),
                _ => Err(Error::unknown_method(method)),
            }
        }

        fn query(&self, cx: &mut Cx, _: SessionId, _: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
            cx.kv_put(b"k", body)?;
            Ok(cx.kv_get(b"k").unwrap_or_default())
        }

        fn reply(&mut self, _: &mut Cx, _: RequestId, answer: Result<&[u8], &[u8]>) {
            self.answers.push(answer.map(<[u8]>::to_vec).map_err(<[u8]>::to_vec));
        }
    }

    #[test]
    fn effects_come_in_order_and_errors_are_the_hosts() {
        let mut harness = Harness::<Probe>::new();
        let session = harness.open(1, [9; 32]);
        harness.message(session, b"hi");
        let room = harness.room("lobby");
        assert_eq!(
            harness.take_effects(),
            [
                Effect::Join { session: 1, room },
                Effect::Timer { id: 3, ms: 50 },
                Effect::Broadcast { room, body: b"hi".to_vec() },
                Effect::Log { level: 2, text: "said".to_owned() },
            ]
        );
        assert_eq!(harness.call(session, "nope", b""), Err("unknown method \"nope\"".to_owned()));
        assert_eq!(harness.call(session, "huge", b""), Err("the reply is too large".to_owned()));
    }

    #[test]
    fn queries_leave_no_trace_and_limits_hold() {
        let mut harness = Harness::<Probe>::new();
        let session = harness.open(1, [9; 32]);
        harness.call(session, "store", b"first").unwrap();
        assert_eq!(harness.query(session, "q", b"second"), Ok(b"second".to_vec()));
        assert_eq!(harness.host.kv.get(&b"k"[..]), Some(&b"first".to_vec()));
        harness.set_limits(40, 100);
        assert_eq!(harness.call(session, "store", &[0; 50]), Err("the storage limit is reached".to_owned()));
        harness.upgrade();
        assert_eq!(harness.host.kv.len(), 1);
    }

    #[test]
    fn answers_of_outgoing_calls_arrive() {
        let mut harness = Harness::<Probe>::new();
        let session = harness.open(1, [9; 32]);
        assert_eq!(harness.call(session, "ask", b"?"), Ok(b"1".to_vec()));
        assert_eq!(harness.call(session, "ask", b"?"), Ok(b"2".to_vec()));
        harness.reply(RequestId(1), Ok(b"fine"));
        harness.reply(RequestId(2), Err("gone"));
        assert_eq!(harness.service.answers, [Ok(b"fine".to_vec()), Err(b"gone".to_vec())]);
    }
}
