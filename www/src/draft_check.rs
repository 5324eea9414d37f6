//! The fields of a manifest as a person fills them in: their labels, where their values go, and what is wrong with them.

use crate::words::trimmed;

/// The most characters of a description.
pub const MAX_DESCRIPTION: usize = 500;
/// The most peers of a list.
const MAX_PEERS: usize = 32;

/// One field of the form.
pub struct Field {
    pub id: &'static str,
    pub label: &'static str,
    /// What an empty field means.
    pub hint: &'static str,
    pub kind: Kind,
    /// Where its value stands in the manifest.
    pub path: &'static [&'static str],
}

/// What a field takes.
#[derive(Clone, Copy)]
pub enum Kind {
    Name,
    Version,
    Text,
    /// Words, at most so many, each like a name; what one of them is called.
    Names(usize, &'static str),
    /// A whole number from, to.
    Number(u64, u64),
    Peers,
    /// Services, each a name or `name@publisher`.
    Services(usize),
    /// Latitude and longitude.
    Place,
    /// One of these: value and label. The first is what an empty field means.
    Choice(&'static [(&'static str, &'static str)]),
    /// Yes or no; the value is `yes` or empty.
    Switch,
}

/// Fields that are folded away together.
pub struct Group {
    pub title: &'static str,
    pub fields: &'static [Field],
    /// What else there is to know.
    pub note: &'static str,
}

macro_rules! field {
    ($id:literal, $label:literal, $hint:literal, $kind:expr, $($path:literal).+) => {
        Field { id: $id, label: $label, hint: $hint, kind: $kind, path: &[$($path),+] }
    };
}

/// What is always shown.
pub const BASICS: [Field; 5] = [
    field!("name", "Name", "", Kind::Name, "name"),
    field!("version", "Version", "", Kind::Version, "version"),
    field!(
        "state",
        "State",
        "",
        Kind::Choice(&[
            ("none", "none: any tab answers any call"),
            ("single", "one copy, moved as a whole"),
            ("replicated-3", "three copies: survives the loss of one tab"),
            ("replicated-5", "five copies: survives the loss of two"),
        ]),
        "state"
    ),
    field!("description", "Description", "", Kind::Text, "description"),
    field!("tags", "Tags", "", Kind::Names(8, "tag"), "tags"),
];

/// What is folded away.
pub const GROUPS: [Group; 4] = [
    Group {
        title: "Limits and people",
        fields: &[
            field!("memory", "Memory, MiB", "16", Kind::Number(1, 256), "requires"."memoryMiB"),
            field!("storage", "Storage, MiB", "0", Kind::Number(0, 1024), "requires"."storageMiB"),
            field!("access", "Who may use it", "anyone, or peer ids", Kind::Peers, "access"),
            field!("hosts", "Who may host it", "anyone, or peer ids", Kind::Peers, "hosts"),
            field!("durable", "Answer only once it is on the host's disk", "", Kind::Switch, "durable"),
        ],
        note: "Storage is what “put” may keep. You are always among those who may.",
    },
    Group {
        title: "What a host needs",
        fields: &[
            field!("gas", "Gas per second", "50000000", Kind::Number(0, 1_000_000_000_000), "requires"."gasPerSecond"),
            field!("up", "Bandwidth up, kbit/s", "0", Kind::Number(0, 10_000_000), "requires"."upKbps"),
            field!("latency", "Round trip to users, ms", "any", Kind::Number(1, 60_000), "requires"."latencyMs"),
            field!("features", "Features", "none", Kind::Names(16, "feature"), "requires"."features"),
            field!("energy", "Power", "", Kind::Choice(&[("any", "battery or mains"), ("mains", "mains only")]), "requires"."energy"),
        ],
        note: "A tab that offers less does not host it.",
    },
    Group {
        title: "How it is served",
        fields: &[
            field!("response", "Aim: answer within, ms", "200", Kind::Number(1, 600_000), "qos"."responseMs"),
            field!("sessions", "Sessions per server", "100", Kind::Number(1, 10_000), "qos"."sessionsPerServer"),
            field!("min", "Fewest servers", "1", Kind::Number(1, 1_000), "qos"."minServers"),
            field!("max", "Most servers", "8", Kind::Number(1, 1_000), "qos"."maxServers"),
            field!("idle", "Dropped when unused for, s", "600", Kind::Number(10, 604_800), "qos"."idleSeconds"),
            field!("standby", "Warm copies beside the host", "1", Kind::Number(0, 2), "qos"."standby"),
        ],
        note: "Warm copies are for a service with one copy.",
    },
    Group {
        title: "What it may do, and where it is",
        fields: &[
            field!("calls", "Services that it calls", "none", Kind::Services(16), "permissions"."call"),
            field!("datagrams", "Its sessions exchange datagrams", "", Kind::Switch, "permissions"."datagrams"),
            field!("location", "Place: latitude, longitude", "nowhere", Kind::Place, "location"),
        ],
        note: "A place lets people find what is near.",
    },
];

/// All fields, in their order.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    BASICS.iter().chain(GROUPS.iter().flat_map(|group| group.fields))
}

impl Kind {
    /// What is wrong with a value, in words.
    pub fn flaw(self, value: &str) -> Option<String> {
        match self {
            Kind::Name => check_label(value, 64, "name"),
            Kind::Version => check_version(value),
            Kind::Text => check_description(value),
            Kind::Names(most, what) => check_names(value, most, what),
            Kind::Number(least, most) => check_number(value, least, most),
            Kind::Peers => check_peers(value),
            Kind::Services(most) => check_services(value, most),
            Kind::Place => (!value.trim().is_empty() && place(value).is_none()).then(|| {
                "Two numbers, like 52.52, 13.40: at most 90 north or south, 180 east or west.".into()
            }),
            Kind::Choice(choices) => {
                let known = value.is_empty() || choices.iter().any(|(choice, _)| *choice == value);
                (!known).then(|| "Choose one of those that are offered.".into())
            }
            Kind::Switch => None,
        }
    }
}

/// The words of a list as typed.
pub fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\n']).map(str::trim).filter(|word| !word.is_empty())
}

