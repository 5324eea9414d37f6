//! Numbers and texts of JSON. A number stays the text that it is: what passes through a float may come out as another one.

/// Is `text` a JSON number, and one without fraction and exponent?
pub fn is_number(text: &str, whole: bool) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let split = digits.find(|each: char| !each.is_ascii_digit()).unwrap_or(digits.len());
    let (before, after) = digits.split_at(split);
    if before.is_empty() || (before.len() > 1 && before.starts_with('0')) {
        return false;
    }
    if whole {
        return after.is_empty();
    }
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (fraction, exponent) = match after.find(['e', 'E']) {
        Some(at) => (&after[..at], Some(after[at + 1..].trim_start_matches(['+', '-']))),
        None => (after, None),
    };
    (fraction.is_empty() || fraction.strip_prefix('.').is_some_and(all_digits))
        && exponent.is_none_or(all_digits)
}

/// A text as a JSON string.
pub fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for each in text.chars() {
        match each {
            '"' | '\\' => json.extend(['\\', each]),
            each if u32::from(each) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(each))),
            each => json.push(each),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        let numbers = ["0", "-7", "12", "1.5", "1e9", "2E-3", "9007199254740993"];
        assert!(numbers.iter().all(|text| is_number(text, false)));
        let none = ["", "-", "01", "1.", ".5", "1e", "+1", "0x1", "1 2", "NaN"];
        assert!(none.iter().all(|text| !is_number(text, false) && !is_number(text, true)));
        assert!(is_number("9007199254740993", true) && !is_number("1.5", true));
    }
}
