//! Versions as people write them: which of two is the newer one, and what comes after one.

use std::cmp::Ordering;

/// The next version after `version`: its last number is raised by one.
pub fn raised(version: &str) -> String {
    let digits = version.len() - version.bytes().rev().take_while(u8::is_ascii_digit).count();
    match version[digits..].parse::<u64>() {
        Ok(number) => format!("{}{}", &version[..digits], number.saturating_add(1)),
        Err(_) => format!("{version}.1"),
    }
}

/// Which comes first, as Semantic Versioning orders them (section 11). Anything may stand where it wants a number: numbers come before words,
/// and what follows a “+” says nothing.
pub fn order(one: &str, other: &str) -> Ordering {
    let parts = |version: &str| -> (String, Option<String>) {
        let version = version.split('+').next().unwrap_or_default();
        match version.split_once('-') {
            Some((release, before)) => (release.to_owned(), Some(before.to_owned())),
            None => (version.to_owned(), None),
        }
    };
    let ((one, one_before), (other, other_before)) = (parts(one), parts(other));
    by_fields(&one, &other).then_with(|| match (one_before, other_before) {
        (Some(one), Some(other)) => by_fields(&one, &other),
        // `1.0.0-beta` comes before `1.0.0`.
        (one, other) => other.is_some().cmp(&one.is_some()),
    })
}

fn by_fields(one: &str, other: &str) -> Ordering {
    let fields = |text: &str| -> Vec<(Option<u64>, String)> {
        // `1.0` is `1.0.0`.
        let text = text.trim_end_matches(".0");
        text.split('.').map(|field| (field.parse().ok(), field.to_owned())).collect()
    };
    let (one, other) = (fields(one), fields(other));
    for (one, other) in one.iter().zip(&other) {
        let order = match (one.0, other.0) {
            (Some(one), Some(other)) => one.cmp(&other),
            (one_number, other_number) => {
                other_number.is_some().cmp(&one_number.is_some()).then_with(|| one.1.cmp(&other.1))
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let rising = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.2",
            "1.0.0-beta",
            "1.0.0",
            "1.0.2",
            "1.0.10",
            "1.1",
            "2.0.0",
            "10.0.0",
            "next",
        ];
        for (at, one) in rising.iter().enumerate() {
            for (other_at, other) in rising.iter().enumerate() {
                assert_eq!(order(one, other), at.cmp(&other_at), "{one} and {other}");
            }
        }
        assert_eq!(order("1.0", "1.0.0+build"), Ordering::Equal);
    }

    #[test]
    fn the_next_version_is_newer() {
        for (version, next) in
            [("1.0.9", "1.0.10"), ("1.0.0-beta", "1.0.0-beta.1"), ("3", "4"), ("1.0-rc1", "1.0-rc2")]
        {
            assert_eq!(raised(version), next);
            assert_eq!(order(version, next), Ordering::Less, "{version}");
        }
    }
}
