//! The examples of a manifest, run on a fresh instance of the service in their order, as every host does before it serves.

use js_sys::{Array, Object, Uint8Array, JSON};
use wasm_bindgen::{JsCast, JsValue};

use crate::api::Session;
use crate::draft::ExampleRow;
use crate::model::{field, Method};
use crate::session::readable;
use crate::trial::Trial;
use crate::words::{explain, trimmed};

/// How one example went.
#[derive(Clone, PartialEq)]
pub struct Verdict {
    pub passed: bool,
    /// What was called.
    pub call: String,
    /// What came back, or why it failed.
    pub words: String,
}

/// Runs all of them.
pub async fn run(trial: &Trial) -> Vec<Verdict> {
    let failed =
        |error: &JsValue| vec![Verdict { passed: false, call: String::new(), words: explain(error) }];
    let fresh = match trial.again().await {
        Ok(fresh) => fresh,
        Err(error) => return failed(&error),
    };
    let session = match fresh.peer.open(&fresh.service).await {
        Ok(session) => session,
        Err(error) => return failed(&error),
    };
    let methods = Method::read_all(&fresh.manifest());
    let mut verdicts = Vec::new();
    for example in &trial.examples {
        verdicts.push(one(&session, &methods, example).await);
    }
    session.close();
    verdicts
}

async fn one(session: &Session, methods: &[Method], example: &ExampleRow) -> Verdict {
    let call = trimmed(&format!("{}({})", example.method, example.body));
    let verdict = |passed, words: String| Verdict { passed, call: call.clone(), words };
    let Some(method) = methods.iter().find(|method| method.name == example.method) else {
        return verdict(false, "There is no such method.".into());
    };
    let body = Uint8Array::from(example.body.as_bytes());
    let reply = if method.read_only {
        session.query(&method.name, &body).await
    } else {
        session.call(&method.name, &body).await
    };
    let bytes = match reply {
        Ok(reply) => reply.dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).unwrap_or_default(),
        Err(error) => return verdict(false, explain(&error)),
    };
    let got = trimmed(&readable(&bytes));
    if example.reply.is_empty() {
        return verdict(true, format!("→ {got}"));
    }
    if is_expected(method, &bytes, &example.reply) {
        verdict(true, format!("→ {got}"))
    } else {
        verdict(false, format!("→ {got}, expected {}", trimmed(&example.reply)))
    }
}

/// A reply with a schema is compared as JSON, any other byte by byte.
fn is_expected(method: &Method, bytes: &[u8], expected: &str) -> bool {
    if !method.json_reply {
        return bytes == expected.as_bytes();
    }
    let parsed = |text: &str| JSON::parse(text).ok();
    match (std::str::from_utf8(bytes).ok().and_then(parsed), parsed(expected)) {
        (Some(reply), Some(expected)) => is_same(&reply, &expected),
        _ => false,
    }
}

/// Do two JSON values say the same; the order of an object's fields says nothing.
fn is_same(a: &JsValue, b: &JsValue) -> bool {
    same_at(a, b, 128)
}

fn same_at(a: &JsValue, b: &JsValue, depth: u32) -> bool {
    if depth == 0 {
        return false;
    }
    match (a.dyn_ref::<Array>(), b.dyn_ref::<Array>()) {
        (Some(a), Some(b)) => {
            a.length() == b.length() && a.iter().zip(b.iter()).all(|(a, b)| same_at(&a, &b, depth - 1))
        }
        (None, None) if a.is_object() && b.is_object() => {
            let keys = Object::keys(a.unchecked_ref());
            keys.length() == Object::keys(b.unchecked_ref()).length()
                && keys.iter().filter_map(|key| key.as_string()).all(|key| {
                    let other = field(b, &key);
                    !other.is_undefined() && same_at(&field(a, &key), &other, depth - 1)
                })
        }
        (None, None) => a == b,
        _ => false,
    }
}
