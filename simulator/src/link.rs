//! The model of one link between two peers.
//!
//! A lane is a reliable, ordered stream, so loss shows as delay: a lost frame comes a retransmission time-out later and
//! the frames behind it on its lane wait, while those of other lanes overtake it.

use std::collections::VecDeque;

use overlay::io::Lane;
use serde::Deserialize;

use crate::rng::Rng;

/// Microseconds of virtual time since the start of the run.
pub type Micros = u64;

/// How links behave.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkModel {
    /// One-way delay in ms; each pair of peers draws its own from this range.
    pub latency_ms: [u64; 2],
    /// Up to this many ms more for each frame.
    pub jitter_ms: u64,
    /// Probability that a frame is lost and sent again.
    pub loss: f64,
    /// A peer's bandwidth up, shared by all its links, in Mbit/s.
    pub up_mbps: u64,
    /// Probability per second and link that the connection breaks, losing what is in flight.
    pub breaks_per_second: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        Self { latency_ms: [5, 60], jitter_ms: 5, loss: 0.0, up_mbps: 20, breaks_per_second: 0.0 }
    }
}

/// One connection between two peers, seen from both.
#[derive(Debug)]
pub struct Link {
    /// Distinguishes successive connections of one pair: what is in flight belongs to one of them.
    pub generation: u64,
    /// Which sides believe that they are connected; the lower node first.
    pub up: [bool; 2],
    /// The link is gone; frames that are sent on it vanish.
    pub broken: bool,
    latency: Micros,
    /// When the last frame of each direction and lane arrives.
    last: [[Micros; Lane::ALL.len()]; 2],
    /// Frames that wait for the end of a partition, by direction.
    pub held: [VecDeque<(Lane, Vec<u8>)>; 2],
}

impl Link {
    /// A new connection with a one-way delay.
    pub fn new(generation: u64, latency: Micros) -> Self {
        Self {
            generation,
            up: [false; 2],
            broken: false,
            latency,
            last: [[0; Lane::ALL.len()]; 2],
            held: [VecDeque::new(), VecDeque::new()],
        }
    }

    /// The one-way delay.
    pub fn latency(&self) -> Micros {
        self.latency
    }

    /// When a frame that leaves at `now` arrives.
    pub fn arrival(
        &mut self,
        model: &LinkModel,
        rng: &mut Rng,
        now: Micros,
        direction: usize,
        lane: Lane,
    ) -> Micros {
        let mut delay = self.latency + rng.below(model.jitter_ms * 1000 + 1);
        let mut timeout = (4 * self.latency).max(200_000);
        while model.loss > 0.0 && rng.chance(model.loss) && timeout < 4_000_000 {
            delay += timeout;
            timeout *= 2;
        }
        let last = &mut self.last[direction][lane as usize];
        *last = (now + delay).max(*last + 1);
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_keeps_its_order_and_lanes_overtake_each_other() {
        let model = LinkModel { jitter_ms: 20, loss: 0.2, ..LinkModel::default() };
        let mut rng = Rng::new(1, 0);
        let mut link = Link::new(0, 10_000);
        let mut arrivals = Vec::new();
        for n in 0..200 {
            for lane in [Lane::Session, Lane::Group] {
                arrivals.push((link.arrival(&model, &mut rng, n * 1000, 0, lane), lane, n));
            }
        }
        arrivals.sort_unstable();
        let order = |wanted| {
            let of_lane = arrivals.iter().filter(move |(_, lane, _)| *lane == wanted);
            of_lane.map(|(_, _, n)| *n).collect::<Vec<u64>>()
        };
        assert_eq!(order(Lane::Session), (0..200).collect::<Vec<_>>());
        let overtakes = arrivals.windows(2).filter(|pair| pair[0].2 > pair[1].2).count();
        assert!(overtakes > 0, "{overtakes}");
    }
}
