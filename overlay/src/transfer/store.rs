//! The blobs that a node holds: bounded, least recently used first out, pinned ones never.

use std::collections::BTreeMap;

use super::{blob_of, BulkMessage, CHUNK, MAX_CHUNKS};
use crate::id::{BlobId, Hash};

/// Who gets a blob that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody: packages.
    Public,
    /// Whom the node permits at the time of asking: state images.
    Private,
}

/// The blob does not fit: it is larger than the store, or what it would displace is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for a blob of {size} bytes in a store of {capacity}")]
pub struct StoreFull {
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the store.
    pub capacity: u64,
}

/// Blobs by content address. Blobs share equal chunks, so successive images of one state cost their differences.
#[derive(Debug)]
pub struct ChunkStore {
    capacity: u64,
    used: u64,
    /// Counts accesses; the order of last use. Deterministic, unlike a clock.
    clock: u64,
    blobs: BTreeMap<BlobId, Blob>,
    chunks: BTreeMap<Hash, Chunk>,
}

#[derive(Debug)]
struct Blob {
    size: u64,
    chunks: Vec<Hash>,
    sharing: Sharing,
    pinned: bool,
    used_at: u64,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    owners: u32,
}

impl ChunkStore {
    /// A store that holds at most `capacity` bytes of chunks.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, used: 0, clock: 0, blobs: BTreeMap::new(), chunks: BTreeMap::new() }
    }

    /// Bytes held; equal chunks count once.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The blobs held, in the order of their ids.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.blobs.keys().copied()
    }

    /// Is the blob here?
    pub fn contains(&self, blob: BlobId) -> bool {
        self.blobs.contains_key(&blob)
    }

    /// Adds a blob, evicting what is not pinned from the least recently used on. A blob that is here already keeps
    /// its bytes, becomes pinned if `pinned`, and public if either says so.
    pub fn insert(&mut self, bytes: &[u8], sharing: Sharing, pinned: bool) -> Result<BlobId, StoreFull> {
        let size = bytes.len() as u64;
        let full = StoreFull { size, capacity: self.capacity };
        let chunks = super::chunk_hashes(bytes);
        let id = blob_of(&chunks);
        let used_at = self.tick();
        if let Some(blob) = self.blobs.get_mut(&id) {
            blob.pinned |= pinned;
            if sharing == Sharing::Public {
                blob.sharing = sharing;
            }
            blob.used_at = used_at;
            return Ok(id);
        }
        if chunks.len() > MAX_CHUNKS {
            return Err(full);
        }
        for (hash, piece) in chunks.iter().zip(bytes.chunks(CHUNK)) {
            let chunk = self.chunks.entry(*hash).or_insert_with(|| {
                self.used += piece.len() as u64;
                Chunk { bytes: piece.to_vec(), owners: 0 }
            });
            chunk.owners += 1;
        }
        self.blobs.insert(id, Blob { size, chunks, sharing, pinned: true, used_at });
        while self.used > self.capacity {
            let oldest =
                self.blobs.iter().filter(|(_, blob)| !blob.pinned).min_by_key(|(_, blob)| blob.used_at);
            match oldest.map(|(id, _)| *id) {
                Some(oldest) => self.remove(oldest),
                None => {
                    self.remove(id);
                    return Err(full);
                }
            }
        }
        self.set_pinned(id, pinned);
        Ok(id)
    }

    /// Protects a blob from eviction, or stops protecting it.
    pub fn set_pinned(&mut self, blob: BlobId, pinned: bool) {
        if let Some(blob) = self.blobs.get_mut(&blob) {
            blob.pinned = pinned;
        }
    }

    /// Forgets a blob.
    pub fn remove(&mut self, blob: BlobId) {
        let Some(blob) = self.blobs.remove(&blob) else { return };
        for hash in blob.chunks {
            let Some(chunk) = self.chunks.get_mut(&hash) else { continue };
            chunk.owners -= 1;
            if chunk.owners == 0 {
                self.used -= chunk.bytes.len() as u64;
                self.chunks.remove(&hash);
            }
        }
    }

    /// A blob's bytes.
    pub fn get(&mut self, blob: BlobId) -> Option<Vec<u8>> {
        let used_at = self.tick();
        self.blobs.get_mut(&blob)?.used_at = used_at;
        self.read(blob)
    }

    /// A blob's bytes, without counting as a use.
    pub fn read(&self, blob: BlobId) -> Option<Vec<u8>> {
        let found = self.blobs.get(&blob)?;
        let mut bytes = Vec::with_capacity(found.size as usize);
        for hash in &found.chunks {
            bytes.extend_from_slice(&self.chunks.get(hash)?.bytes);
        }
        Some(bytes)
    }

    /// One chunk by its own digest: lets a fetch skip what is here already.
    pub fn chunk(&self, hash: &Hash) -> Option<&[u8]> {
        self.chunks.get(hash).map(|chunk| chunk.bytes.as_slice())
    }

    /// The answer to a request; `None` when the message is not a request. `may_read` decides on private blobs.
    pub fn serve(
        &mut self,
        request: &BulkMessage,
        may_read: impl FnOnce(BlobId) -> bool,
    ) -> Option<BulkMessage> {
        let (id, index) = match request {
            BulkMessage::GetBlob { blob } => (*blob, None),
            BulkMessage::GetChunk { blob, index } => (*blob, Some(*index)),
            _ => return None,
        };
        let used_at = self.tick();
        let answer = self.blobs.get_mut(&id).filter(|blob| blob.sharing == Sharing::Public || may_read(id));
        let answer = answer.and_then(|blob| {
            blob.used_at = used_at;
            let Some(index) = index else {
                return Some(BulkMessage::BlobMeta {
                    blob: id,
                    size: blob.size,
                    chunks: blob.chunks.clone(),
                });
            };
            let bytes = self.chunks.get(blob.chunks.get(index as usize)?)?.bytes.clone();
            Some(BulkMessage::Chunk { blob: id, index, bytes })
        });
        Some(answer.unwrap_or(BulkMessage::NotHere { blob: id }))
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::blob_id;
    use proptest::prelude::*;

    #[test]
    fn serves_public_blobs_and_permitted_private_ones() {
        let mut store = ChunkStore::new(1 << 20);
        let bytes = vec![1; CHUNK + 10];
        let blob = store.insert(&bytes, Sharing::Private, false).unwrap();
        assert_eq!(blob, blob_id(&bytes));
        let meta = BulkMessage::BlobMeta {
            blob,
            size: bytes.len() as u64,
            chunks: crate::transfer::chunk_hashes(&bytes),
        };
        assert_eq!(store.serve(&BulkMessage::GetBlob { blob }, |id| id == blob), Some(meta));
        let last = BulkMessage::Chunk { blob, index: 1, bytes: vec![1; 10] };
        assert_eq!(store.serve(&BulkMessage::GetChunk { blob, index: 1 }, |_| true), Some(last));
        let not_here = Some(BulkMessage::NotHere { blob });
        assert_eq!(store.serve(&BulkMessage::GetChunk { blob, index: 1 }, |_| false), not_here);
        assert_eq!(store.serve(&BulkMessage::GetChunk { blob, index: 2 }, |_| true), not_here);
        assert_eq!(store.serve(&BulkMessage::NotHere { blob }, |_| true), None);
    }

    #[test]
    fn evicts_the_least_recently_used_and_never_a_pinned_one() {
        let mut store = ChunkStore::new(300);
        let pinned = store.insert(&[1; 100], Sharing::Public, true).unwrap();
        let old = store.insert(&[2; 100], Sharing::Public, false).unwrap();
        let used = store.insert(&[3; 100], Sharing::Public, false).unwrap();
        store.get(old);
        let new = store.insert(&[4; 100], Sharing::Public, false).unwrap();
        assert_eq!([pinned, old, used, new].map(|blob| store.contains(blob)), [true, true, false, true]);
        assert_eq!(
            store.insert(&[5; 250], Sharing::Public, false),
            Err(StoreFull { size: 250, capacity: 300 })
        );
        assert!(store.contains(pinned));
        assert!(store.used() <= 300);
    }

    #[test]
    fn equal_chunks_are_held_once() {
        let mut store = ChunkStore::new(10 * CHUNK as u64);
        let one = store.insert(&[vec![1; CHUNK], vec![2; CHUNK]].concat(), Sharing::Public, true).unwrap();
        let two = store.insert(&[vec![1; CHUNK], vec![3; CHUNK]].concat(), Sharing::Public, true).unwrap();
        assert_eq!(store.used(), 3 * CHUNK as u64);
        store.remove(one);
        assert_eq!(store.used(), 2 * CHUNK as u64);
        assert_eq!(store.get(two), Some([vec![1; CHUNK], vec![3; CHUNK]].concat()));
        let empty = store.insert(b"", Sharing::Public, true).unwrap();
        assert_eq!(store.get(empty), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn never_above_its_capacity(sizes in proptest::collection::vec((0..4000_usize, any::<bool>()), 1..60)) {
            let mut store = ChunkStore::new(10_000);
            for (n, (size, pinned)) in sizes.into_iter().enumerate() {
                let _ = store.insert(&vec![n as u8; size], Sharing::Public, pinned);
                prop_assert!(store.used() <= 10_000);
                let held: usize = store.chunks.values().map(|chunk| chunk.bytes.len()).sum();
                prop_assert_eq!(held as u64, store.used());
            }
        }
    }
}
