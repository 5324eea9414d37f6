//! Bugs on purpose, for the feature `seeded-bugs` alone: the simulator plants one to show that its checks find it.
//!
//! Without the feature [`has`] is a constant: nothing of a bug is in a tab or a relay, and `cargo xtask lint` looks that only
//! the simulator asks for the feature. The planted bug is the thread's, so that runs beside each other do not disturb each other.

/// A bug that a replicated service could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// A leader executes and answers what no majority has.
    AcknowledgeBeforeCommit,
    /// An input that comes again is executed again.
    NoDedupe,
    /// A leader that was voted out, or lost its majority, goes on answering.
    NoFence,
    /// Who gets a service's state by a handover does not know which inputs it holds.
    DedupeLostInHandover,
    /// A leader answers queries without asking a majority whether it still leads.
    StaleRead,
}

impl SeededBug {
    /// All of them, by the names under which a command takes them.
    pub const ALL: [(&str, SeededBug); 5] = [
        ("acknowledge-before-commit", SeededBug::AcknowledgeBeforeCommit),
        ("no-dedupe", SeededBug::NoDedupe),
        ("no-fence", SeededBug::NoFence),
        ("dedupe-lost-in-handover", SeededBug::DedupeLostInHandover),
        ("stale-read", SeededBug::StaleRead),
    ];
}

#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn has(_: SeededBug) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
mod planted {
    use super::SeededBug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<SeededBug>> = const { Cell::new(None) };
    }

    /// Keeps a bug in this thread's nodes until it is dropped.
    #[derive(Debug)]
    pub struct Planted(());

    /// Plants a bug.
    pub fn plant(bug: SeededBug) -> Planted {
        PLANTED.set(Some(bug));
        Planted(())
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }

    pub(crate) fn has(bug: SeededBug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "seeded-bugs")]
pub(crate) use planted::has;
#[cfg(feature = "seeded-bugs")]
pub use planted::{plant, Planted};
