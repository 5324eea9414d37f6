//! Inspects and instruments service modules, so that their outcomes depend on the log alone.
//!
//! [`inspect`] says what a module contains and asks for; [`instrument`] rewrites it: gas, stack depth, canonical NaNs,
//! a memory maximum, and exports through which a host saves and restores the whole state. The output is a function of
//! the module's bytes, [`Limits`] and the ABI version, byte for byte the same on every host.
//!
//! | module | does |
//! |---|---|
//! | [`scan`] | validates, refuses what the ABI does not allow, reports |
//! | [`rewrite`] | puts the new module together |
//! | [`body`] | rewrites one function |
//! | [`gas`] | what code costs and where it is charged |
//! | [`nan`] | which instructions could let a NaN's bits be seen |
//!
//! # What the output exports
//!
//! `handle`, `memory` and `_initialize` of the original, nothing else of it, and:
//!
//! | export | is |
//! |---|---|
//! | `$gas` | mutable i64: set it to the budget before entering; negative after a trap means *out of gas* |
//! | `$depth` | mutable i32: set it to the stack limit before entering; negative after a trap means *stack too deep* |
//! | `$oom` | mutable i32: not zero after a trap means that the *host* had no memory below the maximum |
//! | `$start` | the `start` function, if any: to be called at creation, not at a restore |
//! | `$g<i>` | each mutable global |
//! | `$t<i>`, `$f<i>` | tables that the code mutates, and all functions if there is such a table |
//!
//! # Not done
//! Threads, shared memory, memory64, several memories, relaxed SIMD, GC, exceptions, tail calls, tables of `externref`
//! and mutable globals of type `v128` or reference are refused.

#![warn(missing_docs)]

pub mod body;
mod error;
pub mod gas;
pub mod nan;
pub mod rewrite;
pub mod scan;

pub use error::Refused;
pub use service_abi::report::ModuleReport;

/// The limits that are compiled into the module. Gas and stack depth are set at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pages of linear memory.
    pub memory_pages: u32,
}

/// Says what a module contains, or why it is no service module of this ABI version.
pub fn inspect(module: &[u8]) -> Result<ModuleReport, Refused> {
    scan::scan(module).map(|scan| scan.report)
}

/// Rewrites a module for a host; see the crate's documentation for what the result exports.
pub fn instrument(module: &[u8], limits: &Limits) -> Result<Vec<u8>, Refused> {
    let scan = scan::scan(module)?;
    rewrite::rewrite(module, &scan, limits)
}
