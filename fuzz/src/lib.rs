//! Hostile bytes for every decoder and for what is behind it.
//!
//! A [`Target`] takes any bytes and panics when something breaks a promise. `cargo xtask fuzz [TARGET]` runs targets for
//! long over mutations of their seeds; `cargo test -p fuzz` runs each over its seeds, over what
//! is kept in `corpus/TARGET/`, and over mutations of both. Bytes that broke something are put into the corpus.
//!
//! | module | targets |
//! |---|---|
//! | `decoders` | `wire`, `transfer`, `records`, `manifest`, `image`, `instrument`, `webrtc`: what is read is sound, the rest refused |
//! | `group` | `group`: a real Raft group among liars and outsiders |
//! | `node` | `node`: a whole node that hears anything on every lane, and recalls anything from its disk |
//! | [`script`] | bytes as a script: what the last two do next |
//! | [`mutate`] | mutations that are the same in every run |

mod decoders;
mod group;
pub mod mutate;
mod node;
pub mod script;

/// Something that takes any bytes.
pub struct Target {
    /// Its name on the command line, and of its folder in the corpus.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Bytes that get far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "wire", run: decoders::wire, seeds: decoders::wire_seeds },
    Target { name: "transfer", run: decoders::transfer, seeds: decoders::transfer_seeds },
    Target { name: "records", run: decoders::records, seeds: decoders::record_seeds },
    Target { name: "manifest", run: decoders::manifest, seeds: decoders::manifest_seeds },
    Target { name: "image", run: decoders::image, seeds: Vec::new },
    Target { name: "instrument", run: decoders::instrument, seeds: decoders::module_seeds },
    Target { name: "webrtc", run: transport_webrtc::fuzzing::any_bytes, seeds: decoders::webrtc_seeds },
    Target { name: "group", run: group::run, seeds: group::seeds },
    Target { name: "node", run: node::run, seeds: node::seeds },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
