//! Every protocol decision of Tabfarm as one pure state machine: no I/O, no clock, no entropy, no async.
//!
//! A driver puts [`io::Input`]s in, drains [`io::Output`]s, and wakes the node at [`Node::poll_timeout`]. The same
//! [`Node`] runs in a tab, in a relay and in the simulator; the same inputs give the same outputs.
//!
//! Where to start: [`io`] (both sides as data), then `node` (dispatch). The modules by what they decide:
//!
//! | module | decides |
//! |---|---|
//! | [`io`], [`sandbox`], [`id`], [`time`], [`wire`] | data at the borders; identities; bounded, versioned messages |
//! | `node`, `cx`, `net`, `peering` | dispatch and signals; connections and heartbeats; meeting peers |
//! | `commands`, `lookup`, `publishing`, `consuming` | what a person asks for: in general, by name, of publishers, of consumers |
//! | `acceptance` | whether those who serve take a newer version |
//! | `external` | services that run outside of all tabs, at a URL |
//! | `nicknames`, `rings` | people's names in the DHT; asking a person into a conference |
//! | `directory`, [`registry`] | searching; signed records and the index of them |
//! | [`manifest`], [`inspect`], `packages`, [`transfer`] | what may run where; modules and images as verified chunks |
//! | [`group`] | one Raft group per service, and the guard before it |
//! | [`instance`] | committed entries into the sandbox, outcomes into replicated sessions; images |
//! | [`session`] | both sides of a session |
//! | [`seeded`] | bugs on purpose, for the simulator's checks of its checks; never in a tab or relay |
//! | `hosting`, `serving`, `offers`, `handover`, `leaving` | a service served here; who takes what; moving it; all of them when a tab goes |
//! | `replicas`, `checkpoint`, `revival` | keeping its replicas; its state on disk; a group that is gone comes back from there |
//! | `balance`, `placement`, `reads`, `standby` | shedding load; run it here or call it there; copies that answer reads, and warm ones |

pub mod group;
pub mod id;
pub mod inspect;
pub mod instance;
pub mod io;
pub mod manifest;
pub mod registry;
pub mod sandbox;
pub mod seeded;
pub mod session;
pub mod time;
pub mod transfer;
pub mod wire;

mod acceptance;
mod balance;
mod checkpoint;
mod commands;
mod consuming;
mod cx;
mod directory;
mod external;
mod handover;
mod hosting;
mod leaving;
mod lookup;
mod net;
mod nicknames;
mod node;
mod offers;
mod packages;
mod peering;
mod placement;
mod publishing;
mod reads;
mod replicas;
mod revival;
mod rings;
mod serving;
mod standby;

#[doc(hidden)]
pub use cx::Cx;
pub use node::Node;
