//! Many [`overlay::Node`]s in virtual time: one seeded, single-threaded event queue, with modelled links, a modelled
//! DHT and a toy sandbox, faults from a scenario file, and the invariants of the design checked after every event.
//!
//! The nodes are the very code that tabs and relays run; only what is around them is a model. The same scenario and
//! seed give the same run, event by event ([`world::World::trace`]).
//!
//! | module | holds |
//! |---|---|
//! | [`scenario`] | scenario files: who, which links, which faults |
//! | [`world`] | nodes, clock, event queue, connections |
//! | [`link`] | the model of one link: delay, jitter, loss as delay, bandwidth |
//! | [`dht`] | the modelled DHT, with validated records |
//! | [`sandbox`] | a toy sandbox: deterministic services without wasm |
//! | [`peer`] | what the world needs of a node |
//! | [`run`] | one run of a scenario: commands, consumers, faults |
//! | [`check`] | the invariants H1 to H7 |
//! | [`history`] | what consumers asked and heard, and whether that can be: linearizable, exactly once |
//! | [`report`], [`plots`] | what a run found, as a table and as JSON, and as pictures |
//! | [`rng`] | randomness from the seed |
//!
//! Scope: frames, connections, time. Not modelled: NAT types, addresses, congestion inside one link's lanes, lying
//! nodes, clocks that run at different speeds.

pub mod check;
pub mod dht;
pub mod history;
pub mod link;
pub mod peer;
pub mod plots;
pub mod report;
pub mod rng;
pub mod run;
pub mod sandbox;
pub mod scenario;
pub mod world;
