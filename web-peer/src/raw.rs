//! The peer as `tabfarm.js` drives it. Requests carry a number of the page's choice, which the answer repeats.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::str::FromStr;
use std::task::Poll;
use std::time::Duration;

use futures::future::poll_fn;
use js_sys::{Array, Uint8Array};
use libp2p::identity::Keypair;
use overlay::id::{PeerId, RequestId, SessionId};
use overlay::io::{Answer, Command, Error, Event, Query, Role, VolunteerPolicy};
use overlay_libp2p::dht;
use overlay_libp2p::doors::Doors;
use overlay_libp2p::driver::{Clock, Driver, Outgoing};
use overlay_libp2p::relays::Use;
use sandbox_host::SandboxHost;
use wasm_bindgen::prelude::*;

use crate::alarm::{Bell, PageAlarm};
use crate::network::{self, Tab, TabEvent};
use crate::values;

type Node = Driver<Tab>;

#[wasm_bindgen]
extern "C" {
    /// What the page does for its peer. The page's methods do not throw; what is thrown nevertheless is dropped.
    pub type Page;
    /// Call `ring` after `ms`; replaces what was asked before.
    #[wasm_bindgen(method, catch)]
    fn alarm(this: &Page, ms: f64) -> Result<(), JsValue>;
    /// A request succeeded.
    #[wasm_bindgen(method, catch)]
    fn done(this: &Page, request: f64, value: JsValue) -> Result<(), JsValue>;
    /// A request failed.
    #[wasm_bindgen(method, catch)]
    fn failed(this: &Page, request: f64, code: &str, message: &str, details: JsValue) -> Result<(), JsValue>;
    /// Something happened.
    #[wasm_bindgen(method, catch)]
    fn event(this: &Page, event: JsValue) -> Result<(), JsValue>;
    /// Keep a value for later runs of this peer; `undefined` forgets it. `flush`: put it on the medium, then call `stored`.
    #[wasm_bindgen(method, catch)]
    fn store(this: &Page, key: &str, value: JsValue, flush: bool) -> Result<(), JsValue>;
    /// A message (`lossy` false) or datagram for a session.
    #[wasm_bindgen(method, catch)]
    fn received(this: &Page, session: &str, lossy: bool, body: Uint8Array) -> Result<(), JsValue>;
}

#[wasm_bindgen]
extern "C" {
    /// Shows an error as uncaught: in the console, and to the page's `error` listeners.
    #[wasm_bindgen(js_name = reportError)]
    fn report_error(error: JsError);
}

/// A panic ends the peer: say so where a person or a test sees it.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| report_error(JsError::new(&info.to_string()))));
}

/// A running peer.
#[wasm_bindgen]
pub struct RawPeer {
    inner: Rc<Inner>,
}

struct Inner {
    id: String,
    page: Page,
    bell: Rc<Bell>,
    /// `None` once the peer has closed: frame and workers go with it.
    sandbox: RefCell<Option<SandboxHost>>,
    /// `None` once the peer has closed.
    driver: RefCell<Option<Node>>,
}

