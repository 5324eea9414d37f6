//! The steps of a handover, on the control lane.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::group::MAX_COUNT;
use super::{refuse, LogStart, WireError};
use crate::id::BlobId;
use crate::registry::Succession;

/// The most entries of a [`Step::TakeOver`].
pub const MAX_TAIL: usize = 4096;

/// The steps of a handover from S (source) to T (target) with W (witness); `docs/protocols/handover.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// T → S: let me serve it.
    Want,
    /// S → T: take it. Answered by `Ready` or `Refuse`.
    Offer {
        /// The publisher's record.
        record: ByteBuf,
        /// The signed manifest.
        manifest: ByteBuf,
        /// Its signature.
        signature: ByteBuf,
        /// How S came to serve.
        succession: Succession,
        /// Only be ready to serve: nobody needs T at this moment.
        standby: bool,
    },
    /// T → S: the package is prepared. W → S: I will vote. The number is the new raft id.
    Ready {
        /// Random, new with each handover.
        raft_id: u64,
    },
    /// S → W: be the third voter. Answered by `Ready` or `Refuse`.
    AskWitness {
        /// `name@publisher`, for people; at most 128 bytes.
        name: String,
    },
    /// S → T: fetch the state. Answered by `Seeded` or `Refuse`.
    Seed {
        /// The state image.
        image: BlobId,
        /// Its size in bytes.
        image_bytes: u64,
        /// The log after it.
        start: LogStart,
        /// S stopped serving; T founds `start.epoch` alone once it has the state.
        sealed: bool,
        /// How T comes to serve: S has signed it.
        succession: Succession,
        /// T becomes one of several replicas; S goes on serving.
        replica: bool,
    },
    /// S → W: where the log starts. Answered by `Seeded`.
    SeedWitness {
        /// The log's start.
        start: LogStart,
    },
    /// T or W → S: I hold the start.
    Seeded,
    /// S → T, a standby: my log ends at this index; go on after it, in the next epoch.
    TakeOver {
        /// The last index.
        index: u64,
        /// The entries before it that T has not acknowledged: index and payload, one after the other; empty when they are
        /// too large for a message.
        tail: Vec<(u64, ByteBuf)>,
    },
    /// S → T, who is a replica already: tell me when you are warm, you will serve next.
    AskWarm,
    /// T → S: I have executed up to here, in a configuration that names me.
    Warm {
        /// Index of the last executed entry.
        executed: u64,
        /// Index of the last applied configuration.
        configured: u64,
    },
    /// T → S, W: I serve alone in this epoch and term; you are out of the group.
    Release {
        /// The epoch.
        epoch: u64,
        /// The term.
        term: u64,
    },
    /// Either side: it does not happen.
    Refuse {
        /// Why, in words.
        reason: String,
    },
    /// S → T: not now; ask again.
    Busy {
        /// When, in ms from now.
        retry_ms: u32,
    },
}

impl Step {
    pub(super) fn check(&self) -> Result<(), WireError> {
        match self {
            Step::Seed { start, succession, .. } => {
                refuse("succession", !succession.is_bounded())?;
                start.check()
            }
            Step::SeedWitness { start } => start.check(),
            Step::TakeOver { index, tail } => {
                let follow = |tail: &[(u64, ByteBuf)]| {
                    tail.windows(2).all(|pair| pair[0].0.checked_add(1) == Some(pair[1].0))
                };
                refuse("log", *index > MAX_COUNT)?;
                refuse("tail", tail.len() > MAX_TAIL || !follow(tail))
            }
            Step::Refuse { reason } => refuse("reason", reason.len() > 512),
            Step::AskWitness { name } => refuse("name", name.len() > 128),
            Step::Ready { raft_id } => refuse("raft id", *raft_id == 0),
            Step::Offer { manifest, signature, succession, .. } => {
                refuse("manifest", manifest.len() > 64 * 1024 || signature.len() != 64)?;
                refuse("succession", !succession.is_bounded())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Hash, PeerId, ServiceId};
    use crate::wire::{Control, Member, Members};

    #[test]
    fn a_log_cannot_start_where_counting_overflows() {
        let members = Members::from([(1, Member { peer: PeerId([1; 32]), witness: false })]);
        let start = LogStart { epoch: 1, index: 5, term: 2, members, learners: Vec::new() };
        let check = |start: LogStart| {
            let step = Step::SeedWitness { start };
            Control::Handover { service: ServiceId(Hash([0; 32])), id: 1, step }.check()
        };
        assert_eq!(check(start.clone()), Ok(()));
        assert_eq!(check(LogStart { index: u64::MAX, ..start.clone() }), Err(WireError::TooLong("log")));
        assert_eq!(check(LogStart { term: u64::MAX, ..start.clone() }), Err(WireError::TooLong("log")));
        assert_eq!(check(LogStart { epoch: u64::MAX, ..start }), Err(WireError::TooLong("log")));
    }

    #[test]
    fn a_tail_whose_numbers_overflow_is_refused() {
        let tail = vec![(u64::MAX, ByteBuf::new()), (0, ByteBuf::new())];
        assert_eq!(Step::TakeOver { index: 5, tail }.check(), Err(WireError::TooLong("tail")));
    }
}
