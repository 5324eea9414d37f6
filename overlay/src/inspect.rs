//! What a module may declare and ask for, and what a trial run must show, before a host takes it.
//!
//! The instrumenter parses and validates the wasm (`service-modules/instrument`) and reports what it found; this is the
//! policy on the report: pure, so every host refuses the same module for the same reason.
//!
//! ```
//! use overlay::inspect::{inspect, InspectError};
//! use overlay::manifest::Manifest;
//! use service_abi::report::ModuleReport;
//!
//! let manifest = Manifest::parse_author(
//!     br#"{"name":"a","version":"1","engine":"wasm","state":"single","interface":{},"requires":{"memoryMiB":1}}"#,
//! )
//! .expect("valid");
//! let exports = ["handle", "memory"].map(String::from).to_vec();
//! let mut report = ModuleReport { size: 900, exports, memory_min: 16, ..Default::default() };
//! assert_eq!(inspect(&report, &manifest), Ok(()));
//! report.memory_min = 17;
//! assert_eq!(inspect(&report, &manifest), Err(InspectError::Memory { pages: 17, limit: 16 }));
//! ```

use service_abi::report::ModuleReport;
use service_abi::{imports, limits as abi, HANDLE, MEMORY, RESERVED};

use crate::manifest::{limits, ExampleCall, Manifest};
use crate::sandbox::Outcome;

/// Why a module is refused before it runs, or after its trial. The text is for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The module is larger than any host takes.
    #[error("the module has {size} bytes, more than {limit}")]
    Size {
        /// Bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It imports what no host offers.
    #[error("the module imports {0}, which no host offers")]
    Import(String),
    /// It lacks an export of the ABI.
    #[error("the module does not export {0}")]
    MissingExport(&'static str),
    /// It exports a name that hosts use.
    #[error("the export {0:?} begins with '$', which is reserved for hosts")]
    ReservedExport(String),
    /// It starts with more memory than its manifest asks for.
    #[error(
        "the module starts with {pages} pages of memory, its manifest allows {limit} (a page has 64 KiB)"
    )]
    Memory {
        /// Pages at the start.
        pages: u32,
        /// The manifest's limit in pages.
        limit: u32,
    },
    /// Its data segments do not fit the memory that it starts with.
    #[error("the module's data has {bytes} bytes, more than its memory at the start")]
    Data {
        /// Bytes of all segments.
        bytes: u64,
    },
    /// There is too much of something.
    #[error("the module has {found} {what}, more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The instance of the trial could not be made.
    #[error("the module could not be started: {0}")]
    Start(String),
    /// An example of its manifest, counted from 1, did not end as promised.
    #[error("its example {0}, {1}: {2}")]
    Example(usize, String, String),
    /// An event of the trial trapped.
    #[error("the module trapped in its trial: {0}")]
    Trap(String),
    /// A restored copy differs from what was saved.
    #[error("the module's state differs after it was saved and restored")]
    Restore,
}

/// May a host take a module with this report under this manifest? Names the first finding.
pub fn inspect(report: &ModuleReport, manifest: &Manifest) -> Result<(), InspectError> {
    inspect_within(report, limits(manifest).memory_pages)
}

/// As [`inspect`], for a host that was told the manifest's limit of memory alone.
pub fn inspect_within(report: &ModuleReport, limit: u32) -> Result<(), InspectError> {
    if report.size > abi::MAX_MODULE as u64 {
        return Err(InspectError::Size { size: report.size, limit: abi::MAX_MODULE as u64 });
    }
    if let Some(name) = report.imports.iter().find(|name| imports::find(name).is_none()) {
        return Err(InspectError::Import(shorten(name)));
    }
    for export in [HANDLE, MEMORY] {
        if !report.exports.iter().any(|name| name == export) {
            return Err(InspectError::MissingExport(export));
        }
    }
    if let Some(name) = report.exports.iter().find(|name| name.starts_with(RESERVED)) {
        return Err(InspectError::ReservedExport(shorten(name)));
    }
    if report.memory_min > limit {
        return Err(InspectError::Memory { pages: report.memory_min, limit });
    }
    if report.data_bytes > u64::from(report.memory_min) * u64::from(abi::PAGE) {
        return Err(InspectError::Data { bytes: report.data_bytes });
    }
    let counts = [
        ("functions", report.functions, abi::MAX_FUNCTIONS),
        ("table elements", report.table_elements, abi::MAX_TABLE_ELEMENTS),
        ("mutable globals", report.mutable_globals, abi::MAX_GLOBALS),
        ("bytes in one function", report.largest_function, abi::MAX_BODY as u32),
    ];
    match counts.into_iter().find(|(_, found, limit)| found > limit) {
        Some((what, found, limit)) => {
            Err(InspectError::TooMany { what, found: found.into(), limit: limit.into() })
        }
        None => Ok(()),
    }
}

/// What a trial run in an instance of its own showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Why the instance could not be made, if so.
    pub failed: Option<String>,
    /// The calls that were made between the opening and the closing of a session.
    pub examples: Vec<ExampleCall>,
    /// How the opening, the examples and the closing ended, in that order.
    pub outcomes: Vec<Outcome>,
    /// The state after that.
    pub saved: Vec<u8>,
    /// The state of a second instance that was restored from it.
    pub restored: Vec<u8>,
}