#[wasm_bindgen]
impl RawPeer {
    /// A peer with the ed25519 secret key `secret` (32 bytes), which starts to run at once. `ice_servers` is an array of
    /// `RTCIceServer`; the sandbox's files lie under `base_url`, which has no slash at its end.
    #[wasm_bindgen(constructor)]
    pub fn new(
        secret: &[u8],
        name: String,
        ice_servers: &JsValue,
        base_url: &str,
        page: Page,
    ) -> Result<RawPeer, JsError> {
        let secret: [u8; 32] = secret.try_into().map_err(|_| JsError::new("a key has 32 bytes"))?;
        let key = Keypair::ed25519_from_bytes(secret).map_err(|_| JsError::new("not a key"))?;
        let mut seed = [0; 32];
        getrandom::getrandom(&mut seed).map_err(|_| JsError::new("no randomness"))?;
        let ice_servers = values::ice_servers(ice_servers);
        let association = seed.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        let doors = Doors::default();
        let swarm = network::swarm(&key, ice_servers, association, doors.clone())
            .map_err(|_| JsError::new("not a key"))?;
        let id = swarm.local_peer_id().to_string();
        let clock = Clock::start();
        let config = overlay::io::Config { secret_key: secret, role: Role::Tab, name, seed };
        let kernel = overlay::Node::new(config, clock.now());
        let running = Rc::new(RefCell::new(Weak::<Inner>::new()));
        let report = {
            let running = running.clone();
            move |event| {
                if let Some(inner) = running.borrow().upgrade() {
                    inner.with(|driver| driver.handle_sandbox(event));
                }
            }
        };
        let sandbox =
            SandboxHost::new(base_url, report).map_err(|_| JsError::new("a peer needs a window"))?;
        let inner = Rc::new_cyclic(|inner: &Weak<Inner>| {
            let ask = {
                let inner = inner.clone();
                move |delay: Duration| {
                    if let Some(inner) = inner.upgrade() {
                        let _ = inner.page.alarm(delay.as_millis() as f64);
                    }
                }
            };
            let bell = Rc::new(Bell::default());
            let alarm = Box::new(PageAlarm::new(bell.clone(), ask));
            let driver = Driver::new(swarm, kernel, clock, alarm, (Use::Reserve, doors), dht::admit);
            Inner { id, page, bell, sandbox: RefCell::new(Some(sandbox)), driver: RefCell::new(Some(driver)) }
        });
        *running.borrow_mut() = Rc::downgrade(&inner);
        wasm_bindgen_futures::spawn_local(inner.clone().run());
        Ok(RawPeer { inner })
    }

