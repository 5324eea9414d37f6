//! Before a conference: its name, the person's nick name, and the conferences that go on.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::Peer;
use crate::model::{count, each, text};
use crate::state::{State, View};
use crate::voice::{find, Target, MAX_NAME};
use crate::words::{plural, service_name, trimmed};

/// Services that are asked for their conferences.
const ASKED: usize = 3;

#[derive(Properties, PartialEq)]
pub struct LobbyProps {
    pub state: UseReducerHandle<State>,
    pub target: Target,
    pub nick: String,
    pub on_nick: Callback<String>,
    /// Joins a target, listening only or not.
    pub join: Callback<(Target, bool)>,
    /// What is being done, while it is being joined.
    pub joining: Option<&'static str>,
}

/// The form, and what goes on.
#[component]
pub fn Lobby(props: &LobbyProps) -> Html {
    let name = use_state(|| props.target.conference.clone());
    let listen = use_state(|| false);
    {
        let name = name.clone();
        use_effect_with(props.target.conference.clone(), move |wanted| {
            if !wanted.is_empty() {
                name.set(wanted.clone());
            }
        });
    }
    let submit = {
        let (join, service) = (props.join.clone(), props.target.service.clone());
        let (name, listen) = (name.clone(), listen.clone());
        move || join.emit((Target { service: service.clone(), conference: (*name).clone() }, *listen))
    };
    let on_enter = {
        let submit = submit.clone();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Enter" && !event.is_composing() {
                submit();
            }
        })
    };
    let input = |set: Callback<String>| {
        Callback::from(move |event: InputEvent| {
            set.emit(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let set_name = {
        let name = name.clone();
        Callback::from(move |value| name.set(value))
    };
    let busy = props.joining.is_some();
    html! {
        <>
            <div class="head"><div>
                <h1>{ "Voice" }</h1>
                <p class="lead">{ "Talk with up to seven others. The conference runs in somebody's tab, and moves on when that tab goes." }</p>
            </div></div>
            <section class="card stack" aria-labelledby="join-title">
                <h2 id="join-title">{ "Join a conference" }</h2>
                <div class="pair even" onkeydown={on_enter}>
                    <label class="field">
                        <span class="field-label">{ "Your nick name" }</span>
                        <input type="text" maxlength={MAX_NAME} autocomplete="nickname" data-testid="voice-nick" value={props.nick.clone()} oninput={input(props.on_nick.clone())} />
                    </label>
                    <label class="field">
                        <span class="field-label">{ "Conference" }</span>
                        <input type="text" maxlength={MAX_NAME} placeholder="tea room" data-testid="voice-conference" value={(*name).clone()} oninput={input(set_name)} />
                    </label>
                </div>
                <label class="check">
                    <input type="checkbox" checked={*listen} onchange={move |event: Event| listen.set(event.target_unchecked_into::<HtmlInputElement>().checked())} />
                    <span>{ "Only listen, without a microphone" }</span>
                </label>
                <div class="toolbar wraps">
                    <button class="button primary" data-testid="voice-join" disabled={busy || props.state.peer.is_none()} onclick={move |_| submit()}>{ if busy { "Joining…" } else { "Join" } }</button>
                    <p class="hint" role="status" data-testid="voice-status">{ match (&props.joining, &props.target.service) {
                        (Some(what), _) => (*what).to_owned(),
                        (None, _) if props.state.peer.is_none() => "Joining the network first…".to_owned(),
                        (None, Some(service)) => format!("At the service {}.", service_name(service)),
                        (None, None) => "A conference that does not exist begins when you join it.".to_owned(),
                    } }</p>
                </div>
            </section>
            <GoingOn state={props.state.clone()} join={props.join.clone()} {busy} />
        </>
    }
}

/// A conference that goes on.
#[derive(Clone, PartialEq)]
struct Open {
    service: String,
    name: String,
    people: u64,
}

#[derive(Properties, PartialEq)]
struct GoingOnProps {
    state: UseReducerHandle<State>,
    join: Callback<(Target, bool)>,
    busy: bool,
}

/// The conferences of the services that are found.
#[component]
fn GoingOn(props: &GoingOnProps) -> Html {
    let open = use_state(|| None::<Vec<Open>>);
    let looked = use_state(|| 0u32);
    let looking = props.state.view == View::Voice;
    {
        let open = open.clone();
        use_effect_with((props.state.peer.clone(), looking, *looked), move |(peer, looking, _)| {
            if let (Some(peer), true) = (peer.clone(), *looking) {
                spawn_local(async move { open.set(Some(going_on(&peer).await)) });
            }
        });
    }
    let Some(found) = &*open else { return Html::default() };
    html! {
        <section class="stack tight" aria-labelledby="open-title">
            <div class="toolbar"><h2 id="open-title" class="grow">{ "Going on now" }</h2>
                <button class="quiet" onclick={move |_| looked.set(*looked + 1)}>{ "Look again" }</button></div>
            if found.is_empty() { <p class="hint">{ "No conference is known. Join one by its name, or by a link." }</p> }
            <ul class="example-list">
                { for found.iter().map(|each| {
                    let (join, target) = (props.join.clone(), Target { service: Some(each.service.clone()), conference: each.name.clone() });
                    html! {
                        <li class="example" data-testid="voice-open" data-conference={each.name.clone()}>
                            <div><strong><bdi>{ &each.name }</bdi></strong><p class="hint">{ people(each.people) }</p></div>
                            <button class="button" disabled={props.busy} onclick={move |_| join.emit((target.clone(), false))} aria-label={format!("Join {}", each.name)}>{ "Join" }</button>
                        </li>
                    }
                }) }
            </ul>
        </section>
    }
}

/// `1 person`, `2 people`.
pub fn people(number: u64) -> String {
    if number == 1 {
        plural(1, "person")
    } else {
        format!("{number} people")
    }
}

async fn going_on(peer: &Peer) -> Vec<Open> {
    let mut open = Vec::new();
    for service in find(peer).await.unwrap_or_default().into_iter().take(ASKED) {
        // A service that does not answer has nothing to show.
        let Ok(reply) = peer.call(&service.id, "list", &Uint8Array::new_with_length(0)).await else {
            continue;
        };
        let Some(list) =
            reply.dyn_ref::<Uint8Array>().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
        else {
            continue;
        };
        let list = js_sys::JSON::parse(&list).unwrap_or(JsValue::NULL);
        open.extend(each(&list, "conferences").map(|each| Open {
            service: service.id.clone(),
            name: trimmed(&text(&each, "name")),
            people: count(&each, "people"),
        }));
    }
    open
}
