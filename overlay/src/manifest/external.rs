//! The address of a service that runs elsewhere: strict, so that every peer reads it alike and nothing needs escaping.
//!
//! `https://` and a name of the public DNS; or, for development, `http://` or `https://` and this very machine. ASCII alone,
//! in lower case where case means nothing, without user, query, fragment, escapes and dots that climb. What is refused is not
//! dangerous in itself: what is accepted means the same to a browser, a relay, a command line and a person.

/// The most bytes of an address.
pub const MAX_URL: usize = 512;

/// Names that lead into networks of people's own, or nowhere (RFC 2606, 6761, 6762, 7686, 8375, and ICANN's reserved ones).
const NOT_PUBLIC: [&str; 14] = [
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "test",
];

/// The parts of an address that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Scheme, host and port.
    pub origin: &'a str,
    /// It begins with `/`, or is empty.
    pub path: &'a str,
    /// It is on the very machine of whoever calls it.
    pub is_loopback: bool,
}

/// Reads an address; the error is for its author.
pub fn address(url: &str) -> Result<Address<'_>, &'static str> {
    if url.len() > MAX_URL {
        return Err("at most 512 characters");
    }
    let (is_secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("it begins with https://"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_loopback = host == "localhost" || host == "127.0.0.1";
    if !is_loopback && !is_public_name(host) {
        return Err("a public host name in lower case, or localhost or 127.0.0.1 for development");
    }
    if port.is_some_and(|port| !is_port(port)) {
        return Err("a port is a number from 1 to 65535");
    }
    if !is_secure && !is_loopback {
        return Err("http:// is for localhost and 127.0.0.1 only; elsewhere it is https://");
    }
    if !is_path(path) {
        return Err("a path of letters, digits and -._~!$&()*+,;=:@, without empty parts, '.', '..', query, fragment and %");
    }
    Ok(Address { origin: &url[..url.len() - path.len()], path, is_loopback })
}

/// Where a method of the service at `url` is called.
pub fn method_url(url: &str, method: &str) -> String {
    format!("{}/{method}", url.trim_end_matches('/'))
}

fn is_port(port: &str) -> bool {
    !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// At least two labels; the last begins with a letter, so that no browser reads it as an address.
fn is_public_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    host.len() <= 253
        && host.split('.').all(is_label)
        && last.starts_with(|first: char| first.is_ascii_lowercase())
        && !NOT_PUBLIC.contains(&last)
}

fn is_path(path: &str) -> bool {
    let inner = path.strip_prefix('/').unwrap_or_default();
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let is_part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@".contains(&byte))
    };
    (inner.is_empty() && path.len() < 2) || inner.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of `URL | ORIGIN, PATH and what it is | or why not`.
    const GOLDEN: &str = include_str!("external.golden.txt");

    #[test]
    fn golden() {
        let mut cases = 0;
        for line in GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (url, expected) = line.split_once(" | ").unwrap();
            let found = match address(url) {
                Ok(Address { origin, path, is_loopback }) => {
                    format!("{origin} {path:?} {}", if is_loopback { "loopback" } else { "public" })
                }
                Err(why) => format!("refused: {why}"),
            };
            assert_eq!(found, expected, "{url:?}");
            cases += 1;
        }
        assert!(cases >= 60);
    }

    #[test]
    fn what_no_line_of_a_text_can_hold_is_refused() {
        for bad in [
            "",
            " ",
            "https://a.org/\r\nx: y",
            "https://a.org/\0",
            "https://a.org\n/",
            "https://a.org/\u{202e}",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
        let long = format!("https://a.org/{}", "x".repeat(MAX_URL));
        assert_eq!(address(&long), Err("at most 512 characters"));
        assert!(address(&long[..MAX_URL]).is_ok());
        let label = format!("https://{}.org", "x".repeat(64));
        assert!(address(&label).is_err());
    }

    /// A browser reads an accepted address as it is written: nothing in it is resolved, decoded or mapped to something else.
    fn is_read_alike(text: &str) {
        let found = address(text).unwrap();
        let Ok(read) = url::Url::parse(text) else {
            // No browser goes where the ASCII form of a name stands for none.
            return assert!(text.contains("xn--"), "{text}");
        };
        let path = if found.path.is_empty() { "/" } else { found.path };
        // A port that the scheme implies is left out.
        let origin = read.origin().ascii_serialization();
        let implied = if text.starts_with("https") { ":443" } else { ":80" };
        assert_eq!(origin, found.origin.strip_suffix(implied).unwrap_or(found.origin), "{text}");
        assert_eq!(read.path(), path, "{text}");
        assert!(read.username().is_empty() && read.password().is_none(), "{text}");
        assert!(read.query().is_none() && read.fragment().is_none(), "{text}");
        let is_loopback = read.host_str().is_some_and(|host| host == "localhost" || host == "127.0.0.1");
        assert_eq!(is_loopback, found.is_loopback, "{text}");
        assert!(found.is_loopback || matches!(read.host(), Some(url::Host::Domain(_))), "{text}");
    }

    #[test]
    fn browsers_read_what_is_accepted_as_it_is_written() {
        let accepted = GOLDEN.lines().filter(|line| line.ends_with("public") || line.ends_with("loopback"));
        let accepted: Vec<&str> =
            accepted.filter_map(|line| line.split_once(" | ")).map(|(url, _)| url).collect();
        assert!(accepted.len() >= 10);
        accepted.into_iter().for_each(is_read_alike);
    }

    #[test]
    fn a_method_follows_the_path() {
        assert_eq!(method_url("https://api.example.org", "add"), "https://api.example.org/add");
        assert_eq!(method_url("https://api.example.org/", "add"), "https://api.example.org/add");
        assert_eq!(method_url("https://api.example.org/v1/", "a.b"), "https://api.example.org/v1/a.b");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = address(&text);
        }

        #[test]
        fn hosts_are_read_alike(scheme in "https?", host in "[a-z0-9x.-]{1,12}(\\.[a-z0-9]{1,4})?|localhost|127\\.0\\.0\\.1|xn--[a-z0-9]{1,6}\\.org", port in "(:[0-9]{1,5})?", path in "(/[a-z.~:@]{0,6}){0,3}") {
            let url = format!("{scheme}://{host}{port}{path}");
            if address(&url).is_ok() {
                is_read_alike(&url);
            }
        }

        #[test]
        fn what_is_accepted_is_plain(host in "[a-zA-Z0-9.:@%_\\-\\[\\]]{1,30}", path in "[a-zA-Z0-9./?#%@:\\\\-]{0,20}") {
            let url = format!("https://{host}/{path}");
            if let Ok(found) = address(&url) {
                prop_assert_eq!(format!("{}{}", found.origin, found.path), url.clone());
                let needs_care = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}'%?#[]".contains(&byte);
                prop_assert!(!url.bytes().any(needs_care));
                prop_assert!(!found.origin[8..].contains('@') && !found.path.contains("/../"));
                is_read_alike(&url);
            }
        }
    }
}
