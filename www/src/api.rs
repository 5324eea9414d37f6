//! Bindings to what the app stands on: the public JavaScript API `/tabfarm.js` and a few browser calls. Nothing of the app reaches the network in another way.

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(raw_module = "/tabfarm.js")]
extern "C" {
    /// This tab as a peer.
    #[wasm_bindgen(extends = web_sys::EventTarget)]
    #[derive(Clone, PartialEq)]
    pub type Peer;

    #[wasm_bindgen(static_method_of = Peer, catch, js_name = join)]
    async fn join_js(options: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(static_method_of = Peer, catch, js_name = alone)]
    async fn alone_js() -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter)]
    pub fn id(this: &Peer) -> String;
    #[wasm_bindgen(method, catch)]
    pub fn status(this: &Peer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn publish(this: &Peer, package: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn find(this: &Peer, query: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = open)]
    async fn open_js(this: &Peer, service: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn package(this: &Peer, service: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn volunteer(this: &Peer, policy: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn host(this: &Peer, service: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn handover(this: &Peer, service: &str, to: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = drop)]
    pub async fn drop_service(this: &Peer, service: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn recover(this: &Peer, service: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn leave(this: &Peer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn call(
        this: &Peer,
        service: &str,
        method: &str,
        body: &Uint8Array,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn pin(this: &Peer, name: &str, service: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn rate(this: &Peer, service: &str, stars: u8) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn pins(this: &Peer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn measured(this: &Peer) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn memory(this: &Peer) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn announce(this: &Peer, nick: &str, profile: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn lookup(this: &Peer, nick: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn ring(this: &Peer, peer: &str, conference: &str, nick: &str) -> Result<JsValue, JsValue>;

    /// The detail of a `ring` event.
    #[derive(Clone, PartialEq)]
    pub type RingDetail;
    #[wasm_bindgen(method, catch)]
    pub async fn accept(this: &RingDetail) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn decline(this: &RingDetail) -> Result<JsValue, JsValue>;

    /// A consumer's connection to a service.
    #[wasm_bindgen(extends = web_sys::EventTarget)]
    #[derive(Clone, PartialEq)]
    pub type Session;

    #[wasm_bindgen(method, catch)]
    pub async fn call(this: &Session, method: &str, body: &Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn query(this: &Session, method: &str, body: &Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub fn send(this: &Session, body: &Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    pub fn close(this: &Session);
}

impl Peer {
    /// Joins the overlay. `relays` empty means those of this origin.
    pub async fn join(name: &str, relays: &[String]) -> Result<Peer, JsValue> {
        let options = Object::new();
        if !name.is_empty() {
            set(&options, "name", &name.into());
        }
        if !relays.is_empty() {
            set(&options, "relays", &relays.iter().map(|each| JsValue::from_str(each)).collect::<Array>());
        }
        Peer::join_js(&options).await.map(JsCast::unchecked_into)
    }

    /// A peer without a network, for trying a service in this tab alone.
    pub async fn alone() -> Result<Peer, JsValue> {
        Peer::alone_js().await.map(JsCast::unchecked_into)
    }

    /// Opens a session.
    pub async fn open(&self, service: &str) -> Result<Session, JsValue> {
        self.open_js(service).await.map(JsCast::unchecked_into)
    }
}

#[wasm_bindgen(module = "/js/glue.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = joinConference)]
    async fn join_conference_js(
        peer: &Peer,
        service: &str,
        name: &str,
        nick: &str,
        listen: bool,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = fetchBytes)]
    fn fetch_bytes_js(path: &str) -> Promise;
    #[wasm_bindgen(js_name = copyText)]
    fn copy_text_js(text: &str) -> Promise;
    /// What is kept under `key`, or an empty text.
    #[wasm_bindgen(js_name = keptText)]
    pub fn kept_text(key: &str) -> String;
    /// Keeps a text in this browser; false when that was refused.
    #[wasm_bindgen(js_name = keepText)]
    pub fn keep_text(key: &str, text: &str) -> bool;
    /// As `kept_text`, for this tab alone.
    #[wasm_bindgen(js_name = keptInTab)]
    pub fn kept_in_tab(key: &str) -> String;
    /// Brings what has just appeared into view.
    pub fn reveal(element: &web_sys::Element);
    /// As `keep_text`, for this tab alone.
    #[wasm_bindgen(js_name = keepInTab)]
    pub fn keep_in_tab(key: &str, text: &str) -> bool;
}

#[wasm_bindgen(module = "/js/device.js")]
extern "C" {
    /// Tells `changed` whether the device is on mains power, or null; returns what stops it.
    #[wasm_bindgen(js_name = watchPower)]
    pub fn watch_power(changed: &js_sys::Function) -> js_sys::Function;
    /// Holds a Web Lock until the returned function is called.
    #[wasm_bindgen(js_name = stayAwake)]
    pub fn stay_awake() -> js_sys::Function;
    #[wasm_bindgen(js_name = knowsScreen)]
    pub fn knows_screen() -> bool;
    /// Keeps the screen on until the returned function is called; `changed` hears whether it is.
    #[wasm_bindgen(js_name = keepScreen)]
    pub fn keep_screen(changed: &js_sys::Function) -> js_sys::Function;
    /// Moves an element, where people want motion.
    pub fn fly(element: &web_sys::Element, x: f64, y: f64, ms: f64);
    #[wasm_bindgen(js_name = focusOn)]
    pub fn focus_on(id: &str);
}

#[wasm_bindgen(module = "/js/service-ui.js")]
extern "C" {
    /// Keeps what a session receives until its UI is shown; call it as soon as the session is open.
    #[wasm_bindgen(js_name = keepEarly)]
    pub fn keep_early(session: &Session);
    /// Stops keeping, for a service without UI.
    #[wasm_bindgen(js_name = releaseEarly)]
    pub fn release_early(session: &Session);

    /// A service's own UI in its frame.
    #[derive(Clone)]
    pub type ServiceUi;

    /// Puts the UI of a package into `host`; the frame talks to `session` through a message port and to nothing else.
    #[wasm_bindgen(js_name = showServiceUi)]
    pub fn show_service_ui(
        host: &web_sys::Element,
        session: &Session,
        ui: &JsValue,
        entry: &str,
        me: &str,
    ) -> ServiceUi;
    /// Removes the frame.
    #[wasm_bindgen(method)]
    pub fn remove(this: &ServiceUi);
}

#[wasm_bindgen]
extern "C" {
    /// A voice conference that this tab takes part in, `www/js/voice/conference.js`.
    #[wasm_bindgen(extends = web_sys::EventTarget)]
    #[derive(Clone, PartialEq)]
    pub type Conference;
    #[wasm_bindgen(method, getter)]
    pub fn state(this: &Conference) -> JsValue;
    #[wasm_bindgen(method)]
    pub fn mute(this: &Conference, muted: bool);
    #[wasm_bindgen(method)]
    pub fn leave(this: &Conference);
    #[wasm_bindgen(method, catch)]
    pub async fn resume(this: &Conference) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = openMicrophone)]
    pub async fn open_microphone(this: &Conference) -> Result<JsValue, JsValue>;
}

impl Conference {
    /// Joins the conference `name` of a voice service.
    pub async fn join(
        peer: &Peer,
        service: &str,
        name: &str,
        nick: &str,
        listen: bool,
    ) -> Result<Conference, JsValue> {
        join_conference_js(peer, service, name, nick, listen).await.map(JsCast::unchecked_into)
    }
}

/// Bytes of this origin; `None` where there are none.
pub async fn fetch_bytes(path: &str) -> Option<Uint8Array> {
    JsFuture::from(fetch_bytes_js(path)).await.ok()?.dyn_into().ok()
}

/// Copies to the clipboard; false where that is not allowed.
pub async fn copy_text(text: &str) -> bool {
    JsFuture::from(copy_text_js(text)).await.is_ok_and(|done| done.is_truthy())
}

/// Sets a property of an object of ours, which cannot fail.
pub fn set(object: &Object, key: &str, value: &JsValue) {
    // An ordinary extensible object takes every property.
    let _ = Reflect::set(object, &key.into(), value);
}
