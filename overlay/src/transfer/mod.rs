//! Content-addressed blobs (modules, UI files, state images) in 64 KiB chunks, each verified before it counts.
//!
//! A [`BlobId`] is the SHA-256 of the concatenated SHA-256 digests of the blob's chunks, so the list of digests proves
//! itself and each chunk proves itself against the list. [`ChunkStore`] holds and serves blobs, [`Fetch`] gets one
//! blob from many providers at once. Both are sans-IO: messages and time go in, messages come out.
//!
//! ```
//! use overlay::id::PeerId;
//! use overlay::time::Time;
//! use overlay::transfer::{ChunkStore, Fetch, Sharing};
//!
//! let mut theirs = ChunkStore::new(1 << 20);
//! let blob = theirs.insert(b"state", Sharing::Public, true).expect("fits");
//! let mut fetch = Fetch::new(blob, 1 << 20, [PeerId([1; 32])], Time(0));
//! while fetch.result().is_none() {
//!     for (peer, request) in fetch.poll(Time(0)) {
//!         let answer = theirs.serve(&request, |_| false).expect("a request");
//!         fetch.on_message(Time(0), peer, answer);
//!     }
//! }
//! assert_eq!(fetch.take(), Some(Ok(b"state".to_vec())));
//! ```

use serde::{Deserialize, Serialize};

use crate::id::{BlobId, Hash};
use crate::io::MAX_FRAME;
use crate::wire::versioned;

mod fetch;
mod store;

pub use fetch::{Fetch, FetchError, FetchEvent, Progress};
pub use store::{ChunkStore, Sharing, StoreFull};

/// Bytes of every chunk but the last.
pub const CHUNK: usize = 64 * 1024;
/// The most chunks of a blob (512 MiB): their digests must fit one frame.
pub const MAX_CHUNKS: usize = 8192;
/// The version of the messages on the bulk lane.
const VERSION: u8 = 1;

/// A message on the bulk lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkMessage {
    /// Asks for a blob's size and the digests of its chunks.
    GetBlob {
        /// The blob.
        blob: BlobId,
    },
    /// The size, announced before any chunk, and the digests.
    BlobMeta {
        /// The blob.
        blob: BlobId,
        /// Bytes.
        size: u64,
        /// SHA-256 of each chunk in order.
        chunks: Vec<Hash>,
    },
    /// Asks for one chunk.
    GetChunk {
        /// The blob.
        blob: BlobId,
        /// Counted from 0.
        index: u32,
    },
    /// One chunk.
    Chunk {
        /// The blob.
        blob: BlobId,
        /// Counted from 0.
        index: u32,
        /// At most [`CHUNK`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The blob is not here, or not for the asker.
    NotHere {
        /// The blob.
        blob: BlobId,
    },
}

/// A frame of the bulk lane that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// Too large.
    #[error("the message is too large")]
    Size,
    /// From another version of the protocol.
    #[error("version {0} of the bulk protocol is not supported")]
    Version(u8),
    /// Not a message.
    #[error("the message cannot be read")]
    Malformed,
}

impl BulkMessage {
    /// The frame.
    pub fn encode(&self) -> Vec<u8> {
        // Serialising plain data into memory has no way to fail.
        versioned(VERSION, self).unwrap_or_default()
    }

    /// Reads a frame from a peer.
    pub fn decode(frame: &[u8]) -> Result<Self, BulkError> {
        if frame.len() > MAX_FRAME {
            return Err(BulkError::Size);
        }
        let (&version, body) = frame.split_first().ok_or(BulkError::Malformed)?;
        if version != VERSION {
            return Err(BulkError::Version(version));
        }
        let (message, rest) = postcard::take_from_bytes(body).map_err(|_| BulkError::Malformed)?;
        let bounded = match &message {
            BulkMessage::BlobMeta { chunks, .. } => chunks.len() <= MAX_CHUNKS,
            BulkMessage::Chunk { bytes, index, .. } => bytes.len() <= CHUNK && (*index as usize) < MAX_CHUNKS,
            BulkMessage::GetChunk { index, .. } => (*index as usize) < MAX_CHUNKS,
            BulkMessage::GetBlob { .. } | BulkMessage::NotHere { .. } => true,
        };
        if rest.is_empty() && bounded {
            Ok(message)
        } else {
            Err(BulkError::Malformed)
        }
    }

