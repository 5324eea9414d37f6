//! Bounds that belong to the ABI version: the same on every host, so that they cannot make replicas differ.

/// Bytes of one linear-memory page.
pub const PAGE: u32 = 65_536;
/// The most pages a manifest may ask for: 256 MiB, what a tab can copy within a second.
pub const MAX_MEMORY_PAGES: u32 = 4_096;
/// The largest module that is inspected at all, in bytes.
pub const MAX_MODULE: usize = 16 * 1024 * 1024;
/// The longest method name, in bytes.
pub const MAX_METHOD: usize = 256;
/// The longest name of a called service (`name@publisher`), in bytes.
pub const MAX_SERVICE: usize = 256;
/// The longest key of the kv store, in bytes.
pub const MAX_KEY: usize = 1_024;
/// Bytes that one kv entry costs besides its key and value, so that empty values are not free.
pub const KV_ENTRY: usize = 32;
/// The longest log line, in bytes; the rest is cut.
pub const MAX_LOG: usize = 1_024;
/// The most effects (sends, joins, timers, log lines, …) of one event, replies not counted.
pub const MAX_EFFECTS: usize = 4_096;
/// The most sessions that an instance knows.
pub const MAX_SESSIONS: usize = 65_536;

/// Gas of one host call besides its bytes.
pub const HOST_CALL_GAS: u64 = 64;
/// Bulk operations and host calls cost one gas for each `1 << BYTES_PER_GAS_SHIFT` bytes.
pub const BYTES_PER_GAS_SHIFT: u32 = 3;
/// Bulk operations on tables cost this much gas an element.
pub const GAS_PER_ELEMENT: u64 = 4;

/// A call depth that browsers' worker stacks hold with room to spare, in the instrumenter's units (a frame costs
/// [`FRAME_UNITS`] and one for each 8 bytes of its locals and operands).
pub const DEFAULT_STACK_DEPTH: u32 = 40_000;
/// What every frame costs besides its locals and operands.
pub const FRAME_UNITS: u32 = 16;

/// The most functions, types, globals, table elements and data segments of a module.
pub const MAX_FUNCTIONS: u32 = 50_000;
/// See [`MAX_FUNCTIONS`].
pub const MAX_TYPES: u32 = 10_000;
/// See [`MAX_FUNCTIONS`].
pub const MAX_GLOBALS: u32 = 4_096;
/// See [`MAX_FUNCTIONS`].
pub const MAX_TABLE_ELEMENTS: u32 = 100_000;
/// See [`MAX_FUNCTIONS`].
pub const MAX_TABLES: u32 = 16;
/// See [`MAX_FUNCTIONS`].
pub const MAX_SEGMENTS: u32 = 10_000;
/// The most locals of one function, parameters included.
pub const MAX_LOCALS: u32 = 5_000;
/// The longest body of one function, in bytes; browsers' compilers take seconds for larger ones.
pub const MAX_BODY: usize = 512 * 1024;
