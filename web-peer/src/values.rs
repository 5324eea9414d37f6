//! The kernel's data as JavaScript values, and the page's as the kernel's.

use js_sys::{Array, Object, Reflect, Uint8Array};
use overlay::io::{Answer, Error};
use serde::Serialize;
use transport_webrtc::IceServer;
use wasm_bindgen::{JsCast, JsValue};

/// ICE servers that are used.
const MAX_ICE_SERVERS: u32 = 8;

/// Plain data: what JSON would be. `undefined` never happens for the kernel's types.
pub(crate) fn plain(value: &impl Serialize) -> JsValue {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::UNDEFINED)
}

/// What a program can do about an error, besides its code.
pub(crate) fn details(error: &Error) -> JsValue {
    let details = Object::new();
    if let Error::Ambiguous(candidates) = error {
        set(&details, "candidates", plain(candidates));
    }
    if let Some(after) = error.retry_after() {
        set(&details, "retryAfterMs", (after.0 as f64).into());
    }
    details.into()
}

/// What a request's promise resolves to.
pub(crate) fn answer(answer: Answer) -> JsValue {
    match answer {
        Answer::Done => JsValue::UNDEFINED,
        Answer::Service(id) => id.into(),
        Answer::Found { services, complete } => {
            let found = plain(&services);
            set(&found, "complete", complete.into());
            found
        }
        Answer::Opened(session) => plain(&session),
        Answer::External(info) => plain(&info),
        Answer::Reply(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Answer::Read { body, server, age_ms } => {
            let read = Object::new();
            set(&read, "body", Uint8Array::from(body.as_slice()).into());
            set(&read, "server", server.into());
            set(&read, "ageMs", age_ms.into());
            read.into()
        }
        Answer::Handover(report) => plain(&report),
        Answer::Left(services) => plain(&services),
        Answer::Nicknames { found, took_ms } => {
            let candidates = plain(&found);
            set(&candidates, "tookMs", (took_ms as f64).into());
            candidates
        }
        Answer::Rung { accepted } => accepted.into(),
        Answer::Package { manifest, ui } => {
            // Without a prototype, so that no path means anything but itself.
            let files = Object::create(JsValue::NULL.unchecked_ref());
            for (path, bytes) in ui {
                set(&files, &path, Uint8Array::from(bytes.as_slice()).into());
            }
            let package = Object::new();
            set(&package, "manifest", String::from_utf8_lossy(&manifest).as_ref().into());
            set(&package, "ui", files.into());
            package.into()
        }
    }
}

/// `[path, Uint8Array]` pairs; what is no such pair is left out, and the manifest's check misses it.
pub(crate) fn assets(pairs: &Array) -> Vec<(String, Vec<u8>)> {
    let pair = |pair: JsValue| {
        let pair: Array = pair.dyn_into().ok()?;
        let bytes: Uint8Array = pair.get(1).dyn_into().ok()?;
        Some((pair.get(0).as_string()?, bytes.to_vec()))
    };
    pairs.iter().filter_map(pair).collect()
}

/// `RTCIceServer`s; malformed ones are left out.
pub(crate) fn ice_servers(value: &JsValue) -> Vec<IceServer> {
    let Some(array) = value.dyn_ref::<Array>() else { return Vec::new() };
    let text = |server: &JsValue, key: &str| {
        Reflect::get(server, &key.into()).ok().and_then(|value| value.as_string())
    };
    let server = |server: JsValue| {
        let urls = match Reflect::get(&server, &"urls".into()).ok()?.dyn_into::<Array>() {
            Ok(urls) => urls.iter().filter_map(|url| url.as_string()).collect(),
            Err(url) => vec![url.as_string()?],
        };
        Some(IceServer { urls, username: text(&server, "username"), credential: text(&server, "credential") })
    };
    array.slice(0, MAX_ICE_SERVERS).iter().filter_map(server).collect()
}

/// Sets a property of an object of our own.
fn set(object: &JsValue, key: &str, value: JsValue) {
    // Fails only for frozen objects, and these are new.
    let _ = Reflect::set(object, &key.into(), &value);
}