    /// The peer's id.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> String {
        self.inner.id.clone()
    }

    /// Keeps in touch with a relay: a multiaddr that ends in `/p2p/ID`. False if it is none, or there are enough.
    pub fn relay(&self, address: &str) -> bool {
        let Ok(address) = address.parse() else { return false };
        self.with(|driver| driver.add_relay(address)).unwrap_or(false)
    }

    /// The alarm has rung.
    pub fn ring(&self) {
        self.inner.bell.ring();
    }

    /// A value that was to be flushed is on disk, or could not be put there.
    pub fn stored(&self, key: String, done: bool) {
        self.with(|driver| driver.handle_stored(key, done));
    }

    /// The network is back: lost relays are tried at once.
    pub fn online(&self) {
        self.with(Driver::retry_relays);
    }

    /// The state at a glance; `undefined` once closed.
    pub fn status(&self) -> JsValue {
        self.with(|driver| values::plain(&driver.status())).unwrap_or(JsValue::UNDEFINED)
    }

    /// Bytes of memory of the modules that run here, each as its last event left it.
    pub fn memory(&self) -> f64 {
        self.inner.sandbox.borrow().as_ref().map_or(0.0, |sandbox| sandbox.memory() as f64)
    }

    /// Stops at once; what is not handed over is lost.
    pub fn close(&self) {
        self.inner.driver.borrow_mut().take();
        self.inner.sandbox.borrow_mut().take();
        self.inner.bell.ring();
    }

    /// `ui` is an array of `[path, Uint8Array]`.
    pub fn publish(&self, request: f64, manifest: Vec<u8>, module: Vec<u8>, ui: &Array) {
        let ui = values::assets(ui);
        self.command(request, Command::Publish { manifest, module, ui });
    }

    /// Empty texts match everything; `near` is three numbers, or empty.
    pub fn find(
        &self,
        request: f64,
        name: Option<String>,
        text: Option<String>,
        tag: Option<String>,
        near: &[f64],
    ) {
        let near = match *near {
            [lat, lon, km] => Some((lat, lon, km)),
            _ => None,
        };
        self.command(request, Command::Find(Query { name, text, tag, near }));
    }

    /// Opens a session.
    pub fn open(&self, request: f64, service: String, deadline_ms: f64) {
        self.command(request, Command::Open { service, deadline_ms: deadline_ms as u64 });
    }

    /// Calls a method.
    pub fn call(&self, request: f64, session: &str, method: String, body: Vec<u8>, deadline_ms: f64) {
        let deadline_ms = deadline_ms as u64;
        self.for_session(request, session, |session| Command::Call { session, method, body, deadline_ms });
    }

    /// A read-only call.
    pub fn query(&self, request: f64, session: &str, method: String, body: Vec<u8>, deadline_ms: f64) {
        self.ask(request, session, (method, body), deadline_ms, None);
    }

    /// A read-only call that any copy may answer, with what is at most `max_age_ms` old.
    pub fn read(
        &self,
        request: f64,
        session: &str,
        method: String,
        body: Vec<u8>,
        deadline_ms: f64,
        max_age_ms: f64,
    ) {
        self.ask(request, session, (method, body), deadline_ms, Some(max_age_ms as u64));
    }

    /// An ordered message.
    pub fn message(&self, request: f64, session: &str, body: Vec<u8>) {
        self.for_session(request, session, |session| Command::Message { session, body });
    }

    /// A lossy message.
    pub fn datagram(&self, request: f64, session: &str, body: Vec<u8>) {
        self.for_session(request, session, |session| Command::Datagram { session, body });
    }

    /// Closes a session.
    #[wasm_bindgen(js_name = closeSession)]
    pub fn close_session(&self, request: f64, session: &str) {
        self.for_session(request, session, |session| Command::Close { session });
    }

    /// Sets what this peer takes on: a [`VolunteerPolicy`] as JSON.
    pub fn volunteer(&self, request: f64, policy: &str) {
        match serde_json::from_str::<VolunteerPolicy>(policy) {
            Ok(policy) => self.command(request, Command::Volunteer(Some(policy))),
            Err(error) => {
                let refused = Error::Refused(format!("the policy cannot be read: {error}"));
                self.fail(request, &refused);
            }
        }
    }

    /// Takes nothing on from now.
    pub fn decline(&self, request: f64) {
        self.command(request, Command::Volunteer(None));
    }

    /// Pulls a service and serves it here.
    pub fn host(&self, request: f64, service: String) {
        self.command(request, Command::Host { service });
    }

    /// Moves the serving role held here.
    pub fn handover(&self, request: f64, service: String, to: &str) {
        match PeerId::from_str(to) {
            Ok(to) => self.command(request, Command::Handover { service, to }),
            Err(_) => self.fail(request, &Error::Refused("the target is not a peer id".into())),
        }
    }

    /// Fetches a manifest and UI assets.
    pub fn package(&self, request: f64, service: String) {
        self.command(request, Command::Package { service, files: true });
    }

    /// Gives a service stars, or takes them back with zero.
    pub fn rate(&self, request: f64, service: String, stars: u8) {
        self.command(request, Command::Rate { service, stars });
    }

    /// Stops serving without handing over.
    #[wasm_bindgen(js_name = dropService)]
    pub fn drop_service(&self, request: f64, service: String) {
        self.command(request, Command::Drop { service });
    }

    /// What `store` was given in earlier runs: an array of `[key, Uint8Array]`.
    pub fn recall(&self, request: f64, stored: &Array) {
        self.command(request, Command::Recall(values::assets(stored)));
    }

    /// Lets people find this peer by a nick name; an empty one withdraws it.
    pub fn announce(&self, request: f64, nick: String, profile: String) {
        let nick = Some(nick).filter(|nick| !nick.is_empty());
        self.command(request, Command::Announce { nick, profile });
    }

    /// Who uses a nick name.
    pub fn lookup(&self, request: f64, nick: String) {
        self.command(request, Command::Lookup { nick });
    }

    /// Asks a peer's person into a conference; `nick` says who asks, empty for the announced one.
    #[wasm_bindgen(js_name = ringPeer)]
    pub fn ring_peer(&self, request: f64, peer: &str, conference: String, nick: String) {
        match PeerId::from_str(peer) {
            Ok(peer) => self.command(request, Command::Ring { peer, conference, nick }),
            Err(_) => self.fail(request, &Error::Refused("this is not a peer id".into())),
        }
    }

    /// Answers a ring.
    #[wasm_bindgen(js_name = pickUp)]
    pub fn pick_up(&self, request: f64, ring: f64, accept: bool) {
        self.command(request, Command::PickUp { ring: ring as u64, accept });
    }

    /// Hands over what is served here and closes sessions.
    pub fn leave(&self, request: f64) {
        self.command(request, Command::Leave);
    }

    /// Goes on with the copy of a replicated service that waits here.
    pub fn recover(&self, request: f64, service: String) {
        self.command(request, Command::Recover { service });
    }

    /// The page ends or freezes now: standbys and replicas take over at once.
    pub fn vanish(&self, request: f64) {
        self.command(request, Command::Vanish);
    }
}

