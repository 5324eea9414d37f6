//! Getting one blob from many providers at once.
//!
//! Amoretti (SP2A): "provider vector; attempts and growing time-outs per provider; more attempts when providers are
//! scarce; re-discovery when all fail". *Missing* (the provider says that it has not), *late* (no answer in time, or
//! the connection closed) and *lied* (bytes that do not match their digest) are told apart: the first two may be asked
//! again after a re-discovery, a liar is dropped for good and reported.
//!
//! | file | holds |
//! |---|---|
//! | this one | a fetch: who may give it, what came, what came of it |
//! | `requests` | what is asked of whom next; silence; searching for more providers |
//! | `provider` | what is known of one provider: its standing, its window, its time-out |

mod provider;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::{blob_of, BulkMessage, ChunkStore, CHUNK};
use crate::id::{BlobId, Hash, PeerId};
use crate::time::Time;

use provider::{Provider, Standing, FIRST_TIMEOUT};

/// The most providers of one fetch: as many as a DHT lookup gives.
const MAX_PROVIDERS: usize = 20;

/// What a fetch wants its owner to know. At most one [`FetchEvent::Lied`] per provider, one search at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// The provider sent bytes that do not match their digest, or a list that is not the blob's.
    Lied(PeerId),
    /// No provider is left: look for more and call [`Fetch::add_providers`].
    Rediscover,
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Verified bytes.
    pub received: u64,
    /// The announced size, once known.
    pub size: Option<u64>,
    /// Providers that may still be asked.
    pub providers: usize,
}

/// Why a fetch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The announced size is above what the caller takes; nothing was downloaded.
    #[error("it is larger than the {cap} bytes allowed")]
    TooLarge {
        /// The caller's limit.
        cap: u64,
    },
    /// Nobody gave it, after several searches.
    #[error("no provider: {missing} did not have it, {late} did not answer, {lied} sent wrong bytes")]
    NoProviders {
        /// Said that they have not.
        missing: u32,
        /// Were silent or left.
        late: u32,
        /// Lied.
        lied: u32,
    },
}

/// One blob on its way. After each call, send what [`Fetch::poll`] gives, and wake at [`Fetch::timeout`].
#[derive(Debug)]
pub struct Fetch {
    blob: BlobId,
    cap: u64,
    meta: Option<Meta>,
    pieces: Vec<Piece>,
    received: u64,
    providers: BTreeMap<PeerId, Provider>,
    searches: u32,
    /// When the search under way counts as failed.
    search_until: Option<Time>,
    events: VecDeque<FetchEvent>,
    result: Option<Result<Vec<u8>, FetchError>>,
}

#[derive(Debug)]
struct Meta {
    from: PeerId,
    size: u64,
    hashes: Vec<Hash>,
}

#[derive(Clone, Debug, Default)]
struct Piece {
    bytes: Option<Vec<u8>>,
    asked: u32,
}

impl Fetch {
    /// Starts to get `blob`, of at most `cap` bytes.
    pub fn new(blob: BlobId, cap: u64, providers: impl IntoIterator<Item = PeerId>, now: Time) -> Self {
        let mut fetch = Self {
            blob,
            cap,
            meta: None,
            pieces: Vec::new(),
            received: 0,
            providers: BTreeMap::new(),
            searches: 0,
            search_until: None,
            events: VecDeque::new(),
            result: None,
        };
        fetch.add_providers(now, providers);
        fetch
    }

    /// The blob.
    pub fn blob(&self) -> BlobId {
        self.blob
    }

