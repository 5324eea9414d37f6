//! What names and texts may look like, in manifests and wherever others say what they are called.

use crate::id::PeerId;

/// 1 to `most` characters of `a-z0-9-`, not beginning with `-`.
pub(crate) fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// 1 to 32 characters of a version.
pub(crate) fn is_version(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b))
}

/// At most `most` characters and twice as many bytes, none of which controls a terminal or the direction of text.
pub(crate) fn is_printable(text: &str, most: usize) -> bool {
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    text.len() <= 4 * most && text.chars().count() <= most && !text.contains(controls)
}

/// A latitude and a longitude in degrees, finite and in range.
pub(crate) fn is_location((lat, lon): (f64, f64)) -> bool {
    (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)
}

/// A relative path below the package's UI folder.
pub(super) fn is_path(path: &str) -> bool {
    (1..=128).contains(&path.len())
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._- @+".contains(&b))
}

/// A name, or `name@publisher`; anything else names no service.
pub fn is_service(text: &str) -> bool {
    match text.split_once('@') {
        Some((name, publisher)) => is_name(name, 64) && publisher.parse::<PeerId>().is_ok(),
        None => is_name(text, 64),
    }
}

pub(super) fn are_distinct<T: Ord>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(i, item)| !items[..i].contains(item))
}

pub(super) fn are_names(names: &[String], most: usize) -> bool {
    names.len() <= most && names.iter().all(|name| is_name(name, 32)) && are_distinct(names)
}
