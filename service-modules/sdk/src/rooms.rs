//! Names of rooms. The host knows rooms by number; the table of names is part of the service's state.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static NUMBERS: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// The most names that are kept; further names get a number by hash, which may coincide with another's.
const MAX_NAMES: usize = 4_096;

/// The room's number: a hash of its name, moved on until it is free. It is the same after an upgrade as long as no
/// two names collide, so that rooms survive the fresh memory.
pub(crate) fn number(name: &str) -> u32 {
    NUMBERS.with(|numbers| {
        let mut numbers = numbers.borrow_mut();
        if let Some(&number) = numbers.get(name) {
            return number;
        }
        let mut number = hash(name);
        if numbers.len() < MAX_NAMES {
            while numbers.values().any(|&used| used == number) {
                number = number.wrapping_add(1);
            }
            numbers.insert(name.to_owned(), number);
        }
        number
    })
}

/// FNV-1a.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers() {
        let room = number("room");
        assert_ne!(room, number("other"));
        assert_eq!(room, number("room"));
        assert_eq!(hash(""), 0x811c_9dc5);
    }
}
