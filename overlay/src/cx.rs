//! What a protocol handler gets besides its message: the time, randomness, and places to put effects.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::id::PeerId;
use crate::io::{Event, Output};
use crate::time::Time;

/// The context of one input.
pub struct Cx {
    /// Now.
    pub now: Time,
    /// This node.
    pub me: PeerId,
    rng: ChaCha8Rng,
    out: VecDeque<Output>,
}

impl Cx {
    pub(crate) fn new(me: PeerId, seed: [u8; 32], now: Time) -> Self {
        Self { now, me, rng: ChaCha8Rng::from_seed(seed), out: VecDeque::new() }
    }

    pub(crate) fn put(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.put(Output::Event(event));
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
