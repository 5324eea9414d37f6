//! Finding people by their nick names, ringing them, and being rung.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{kept_text, Peer};
use crate::hooks::{go, keep, Dispatch};
use crate::model::{count, text};
use crate::parts::tone;
use crate::state::{Action, Ring, View};
use crate::words::{explain, millis, trimmed};

const ANNOUNCED: &str = "tabfarm.announced";
const PROFILE: &str = "tabfarm.profile";
const MAX_NICK: &str = "32";
const MAX_PROFILE: &str = "200";
/// Candidates that are shown; the DHT tells of no more.
const MAX_SHOWN: usize = 20;

/// Does this person want to be found? Then the view has to be there after a reload.
pub fn announced() -> bool {
    kept_text(ANNOUNCED) == "on"
}

#[derive(Properties, PartialEq)]
pub struct BeFoundProps {
    pub peer: Option<Peer>,
    pub nick: String,
    pub dispatch: Dispatch,
}

/// Announces the person's nick name while it is switched on.
#[component]
pub fn BeFound(props: &BeFoundProps) -> Html {
    let on = use_state(announced);
    let profile = use_state(|| kept_text(PROFILE));
    {
        let wanted = (*on && !props.nick.is_empty()).then(|| (props.nick.clone(), (*profile).clone()));
        let dispatch = props.dispatch.clone();
        // Nothing was announced before, so nothing needs to be withdrawn at first.
        let ever = use_mut_ref(|| false);
        use_effect_with((props.peer.clone(), wanted), move |(peer, wanted)| {
            let (Some(peer), true) = (peer.clone(), wanted.is_some() || *ever.borrow()) else { return };
            *ever.borrow_mut() = true;
            let (nick, profile) = wanted.clone().unwrap_or_default();
            spawn_local(async move {
                if let Err(error) = peer.announce(&nick, &profile).await {
                    dispatch.dispatch(Action::warn(explain(&error)));
                }
            });
        });
    }
    let toggle = {
        let (on, dispatch) = (on.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let checked = event.target_unchecked_into::<HtmlInputElement>().checked();
            keep(ANNOUNCED, if checked { "on" } else { "" }, &dispatch);
            on.set(checked);
        })
    };
    let onchange = {
        let (profile, dispatch) = (profile.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let value = event.target_unchecked_into::<HtmlInputElement>().value();
            keep(PROFILE, &value, &dispatch);
            profile.set(value);
        })
    };
    html! {
        <section class="card stack" aria-labelledby="found-title">
            <h2 id="found-title">{ "Be found" }</h2>
            <label class="switch">
                <input type="checkbox" role="switch" checked={*on} onchange={toggle} data-testid="nick-announce" />
                <span class="switch-track" aria-hidden="true"></span>
                <span><strong>{ "Let people find and ring me" }</strong>
                    <span class="hint block">{ if props.nick.is_empty() { "You need a nick name first.".to_owned() } else { format!("Anybody can look “{}” up, and ring this tab while it is open.", props.nick) } }</span></span>
            </label>
            <label class="field">
                <span class="field-label">{ "A line about you" }</span>
                <input type="text" maxlength={MAX_PROFILE} value={(*profile).clone()} {onchange} />
                <span class="hint">{ "So that people know you from others of the same nick name." }</span>
            </label>
        </section>
    }
}

/// Somebody who was found, and how ringing goes.
#[derive(Clone, PartialEq)]
struct Candidate {
    nick: String,
    peer: String,
    short: String,
    profile: String,
}

#[derive(Clone, PartialEq)]
struct Search {
    nick: String,
    took_ms: f64,
    found: Vec<Candidate>,
}

#[derive(Properties, PartialEq)]
pub struct FindProps {
    pub peer: Option<Peer>,
    /// The conference that people can be rung into.
    pub place: Option<String>,
    /// Who rings.
    pub nick: String,
}