    /// The blob that it is about.
    pub fn blob(&self) -> BlobId {
        match self {
            BulkMessage::GetBlob { blob }
            | BulkMessage::BlobMeta { blob, .. }
            | BulkMessage::GetChunk { blob, .. }
            | BulkMessage::Chunk { blob, .. }
            | BulkMessage::NotHere { blob } => *blob,
        }
    }
}

/// The digests of a blob's chunks; none for an empty blob.
pub fn chunk_hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(CHUNK).map(|chunk| Hash::of(&[chunk])).collect()
}

/// The content address of `bytes`. That of no bytes is the SHA-256 of nothing.
pub fn blob_id(bytes: &[u8]) -> BlobId {
    blob_of(&chunk_hashes(bytes))
}

/// The content address of the blob with these chunks.
pub fn blob_of(chunks: &[Hash]) -> BlobId {
    let digests: Vec<&[u8]> = chunks.iter().map(|hash| hash.0.as_slice()).collect();
    BlobId(Hash::of(&digests))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_blob_is_the_digest_of_its_chunks_digests() {
        let bytes = vec![5; CHUNK + 1];
        let chunks = [Hash::of(&[&bytes[..CHUNK]]), Hash::of(&[&[5]])];
        assert_eq!(blob_id(&bytes).0, Hash::of(&[&chunks[0].0, &chunks[1].0]));
        assert_eq!(
            blob_id(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn the_largest_messages_fit_a_frame() {
        let blob = blob_id(b"");
        let meta = BulkMessage::BlobMeta { blob, size: u64::MAX, chunks: vec![Hash([255; 32]); MAX_CHUNKS] };
        let chunk = BulkMessage::Chunk { blob, index: 8191, bytes: vec![255; CHUNK] };
        for message in [meta, chunk] {
            let frame = message.encode();
            assert!(frame.len() <= MAX_FRAME);
            assert_eq!(BulkMessage::decode(&frame), Ok(message));
        }
        let large = BulkMessage::Chunk { blob, index: 0, bytes: vec![0; CHUNK + 1] };
        assert_eq!(BulkMessage::decode(&large.encode()), Err(BulkError::Malformed));
        assert_eq!(BulkMessage::decode(&[2, 0]), Err(BulkError::Version(2)));
        assert_eq!(BulkMessage::decode(&[]), Err(BulkError::Malformed));
        assert_eq!(BulkMessage::decode(&vec![1; MAX_FRAME + 1]), Err(BulkError::Size));
    }

    fn message() -> impl Strategy<Value = BulkMessage> {
        let blob = any::<[u8; 32]>().prop_map(|bytes| BlobId(Hash(bytes)));
        (blob, any::<u64>(), 0..MAX_CHUNKS as u32, proptest::collection::vec(any::<u8>(), 0..99), 0..5)
            .prop_map(|(blob, size, index, bytes, kind)| match kind {
                0 => BulkMessage::GetBlob { blob },
                1 => BulkMessage::BlobMeta {
                    blob,
                    size,
                    chunks: bytes.iter().map(|b| Hash([*b; 32])).collect(),
                },
                2 => BulkMessage::GetChunk { blob, index },
                3 => BulkMessage::Chunk { blob, index, bytes },
                _ => BulkMessage::NotHere { blob },
            })
    }

    proptest! {
        #[test]
        fn messages_round_trip(message in message()) {
            prop_assert_eq!(BulkMessage::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut frame in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = BulkMessage::decode(&frame);
            if let Some(version) = frame.first_mut() {
                *version = VERSION;
                let _ = BulkMessage::decode(&frame);
            }
        }

        #[test]
        fn a_truncated_frame_is_refused(message in message(), cut in 1..40_usize) {
            let frame = message.encode();
            let keep = frame.len().saturating_sub(cut);
            prop_assert!(BulkMessage::decode(&frame[..keep]).is_err());
        }
    }
}
