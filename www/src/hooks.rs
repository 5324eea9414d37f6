//! Side effects: joining, listening to the peer, the address bar, timers. Components only render and dispatch.

use gloo::events::EventListener;
use gloo::timers::callback::{Interval, Timeout};
use js_sys::{Date, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{self, Peer};
use crate::flights::Flight;
use crate::history::EVERY_MS;
use crate::model::{count, field, text, Calls, ServiceInfo, SessionInfo, Status};
use crate::settings;
use crate::state::{Action, EntryKind, Ring, State, View};
use crate::words::{decimal, explain, service_name, short, trimmed};

/// The way to the reducer, handed to every view.
pub type Dispatch = UseReducerDispatcher<State>;

/// How often counters that no event announces (round trips, gas) are read, in ms.
const POLL_MS: u32 = 1_000;
/// How often the catalogue is fetched again while it is looked at, in ms.
const REFRESH_MS: u32 = 10_000;
/// How long typing must rest before a search begins, in ms.
const TYPING_MS: u32 = 200;
/// How long a notice stays, in ms.
const NOTICE_MS: u32 = 9_000;

/// Joins once, publishes the peer as `window.tabfarm`, and feeds its events to the reducer.
#[hook]
pub fn use_peer(state: &UseReducerHandle<State>) {
    let dispatch = state.dispatcher();
    use_effect_with((), move |()| {
        spawn_local(async move {
            match Peer::join(&settings::name(), &settings::relays()).await {
                Ok(peer) => {
                    // A page that forbids the property loses a convenience, not the app.
                    let _ = Reflect::set(&js_sys::global(), &"tabfarm".into(), &peer);
                    dispatch.dispatch(Action::Joined(peer));
                }
                Err(error) if text(&error, "code") == "disconnected" => {
                    let why = "No relay answered. Check that you are connected and that the relay runs.";
                    dispatch.dispatch(Action::JoinFailed(why.to_owned()));
                }
                Err(error) => dispatch.dispatch(Action::JoinFailed(explain(&error))),
            }
        });
    });
    let dispatch = state.dispatcher();
    use_effect_with(state.peer.clone(), move |peer| {
        let kept = peer.clone().map(|peer| (listen(&peer, &dispatch), poll(&peer, &dispatch)));
        move || drop(kept)
    });
}

/// Keeps the state in step with the address: `#/services/chat@…`, `#/voice/voice@…%2Ftea`, `#/ide`.
#[hook]
pub fn use_address(dispatch: Dispatch) {
    use_effect_with((), move |()| {
        let read = move || {
            let (view, service) = parse_address(&hash());
            dispatch.dispatch(Action::Show(view, service));
        };
        read();
        let listener = EventListener::new(&window(), "hashchange", move |_| {
            read();
            // A view begins at its top, not where another one was left.
            window().scroll_to_with_x_and_y(0.0, 0.0);
        });
        move || drop(listener)
    });
}

/// Goes to a view, or to a service; the address changes, and the state follows it.
pub fn go(view: View, service: Option<&str>) {
    let address = match service {
        Some(service) => address_of(view, service),
        None => format!("#/{}", view.slug()),
    };
    // Setting a hash fails on no page that can run this.
    let _ = window().location().set_hash(&address);
}

/// The link of the app, for others.
pub fn link_here() -> String {
    let location = window().location();
    location.origin().unwrap_or_default() + &location.pathname().unwrap_or_default()
}

/// The link of a service, for others.
pub fn link_to(view: View, service: &str) -> String {
    link_here() + &address_of(view, service)
}

/// The service that a name, an id or a link means, and the view that shows it.
pub fn named_in(text: &str) -> (View, Option<String>) {
    match text.find("#/") {
        Some(at) => parse_address(&text[at..]),
        None => (View::Services, Some(text.to_owned()).filter(|text| !text.is_empty())),
    }
}

fn address_of(view: View, service: &str) -> String {
    format!("#/{}/{}", view.slug(), js_sys::encode_uri_component(service))
}

/// Fetches what matches `query` shortly after it changes, and then every ten seconds while `active`.
#[hook]
pub fn use_catalogue(peer: Option<Peer>, query: String, active: bool, dispatch: Dispatch) {
    use_effect_with((peer, query, active), move |(peer, query, active)| {
        let timers = peer.clone().filter(|_| *active).map(|peer| {
            let look = {
                let query = query.clone();
                move || search(&peer, &query, &dispatch)
            };
            (Timeout::new(TYPING_MS, look.clone()), Interval::new(REFRESH_MS, look))
        });
        move || drop(timers)
    });
}

/// Dismisses a notice after its time.
#[hook]
pub fn use_dismissal(id: u32, dispatch: Dispatch) {
    use_effect_with(id, move |id| {
        let id = *id;
        let timer = Timeout::new(NOTICE_MS, move || dispatch.dispatch(Action::Dismiss(id)));
        move || drop(timer)
    });
}

/// Fetches what matches `query`, everything when it is empty.
pub fn search(peer: &Peer, query: &str, dispatch: &Dispatch) {
    let (peer, dispatch) = (peer.clone(), dispatch.clone());
    let asked = Object::new();
    if !query.is_empty() {
        api::set(&asked, "text", &query.into());
    }
    dispatch.dispatch(Action::Searching);
    spawn_local(async move {
        dispatch.dispatch(match peer.find(&asked).await {
            Ok(found) => {
                let (services, complete) = ServiceInfo::read_all(&found);
                Action::Found(services, complete)
            }
            Err(error) => Action::SearchFailed(explain(&error)),
        });
    });
}

/// The window; the app runs nowhere without one.
#[allow(clippy::expect_used)]
pub fn window() -> web_sys::Window {
    web_sys::window().expect("the app runs on a page")
}

/// A custom event's detail.
pub fn detail(event: &web_sys::Event) -> JsValue {
    field(event.unchecked_ref(), "detail")
}

fn poll(peer: &Peer, dispatch: &Dispatch) -> (Interval, Interval) {
    let status = {
        let (peer, dispatch) = (peer.clone(), dispatch.clone());
        Interval::new(POLL_MS, move || read_status(&peer, &dispatch))
    };
    let (peer, dispatch) = (peer.clone(), dispatch.clone());
    let sample = Interval::new(EVERY_MS, move || {
        let calls = peer.measured().map(|found| Calls::read_all(&found)).unwrap_or_default();
        dispatch.dispatch(Action::Sample { at: Date::now(), me: peer.id(), calls });
    });
    (status, sample)
}

fn read_status(peer: &Peer, dispatch: &Dispatch) {
    if let Ok(status) = peer.status() {
        dispatch.dispatch(Action::Status(Date::now(), Status::read(&status)));
    }
}

fn listen(peer: &Peer, dispatch: &Dispatch) -> Vec<EventListener> {
    read_status(peer, dispatch);
    let on = |name: &'static str, note: fn(&JsValue) -> Option<(EntryKind, String)>| {
        let (source, dispatch) = (peer.clone(), dispatch.clone());
        EventListener::new(peer, name, move |event| {
            if let Some((kind, text)) = note(&detail(event)) {
                dispatch.dispatch(Action::Note(Date::now(), kind, text));
            }
            read_status(&source, &dispatch);
        })
    };
    let peers = {
        let (source, dispatch) = (peer.clone(), dispatch.clone());
        EventListener::new(peer, "peer", move |event| {
            read_status(&source, &dispatch);
            let (id, connected) =
                (text(&detail(event), "id"), field(&detail(event), "connected").is_truthy());
            dispatch.dispatch(Action::Peer { at: Date::now(), id, connected });
        })
    };
    // Before the status is read again: a move is told by the session's former server.
    let flying = |name: &'static str, flight: fn(&JsValue) -> Flight| {
        let dispatch = dispatch.clone();
        EventListener::new(peer, name, move |event| {
            dispatch.dispatch(Action::Flight(flight(&detail(event))));
        })
    };
    let flights = [flying("handover", handover_flight), flying("moved", moved_flight)];
    let ringing = {
        let dispatch = dispatch.clone();
        EventListener::new(peer, "ring", move |event| {
            let detail = detail(event);
            let ring = Ring {
                number: count(&detail, "ring"),
                nick: trimmed(&text(&detail, "nick")),
                short: text(&detail, "short"),
                conference: text(&detail, "conference"),
                detail: detail.unchecked_into(),
            };
            dispatch.dispatch(Action::Ringing(ring));
        })
    };
    let over = {
        let dispatch = dispatch.clone();
        EventListener::new(peer, "ringOver", move |event| {
            dispatch.dispatch(Action::RingOver(count(&detail(event), "ring")));
        })
    };
    let mut listeners = Vec::from(flights);
    listeners.extend([
        ringing,
        over,
        on("status", |_| None),
        peers,
        on("hosting", |_| None),
        on("handover", handover_note),
        on("moved", moved_note),
        on("shed", shed_note),
        on("placed", placed_note),
        on("log", log_note),
        on("error", |detail| Some((EntryKind::Error, explain(detail)))),
    ]);
    listeners
}