    /// Adds providers, or gives those that were missing or late another chance; a liar gets none. Call it with what a
    /// re-discovery found, even if that is nothing.
    pub fn add_providers(&mut self, now: Time, peers: impl IntoIterator<Item = PeerId>) {
        for peer in peers {
            let room = self.providers.len() < MAX_PROVIDERS;
            match self.providers.get_mut(&peer) {
                Some(known) if matches!(known.standing, Standing::Missing | Standing::Late) => {
                    known.standing = Standing::Usable;
                    known.silences = 0;
                    known.meta_asked = None;
                }
                None if room => {
                    self.providers.insert(peer, Provider::new());
                }
                _ => {}
            }
        }
        match self.search_until {
            Some(_) if self.usable() > 0 => self.search_until = None,
            // A search that found nothing is repeated, but not at once.
            Some(until) => self.search_until = Some(until.min(now + FIRST_TIMEOUT)),
            None => {}
        }
    }

    /// What to send now.
    pub fn poll(&mut self, now: Time) -> Vec<(PeerId, BulkMessage)> {
        self.poll_beside(now, &BTreeMap::new())
    }

    /// Like [`Fetch::poll`], where `beside` chunks are on their way from each peer for other fetches: all together stay
    /// within what a connection takes ([`requests::MAX_FROM_PEER`]), and each fetch gets at least one.
    pub fn poll_beside(&mut self, now: Time, beside: &BTreeMap<PeerId, usize>) -> Vec<(PeerId, BulkMessage)> {
        if self.result.is_some() {
            return Vec::new();
        }
        self.expire(now);
        self.search(now);
        match self.meta {
            _ if self.result.is_some() => Vec::new(),
            None => self.ask_meta(now),
            Some(_) => self.ask_chunks(now, beside),
        }
    }

