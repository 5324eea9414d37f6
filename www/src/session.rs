//! One open session: its life as a small reducer, and the hook that opens, follows and closes it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use gloo::events::EventListener;
use gloo::timers::callback::Interval;
use gloo::timers::future::sleep;
use js_sys::{Date, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{keep_early, Peer, Session};
use crate::hooks::detail;
use crate::model::{field, text, texts, Method, SessionInfo};
use crate::words::{explain, short, trimmed};

/// Lines of a session's log; older ones are forgotten.
const MAX_LINES: usize = 200;
/// How often the path to the server is read, in ms: no event tells that a relayed path became direct.
const POLL_MS: u32 = 1_000;
/// How often a package is asked for again, and after which time.
const PACKAGE_RETRIES: u32 = 4;
const RETRY: Duration = Duration::from_millis(600);
/// Bytes of a message or reply that are shown.
const MAX_SHOWN: usize = 4_000;

/// How far a session got.
#[derive(Clone, PartialEq)]
pub enum Phase {
    Opening,
    Open(Session),
    /// It could not be opened, and why, in words.
    Failed(String),
    /// Several services have the name: their ids.
    Ambiguous(Vec<String>),
    /// It ended, and why.
    Closed(String),
}

/// What a package tells a page about its service.
#[derive(Clone, PartialEq, Default)]
pub struct Package {
    pub description: String,
    pub state: String,
    /// Who may open it, and who may host it; empty where the manifest says nothing.
    pub access: String,
    pub hosts: String,
    pub methods: Vec<Method>,
    /// The path of the UI's entry, where there is a UI.
    pub entry: Option<String>,
    /// Assets by path.
    pub ui: JsValue,
    pub manifest: JsValue,
    /// Why there is none, in words.
    pub problem: Option<String>,
}

/// What a line of the log is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    Sent,
    Got,
    Moved,
    Failed,
    /// What the module logs, where it runs in this tab on trial.
    Log,
}

/// A line of the log.
#[derive(Clone, PartialEq)]
pub struct Line {
    pub number: u32,
    pub at: f64,
    pub kind: LineKind,
    pub text: String,
}

/// A session as its page shows it.
#[derive(Clone, PartialEq)]
pub struct Life {
    pub phase: Phase,
    pub info: Option<SessionInfo>,
    /// `None` until it came.
    pub package: Option<Package>,
    /// How often the service moved while this session was open.
    pub moves: u32,
    /// Newest first.
    pub lines: VecDeque<Line>,
    next: u32,
}

impl Default for Life {
    fn default() -> Self {
        Self { phase: Phase::Opening, info: None, package: None, moves: 0, lines: VecDeque::new(), next: 0 }
    }
}

/// What happened to a session.
pub enum Change {
    Opening,
    Opened(Session),
    Failed(String),
    Ambiguous(Vec<String>),
    Closed(String),
    Package(Package),
    Info(SessionInfo),
    Moved(SessionInfo),
    Line(LineKind, String),
}

impl Reducible for Life {
    type Action = Change;

    fn reduce(self: Rc<Self>, change: Change) -> Rc<Self> {
        if matches!(&change, Change::Info(info) if self.info.as_ref() == Some(info)) {
            return self;
        }
        let mut life = Rc::unwrap_or_clone(self);
        match change {
            Change::Opening => life.phase = Phase::Opening,
            Change::Opened(session) => {
                life.info = Some(SessionInfo::read(&session));
                life.phase = Phase::Open(session);
            }
            Change::Failed(why) => life.phase = Phase::Failed(why),
            Change::Ambiguous(candidates) => life.phase = Phase::Ambiguous(candidates),
            Change::Closed(why) => life.phase = Phase::Closed(why),
            Change::Package(package) => life.package = Some(package),
            Change::Info(info) => life.info = Some(info),
            Change::Moved(info) => {
                life.moves += 1;
                life.line(
                    LineKind::Moved,
                    format!("Moved to {} (epoch {}, term {})", short(&info.server), info.epoch, info.term),
                );
                life.info = Some(info);
            }
            Change::Line(kind, text) => life.line(kind, text),
        }
        Rc::new(life)
    }
}

impl Life {
    fn line(&mut self, kind: LineKind, text: String) {
        self.next = self.next.wrapping_add(1);
        self.lines.push_front(Line { number: self.next, at: Date::now(), kind, text });
        self.lines.truncate(MAX_LINES);
    }
}