impl RawPeer {
    fn with<T>(&self, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        self.inner.with(act)
    }

    fn command(&self, request: f64, command: Command) {
        let given = self.with(|driver| driver.command(RequestId(request as u64), command));
        if given.is_none() {
            self.fail(request, &Error::Disconnected("the peer has left".into()));
        }
    }

    fn ask(
        &self,
        request: f64,
        session: &str,
        (method, body): (String, Vec<u8>),
        deadline_ms: f64,
        max_age_ms: Option<u64>,
    ) {
        let deadline_ms = deadline_ms as u64;
        self.for_session(request, session, |session| Command::Query {
            session,
            method,
            body,
            deadline_ms,
            max_age_ms,
        });
    }

    fn for_session(&self, request: f64, session: &str, command: impl FnOnce(SessionId) -> Command) {
        match u128::from_str_radix(session, 16) {
            Ok(id) => self.command(request, command(SessionId(id))),
            Err(_) => self.fail(request, &Error::Disconnected("there is no such session".into())),
        }
    }

    fn fail(&self, request: f64, error: &Error) {
        self.inner.answer(request, Err(error.clone()));
    }
}

impl Inner {
    fn with<T>(&self, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        self.driver.borrow_mut().as_mut().map(act)
    }

    /// Runs the node until the peer is closed. The page is called between polls only, so it may call back.
    async fn run(self: Rc<Self>) {
        poll_fn(|cx| loop {
            let polled = match self.driver.borrow_mut().as_mut() {
                Some(driver) => driver.poll(cx),
                None => return Poll::Ready(()),
            };
            match polled {
                Poll::Ready(outgoing) => self.on_outgoing(outgoing),
                Poll::Pending => return Poll::Pending,
            }
        })
        .await;
    }

    fn on_outgoing(&self, outgoing: Outgoing<TabEvent>) {
        match outgoing {
            Outgoing::Answer(request, result) => self.answer(request.0 as f64, result),
            Outgoing::Event(Event::Message { session, body }) => self.received(&session, false, &body),
            Outgoing::Event(Event::Datagram { session, body }) => self.received(&session, true, &body),
            Outgoing::Event(event) => {
                let _ = self.page.event(values::plain(&event));
            }
            Outgoing::Sandbox(command) => {
                let sandbox = self.sandbox.borrow().clone();
                if let Some(sandbox) = sandbox {
                    sandbox.command(command);
                }
            }
            Outgoing::Store { key, value, flush } => {
                let value = value.map(|value| Uint8Array::from(value.as_slice()));
                let _ = self.page.store(&key, value.map_or(JsValue::UNDEFINED, JsValue::from), flush);
            }
            Outgoing::Platform(_) | Outgoing::Listening(_) => {}
        }
    }

    fn received(&self, session: &str, lossy: bool, body: &[u8]) {
        let _ = self.page.received(session, lossy, Uint8Array::from(body));
    }

    fn answer(&self, request: f64, result: Result<Answer, Error>) {
        let _ = match result {
            Ok(answer) => self.page.done(request, values::answer(answer)),
            Err(error) => {
                self.page.failed(request, error.code(), &error.to_string(), values::details(&error))
            }
        };
    }
}