/// Looks people up.
#[component]
pub fn FindPeople(props: &FindProps) -> Html {
    let nick = use_state(String::new);
    let search = use_state(|| None::<Result<Search, String>>);
    let busy = use_state(|| false);
    let look = {
        let (peer, nick, search, busy) = (props.peer.clone(), nick.clone(), search.clone(), busy.clone());
        move || {
            let Some(peer) = peer.clone() else { return };
            if nick.trim().is_empty() || *busy {
                return;
            }
            busy.set(true);
            let (nick, search, busy) = (nick.trim().to_owned(), search.clone(), busy.clone());
            spawn_local(async move {
                search.set(Some(look_up(&peer, nick).await));
                busy.set(false);
            });
        }
    };
    let onkeydown = {
        let look = look.clone();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Enter" && !event.is_composing() {
                look();
            }
        })
    };
    let oninput = {
        let nick = nick.clone();
        Callback::from(move |event: InputEvent| {
            nick.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    html! {
        <section class="card stack" aria-labelledby="find-title">
            <h2 id="find-title">{ "Find somebody" }</h2>
            <div class="toolbar" role="search">
                <input type="search" class="grow" maxlength={MAX_NICK} placeholder="Nick name" aria-label="Nick name of somebody" data-testid="nick-search"
                    value={(*nick).clone()} {oninput} {onkeydown} />
                <button class="button" data-testid="nick-lookup" disabled={props.peer.is_none() || *busy} onclick={move |_| look()}>{ if *busy { "Looking…" } else { "Look up" } }</button>
            </div>
            <p class="hint" role="status" data-testid="nick-result">{ match &*search {
                None => "The name is looked up in the network's hash table; no server keeps a list.".to_owned(),
                Some(Ok(search)) => said(search),
                Some(Err(why)) => why.clone(),
            } }</p>
            if let Some(Ok(search)) = &*search {
                <ul class="plain stack tight">
                    { for search.found.iter().map(|each| html! { <CandidateLine key={each.peer.clone()} peer={props.peer.clone()} candidate={each.clone()} place={props.place.clone()} nick={props.nick.clone()} /> }) }
                </ul>
                if props.place.is_none() && !search.found.is_empty() { <p class="hint">{ "Join a conference first; then you can ring people into it." }</p> }
            }
        </section>
    }
}

fn said(search: &Search) -> String {
    let took = millis(search.took_ms);
    match search.found.len() {
        0 => format!("Nobody is called “{}” now (asked for {took}).", search.nick),
        1 => format!("Found in {took}. Compare the end of the key with what the person told you."),
        several => {
            format!("{several} people use this name (found in {took}). Compare the ends of their keys.")
        }
    }
}

async fn look_up(peer: &Peer, nick: String) -> Result<Search, String> {
    let found = peer.lookup(&nick).await.map_err(|error| explain(&error))?;
    let took_ms = count(&found, "tookMs") as f64;
    let candidate = |value: JsValue| Candidate {
        nick: trimmed(&text(&value, "nick")),
        peer: text(&value, "peer"),
        short: text(&value, "short"),
        profile: trimmed(&text(&value, "profile")),
    };
    let found = found.unchecked_into::<Array>().iter().take(MAX_SHOWN).map(candidate).collect();
    Ok(Search { nick, took_ms, found })
}

#[derive(Properties, PartialEq)]
struct CandidateProps {
    peer: Option<Peer>,
    candidate: Candidate,
    place: Option<String>,
    nick: String,
}

#[component]
fn CandidateLine(props: &CandidateProps) -> Html {
    let (busy, came) = (use_state(|| false), use_state(String::new));
    let each = &props.candidate;
    let me = props.peer.as_ref().is_some_and(|peer| peer.id() == each.peer);
    let ring = {
        let (peer, place) = (props.peer.clone(), props.place.clone());
        let (to, nick) = (each.peer.clone(), props.nick.clone());
        let (busy, came) = (busy.clone(), came.clone());
        Callback::from(move |_: MouseEvent| {
            let (Some(peer), Some(place)) = (peer.clone(), place.clone()) else { return };
            let (to, nick, busy, came) = (to.clone(), nick.clone(), busy.clone(), came.clone());
            busy.set(true);
            came.set("Ringing…".to_owned());
            spawn_local(async move {
                came.set(rung(peer.ring(&to, &place, &nick).await));
                busy.set(false);
            });
        })
    };
    html! {
        <li class="example" data-testid="nick-candidate" data-peer={each.peer.clone()}>
            <div class="grow">
                <span class="peer" title={each.peer.clone()}><span class={format!("dot tone-{}", tone(&each.peer))} aria-hidden="true"></span><strong><bdi>{ &each.nick }</bdi></strong>
                    <span class="mono faint">{ &each.short }</span></span>
                if !each.profile.is_empty() { <p class="hint"><bdi>{ &each.profile }</bdi></p> }
                <p class="hint" role="status" data-testid="ring-state">{ &*came }</p>
            </div>
            if me { <span class="faint small">{ "you" }</span> } else {
                <button class="button" data-testid="ring" disabled={*busy || props.place.is_none()} onclick={ring} aria-label={format!("Ring {}, key {}", each.nick, each.short)}>{ "Ring" }</button>
            }
        </li>
    }
}

fn rung(result: Result<JsValue, JsValue>) -> String {
    match result {
        Ok(accepted) if accepted.is_truthy() => "Accepted.".to_owned(),
        Ok(_) => "Declined.".to_owned(),
        Err(error) => match text(&error, "code").as_str() {
            "deadline" => "Nobody answered.".to_owned(),
            "overloaded" => "The line is busy.".to_owned(),
            "disconnected" => "This person's tab cannot be reached.".to_owned(),
            _ => explain(&error),
        },
    }
}

#[derive(Properties, PartialEq)]
pub struct RingsProps {
    pub rings: Vec<Ring>,
    pub dispatch: Dispatch,
}

/// Those who ring now, whichever view is shown.
#[component]
pub fn Rings(props: &RingsProps) -> Html {
    html! {
        <div class="rings" aria-live="assertive">
            { for props.rings.iter().map(|ring| html! { <RingLine key={ring.number} ring={ring.clone()} dispatch={props.dispatch.clone()} /> }) }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct RingProps {
    ring: Ring,
    dispatch: Dispatch,
}

#[component]
fn RingLine(props: &RingProps) -> Html {
    let ring = &props.ring;
    let conference = ring.conference.split_once('/').map_or("", |(_, name)| name);
    let answer = |accept: bool| {
        let (ring, dispatch) = (ring.clone(), props.dispatch.clone());
        Callback::from(move |_: MouseEvent| {
            let (ring, dispatch) = (ring.clone(), dispatch.clone());
            dispatch.dispatch(Action::RingOver(ring.number));
            spawn_local(async move {
                let answered = if accept { ring.detail.accept().await } else { ring.detail.decline().await };
                match answered {
                    Ok(_) if accept => {
                        dispatch.dispatch(Action::Accepted(ring.conference.clone()));
                        go(View::Voice, Some(&ring.conference));
                    }
                    Ok(_) => {}
                    Err(_) => dispatch.dispatch(Action::warn("The caller has given up.")),
                }
            });
        })
    };
    html! {
        <div class="banner ringing" role="group" aria-label="Somebody rings" data-testid="ring-banner">
            <p class="grow"><strong><bdi>{ if ring.nick.is_empty() { "Somebody" } else { ring.nick.as_str() } }</bdi></strong>{ " (key " }<span class="mono">{ &ring.short }</span>{ ") asks you into the conference “" }<bdi>{ trimmed(conference) }</bdi>{ "”." }</p>
            <div class="toolbar">
                <button class="button primary" data-testid="ring-accept" onclick={answer(true)}>{ "Accept" }</button>
                <button class="button" data-testid="ring-decline" onclick={answer(false)}>{ "Decline" }</button>
            </div>
        </div>
    }
}
