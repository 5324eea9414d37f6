//! Write Tabfarm services in Rust.
//!
//! A service is a deterministic state machine: events come in, effects go out, and everything between lies in the
//! module's memory, so that the service can move to another tab between any two events.
//!
//! ```
//! use service_sdk::{export_service, Cx, Error, Service, SessionId};
//!
//! #[derive(Default)]
//! struct Counter(i64);
//!
//! impl Service for Counter {
//!     fn call(&mut self, cx: &mut Cx, s: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
//!         match method {
//!             "add" => {
//!                 self.0 += std::str::from_utf8(body).ok().and_then(|n| n.parse::<i64>().ok()).ok_or("not a number")?;
//!                 Ok(self.0.to_string().into_bytes())
//!             }
//!             _ => self.query(cx, s, method, body),
//!         }
//!     }
//! }
//! export_service!(Counter);
//! # fn main() {}
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown`. On other targets the same code runs in
//! [`testing::Harness`], without wasm.
//!
//! Scope: events, effects, kv. Not here: async, threads, files, network, secrets (every host of a service sees its memory).

#![warn(missing_docs)]

mod cx;
pub mod json;
mod rooms;
mod service;
mod sys;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use cx::{Cx, Level};
pub use service::{dispatch, Error, RequestId, Service, SessionId, TimerId};
pub use service_abi::Code;
