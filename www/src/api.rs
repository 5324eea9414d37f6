//! Bindings to what the app stands on: the public JavaScript API `/tabfarm.js`, the lazily loaded IDE bundle, and a
//! few browser calls. Nothing of the app reaches the network in another way.

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
    #[wasm_bindgen(js_name = loadIde)]
    fn load_ide_js() -> Promise;
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

    /// The bundle of editor, compilers and kept projects, `www/ide/src/ide.js`.
    #[derive(Clone)]
    pub type Ide;
    #[wasm_bindgen(method, catch, js_name = store)]
    async fn store_js(this: &Ide) -> Result<JsValue, JsValue>;
    /// Shows an editor of a project in `el`; `changed(path)` is called after a changed text was written to the project.
    #[wasm_bindgen(method)]
    pub fn mount(
        this: &Ide,
        el: &web_sys::Element,
        project: &Project,
        changed: &js_sys::Function,
    ) -> Workspace;
    /// Resolves to `{ module, diagnostics, ms }` or `{ superseded }`, see `compile.js`.
    #[wasm_bindgen(method, catch)]
    pub async fn compile(this: &Ide, project: &Project, optimize: bool) -> Result<JsValue, JsValue>;
    /// Stops what is being compiled.
    #[wasm_bindgen(method)]
    pub fn cancel(this: &Ide);
    /// Loads the compiler of a language before it is needed.
    #[wasm_bindgen(method)]
    pub fn warm(this: &Ide, language: &str);
    #[wasm_bindgen(method, js_name = templateNames)]
    pub fn template_names(this: &Ide, language: &str) -> Array;
    /// Hands a project to the person as a zip.
    #[wasm_bindgen(method, catch)]
    pub fn download(this: &Ide, project: &Project) -> Result<(), JsValue>;
    /// A new project from a zip.
    #[wasm_bindgen(method, catch, js_name = importZip)]
    async fn import_zip_js(this: &Ide, store: &Store, file: &JsValue) -> Result<JsValue, JsValue>;
    /// Puts a file into a project; its path.
    #[wasm_bindgen(method, catch)]
    pub async fn upload(
        this: &Ide,
        project: &Project,
        file: &JsValue,
        folder: &str,
    ) -> Result<JsValue, JsValue>;
    /// Does a package bring its source.
    #[wasm_bindgen(method, js_name = hasSource)]
    pub fn has_source(this: &Ide, assets: &JsValue) -> bool;
    /// A new project of a package's assets: `{ id, name, left }`.
    #[wasm_bindgen(method, catch)]
    pub fn fork(
        this: &Ide,
        store: &Store,
        service: &str,
        form: &Object,
        engine: &str,
        assets: &JsValue,
    ) -> Result<JsValue, JsValue>;
    /// Remembers a publication.
    #[wasm_bindgen(method, catch)]
    pub async fn remember(
        this: &Ide,
        store: &Store,
        project: &Project,
        said: &Object,
    ) -> Result<JsValue, JsValue>;
    /// The version that was published last, where the project is as it was then, else null.
    #[wasm_bindgen(method, catch)]
    pub async fn unchanged(this: &Ide, store: &Store, project: &Project) -> Result<JsValue, JsValue>;
    /// What was published from a project, newest first.
    #[wasm_bindgen(method, catch, js_name = versionsOf)]
    pub async fn versions_of(this: &Ide, store: &Store, id: &str) -> Result<JsValue, JsValue>;
    /// Puts the files and the form of a version into its project.
    #[wasm_bindgen(method, catch, js_name = bringBack)]
    pub async fn bring_back(
        this: &Ide,
        store: &Store,
        project: &Project,
        at: f64,
    ) -> Result<JsValue, JsValue>;

    /// The projects of this browser.
    #[derive(Clone)]
    pub type Store;
    /// `report(words)` is called when keeping fails, and with "" when it works again.
    #[wasm_bindgen(method, js_name = onReport)]
    pub fn on_report(this: &Store, report: &js_sys::Function);
    /// `{ id, title, language, files, changed }` of each, last changed first.
    #[wasm_bindgen(method)]
    pub fn list(this: &Store) -> Array;
    #[wasm_bindgen(method, catch)]
    pub fn create(this: &Store, template: &str, language: &str) -> Result<Project, JsValue>;
    #[wasm_bindgen(method, catch, js_name = open)]
    async fn open_js(this: &Store, id: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = duplicate)]
    async fn duplicate_js(this: &Store, id: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn remove(this: &Store, id: &str) -> Result<JsValue, JsValue>;
    /// Why not, in words, or "".
    #[wasm_bindgen(method)]
    pub fn rename(this: &Store, id: &str, title: &str) -> String;
    /// Resolves once everything is written, to whether that worked.
    #[wasm_bindgen(method, catch)]
    pub async fn settled(this: &Store) -> Result<JsValue, JsValue>;

    /// A project in memory, `www/ide/src/project.js`.
    #[derive(Clone)]
    pub type Project;
    #[wasm_bindgen(method, getter)]
    pub fn id(this: &Project) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn title(this: &Project) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn language(this: &Project) -> String;
    /// The service that it was forked from, or "".
    #[wasm_bindgen(method, getter)]
    pub fn from(this: &Project) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn form(this: &Project) -> JsValue;
    #[wasm_bindgen(method, js_name = setLanguage)]
    pub fn set_language(this: &Project, language: &str);
    #[wasm_bindgen(method, js_name = setForm)]
    pub fn set_form(this: &Project, form: &Object);
    #[wasm_bindgen(method)]
    pub fn paths(this: &Project) -> Array;
    #[wasm_bindgen(method)]
    pub fn has(this: &Project, path: &str) -> bool;
    #[wasm_bindgen(method)]
    pub fn entry(this: &Project) -> String;
    /// Why not, in words, or "". The same for `rename`.
    #[wasm_bindgen(method)]
    pub fn add(this: &Project, path: &str, content: &str) -> String;
    #[wasm_bindgen(method, js_name = rename)]
    pub fn rename_file(this: &Project, from: &str, to: &str) -> String;
    #[wasm_bindgen(method, js_name = remove)]
    pub fn remove_file(this: &Project, path: &str);
    /// The package's assets, as pairs of path and bytes.
    #[wasm_bindgen(method)]
    pub fn assets(this: &Project, with_source: bool) -> Array;

    /// A mounted editor.
    #[derive(Clone)]
    pub type Workspace;
    #[wasm_bindgen(method, getter)]
    pub fn path(this: &Workspace) -> String;
    #[wasm_bindgen(method)]
    pub fn open(this: &Workspace, path: &str);
    #[wasm_bindgen(method)]
    pub fn renamed(this: &Workspace, from: &str, to: &str);
    #[wasm_bindgen(method)]
    pub fn removed(this: &Workspace, path: &str);
    /// The project's files were replaced.
    #[wasm_bindgen(method)]
    pub fn reload(this: &Workspace);
    /// Writes what was typed to the project now.
    #[wasm_bindgen(method)]
    pub fn sync(this: &Workspace);
    #[wasm_bindgen(method)]
    pub fn mark(this: &Workspace, diagnostics: &JsValue);
    #[wasm_bindgen(method)]
    pub fn goto(this: &Workspace, path: &str, line: u32);
    #[wasm_bindgen(method)]
    pub fn destroy(this: &Workspace);
}

impl Ide {
    /// What this browser keeps; one for the page.
    pub async fn store(&self) -> Result<Store, JsValue> {
        self.store_js().await.map(JsCast::unchecked_into)
    }

    /// A new project from a zip that the person chose.
    pub async fn import_zip(&self, store: &Store, file: &JsValue) -> Result<Project, JsValue> {
        self.import_zip_js(store, file).await.map(JsCast::unchecked_into)
    }
}

impl Store {
    /// A project that is kept; `None` where there is none of that id.
    pub async fn open(&self, id: &str) -> Result<Option<Project>, JsValue> {
        let found = self.open_js(id).await?;
        Ok((!found.is_null()).then(|| found.unchecked_into()))
    }

    pub async fn duplicate(&self, id: &str) -> Result<Project, JsValue> {
        self.duplicate_js(id).await.map(JsCast::unchecked_into)
    }
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

/// Loads the editor and the compiler's caller.
pub async fn load_ide() -> Result<Ide, JsValue> {
    JsFuture::from(load_ide_js()).await.map(JsCast::unchecked_into)
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