/// Opens a session to `service`, again whenever `attempt` changes, and closes it when the page goes.
#[hook]
pub fn use_session(peer: Peer, service: String, attempt: u32) -> UseReducerHandle<Life> {
    let life = use_reducer(Life::default);
    let dispatch = life.dispatcher();
    use_effect_with((peer, service, attempt), move |(peer, service, _)| {
        let gone = Rc::new(Cell::new(false));
        let kept = Rc::new(Cell::new(None::<Kept>));
        dispatch.dispatch(Change::Opening);
        spawn_local(fetch_package(peer.clone(), service.clone(), dispatch.clone(), gone.clone()));
        let (peer, service, is_gone, keeps) = (peer.clone(), service.clone(), gone.clone(), kept.clone());
        spawn_local(async move {
            match peer.open(&service).await {
                // The page went while the session was being opened.
                Ok(session) if is_gone.get() => session.close(),
                Ok(session) => {
                    keep_early(&session);
                    keeps.set(Some(Kept {
                        _listeners: follow(&session, &dispatch),
                        session: session.clone(),
                    }));
                    dispatch.dispatch(Change::Opened(session));
                }
                Err(_) if is_gone.get() => {}
                Err(error) if text(&error, "code") == "ambiguous" => {
                    dispatch.dispatch(Change::Ambiguous(texts(&error, "candidates")));
                }
                Err(error) => dispatch.dispatch(Change::Failed(explain(&error))),
            }
        });
        move || {
            gone.set(true);
            drop(kept.take());
        }
    });
    life
}

/// Bytes of a message or reply as people can read them: text where they are text, else hexadecimal.
pub fn readable(body: &[u8]) -> String {
    let cut = &body[..body.len().min(MAX_SHOWN)];
    let more =
        if body.len() > cut.len() { format!(" … {} bytes in all", body.len()) } else { String::new() };
    let text = match std::str::from_utf8(cut) {
        Ok(text) => text.to_owned(),
        // A character that the cut tore apart is not the sender's fault.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&cut[..error.valid_up_to()]).into_owned()
        }
        Err(_) => cut.iter().take(256).map(|byte| format!("{byte:02x} ")).collect(),
    };
    text + &more
}

/// An open session, closed when dropped.
struct Kept {
    session: Session,
    _listeners: (Vec<EventListener>, Interval),
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.session.close();
    }
}

fn follow(session: &Session, dispatch: &UseReducerDispatcher<Life>) -> (Vec<EventListener>, Interval) {
    let on = |name: &'static str, change: fn(&JsValue) -> Change| {
        let dispatch = dispatch.clone();
        EventListener::new(session, name, move |event| dispatch.dispatch(change(&detail(event))))
    };
    let listeners = vec![
        on("message", |body| Change::Line(LineKind::Got, readable(&bytes(body)))),
        on("datagram", |body| Change::Line(LineKind::Got, format!("(datagram) {}", readable(&bytes(body))))),
        on("moved", |info| Change::Moved(SessionInfo::read(info))),
        on("close", |detail| Change::Closed(trimmed(&text(detail, "reason")))),
    ];
    let (source, dispatch) = (session.clone(), dispatch.clone());
    let poll = Interval::new(POLL_MS, move || dispatch.dispatch(Change::Info(SessionInfo::read(&source))));
    (listeners, poll)
}

/// A manifest's list of keys, in words.
fn who(manifest: &JsValue, key: &str) -> String {
    let keys = texts(manifest, key).len();
    match keys {
        0 => "anyone".into(),
        1 => "one listed person".into(),
        many => format!("{many} listed people"),
    }
}

fn bytes(body: &JsValue) -> Vec<u8> {
    body.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec).unwrap_or_default()
}

async fn fetch_package(
    peer: Peer,
    service: String,
    dispatch: UseReducerDispatcher<Life>,
    gone: Rc<Cell<bool>>,
) {
    let mut result = peer.package(&service).await;
    // Right after a join or a move the first peer that is asked may not have it.
    for _ in 0..PACKAGE_RETRIES {
        if result.is_ok() || gone.get() {
            break;
        }
        sleep(RETRY).await;
        result = peer.package(&service).await;
    }
    // Without a package the page still calls methods by name.
    let package = match result {
        Ok(found) => {
            let manifest = field(&found, "manifest");
            let entry = text(&manifest, "ui");
            Package {
                description: text(&manifest, "description"),
                state: text(&manifest, "state"),
                access: who(&manifest, "access"),
                hosts: who(&manifest, "hosts"),
                methods: Method::read_all(&manifest),
                // The page of a service that runs elsewhere may be gone with its publisher.
                entry: Some(entry)
                    .filter(|entry| !entry.is_empty() && !field(&field(&found, "ui"), entry).is_undefined()),
                ui: field(&found, "ui"),
                manifest,
                problem: None,
            }
        }
        Err(error) => Package { problem: Some(explain(&error)), ..Package::default() },
    };
    if !gone.get() {
        dispatch.dispatch(Change::Package(package));
    }
}
