//! What people read: errors as sentences that say what to do, and short forms of ids, sizes and times.

use js_sys::{Date, JsString};
use wasm_bindgen::JsValue;

use crate::model::text;

/// A failure of the API in words.
pub fn explain(error: &JsValue) -> String {
    let code = text(error, "code");
    let said = trimmed(&match text(error, "message") {
        message if message.is_empty() => error.as_string().unwrap_or_default(),
        message => message,
    });
    // What runs outside of all tabs fails in its own ways, and the API says in which.
    if !text(error, "origin").is_empty() && !said.is_empty() {
        return sentence(&said);
    }
    match code.as_str() {
        "not-found" => "No service of that name was found. Check the name, or refresh the catalogue: it may just have been published.".into(),
        "no-server" => "Nobody serves this service right now. Try again in a moment, or volunteer this tab to host it.".into(),
        "deadline" => "It took too long. Check your connection, then try again; a call that was sent is never executed twice.".into(),
        "trapped" => with("The service failed while it handled this. Its state is as it was before.", &said),
        "refused" => with("It was refused.", &said),
        "invalid-package" => with("The package is not valid, so nothing was published. Fix what is named here and publish again.", &said),
        "not-permitted" => with("That is not permitted to this tab.", &said),
        "overloaded" => "Too much is waiting to be sent. Wait a moment, then try again.".into(),
        "ambiguous" => "Several people publish a service of that name. Open the one you mean from the catalogue.".into(),
        "disconnected" => "The connection to this service ended. Open it again to go on.".into(),
        "unknown-outcome" => {
            "It is not known whether the call was executed. Look at the service's state before you repeat it.".into()
        }
        _ if said.is_empty() => "Something failed and gave no reason. Try again, or reload the page.".into(),
        _ => said,
    }
}

fn with(sentence: &str, detail: &str) -> String {
    // The kernel begins with the code in words, which the sentence says already.
    const SAID: [&str; 4] =
        ["the service failed: ", "refused: ", "the package is not valid: ", "not permitted: "];
    let detail = SAID.iter().find_map(|said| detail.strip_prefix(said)).unwrap_or(detail);
    if detail.is_empty() {
        sentence.to_owned()
    } else {
        format!("{sentence} ({detail})")
    }
}

/// Begins with a capital and ends with a full stop.
fn sentence(said: &str) -> String {
    let mut letters = said.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase()).into_iter().collect::<String>();
    let end = if said.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    // An address has no capital.
    let first = if said.starts_with("http") { said.chars().take(1).collect() } else { first };
    format!("{first}{}{end}", letters.as_str())
}

/// Host and port of an address; the scheme as well where it is not https.
pub fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split('/').next().unwrap_or_default();
    if scheme == "https" || scheme.is_empty() {
        host.to_owned()
    } else {
        format!("{scheme}://{host}")
    }
}

/// At most 300 characters of a text of unknown origin, without those that turn what stands beside them.
pub fn trimmed(said: &str) -> String {
    const LONGEST: usize = 300;
    match said.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", unturned(&said[..end])),
        None => unturned(said),
    }
}

/// Characters that reverse or embed text, and so can make a sentence read as another one, as their codes. Marks that order letters of
/// scripts written from right to left stay.
pub fn unturned(said: &str) -> String {
    let turns = |letter: &char| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(said.len());
    for letter in said.chars() {
        if turns(&letter) {
            plain.push_str(&format!("[U+{:04X}]", u32::from(letter)));
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// In small letters. The browser has the tables for it, so that the app need not bring them.
pub fn lower(text: &str) -> String {
    JsString::from(text).to_lower_case().into()
}

/// The end of a peer's id, as people compare it.
pub fn short(id: &str) -> String {
    let start = id.char_indices().rev().nth(5).map_or(0, |(at, _)| at);
    id[start..].to_owned()
}

/// A service's name without its publisher.
pub fn service_name(id: &str) -> &str {
    id.split('@').next().unwrap_or(id)
}

/// `1.4 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", decimal(value), UNITS[unit])
}

/// `12.3 M`: a large count.
pub fn count(value: u64) -> String {
    const UNITS: [&str; 5] = ["", " k", " M", " G", " T"];
    let (mut value, mut unit) = (value as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", decimal(value), UNITS[unit])
}

/// `14 ms`.
pub fn millis(value: f64) -> String {
    if value >= 1000.0 {
        format!("{} s", decimal(value / 1000.0))
    } else {
        format!("{} ms", decimal(value))
    }
}

/// `14:03:59`, this person's time zone.
pub fn clock(at: f64) -> String {
    let date = Date::new(&at.into());
    format!("{:02}:{:02}:{:02}", date.get_hours(), date.get_minutes(), date.get_seconds())
}

/// `2026-11-21 14:03`, this person's time zone.
pub fn moment(at: f64) -> String {
    let date = Date::new(&at.into());
    let (year, month, day) = (date.get_full_year(), date.get_month() + 1, date.get_date());
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", date.get_hours(), date.get_minutes())
}

/// `3 minutes ago`: how long ago, in the largest unit that fits.
pub fn ago(ms: f64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    // Clocks of others are set otherwise: what comes from the future is of now.
    let seconds = (ms.max(0.0) / 1000.0) as u64;
    match UNITS.into_iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, noun)) => format!("{} ago", plural((seconds / unit) as usize, noun)),
        None => "just now".into(),
    }
}

/// `1 session`, `2 sessions`.
pub fn plural(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// One decimal place below 10, none above. Integer arithmetic keeps the float formatter out of the binary.
pub fn decimal(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "–".into();
    }
    let tenths = (value * 10.0 + 0.5) as u64;
    if tenths >= 100 || tenths.is_multiple_of(10) {
        (tenths.saturating_add(if tenths >= 100 { 5 } else { 0 }) / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let said = [
            bytes(0),
            bytes(1536),
            bytes(1_048_576),
            count(999),
            count(12_345_678),
            millis(4.26),
            millis(1500.0),
            millis(f64::NAN),
        ];
        assert_eq!(said.join(" | "), "0 B | 1.5 KiB | 1 MiB | 999 | 12 M | 4.3 ms | 1.5 s | – ms");
    }

    #[test]
    fn times_read_as_people_say_them() {
        let said = [-5_000.0, 59_999.0, 60_000.0, 7_300_000.0, 200_000_000.0, f64::NAN].map(ago);
        assert_eq!(
            said.join(" | "),
            "just now | just now | 1 minute ago | 2 hours ago | 2 days ago | just now"
        );
    }

    #[test]
    fn addresses_are_shortened_and_sentences_begin_with_a_capital() {
        assert_eq!(host_of("https://api.example.org/v1/x"), "api.example.org");
        assert_eq!(host_of("http://localhost:3000"), "http://localhost:3000");
        assert_eq!(host_of("x"), "x");
        assert_eq!(sentence("it failed"), "It failed.");
        assert_eq!(sentence("https://a.org answered 403"), "https://a.org answered 403.");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn ids_are_cut_at_characters() {
        assert_eq!(short("12D3KooWabcdef"), "abcdef");
        assert_eq!(short("äöü"), "äöü");
        assert_eq!(service_name("chat@12D3"), "chat");
        assert_eq!(trimmed(&"ß".repeat(400)).chars().count(), 301);
        assert_eq!(trimmed("a\u{202e}b \u{2067}\u{5d0}\u{200f}"), "a[U+202E]b [U+2067]\u{5d0}\u{200f}");
    }
}