/// A module passes its trial if it starts, if opening and closing a session do not trap (they may fail), if its examples
/// end as promised, and if a
/// restored copy has the very state that was saved.
pub fn check_trial(trial: &Trial) -> Result<(), InspectError> {
    if let Some(reason) = &trial.failed {
        return Err(InspectError::Start(cut(reason, MAX_REASON)));
    }
    for (at, (example, outcome)) in trial.examples.iter().zip(trial.outcomes.iter().skip(1)).enumerate() {
        if let Err(why) = example.judge(outcome) {
            return Err(InspectError::Example(at + 1, example.method.clone(), why));
        }
    }
    for outcome in &trial.outcomes {
        if let Outcome::Trapped { reason } = outcome {
            return Err(InspectError::Trap(cut(reason, MAX_REASON)));
        }
    }
    if trial.saved != trial.restored {
        return Err(InspectError::Restore);
    }
    Ok(())
}

/// Characters of a reason that are told: what a program says of its own failure, with the place in its source.
const MAX_REASON: usize = 240;

/// A name of the module's own making, short enough for a message.
fn shorten(text: &str) -> String {
    cut(text, 60)
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_in_full_up_to_a_length() {
        let words = "main.ts:12:3: TypeError: cannot read property 'name' of undefined";
        let trial = |reason: String| Trial {
            failed: Some(reason),
            examples: Vec::new(),
            outcomes: Vec::new(),
            saved: Vec::new(),
            restored: Vec::new(),
        };
        assert_eq!(check_trial(&trial(words.to_owned())), Err(InspectError::Start(words.to_owned())));
        assert_eq!(check_trial(&trial("é".repeat(1_000))), Err(InspectError::Start("é".repeat(240))));
    }

    fn manifest() -> Manifest {
        let json = br#"{"name":"a","version":"1","engine":"wasm","state":"single","interface":{},
            "requires":{"memoryMiB":2}}"#;
        Manifest::parse_author(json).unwrap()
    }

    fn good() -> ModuleReport {
        ModuleReport {
            size: 10_000,
            imports: ["input", "now", "reply"].map(String::from).to_vec(),
            exports: ["_initialize", "handle", "memory"].map(String::from).to_vec(),
            functions: 30,
            memory_min: 2,
            memory_max: None,
            table_elements: 5,
            mutable_globals: 1,
            data_bytes: 131_072,
            largest_function: 1_000,
            runs_at_creation: true,
            simd: false,
            floats: true,
        }
    }

    #[test]
    fn an_ordinary_module_passes() {
        assert_eq!(inspect(&good(), &manifest()), Ok(()));
    }

    #[test]
    fn each_finding_is_named() {
        use InspectError as E;
        let found = |change: fn(&mut ModuleReport)| {
            let mut report = good();
            change(&mut report);
            inspect(&report, &manifest()).unwrap_err()
        };
        let limit = abi::MAX_MODULE as u64;
        assert_eq!(found(|r| r.size = 100 << 20), E::Size { size: 100 << 20, limit });
        assert_eq!(found(|r| r.imports.push("fetch".into())), E::Import("fetch".into()));
        assert_eq!(found(|r| r.imports.push("x".repeat(999))), E::Import("x".repeat(60)));
        assert_eq!(found(|r| r.exports.retain(|name| name != "handle")), E::MissingExport("handle"));
        assert_eq!(found(|r| r.exports.retain(|name| name != "memory")), E::MissingExport("memory"));
        assert_eq!(found(|r| r.exports.push("$g0".into())), E::ReservedExport("$g0".into()));
        assert_eq!(found(|r| r.memory_min = 33), E::Memory { pages: 33, limit: 32 });
        assert_eq!(found(|r| r.data_bytes += 1), E::Data { bytes: 131_073 });
        let many = |what, found: u64| E::TooMany { what, found, limit: found - 1 };
        assert_eq!(found(|r| r.functions = 50_001), many("functions", 50_001));
        assert_eq!(found(|r| r.table_elements = 100_001), many("table elements", 100_001));
        assert_eq!(found(|r| r.mutable_globals = 4_097), many("mutable globals", 4_097));
        assert_eq!(found(|r| r.largest_function = 524_289), many("bytes in one function", 524_289));
    }

    #[test]
    fn a_trial_shows_start_events_and_an_equal_copy() {
        let done = Outcome::Done { reply: Vec::new(), effects: Vec::new(), gas: 1 };
        let failed = Outcome::Failed { reply: b"no".to_vec(), effects: Vec::new(), gas: 1 };
        let trap = Outcome::Trapped { reason: "out of gas".into() };
        let call = ExampleCall { method: "m".into(), read_only: false, body: Vec::new(), expect: None };
        let good = Trial {
            failed: None,
            examples: vec![call],
            outcomes: vec![failed.clone(), done.clone(), failed.clone()],
            saved: vec![1],
            restored: vec![1],
        };
        let broken = Trial { outcomes: vec![done.clone(), failed, done], ..good.clone() };
        let said = InspectError::Example(1, "m".into(), "it failed: no".into());
        assert_eq!(check_trial(&broken), Err(said));
        assert_eq!(check_trial(&good), Ok(()));
        let unstarted = Trial { failed: Some("no memory".into()), ..good.clone() };
        assert_eq!(check_trial(&unstarted), Err(InspectError::Start("no memory".into())));
        let trapped = Trial { outcomes: vec![trap], ..good.clone() };
        assert_eq!(check_trial(&trapped), Err(InspectError::Trap("out of gas".into())));
        assert_eq!(check_trial(&Trial { restored: vec![2], ..good }), Err(InspectError::Restore));
    }
}
