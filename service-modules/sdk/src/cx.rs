//! What a service can do during an event.

use service_abi::{input, limits, Code};

use crate::rooms;
use crate::service::{RequestId, SessionId, TimerId};
use crate::sys;

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// Something is wrong.
    Error = 0,
    /// Something may be wrong.
    Warning = 1,
    /// Worth knowing.
    Info = 2,
    /// For the author.
    Debug = 3,
}

/// The host during one event. Effects are queued and leave when the event has ended without a panic.
#[derive(Debug)]
pub struct Cx {
    _private: (),
}

impl Cx {
    pub(crate) fn new() -> Self {
        Cx { _private: () }
    }

    /// Sends an ordered message to one session.
    pub fn send(&mut self, session: SessionId, body: &[u8]) -> Result<(), Code> {
        done(sys::send(session.0, body))
    }

    /// Sends an ordered message to every session in a room, in the order of their joining.
    pub fn broadcast(&mut self, room: &str, body: &[u8]) -> Result<(), Code> {
        done(sys::broadcast(rooms::number(room), body))
    }

    /// Puts a session into a room; being in it already is fine.
    pub fn join(&mut self, session: SessionId, room: &str) -> Result<(), Code> {
        done(sys::join(session.0, rooms::number(room)))
    }

    /// Takes a session out of a room; not being in it is fine.
    pub fn leave(&mut self, session: SessionId, room: &str) -> Result<(), Code> {
        done(sys::leave(session.0, rooms::number(room)))
    }

    /// Closes a session. [`crate::Service::close`] is not called for it.
    pub fn close(&mut self, session: SessionId) -> Result<(), Code> {
        done(sys::close(session.0))
    }

    /// The ed25519 key of the session's consumer.
    pub fn peer(&self, session: SessionId) -> Result<[u8; 32], Code> {
        let mut key = [0; 32];
        done(sys::peer(session.0, &mut key)).map(|()| key)
    }

    /// Milliseconds since the Unix epoch, the same during the whole event and never less than in the event before.
    pub fn now(&self) -> u64 {
        sys::now() as u64
    }

    /// Fills `bytes` with pseudo-random bytes that are the same on every replica; no source of secrets.
    pub fn random(&mut self, bytes: &mut [u8]) {
        sys::random(bytes);
    }

    /// Fires [`crate::Service::timer`] after `ms` milliseconds (at most 24 days); setting a timer again replaces it.
    pub fn set_timer(&mut self, timer: TimerId, ms: u32) {
        sys::timer(timer.0, ms.min(i32::MAX as u32) as i32);
    }

    /// Cancels a timer.
    pub fn cancel_timer(&mut self, timer: TimerId) {
        sys::timer(timer.0, -1);
    }

    /// Calls a method of another service (`name` or `name@publisher`, allowed by the manifest); the answer comes to
    /// [`crate::Service::reply`].
    pub fn call(&mut self, service: &str, method: &str, body: &[u8]) -> Result<RequestId, Code> {
        let input = input::join_call(method, body).ok_or(Code::Invalid)?;
        let request = sys::call(service, &input);
        done(request).map(|()| RequestId(request as u32))
    }

    /// Writes a line to the log that the person who hosts or publishes the service sees.
    pub fn log(&mut self, level: Level, text: &str) {
        sys::log(level as i32, text);
    }

    /// The value of a key.
    pub fn kv_get(&self, key: &[u8]) -> Option<Vec<u8>> {
        read(|buffer| sys::kv_get(key, buffer))
    }

    /// Stores a value.
    pub fn kv_put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Code> {
        done(sys::kv_put(key, value))
    }

    /// Removes a key; [`Code::NotFound`] if it was not there.
    pub fn kv_delete(&mut self, key: &[u8]) -> Result<(), Code> {
        done(sys::kv_delete(key))
    }

    /// The first key that is greater than `key` in byte order.
    pub fn kv_next(&self, key: &[u8]) -> Option<Vec<u8>> {
        read(|buffer| sys::kv_next(key, buffer))
    }
}

fn done(code: i32) -> Result<(), Code> {
    match code {
        0.. => Ok(()),
        _ => Err(Code::from_i32(code).unwrap_or(Code::Invalid)),
    }
}

/// Reads with a buffer that fits most values, and once more with one that fits.
fn read(get: impl Fn(&mut [u8]) -> i32) -> Option<Vec<u8>> {
    let mut buffer = vec![0; limits::MAX_KEY];
    let length = usize::try_from(get(&mut buffer)).ok()?;
    if length > buffer.len() {
        buffer.resize(length, 0);
        get(&mut buffer);
    }
    buffer.truncate(length);
    Some(buffer)
}