    /// Chunks on their way, by provider.
    pub fn in_flight(&self) -> impl Iterator<Item = (PeerId, usize)> + '_ {
        self.providers.iter().map(|(peer, provider)| (*peer, provider.in_flight.len()))
    }

    /// When to call [`Fetch::poll`] again, if nothing comes before.
    pub fn timeout(&self) -> Option<Time> {
        if self.result.is_some() {
            return None;
        }
        let usable = self.providers.values().filter(|provider| provider.standing == Standing::Usable);
        usable.filter_map(Provider::deadline).chain(self.search_until).min()
    }

    /// What the owner should know or do.
    pub fn poll_event(&mut self) -> Option<FetchEvent> {
        self.events.pop_front()
    }

    /// A message about this blob came. Unasked ones are ignored.
    pub fn on_message(&mut self, now: Time, from: PeerId, message: BulkMessage) {
        let standing = self.providers.get(&from).map(|provider| provider.standing);
        if self.result.is_some()
            || message.blob() != self.blob
            || matches!(standing, None | Some(Standing::Lied))
        {
            return;
        }
        match message {
            BulkMessage::BlobMeta { size, chunks, .. } => self.on_meta(from, size, chunks),
            BulkMessage::Chunk { index, bytes, .. } => self.on_chunk(now, from, index, bytes),
            BulkMessage::NotHere { .. } => self.drop_provider(from, Standing::Missing),
            BulkMessage::GetBlob { .. } | BulkMessage::GetChunk { .. } => {}
        }
    }

    /// The connection to a provider closed, or it could not be dialled.
    pub fn on_disconnected(&mut self, peer: PeerId) {
        self.drop_provider(peer, Standing::Late);
    }

    /// Takes the chunks that are here already. Useful once the list of chunks has come.
    pub fn fill_from(&mut self, store: &ChunkStore) {
        let Some(meta) = &self.meta else { return };
        for (piece, hash) in
            self.pieces.iter_mut().zip(&meta.hashes).filter(|(piece, _)| piece.bytes.is_none())
        {
            if let Some(bytes) = store.chunk(hash) {
                self.received += bytes.len() as u64;
                piece.bytes = Some(bytes.to_vec());
            }
        }
        self.finish();
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            received: self.received,
            size: self.meta.as_ref().map(|meta| meta.size),
            providers: self.usable(),
        }
    }

    /// The verified bytes or the failure, once there is one.
    pub fn result(&self) -> Option<Result<&[u8], FetchError>> {
        self.result.as_ref().map(|result| result.as_deref().map_err(|error| *error))
    }

    /// Takes the result out.
    pub fn take(self) -> Option<Result<Vec<u8>, FetchError>> {
        self.result
    }

    fn usable(&self) -> usize {
        self.providers.values().filter(|provider| provider.standing == Standing::Usable).count()
    }

    fn on_meta(&mut self, from: PeerId, size: u64, hashes: Vec<Hash>) {
        let Some(provider) = self.providers.get_mut(&from) else { return };
        if provider.meta_asked.take().is_none() || self.meta.is_some() {
            return;
        }
        provider.silences = 0;
        if blob_of(&hashes) != self.blob || size.div_ceil(CHUNK as u64) != hashes.len() as u64 {
            self.drop_provider(from, Standing::Lied);
            return;
        }
        // The number of chunks is proven by the digest, the exact size only by the last chunk.
        if (hashes.len() as u64).saturating_sub(1) * CHUNK as u64 >= self.cap.max(1) {
            self.result = Some(Err(FetchError::TooLarge { cap: self.cap }));
            return;
        }
        self.pieces = vec![Piece::default(); hashes.len()];
        self.meta = Some(Meta { from, size, hashes });
        for provider in self.providers.values_mut() {
            provider.meta_asked = None;
        }
        self.finish();
    }

    fn on_chunk(&mut self, now: Time, from: PeerId, index: u32, bytes: Vec<u8>) {
        let (Some(provider), Some(meta)) = (self.providers.get_mut(&from), &self.meta) else { return };
        let Some(piece) = self.pieces.get_mut(index as usize) else { return };
        let asked = provider.in_flight.remove(&index);
        if asked.is_some() {
            piece.asked -= 1;
        }
        let last = index as usize + 1 == meta.hashes.len();
        let right_size = if last { (1..=CHUNK).contains(&bytes.len()) } else { bytes.len() == CHUNK };
        if !right_size || Hash::of(&[&bytes]) != meta.hashes[index as usize] {
            self.drop_provider(from, Standing::Lied);
            return;
        }
        provider.silences = 0;
        if let Some(asked) = asked {
            provider.on_answer(now.since(asked));
        }
        if piece.bytes.is_none() {
            self.received += bytes.len() as u64;
            piece.bytes = Some(bytes);
            self.finish();
        }
    }

    /// Puts the blob together if all is here.
    fn finish(&mut self) {
        let Some(meta) = &self.meta else { return };
        if self.pieces.iter().any(|piece| piece.bytes.is_none()) || self.result.is_some() {
            return;
        }
        let (size, from) = (meta.size, meta.from);
        if self.received != size {
            self.drop_provider(from, Standing::Lied);
        }
        let mut bytes = Vec::with_capacity(self.received as usize);
        for piece in std::mem::take(&mut self.pieces) {
            bytes.extend_from_slice(&piece.bytes.unwrap_or_default());
        }
        let fits = bytes.len() as u64 <= self.cap;
        self.result = Some(if fits { Ok(bytes) } else { Err(FetchError::TooLarge { cap: self.cap }) });
    }

    /// Makes a provider's requests free for others.
    fn release(&mut self, peer: PeerId) {
        let Some(provider) = self.providers.get_mut(&peer) else { return };
        provider.meta_asked = None;
        for index in std::mem::take(&mut provider.in_flight).into_keys() {
            if let Some(piece) = self.pieces.get_mut(index as usize) {
                piece.asked -= 1;
            }
        }
    }

    fn drop_provider(&mut self, peer: PeerId, standing: Standing) {
        self.release(peer);
        let Some(provider) = self.providers.get_mut(&peer) else { return };
        if provider.standing == Standing::Lied {
            return;
        }
        provider.standing = standing;
        if standing == Standing::Lied {
            self.events.push_back(FetchEvent::Lied(peer));
        }
    }
}
