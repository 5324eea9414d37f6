//! Example service: a key-value store over the host's kv, which lies outside the module's memory and survives an
//! upgrade. A key is UTF-8 text.
//!
//! | method | body | reply |
//! |---|---|---|
//! | `put` | u16 little-endian length of the key, the key, the value | empty |
//! | `get` | the key | the value, or the error `no such key` |
//! | `delete` | the key | empty, or the error `no such key` |
//! | `list` | a prefix | JSON: at most 1,000 keys that begin with it, in byte order |

use service_sdk::{export_service, Code, Cx, Error, Service, SessionId};

/// The most keys that `list` returns.
const MAX_LISTED: usize = 1_000;

/// All state lies in the host's kv store.
#[derive(Debug, Default)]
pub struct Kv;

impl Service for Kv {
    fn call(&mut self, cx: &mut Cx, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "put" => {
                let (key, value) = entry(body)?;
                cx.kv_put(key.as_bytes(), value)?;
                Ok(Vec::new())
            }
            "delete" => {
                cx.kv_delete(text(body)?.as_bytes())?;
                Ok(Vec::new())
            }
            _ => self.query(cx, session, method, body),
        }
    }

    fn query(&self, cx: &mut Cx, _: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "get" => Ok(cx.kv_get(text(body)?.as_bytes()).ok_or(Code::NotFound)?),
            "list" => Ok(list(cx, text(body)?).into_bytes()),
            _ => Err(Error::unknown_method(method)),
        }
    }
}

fn entry(body: &[u8]) -> Result<(&str, &[u8]), Error> {
    let (length, rest) = body.split_first_chunk::<2>().ok_or("the body has no key")?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (key, value) = rest.split_at_checked(length).ok_or("the key is cut short")?;
    Ok((text(key)?, value))
}

fn text(key: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(key).map_err(|_| "a key must be UTF-8 text".into())
}

fn list(cx: &Cx, prefix: &str) -> String {
    let mut json = String::from("[");
    let own = cx.kv_get(prefix.as_bytes()).is_some().then(|| prefix.as_bytes().to_vec());
    let first = own.or_else(|| cx.kv_next(prefix.as_bytes()));
    let keys = std::iter::successors(first, |key| cx.kv_next(key));
    for key in keys.take_while(|key| key.starts_with(prefix.as_bytes())).take(MAX_LISTED) {
        if json.len() > 1 {
            json.push(',');
        }
        quote(&String::from_utf8_lossy(&key), &mut json);
    }
    json + "]"
}

/// Appends a JSON string.
fn quote(text: &str, json: &mut String) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", c as u32)),
            _ => json.push(c),
        }
    }
    json.push('"');
}

export_service!(Kv);

#[cfg(test)]
mod tests {
    use super::*;
    use service_sdk::testing::Harness;

    fn put(kv: &mut Harness<Kv>, key: &str, value: &[u8]) -> Result<Vec<u8>, String> {
        let body = [&(key.len() as u16).to_le_bytes(), key.as_bytes(), value].concat();
        kv.call(SessionId(1), "put", &body)
    }

    #[test]
    fn stores_lists_and_deletes() {
        let mut kv = Harness::<Kv>::new();
        let session = kv.open(1, [1; 32]);
        for (key, value) in [("b/2", "zwei"), ("a", ""), ("b/1", "one"), ("b\"\n", "quoted")] {
            assert_eq!(put(&mut kv, key, value.as_bytes()), Ok(Vec::new()));
        }
        assert_eq!(kv.query(session, "get", b"b/2"), Ok(b"zwei".to_vec()));
        assert_eq!(kv.query(session, "list", b""), Ok(br#"["a","b\"\u000a","b/1","b/2"]"#.to_vec()));
        assert_eq!(kv.query(session, "list", b"b/"), Ok(br#"["b/1","b/2"]"#.to_vec()));
        assert_eq!(kv.query(session, "list", b"a"), Ok(br#"["a"]"#.to_vec()));
        assert_eq!(kv.call(session, "delete", b"b/2"), Ok(Vec::new()));
        kv.upgrade();
        assert_eq!(kv.query(session, "get", b"b/2"), Err("no such key".to_owned()));
        assert_eq!(kv.query(session, "get", b"b/1"), Ok(b"one".to_vec()));
    }

    #[test]
    fn refuses_by_name() {
        let mut kv = Harness::<Kv>::new();
        let session = kv.open(1, [1; 32]);
        kv.set_limits(100, 1_000);
        assert_eq!(put(&mut kv, "", b"v"), Err("an argument is too long or malformed".to_owned()));
        assert_eq!(put(&mut kv, "key", &[0; 80]), Err("the storage limit is reached".to_owned()));
        assert_eq!(kv.call(session, "put", b"\x09\0short"), Err("the key is cut short".to_owned()));
        assert_eq!(kv.call(session, "put", b"\x01"), Err("the body has no key".to_owned()));
        assert_eq!(kv.query(session, "get", b"\xff"), Err("a key must be UTF-8 text".to_owned()));
        assert_eq!(kv.call(session, "delete", b"none"), Err("no such key".to_owned()));
        assert_eq!(kv.query(session, "put", b""), Err("unknown method \"put\"".to_owned()));
    }
}