fn handover_flight(detail: &JsValue) -> Flight {
    Flight {
        number: 0,
        service: text(detail, "service"),
        from: text(detail, "from"),
        to: text(detail, "to"),
        step: trimmed(&text(detail, "step")),
        at: Date::now(),
    }
}

fn moved_flight(detail: &JsValue) -> Flight {
    let info = SessionInfo::read(detail);
    Flight {
        number: 0,
        service: info.service,
        from: String::new(),
        to: info.server,
        step: "done".into(),
        at: Date::now(),
    }
}

fn handover_note(detail: &JsValue) -> Option<(EntryKind, String)> {
    let (service, from, to) = (text(detail, "service"), text(detail, "from"), text(detail, "to"));
    let (step, reason) = (text(detail, "step"), text(detail, "reason"));
    let because = if reason.is_empty() { String::new() } else { format!(" ({})", trimmed(&reason)) };
    Some((
        EntryKind::Handover,
        format!("{}: {} → {}, {step}{because}", service_name(&service), short(&from), short(&to)),
    ))
}

fn moved_note(detail: &JsValue) -> Option<(EntryKind, String)> {
    let info = SessionInfo::read(detail);
    let line = format!(
        "{} is served by {} now (term {})",
        service_name(&info.service),
        short(&info.server),
        info.term
    );
    Some((EntryKind::Handover, line))
}

