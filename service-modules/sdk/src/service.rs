//! The trait that a service implements, and the export that feeds it.

use std::fmt;

use service_abi::{input, Kind};

use crate::cx::Cx;
use crate::sys;

/// A session's handle: unique within the service for as long as the session is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// The number of an outgoing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// A timer's id, chosen by the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub u32);

/// Why a call failed; the caller sees the text. State changes made before it stand, unlike those of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl Error {
    /// The error of a method that the service does not have.
    pub fn unknown_method(method: &str) -> Self {
        Error(format!("unknown method {method:?}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Error(text.to_owned())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Error(text)
    }
}

impl From<service_abi::Code> for Error {
    fn from(code: service_abi::Code) -> Self {
        Error(code.text().to_owned())
    }
}

/// A service. Its value is made by `Default` when the instance is created and then lives in linear memory.
///
/// A panic traps the event: the state is then as before it and nothing is sent.
pub trait Service: Default + 'static {
    /// A session opened.
    fn open(&mut self, _cx: &mut Cx, _session: SessionId) {}

    /// An ordered message came.
    fn message(&mut self, _cx: &mut Cx, _session: SessionId, _body: &[u8]) {}

    /// A session closed; it can no longer be sent to.
    fn close(&mut self, _cx: &mut Cx, _session: SessionId) {}

    /// A call: exactly once and in order. By default read-only methods may be called too.
    fn call(&mut self, cx: &mut Cx, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.query(cx, session, method, body)
    }

    /// A read-only call. What it writes to kv or sends is discarded.
    fn query(&self, _cx: &mut Cx, _session: SessionId, method: &str, _body: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::unknown_method(method))
    }

    /// A timer fired.
    fn timer(&mut self, _cx: &mut Cx, _timer: TimerId) {}

    /// The answer to [`Cx::call`]: the reply, or an error text.
    fn reply(&mut self, _cx: &mut Cx, _request: RequestId, _answer: Result<&[u8], &[u8]>) {}

    /// The module replaced an older version. Memory is fresh; sessions, rooms and kv are those of the older version.
    fn upgrade(&mut self, _cx: &mut Cx) {}
}

/// Feeds one event to a service: what the export `handle` does. Returns 0, or 1 for a failed call.
pub fn dispatch<S: Service>(service: &mut S, kind: i32, session: i32, len: i32) -> i32 {
    let mut body = vec![0; len as u32 as usize];
    if !body.is_empty() {
        sys::input(&mut body);
    }
    let cx = &mut Cx::new();
    let number = session as u32;
    let session = SessionId(number);
    match Kind::from_i32(kind) {
        Some(Kind::Open) => service.open(cx, session),
        Some(Kind::Message) => service.message(cx, session, &body),
        Some(Kind::Close) => service.close(cx, session),
        Some(Kind::Call) => return answer(&body, |method, body| service.call(cx, session, method, body)),
        Some(Kind::Query) => return answer(&body, |method, body| service.query(cx, session, method, body)),
        Some(Kind::Timer) => service.timer(cx, TimerId(number)),
        Some(Kind::Reply) => service.reply(cx, RequestId(number), input::split_reply(&body)),
        Some(Kind::Upgrade) => service.upgrade(cx),
        None => return 1,
    }
    0
}

fn answer(input: &[u8], run: impl FnOnce(&str, &[u8]) -> Result<Vec<u8>, Error>) -> i32 {
    let result = match input::split_call(input) {
        Some((method, body)) => run(method, body),
        None => Err(Error::from("malformed call")),
    };
    let (bytes, code) = match result {
        Ok(bytes) => (bytes, 0),
        Err(error) => (error.0.into_bytes(), 1),
    };
    // A reply that exceeds the limit fails the event, in words of the host's.
    sys::reply(&bytes);
    code
}

/// Exports a type that implements [`Service`] as this module's service. Once per module.
#[macro_export]
macro_rules! export_service {
    ($service:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static SERVICE: ::std::cell::RefCell<$service> = ::std::cell::RefCell::default();
            }

            #[allow(unsafe_code)]
            #[no_mangle]
            extern "C" fn handle(kind: i32, session: i32, len: i32) -> i32 {
                SERVICE.with(|service| $crate::dispatch(&mut *service.borrow_mut(), kind, session, len))
            }
        };
    };
}
