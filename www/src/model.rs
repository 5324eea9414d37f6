//! What the peer reports, read field by field from JavaScript. Whatever is missing or of another type becomes an
//! empty value: nothing that another peer says can make the app fail.

use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};

use crate::schema::Schema;

/// How a peer or a session's server is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// WebRTC between tabs, or a socket to a relay.
    Direct,
    /// Through a relay's circuit.
    Relayed,
    /// It is no peer, but a server outside of all tabs.
    External,
}

impl Path {
    /// The word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Path::Direct => "direct",
            Path::Relayed => "relayed",
            Path::External => "outside of all tabs",
        }
    }
}

/// The peer's state at a glance.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Status {
    pub joined: bool,
    pub peers: Vec<PeerInfo>,
    pub relays: Vec<String>,
    pub hosting: Vec<Hosted>,
    /// Services whose stored copies wait for others.
    pub waiting: Vec<String>,
    /// Open sessions of this tab.
    pub sessions: Vec<SessionInfo>,
    /// Does it volunteer now.
    pub volunteer: bool,
}

/// Another peer.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerInfo {
    pub id: String,
    pub name: String,
    pub role: String,
    pub path: Path,
    pub rtt_ms: Option<f64>,
    pub volunteer: bool,
    /// How much of what its person grants is used, in percent.
    pub busy: u64,
    pub hosting: Vec<String>,
}

/// A service that runs in this tab.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Hosted {
    pub service: String,
    pub role: String,
    pub epoch: u64,
    pub term: u64,
    /// Nobody called it for a minute.
    pub asleep: bool,
    pub sessions: u64,
    pub events: u64,
    pub gas: u64,
    pub traps: u64,
    pub members: Vec<String>,
    /// Target and step of a handover under way.
    pub handover: Option<(String, String)>,
    pub memory_mib: u64,
    /// Copies of the state that its manifest wants, and that there are.
    pub wanted: u64,
    pub replicas: u64,
    pub standbys: Vec<String>,
    pub standbys_wanted: u64,
    /// Log entries that the slowest member lacks.
    pub lag: u64,
    /// Came back from a checkpoint of this time, in ms since 1970.
    pub lost_since: Option<f64>,
    /// It came by itself, for this tab's own calls.
    pub for_own_calls: bool,
}

/// A service as the catalogue shows it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ServiceInfo {
    pub id: String,
    pub name: String,
    pub publisher: String,
    pub version: String,
    pub description: String,
    pub tags: Vec<String>,
    pub state: String,
    pub has_ui: bool,
    /// Where it runs, if that is outside of all tabs; else empty.
    pub url: String,
    pub hosts: Vec<String>,
    /// When it was published, in ms since 1970.
    pub sequence: u64,
    pub rating: Option<Rating>,
}

/// How a service is rated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rating {
    /// 1 to 5 stars.
    pub mean: f64,
    /// Peers that rated.
    pub count: u64,
}

impl Rating {
    /// For a list: few raters say less than many.
    pub fn weight(&self) -> f64 {
        const DOUBT: f64 = 3.0;
        let count = self.count as f64;
        (self.mean * count + 3.0 * DOUBT) / (count + DOUBT)
    }
}

/// A session's state.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionInfo {
    pub service: String,
    pub server: String,
    pub epoch: u64,
    pub term: u64,
    pub path: Path,
}

/// What a handover cost.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub service: String,
    pub from: String,
    pub to: String,
    pub witness: String,
    pub term: u64,
    pub pause_ms: u64,
    pub bytes: u64,
    pub state_bytes: u64,
    pub uncertain: bool,
}

/// One method of a service's interface.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Method {
    pub name: String,
    /// What it takes.
    pub body: Schema,
    /// Is its reply JSON.
    pub json_reply: bool,
    pub read_only: bool,
    pub description: String,
}

/// What the calls of this tab to one service cost until now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Calls {
    pub service: String,
    pub calls: u64,
    pub failed: u64,
    pub total_ms: f64,
}

impl Calls {
    /// Reads what `measured` returns.
    pub fn read_all(found: &JsValue) -> Vec<Self> {
        let read = |each: JsValue| Self {
            service: text(&each, "service"),
            calls: count(&each, "calls"),
            failed: count(&each, "failed"),
            total_ms: field(&each, "totalMs").as_f64().unwrap_or_default(),
        };
        found.dyn_ref::<Array>().map(|found| found.iter().map(read).collect()).unwrap_or_default()
    }
}

impl Status {
    pub fn read(value: &JsValue) -> Self {
        Self {
            joined: flag(value, "joined"),
            peers: each(value, "peers").map(|peer| PeerInfo::read(&peer)).collect(),
            relays: texts(value, "relays"),
            hosting: each(value, "hosting").map(|hosted| Hosted::read(&hosted)).collect(),
            waiting: texts(value, "waiting"),
            sessions: each(value, "sessions").map(|session| SessionInfo::read(&session)).collect(),
            volunteer: field(value, "volunteer").is_truthy(),
        }
    }

    /// The tabs that would take a service from here.
    pub fn volunteers(&self) -> impl Iterator<Item = &PeerInfo> {
        self.peers.iter().filter(|peer| peer.volunteer)
    }
}

