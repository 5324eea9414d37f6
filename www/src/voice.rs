//! The Voice view: which conference to join, under which name, and who can be found.

use js_sys::Object;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{kept_text, set, Conference, Peer};
use crate::calling::{BeFound, FindPeople};
use crate::conference::ConferencePage;
use crate::examples::publish_example;
use crate::hooks::{go, keep};
use crate::lobby::Lobby;
use crate::model::{text, ServiceInfo};
use crate::parts::Problem;
use crate::settings;
use crate::state::{Action, State, View};
use crate::words::{explain, trimmed};

/// The tag of services that hold conferences.
pub const CONFERENCES: &str = "voice-conference";
const NICK: &str = "tabfarm.nick";
/// The longest name of a person or conference, in characters.
pub const MAX_NAME: &str = "32";

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
pub struct Target {
    pub service: Option<String>,
    pub conference: String,
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
pub async fn find(peer: &Peer) -> Result<Vec<ServiceInfo>, String> {
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