/// Latitude and longitude as typed.
pub fn place(typed: &str) -> Option<(f64, f64)> {
    let mut parts = split(typed).map(str::parse::<f64>);
    let (Some(Ok(latitude)), Some(Ok(longitude)), None) = (parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    ((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude))
        .then_some((latitude, longitude))
}

/// What is wrong with a description, in words.
pub fn check_description(description: &str) -> Option<String> {
    if description.chars().count() > MAX_DESCRIPTION {
        return Some(format!("At most {MAX_DESCRIPTION} characters."));
    }
    let turns = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    description
        .contains(turns)
        .then(|| "No control characters and none that turn the direction of text.".into())
}

/// What is wrong with a method's name, in words.
pub fn check_method(name: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (name.is_empty() || name.len() > 64 || !name.bytes().all(fits))
        .then(|| "A method's name has 1 to 64 characters of 0–9, A–Z, a–z, “_”, “.” and “-”.".into())
}

fn check_label(label: &str, longest: usize, what: &str) -> Option<String> {
    if label.is_empty() {
        return Some(format!("Give it a {what}."));
    }
    if label.len() > longest {
        return Some(format!("The {what} has at most {longest} characters."));
    }
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if !label.chars().all(fits) || label.starts_with('-') {
        return Some(format!("A {what} is made of a–z, 0–9 and “-”, and does not begin with “-”."));
    }
    None
}

fn check_version(version: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".+-".contains(letter);
    if version.is_empty() || version.len() > 32 || !version.chars().all(fits) {
        return Some("A version is like 1.0.0: letters, digits, “.”, “+” and “-”, at most 32.".into());
    }
    None
}

fn check_names(names: &str, most: usize, what: &str) -> Option<String> {
    if split(names).count() > most {
        return Some(format!("At most {most} {what}s."));
    }
    if let Some(twice) = twice(names) {
        return Some(format!("“{}” is there twice.", trimmed(twice)));
    }
    split(names)
        .find_map(|name| check_label(name, 32, what).map(|words| format!("“{}”: {words}", trimmed(name))))
}

fn check_number(number: &str, least: u64, most: u64) -> Option<String> {
    let number = number.trim();
    let fits = number.parse::<u64>().is_ok_and(|number| (least..=most).contains(&number));
    (!number.is_empty() && !fits).then(|| format!("A whole number from {least} to {most}."))
}

fn check_peers(list: &str) -> Option<String> {
    if split(list).count() > MAX_PEERS {
        return Some(format!("At most {MAX_PEERS} peers."));
    }
    if let Some(bad) = split(list).find(|word| !is_peer(word)) {
        let words = "is no peer id. An id begins with 12D3KooW; Settings shows yours in full.";
        return Some(format!("“{}” {words}", trimmed(bad)));
    }
    twice(list).map(|twice| format!("“{}” is there twice.", trimmed(twice)))
}

fn check_services(list: &str, most: usize) -> Option<String> {
    if split(list).count() > most {
        return Some(format!("At most {most} services."));
    }
    let fits = |word: &str| match word.split_once('@') {
        Some((name, publisher)) => check_label(name, 64, "name").is_none() && is_peer(publisher),
        None => check_label(word, 64, "name").is_none(),
    };
    if let Some(bad) = split(list).find(|word| !fits(word)) {
        return Some(format!("“{}” is no service: write a name, or name@publisher.", trimmed(bad)));
    }
    twice(list).map(|twice| format!("“{}” is there twice.", trimmed(twice)))
}

/// What every peer's id looks like: base58 of an ed25519 key. The kernel checks the key itself.
fn is_peer(word: &str) -> bool {
    word.len() == 52 && word.starts_with("12D3KooW") && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn twice(list: &str) -> Option<&str> {
    split(list)
        .enumerate()
        .find(|(at, word)| split(list).take(*at).any(|earlier| earlier == *word))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::raised;

    const ID: &str = "12D3KooWCr1PCxUiWduxDpwEsS5ZDAFsbh3HKxjpAL9bpVav75SJ";

    #[test]
    fn names_tags_and_versions_follow_the_manifest() {
        assert_eq!(check_label("chat-2", 64, "name"), None);
        for bad in ["", "-chat", "Chat", "a b", "chät", &"a".repeat(65)] {
            assert!(check_label(bad, 64, "name").is_some(), "{bad}");
        }
        assert_eq!(check_version("1.0.0-rc.1+x"), None);
        assert!(check_version("1 0").is_some());
        assert_eq!(check_names("game, two-player", 8, "tag"), None);
        for bad in ["a b c d e f g h i", "A", "game, game"] {
            assert!(check_names(bad, 8, "tag").is_some(), "{bad}");
        }
        assert_eq!(check_method("add.one-2_x"), None);
        assert!(check_method("a b").is_some() && check_method("").is_some());
    }

    #[test]
    fn limits_and_lists_follow_the_manifest() {
        assert_eq!([check_number("", 1, 256), check_number(" 256 ", 1, 256)], [None, None]);
        for bad in ["0", "257", "-1", "1.5", "many"] {
            assert!(check_number(bad, 1, 256).is_some(), "{bad}");
        }
        assert_eq!(check_peers(""), None);
        assert_eq!(check_peers(ID), None);
        assert!(check_peers("DicWeV").is_some());
        assert!(check_peers(&format!("{ID},\n{ID}")).is_some(), "twice");
        assert!(check_peers(&vec![ID; 33].join(" ")).is_some());
        assert_eq!(check_services(&format!("counter, chat@{ID}"), 16), None);
        for bad in ["Counter", "chat@me", "@", "a a"] {
            assert!(check_services(bad, 16).is_some(), "{bad}");
        }
    }

    #[test]
    fn places_are_on_earth() {
        assert_eq!(place("52.52, 13.40"), Some((52.52, 13.4)));
        for bad in ["", "52.52", "91 0", "0 181", "a b", "1 2 3", "NaN 0", "inf 0"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_raised_version_is_a_version() {
        for (from, to) in
            [("1.0.0", "1.0.1"), ("1.9", "1.10"), ("2", "3"), ("1.0-beta", "1.0-beta.1"), ("9", "10")]
        {
            assert_eq!(raised(from), to);
            assert_eq!(check_version(&raised(from)), None);
        }
    }

    #[test]
    fn every_field_has_an_id_and_a_place_of_its_own() {
        let all: Vec<_> = fields().collect();
        for (at, field) in all.iter().enumerate() {
            assert!(
                all[..at].iter().all(|other| other.id != field.id && other.path != field.path),
                "{}",
                field.id
            );
        }
    }
}
