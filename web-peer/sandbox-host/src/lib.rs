//! The page's side of the sandbox: takes the kernel's [`overlay::sandbox::SandboxCommand`]s and answers with
//! [`overlay::sandbox::SandboxEvent`]s.
//!
//! | module | does |
//! |---|---|
//! | [`host`] | [`SandboxHost`]: packages, instances, deadlines |
//! | [`codec`] | runs and their outcomes as bytes between page and worker |
//! | `frame` | the opaque-origin frame and its workers |
//! | `inspector` | the worker that inspects and instruments modules |
//! | `trial` | the trial run of a module, before the kernel hears that it is prepared |
//!
//! Frame and workers are in `web-peer/sandbox`; its README has the messages. Everything but codec and trial needs a browser.

#![warn(missing_docs)]

pub mod codec;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod frame;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod host;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod inspector;
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod trial;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use host::SandboxHost;
