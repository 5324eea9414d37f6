//! What inspection finds in a module, as plain data: a policy decides on it without parsing wasm itself.

use alloc::string::String;
use alloc::vec::Vec;

/// What a well-formed service module contains and asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleReport {
    /// The module's size in bytes.
    pub size: u64,
    /// Names of the host functions that it imports, each once, sorted.
    pub imports: Vec<String>,
    /// Names that it exports, sorted.
    pub exports: Vec<String>,
    /// Functions that it defines.
    pub functions: u32,
    /// Memory that it starts with, in pages.
    pub memory_min: u32,
    /// The maximum that it declares, in pages.
    pub memory_max: Option<u32>,
    /// Elements of its tables at the start, together.
    pub table_elements: u32,
    /// Mutable globals.
    pub mutable_globals: u32,
    /// Bytes of its data segments.
    pub data_bytes: u64,
    /// Bytes of the longest function body.
    pub largest_function: u32,
    /// Has a `start` function or exports `_initialize`.
    pub runs_at_creation: bool,
    /// Uses 128-bit SIMD.
    pub simd: bool,
    /// Uses floats, whose NaNs are canonicalised.
    pub floats: bool,
}
