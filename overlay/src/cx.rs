//! What a protocol handler gets besides its message: the time, randomness, and places to put effects.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::id::{BlobId, PackageId, PeerId};
use crate::io::{Event, Output};
use crate::time::Time;

/// What one module of the kernel tells the others. `Node` dispatches signals until none is left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Signal {
    /// A manifest is known now, or cannot be had.
    Manifest(PackageId, Result<(), String>),
    /// A package can be instantiated, or not.
    Prepared(PackageId, Result<(), String>),
    /// A blob that somebody asked for is here, or cannot be had.
    Blob(BlobId, Result<Vec<u8>, String>),
    /// A search ended; the index holds what was found.
    Searched(u64),
    /// What this node tells others of itself changed.
    HelloChanged,
}

/// The context of one input.
pub struct Cx {
    /// Now.
    pub now: Time,
    /// This node.
    pub me: PeerId,
    rng: ChaCha8Rng,
    out: VecDeque<Output>,
    signals: VecDeque<Signal>,
}

impl Cx {
    /// The context of a node that begins `now`.
    pub fn new(me: PeerId, seed: [u8; 32], now: Time) -> Self {
        Self { now, me, rng: ChaCha8Rng::from_seed(seed), out: VecDeque::new(), signals: VecDeque::new() }
    }

    pub(crate) fn put(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.put(Output::Event(event));
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.signals.push_back(signal);
    }

    pub(crate) fn poll_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// A random number.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A random number that is not zero: for raft ids, where zero means nobody.
    pub(crate) fn random_id(&mut self) -> u64 {
        self.random().max(1)
    }

    /// A random number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound.max(1)
    }
}
