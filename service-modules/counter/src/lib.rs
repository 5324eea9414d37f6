//! Example service: a counter. `add` takes an integer and returns the new value, `read` returns the value; both as
//! JSON. An addition that would overflow fails and changes nothing. The value is kept in the store too, so that it is
//! still there when a newer version replaces the module.

use service_sdk::{export_service, Cx, Error, Service, SessionId};

/// The value's key in the store.
const VALUE: &[u8] = b"value";

/// The counter's state.
#[derive(Debug, Default)]
pub struct Counter {
    value: i64,
}

impl Service for Counter {
    fn call(&mut self, cx: &mut Cx, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "add" => {
                let value = self.value.checked_add(integer(body)?);
                self.value = value.ok_or("the counter would overflow")?;
                // A manifest without storage counts as well, and begins anew when its module is replaced.
                let _ = cx.kv_put(VALUE, &self.value.to_le_bytes());
                Ok(self.value.to_string().into_bytes())
            }
            _ => self.query(cx, session, method, body),
        }
    }

    fn query(&self, _: &mut Cx, _: SessionId, method: &str, _: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "read" => Ok(self.value.to_string().into_bytes()),
            _ => Err(Error::unknown_method(method)),
        }
    }

    fn upgrade(&mut self, cx: &mut Cx) {
        let kept = cx.kv_get(VALUE).and_then(|bytes| bytes.try_into().ok());
        self.value = kept.map_or(0, i64::from_le_bytes);
    }
}

fn integer(body: &[u8]) -> Result<i64, Error> {
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    text.parse().map_err(|_| "the body must be an integer".into())
}

export_service!(Counter);

#[cfg(test)]
mod tests {
    use super::*;
    use service_sdk::testing::Harness;

    #[test]
    fn adds_and_reads() {
        let mut counter = Harness::<Counter>::new();
        let session = counter.open(1, [1; 32]);
        assert_eq!(counter.call(session, "add", b"5"), Ok(b"5".to_vec()));
        assert_eq!(counter.call(session, "add", b" -7 "), Ok(b"-2".to_vec()));
        assert_eq!(counter.query(session, "read", b""), Ok(b"-2".to_vec()));
        assert_eq!(counter.call(session, "read", b""), Ok(b"-2".to_vec()));
        assert_eq!(counter.take_effects(), []);
    }

    #[test]
    fn the_value_outlives_the_module() {
        let mut counter = Harness::<Counter>::new();
        let session = counter.open(1, [1; 32]);
        counter.call(session, "add", b"-41").unwrap();
        counter.upgrade();
        assert_eq!(counter.query(session, "read", b""), Ok(b"-41".to_vec()));
        counter.set_limits(0, 1 << 20);
        assert_eq!(counter.call(session, "add", b"-1"), Ok(b"-42".to_vec()), "without room it counts on");
    }

    #[test]
    fn refuses_by_name_and_keeps_its_value() {
        let mut counter = Harness::<Counter>::new();
        let session = counter.open(1, [1; 32]);
        for body in [&b""[..], b"x", b"1.5", b"\xff", b"9223372036854775808"] {
            assert_eq!(counter.call(session, "add", body), Err("the body must be an integer".to_owned()));
        }
        assert_eq!(counter.call(session, "sub", b"1"), Err("unknown method \"sub\"".to_owned()));
        counter.call(session, "add", i64::MAX.to_string().as_bytes()).unwrap();
        assert_eq!(counter.call(session, "add", b"1"), Err("the counter would overflow".to_owned()));
        assert_eq!(counter.query(session, "read", b""), Ok(i64::MAX.to_string().into_bytes()));
    }
}
