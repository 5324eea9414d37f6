//! Checkpoints: what a host keeps on its own disk, and how a service comes back from there.
//!
//! A `single` or stateless service lives in the memory of one tab. Its host stores the state every few seconds, and the
//! package once. A tab that was reloaded, or whose browser crashed, gives the kernel what it finds ([`Node::recall`]); once
//! the node has joined and nobody else serves the service, it goes on in a new epoch (`docs/protocols/checkpoints.md`). Sessions
//! whose consumers have seen more than the checkpoint holds are ended with a reason; the others go on.
//!
//! | file | holds |
//! |---|---|
//! | this one | what is stored, under which key |
//! | `store` | when a host stores, and what it forgets |
//! | `recall` | what is read from an earlier run, and whether it is of use |
//! | `restore` | a service that was recalled goes on here, or does not |

mod recall;
mod restore;
mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{PackageId, ServiceId};
use crate::instance::machine::SessionKey;
use crate::registry::Succession;
use crate::time::Time;
use crate::wire::Members;

pub(crate) use recall::{Recalled, RecalledServices};
pub use store::Saved;

/// Of each session, the last input that a state has executed, and the last item that it has sent.
pub type Marks = BTreeMap<SessionKey, (u64, u64)>;

/// A stored state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    record: ByteBuf,
    succession: Succession,
    package: PackageId,
    epoch: u64,
    term: u64,
    index: u64,
    taken: Time,
    image: ByteBuf,
    /// The voters then.
    members: Members,
}

/// A stored package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Files {
    manifest: ByteBuf,
    signature: ByteBuf,
    files: Vec<ByteBuf>,
}

fn state_key(service: ServiceId) -> String {
    format!("state/{service}")
}

fn package_key(package: PackageId) -> String {
    format!("package/{package}")
}
