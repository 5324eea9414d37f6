//! Examples of a manifest as calls that a host makes before it runs a package (Amoretti: a trial in a controlled
//! environment).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Manifest;
use crate::sandbox::Outcome;

/// One call of a package's trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleCall {
    /// The method's name.
    pub method: String,
    /// Is it a query, whose writes are discarded.
    pub read_only: bool,
    /// The body as it travels.
    pub body: Vec<u8>,
    /// What has to come back.
    pub expect: Option<Expected>,
}

/// A reply that an author promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This JSON value, however it is written.
    Json(Value),
}

/// The calls of a manifest's examples, in their order.
pub fn examples(manifest: &Manifest) -> Vec<ExampleCall> {
    let call = |example: &super::Example| {
        let method = manifest.interface.get(&example.method)?;
        Some(ExampleCall {
            method: example.method.clone(),
            read_only: method.read_only,
            body: example.body.as_ref().map(|body| bytes(body, method.body.is_some())).unwrap_or_default(),
            expect: example.reply.as_ref().map(|reply| match (reply, method.reply.is_some()) {
                (Value::String(text), false) => Expected::Bytes(text.clone().into_bytes()),
                _ => Expected::Json(reply.clone()),
            }),
        })
    };
    manifest.examples.iter().filter_map(call).collect()
}

fn bytes(value: &Value, is_json: bool) -> Vec<u8> {
    match value {
        Value::String(text) if !is_json => text.clone().into_bytes(),
        _ => value.to_string().into_bytes(),
    }
}

impl ExampleCall {
    /// Did the call end as its author says? The error is for a person.
    pub fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        let reply = match outcome {
            Outcome::Done { reply, .. } => reply,
            Outcome::Failed { reply, .. } => return Err(format!("it failed: {}", shown(reply))),
            Outcome::Trapped { reason } => return Err(format!("it trapped: {reason}")),
        };
        let is_met = match &self.expect {
            None => true,
            Some(Expected::Bytes(bytes)) => bytes == reply,
            Some(Expected::Json(value)) => {
                serde_json::from_slice::<Value>(reply).is_ok_and(|found| found == *value)
            }
        };
        match (is_met, &self.expect) {
            (false, Some(Expected::Bytes(bytes))) => {
                Err(format!("it answers {}, not {}", shown(reply), shown(bytes)))
            }
            (false, Some(Expected::Json(value))) => {
                Err(format!("it answers {}, not {}", shown(reply), shown(value.to_string().as_bytes())))
            }
            _ => Ok(()),
        }
    }
}

/// A text of somebody's making, short enough for a message.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    let text: String =
        String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(MOST + 1).collect();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None if text.is_empty() => "nothing".to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &[u8] = br#"{ "name": "n", "version": "1", "engine": "wasm", "state": "single",
        "interface": { "add": { "body": { "type": "integer" }, "reply": { "type": "object" } }, "greet": { "readOnly": true } },
        "examples": [ { "method": "add", "body": 2, "reply": { "a": 1, "b": [2] } }, { "method": "greet", "body": "Ada", "reply": "Hi" },
                      { "method": "add" } ] }"#;

    fn done(reply: &[u8]) -> Outcome {
        Outcome::Done { reply: reply.to_vec(), effects: Vec::new(), gas: 1 }
    }

    #[test]
    fn examples_become_calls_and_replies_are_compared() {
        let calls = examples(&Manifest::parse_author(MANIFEST).unwrap());
        let shape: Vec<_> =
            calls.iter().map(|call| (call.method.as_str(), call.read_only, call.body.as_slice())).collect();
        assert_eq!(shape, [("add", false, &b"2"[..]), ("greet", true, b"Ada"), ("add", false, b"")]);
        assert_eq!(calls[0].judge(&done(b"{\"b\":[2], \"a\":1}")), Ok(()), "JSON is compared as values");
        assert_eq!(calls[0].judge(&done(b"{}")).unwrap_err(), "it answers {}, not {\"a\":1,\"b\":[2]}");
        assert_eq!(calls[1].judge(&done(b"Hi")), Ok(()));
        assert_eq!(calls[1].judge(&done(b"")).unwrap_err(), "it answers nothing, not Hi");
        assert_eq!(calls[2].judge(&done(b"\xff")), Ok(()));
        let failed = Outcome::Failed { reply: b"no\x1b[2J".to_vec(), effects: Vec::new(), gas: 1 };
        assert_eq!(calls[2].judge(&failed).unwrap_err(), "it failed: no[2J");
        let trapped = Outcome::Trapped { reason: "out of gas".into() };
        assert_eq!(calls[2].judge(&trapped).unwrap_err(), "it trapped: out of gas");
        assert_eq!(shown("x".repeat(80).as_bytes()).chars().count(), 61);
    }
}
