//! Example service without state: `echo` returns its body, and every message comes back to its session.

use service_sdk::{export_service, Cx, Error, Level, Service, SessionId};

/// Nothing to remember.
#[derive(Debug, Default)]
pub struct Echo;

impl Service for Echo {
    fn message(&mut self, cx: &mut Cx, session: SessionId, body: &[u8]) {
        if let Err(code) = cx.send(session, body) {
            cx.log(Level::Warning, code.text());
        }
    }

    fn query(&self, _: &mut Cx, _: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "echo" => Ok(body.to_vec()),
            _ => Err(Error::unknown_method(method)),
        }
    }
}

export_service!(Echo);

#[cfg(test)]
mod tests {
    use super::*;
    use service_sdk::testing::{Effect, Harness};

    #[test]
    fn echoes_calls_and_messages() {
        let mut echo = Harness::<Echo>::new();
        let session = echo.open(4, [1; 32]);
        assert_eq!(echo.call(session, "echo", b"\0hello"), Ok(b"\0hello".to_vec()));
        assert_eq!(echo.query(session, "echo", b""), Ok(Vec::new()));
        assert_eq!(echo.call(session, "no", b""), Err("unknown method \"no\"".to_owned()));
        echo.message(session, b"hi");
        assert_eq!(echo.take_effects(), [Effect::Send { session: 4, body: b"hi".to_vec() }]);
    }
}
