//! A service's whole state at one index of its log, packed for the way (row 37: compressed packing).

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::wire;

/// Sessions and outboxes beside the module's memory may take this much of an image, in bytes.
const MACHINE_ALLOWANCE: u64 = 64 * 1024 * 1024;

/// Machine and module after the entry at `index`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The last executed entry.
    pub index: u64,
    /// Sessions, rooms, timers.
    pub machine: Machine,
    /// The sandbox's own snapshot.
    #[serde(with = "serde_bytes")]
    pub module: Vec<u8>,
}

/// Why an image was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It would unpack to more than the manifest allows.
    #[error("the state would take {0} bytes, more than the manifest allows")]
    TooLarge(u64),
    /// It does not unpack.
    #[error("the state does not unpack")]
    Packed,
    /// It is not the state of a service.
    #[error("the state is malformed")]
    Malformed,
    /// It is the state at another index.
    #[error("the state is that of another point of the log")]
    Index,
}

impl Image {
    /// lz4 with the size before it.
    pub fn pack(&self) -> (Vec<u8>, u64) {
        let plain = wire::encode(self);
        (lz4_flex::compress_prepend_size(&plain), plain.len() as u64)
    }

    /// Unpacks what another node packed. `memory` and `storage` are the manifest's limits in bytes.
    pub fn unpack(packed: &[u8], index: u64, memory: u64, storage: u64) -> Result<Self, ImageError> {
        let (size, rest) = packed.split_first_chunk::<4>().ok_or(ImageError::Packed)?;
        let size = u64::from(u32::from_le_bytes(*size));
        // Globals, tables and framing come on top of memory and kv.
        if size > memory + storage + MACHINE_ALLOWANCE {
            return Err(ImageError::TooLarge(size));
        }
        let plain = lz4_flex::decompress(rest, size as usize).map_err(|_| ImageError::Packed)?;
        let image: Image = wire::decode_unbounded(&plain).map_err(|_| ImageError::Malformed)?;
        if !image.machine.is_sound() {
            return Err(ImageError::Malformed);
        }
        if image.index != index {
            return Err(ImageError::Index);
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Hash, PackageId};
    use proptest::prelude::*;

    fn image() -> Image {
        let machine = Machine::new(PackageId(Hash([3; 32])));
        Image { index: 5, machine, module: vec![1; 100_000] }
    }

    #[test]
    fn packs_and_unpacks() {
        let (packed, size) = image().pack();
        assert!(size > 100_000 && packed.len() < 2_000);
        assert_eq!(Image::unpack(&packed, 5, 200_000, 0), Ok(image()));
        assert_eq!(Image::unpack(&packed, 6, 200_000, 0), Err(ImageError::Index));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let mut packed = image().pack().0;
        packed[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Image::unpack(&packed, 5, 65_536, 0), Err(ImageError::TooLarge(u32::MAX.into())));
    }

    proptest! {
        #[test]
        fn any_bytes_unpack_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Image::unpack(&bytes, 1, 1 << 20, 0);
        }

        #[test]
        fn a_flipped_bit_never_panics(at in 0usize..400, bit in 0u8..8) {
            let mut packed = image().pack().0;
            let at = at % packed.len();
            packed[at] ^= 1 << bit;
            let _ = Image::unpack(&packed, 5, 1 << 20, 0);
        }
    }
}
