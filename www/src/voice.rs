//! The Voice view: which conference to join, under which name, and who can be found.

use js_sys::{Object, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{kept_text, set, Conference, Peer};
use crate::calling::{BeFound, FindPeople};
use crate::conference::ConferencePage;
use crate::hooks::{go, keep};
use crate::model::{count, each, text, ServiceInfo};
use crate::parts::Problem;
use crate::services::publish_example;
use crate::settings;
use crate::state::{Action, State, View};
use crate::words::{explain, plural, service_name, trimmed};

/// The tag of services that hold conferences.
pub const CONFERENCES: &str = "voice-conference";
const NICK: &str = "tabfarm.nick";
/// The longest name of a person or conference, in characters.
const MAX_NAME: &str = "32";
/// Services that are asked for their conferences.
const ASKED: usize = 3;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// How far joining got.
#[derive(Clone, PartialEq)]
enum Phase {
    Lobby,
    /// What is being done, in words.
    Joining(&'static str),
    In(Conference),
}

/// Where somebody wants to go: a service, where it is known, and a conference of it.
#[derive(Clone, PartialEq, Default)]
struct Target {
    service: Option<String>,
    conference: String,
}

impl Target {
    /// `SERVICE/CONFERENCE`, as in the address and in rings.
    fn of(address: &str) -> Self {
        let (service, conference) = address.split_once('/').unwrap_or((address, ""));
        Self {
            service: Some(service).filter(|it| !it.is_empty()).map(str::to_owned),
            conference: trimmed(conference),
        }
    }
}

/// The view.
#[component]
pub fn VoiceView(props: &Props) -> Html {
    let state = &props.state;
    let dispatch = state.dispatcher();
    let phase = use_state(|| Phase::Lobby);
    let problem = use_state(|| None::<String>);
    let nick = use_state(kept_nick);
    let join = use_join(state, &phase, &problem, &nick);
    // The person accepted a ring: no form stands between.
    {
        let (join, dispatch) = (join.clone(), dispatch.clone());
        use_effect_with((state.accepted.clone(), state.peer.is_some()), move |(accepted, ready)| {
            if let (Some(accepted), true) = (accepted, ready) {
                dispatch.dispatch(Action::AcceptedTaken);
                join.emit((Target::of(accepted), false));
            }
        });
    }
    {
        let dispatch = dispatch.clone();
        use_effect_with(matches!(&*phase, Phase::In(_)), move |talking| {
            dispatch.dispatch(Action::Talking(*talking));
        });
    }
    let on_nick = {
        let (nick, dispatch) = (nick.clone(), dispatch.clone());
        Callback::from(move |value: String| {
            keep(NICK, value.trim(), &dispatch);
            nick.set(value);
        })
    };
    let left = {
        let (phase, problem) = (phase.clone(), problem.clone());
        Callback::from(move |why: String| {
            problem.set(Some(why).filter(|why| !why.is_empty()));
            phase.set(Phase::Lobby);
        })
    };
    let place = match &*phase {
        Phase::In(conference) => Some(place_of(conference)),
        _ => None,
    };
    html! {
        <div class="stack">
            if let Some(why) = &*problem { <Problem text={why.clone()} /> }
            {
                match &*phase {
                    Phase::In(conference) => html! {
                        <ConferencePage conference={conference.clone()} me={state.peer.as_ref().map(Peer::id).unwrap_or_default()}
                            peers={state.status.peers.clone()} {left} />
                    },
                    Phase::Lobby | Phase::Joining(_) => html! {
                        <Lobby state={state.clone()} target={state.conference.as_deref().map(Target::of).unwrap_or_default()}
                            nick={(*nick).clone()} {on_nick} join={join}
                            joining={match &*phase { Phase::Joining(what) => Some(*what), _ => None }} />
                    },
                }
            }
            <div class="columns">
                <FindPeople peer={state.peer.clone()} {place} nick={nick.trim().to_owned()} />
                <BeFound peer={state.peer.clone()} nick={nick.trim().to_owned()} {dispatch} />
            </div>
        </div>
    }
}

/// What joins a target, listening only or not: finds or publishes the service, and leaves the conference before.
#[hook]
fn use_join(
    state: &UseReducerHandle<State>,
    phase: &UseStateHandle<Phase>,
    problem: &UseStateHandle<Option<String>>,
    nick: &UseStateHandle<String>,
) -> Callback<(Target, bool)> {
    let (peer, phase, problem, nick) = (state.peer.clone(), phase.clone(), problem.clone(), nick.clone());
    Callback::from(move |(target, listen): (Target, bool)| {
        let Some(peer) = peer.clone() else { return };
        let name = nick.trim().to_owned();
        if name.is_empty() || target.conference.trim().is_empty() {
            problem.set(Some("Give yourself a nick name, and name a conference.".to_owned()));
            return;
        }
        if let Phase::In(before) = &*phase {
            before.leave();
        }
        problem.set(None);
        let (phase, problem) = (phase.clone(), problem.clone());
        phase.set(Phase::Joining("Looking for a voice service…"));
        spawn_local(async move {
            match enter(&peer, target, &name, listen, &phase).await {
                Ok(conference) => {
                    go(View::Voice, Some(&place_of(&conference)));
                    phase.set(Phase::In(conference));
                }
                Err(why) => {
                    problem.set(Some(why));
                    phase.set(Phase::Lobby);
                }
            }
        });
    })
}

async fn enter(
    peer: &Peer,
    target: Target,
    nick: &str,
    listen: bool,
    phase: &UseStateHandle<Phase>,
) -> Result<Conference, String> {
    let service = match target.service {
        Some(service) => service,
        None => match oldest(&find(peer).await?) {
            Some(service) => service,
            None => {
                phase.set(Phase::Joining("Nobody serves conferences: this tab begins to…"));
                publish_example(peer, "voice").await?;
                format!("voice@{}", peer.id())
            }
        },
    };
    phase.set(Phase::Joining("Joining…"));
    let joined = Conference::join(peer, &service, target.conference.trim(), nick, listen).await;
    joined.map_err(|error| explain(&error))
}

/// The voice services that somebody serves now.
async fn find(peer: &Peer) -> Result<Vec<ServiceInfo>, String> {
    let query = Object::new();
    set(&query, "tag", &CONFERENCES.into());
    let found = peer.find(&query).await.map_err(|error| explain(&error))?;
    let (services, _) = ServiceInfo::read_all(&found);
    Ok(services.into_iter().filter(|service| !service.hosts.is_empty()).collect())
}

/// Everybody who does not come by a link meets at the service that was published first.
fn oldest(services: &[ServiceInfo]) -> Option<String> {
    services.iter().min_by_key(|service| (service.sequence, &service.id)).map(|service| service.id.clone())
}

/// `SERVICE/CONFERENCE` of the conference that was joined.
fn place_of(conference: &Conference) -> String {
    let state = conference.state();
    format!("{}/{}", text(&state, "service"), text(&state, "name"))
}

fn kept_nick() -> String {
    Some(kept_text(NICK)).filter(|nick| !nick.is_empty()).unwrap_or_else(settings::name)
}

#[derive(Properties, PartialEq)]
struct LobbyProps {
    state: UseReducerHandle<State>,
    target: Target,
    nick: String,
    on_nick: Callback<String>,
    join: Callback<(Target, bool)>,
    joining: Option<&'static str>,
}

#[component]
fn Lobby(props: &LobbyProps) -> Html {
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
