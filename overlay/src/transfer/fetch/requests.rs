//! What is asked of whom next; silence; searching for more providers.

use std::collections::{BTreeMap, VecDeque};

use super::provider::{Standing, LAST_TIMEOUT};
use super::{Fetch, FetchError, FetchEvent, Piece, Provider};
use crate::id::PeerId;
use crate::time::{Millis, Time};
use crate::transfer::BulkMessage;

/// Providers that are asked for the list of chunks at the same time: one may be slow, each costs 32 B a chunk.
const META_ASKED: usize = 3;
/// Silences in a row that all providers together are forgiven; shared out, so that a scarce provider gets more.
const ATTEMPTS: usize = 8;
/// The most chunks in flight to one provider for all fetches (1.5 MiB): a connection takes 4 MiB.
pub(super) const MAX_FROM_PEER: usize = 24;
/// Re-discoveries without a usable provider before the fetch fails.
pub(super) const MAX_SEARCHES: u32 = 3;
/// How long a re-discovery may take: a DHT lookup gives up after 10 s.
const SEARCH_TIME: Millis = Millis(12_000);

impl Fetch {
    pub(super) fn expire(&mut self, now: Time) {
        let attempts = (ATTEMPTS / self.providers.len().max(1)).max(2);
        let mut silent = Vec::new();
        for (peer, provider) in &mut self.providers {
            if provider.standing == Standing::Usable && provider.deadline().is_some_and(|at| at <= now) {
                provider.silences += 1;
                provider.timeout = Millis((provider.timeout.0 * 2).min(LAST_TIMEOUT.0));
                provider.window = 1;
                silent.push((*peer, provider.silences >= attempts));
            }
        }
        for (peer, given_up) in silent {
            self.release(peer);
            if given_up {
                self.drop_provider(peer, Standing::Late);
            }
        }
    }

    pub(super) fn search(&mut self, now: Time) {
        if self.usable() > 0 || self.search_until.is_some_and(|until| until > now) {
            return;
        }
        if self.searches == MAX_SEARCHES {
            let count = |standing| self.providers.values().filter(|p| p.standing == standing).count() as u32;
            self.result = Some(Err(FetchError::NoProviders {
                missing: count(Standing::Missing),
                late: count(Standing::Late),
                lied: count(Standing::Lied),
            }));
            return;
        }
        self.searches += 1;
        self.search_until = Some(now + SEARCH_TIME);
        self.events.push_back(FetchEvent::Rediscover);
    }

    pub(super) fn ask_meta(&mut self, now: Time) -> Vec<(PeerId, BulkMessage)> {
        let usable = |provider: &&mut Provider| provider.standing == Standing::Usable;
        let asked = self.providers.values_mut().filter(usable).filter(|p| p.meta_asked.is_some()).count();
        let free = self
            .providers
            .iter_mut()
            .filter(|(_, p)| p.standing == Standing::Usable && p.meta_asked.is_none());
        let mut out = Vec::new();
        for (peer, provider) in free.take(META_ASKED.saturating_sub(asked)) {
            provider.meta_asked = Some(now);
            out.push((*peer, BulkMessage::GetBlob { blob: self.blob }));
        }
        out
    }

    pub(super) fn ask_chunks(
        &mut self,
        now: Time,
        beside: &BTreeMap<PeerId, usize>,
    ) -> Vec<(PeerId, BulkMessage)> {
        let mut out = Vec::new();
        let mut wanted: VecDeque<u32> = (0..self.pieces.len() as u32)
            .filter(|&index| {
                let piece = &self.pieces[index as usize];
                piece.bytes.is_none() && piece.asked == 0
            })
            .collect();
        // One chunk a provider and round, so that a short blob is spread as well as a long one.
        loop {
            let before = out.len();
            for (peer, provider) in &mut self.providers {
                if provider.standing != Standing::Usable || provider.in_flight.len() >= provider.window {
                    continue;
                }
                let all = provider.in_flight.len() + beside.get(peer).copied().unwrap_or(0);
                if !provider.in_flight.is_empty() && all >= MAX_FROM_PEER {
                    continue;
                }
                let next = wanted.pop_front().or_else(|| {
                    // The end: a provider with nothing to do repeats one request of another, who may be slow.
                    let idle = provider.in_flight.is_empty();
                    let open = |piece: &Piece| idle && piece.bytes.is_none() && piece.asked == 1;
                    self.pieces.iter().position(open).map(|index| index as u32)
                });
                if let Some(index) = next {
                    provider.in_flight.insert(index, now);
                    self.pieces[index as usize].asked += 1;
                    out.push((*peer, BulkMessage::GetChunk { blob: self.blob, index }));
                }
            }
            if out.len() == before {
                return out;
            }
        }
    }
}
