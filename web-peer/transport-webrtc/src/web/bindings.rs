//! Calls whose web-sys binding is missing or lets an exception through.

// The macro expands to foreign functions.
#![allow(unsafe_code)]

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use web_sys::{RtcDataChannel, RtcDataChannelInit};

use crate::RtcError;

#[wasm_bindgen]
extern "C" {
    /// `RTCPeerConnection` once more, with calls that report what they throw.
    #[wasm_bindgen(js_name = RTCPeerConnection, extends = web_sys::RtcPeerConnection)]
    #[derive(Clone)]
    pub(super) type Pc;

    /// Throws when the connection is closed or has no room for another channel.
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    pub(super) fn try_create_data_channel(this: &Pc, label: &str) -> Result<RtcDataChannel, JsValue>;

    /// As above; also throws when the wanted id is taken.
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    pub(super) fn try_create_channel_with(
        this: &Pc,
        label: &str,
        init: &RtcDataChannelInit,
    ) -> Result<RtcDataChannel, JsValue>;

    /// Creates the offer or answer that is due, and sets it: one trip to the signalling thread, not two.
    #[wasm_bindgen(method, catch, js_name = setLocalDescription)]
    pub(super) fn set_due_description(this: &Pc) -> Result<Promise, JsValue>;
}

/// What was thrown, in words.
pub(super) fn error(thrown: JsValue) -> RtcError {
    let words = match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => format!("{thrown:?}"),
    };
    RtcError(words)
}