fn shed_note(detail: &JsValue) -> Option<(EntryKind, String)> {
    let (service, to) = (text(detail, "service"), text(detail, "to"));
    let why = match count(detail, "lateMs") {
        0 => format!("{} % of what you grant is foreseen", count(detail, "percent")),
        late => format!("it answers {late} ms late"),
    };
    Some((
        EntryKind::Handover,
        format!("{} moves to {}: too much for this tab, {why}", service_name(&service), short(&to)),
    ))
}

fn placed_note(detail: &JsValue) -> Option<(EntryKind, String)> {
    let service = text(detail, "service");
    let ms = |key: &str| field(detail, key).as_f64().map_or_else(|| "–".to_owned(), decimal);
    let name = service_name(&service);
    let words = match field(detail, "here").as_bool() {
        Some(true) => format!(
            "{name} runs here from now on: this tab calls it much, and a call elsewhere takes {} ms",
            ms("thereMs")
        ),
        _ => format!(
            "{name} is called elsewhere again; a call took {} ms here, {} ms there",
            ms("hereMs"),
            ms("thereMs")
        ),
    };
    Some((EntryKind::Handover, words))
}

fn log_note(detail: &JsValue) -> Option<(EntryKind, String)> {
    let line = format!("{}: {}", service_name(&text(detail, "service")), trimmed(&text(detail, "text")));
    Some((EntryKind::Log, line))
}

fn hash() -> String {
    window().location().hash().unwrap_or_default()
}

fn parse_address(hash: &str) -> (View, Option<String>) {
    let mut parts = hash.trim_start_matches(['#', '/']).splitn(2, '/');
    let slug = parts.next().unwrap_or_default();
    let view = View::ALL.into_iter().find(|view| view.slug() == slug).unwrap_or(View::Services);
    let service = parts
        .next()
        .filter(|rest| !rest.is_empty())
        .and_then(|rest| js_sys::decode_uri_component(rest).ok())
        .map(String::from);
    (view, service)
}

/// Keeps `text` in this browser, or tells the person that the browser refuses.
pub fn keep(key: &str, text: &str, dispatch: &Dispatch) {
    if !api::keep_text(key, text) {
        dispatch.dispatch(Action::warn(
            "This browser does not keep data for this page, so it will be gone after a reload.",
        ));
    }
}