impl PeerInfo {
    fn read(value: &JsValue) -> Self {
        Self {
            id: text(value, "id"),
            name: text(value, "name"),
            role: text(value, "role"),
            path: path(value),
            rtt_ms: field(value, "rttMs").as_f64(),
            volunteer: flag(value, "volunteer"),
            busy: count(value, "busy"),
            hosting: texts(value, "hosting"),
        }
    }
}

impl Hosted {
    fn read(value: &JsValue) -> Self {
        let handover = field(value, "handover").dyn_into::<Array>().ok();
        Self {
            service: text(value, "service"),
            role: text(value, "role"),
            epoch: count(value, "epoch"),
            term: count(value, "term"),
            asleep: flag(value, "asleep"),
            sessions: count(value, "sessions"),
            events: count(value, "events"),
            gas: count(value, "gas"),
            traps: count(value, "traps"),
            members: texts(value, "members"),
            handover: handover.map(|pair| {
                (pair.get(0).as_string().unwrap_or_default(), pair.get(1).as_string().unwrap_or_default())
            }),
            memory_mib: count(value, "memoryMiB"),
            wanted: count(value, "wanted"),
            replicas: count(value, "replicas"),
            standbys: texts(value, "standbys"),
            standbys_wanted: count(value, "standbysWanted"),
            lag: count(value, "lag"),
            lost_since: field(value, "lostSince").as_f64(),
            for_own_calls: flag(value, "forOwnCalls"),
        }
    }
}

impl ServiceInfo {
    /// Reads what `find` resolves to: the services, and whether the list is complete.
    pub fn read_all(found: &JsValue) -> (Vec<Self>, bool) {
        let services = Array::from(found).iter().map(|each| Self::read(&each)).collect();
        (services, field(found, "complete").as_bool().unwrap_or(true))
    }

    fn read(value: &JsValue) -> Self {
        Self {
            id: text(value, "id"),
            name: text(value, "name"),
            publisher: text(value, "publisher"),
            version: text(value, "version"),
            description: text(value, "description"),
            tags: texts(value, "tags"),
            state: text(value, "state"),
            has_ui: flag(value, "hasUi"),
            url: text(value, "url"),
            hosts: texts(value, "hosts"),
            sequence: count(value, "sequence"),
            rating: field(&field(value, "rating"), "mean").as_f64().map(|mean| Rating {
                mean: mean.clamp(1.0, 5.0),
                count: count(&field(value, "rating"), "count"),
            }),
        }
    }
}

impl SessionInfo {
    /// Reads a session's getters or the detail of `moved`.
    pub fn read(value: &JsValue) -> Self {
        Self {
            service: text(value, "service"),
            server: text(value, "server"),
            epoch: count(value, "epoch"),
            term: count(value, "term"),
            path: path(value),
        }
    }
}

impl Report {
    pub fn read(service: &str, value: &JsValue) -> Self {
        Self {
            service: service.to_owned(),
            from: text(value, "from"),
            to: text(value, "to"),
            witness: text(value, "witness"),
            term: count(value, "term"),
            pause_ms: count(value, "pauseMs"),
            bytes: count(value, "bytes"),
            state_bytes: count(value, "stateBytes"),
            uncertain: flag(value, "uncertain"),
        }
    }
}

impl Method {
    /// The methods of a manifest, in its order.
    pub fn read_all(manifest: &JsValue) -> Vec<Self> {
        let interface = field(manifest, "interface");
        if !interface.is_object() {
            return Vec::new();
        }
        js_sys::Object::keys(interface.unchecked_ref())
            .iter()
            .filter_map(|name| name.as_string())
            .map(|name| {
                let method = field(&interface, &name);
                Self {
                    body: Schema::read(&field(&method, "body")),
                    json_reply: field(&method, "reply").is_object(),
                    read_only: flag(&method, "readOnly"),
                    description: text(&method, "description"),
                    name,
                }
            })
            .collect()
    }
}

/// A field, `undefined` when `value` is no object.
pub fn field(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A text field, or an empty text.
pub fn text(value: &JsValue, key: &str) -> String {
    field(value, key).as_string().unwrap_or_default()
}

/// A whole number, 0 when it is none. A number or a big integer, as the API may give either.
pub fn count(value: &JsValue, key: &str) -> u64 {
    let found = field(value, key);
    match found.as_f64() {
        Some(number) => number as u64,
        None => u64::try_from(found).unwrap_or(0),
    }
}

pub fn flag(value: &JsValue, key: &str) -> bool {
    field(value, key).is_truthy()
}

fn path(value: &JsValue) -> Path {
    match text(value, "path").as_str() {
        "relayed" => Path::Relayed,
        "external" => Path::External,
        _ => Path::Direct,
    }
}

pub fn each(value: &JsValue, key: &str) -> impl Iterator<Item = JsValue> {
    field(value, key).dyn_into::<Array>().unwrap_or_default().to_vec().into_iter()
}

pub fn texts(value: &JsValue, key: &str) -> Vec<String> {
    each(value, key).filter_map(|item| item.as_string()).collect()
}
