//! Names that several publishers have: the choice between them, and what a person chose for good.

use std::collections::BTreeMap;

use js_sys::Object;
use wasm_bindgen::{JsCast, JsValue};
use yew::prelude::*;

use crate::api::Peer;
use crate::hooks::{go, Dispatch};
use crate::model::{text, PeerInfo, ServiceInfo};
use crate::parts::PeerChip;
use crate::state::{Action, View};
use crate::words::{explain, moment, service_name};

/// Candidates that are shown; the peer lists no more.
const MAX_CANDIDATES: usize = 16;

/// What this browser's pins say.
pub fn pins(peer: Option<&Peer>) -> BTreeMap<String, String> {
    let Some(pins) = peer.and_then(|peer| peer.pins().ok()).filter(JsValue::is_object) else {
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    for name in Object::keys(pins.unchecked_ref()).iter().filter_map(|name| name.as_string()) {
        found.insert(name.clone(), text(&pins, &name));
    }
    found
}

#[derive(Properties, PartialEq)]
pub struct CandidatesProps {
    /// The bare name.
    pub name: String,
    /// Full ids.
    pub candidates: Vec<String>,
    /// What the catalogue knows.
    pub known: Vec<ServiceInfo>,
    pub peers: Vec<PeerInfo>,
    pub peer: Peer,
    /// A pin was set: the name means something now.
    pub on_pin: Callback<()>,
}

/// The choice between services of one name.
#[component]
pub fn Candidates(props: &CandidatesProps) -> Html {
    let problem = use_state(|| None::<String>);
    html! {
        <section class="card stack" data-testid="ambiguous" aria-labelledby="ambiguous-title">
            <div>
                <h2 id="ambiguous-title">{ "Which " }<bdi>{ &props.name }</bdi>{ "?" }</h2>
                <p class="hint">{ "Several people publish a service of that name. Anybody may choose any name, so look at who publishes it. What you pin is what the name means in this browser from now on." }</p>
            </div>
            <ul class="plain stack tight">
                { for props.candidates.iter().take(MAX_CANDIDATES).map(|id| {
                    let publisher = id.split_once('@').map(|(_, publisher)| publisher).unwrap_or_default().to_owned();
                    let known = props.known.iter().find(|service| service.id == *id);
                    let nick = props.peers.iter().find(|peer| peer.id == publisher).map(|peer| peer.name.clone()).unwrap_or_default();
                    let open = { let id = id.clone(); move |_: MouseEvent| go(View::Services, Some(&id)) };
                    let pin = {
                        let (peer, name, id, on_pin, problem) = (props.peer.clone(), props.name.clone(), id.clone(), props.on_pin.clone(), problem.clone());
                        move |_: MouseEvent| match peer.pin(&name, &JsValue::from_str(&id)) {
                            Ok(()) => on_pin.emit(()),
                            Err(error) => problem.set(Some(explain(&error))),
                        }
                    };
                    html! {
                        <li class="example candidate" key={id.clone()} data-testid="candidate" data-service-id={id.clone()}>
                            <div class="stack tight">
                                <PeerChip id={publisher.clone()} name={nick} me={publisher == props.peer.id()} />
                                if let Some(known) = known {
                                    <p class="hint"><bdi>{ format!("v{} · {}", known.version, known.description) }</bdi></p>
                                    <p class="hint">{ format!("Published {}", moment(known.sequence as f64)) }</p>
                                }
                                <p class="hint mono wrap">{ publisher }</p>
                            </div>
                            <div class="toolbar wraps">
                                <button class="button" data-testid="candidate-open" onclick={open}>{ "Open once" }</button>
                                <button class="button primary" data-testid="candidate-pin" onclick={pin}>{ "Pin and open" }</button>
                            </div>
                        </li>
                    }
                }) }
            </ul>
            if let Some(problem) = &*problem { <p class="problem" role="alert">{ problem }</p> }
        </section>
    }
}

#[derive(Properties, PartialEq)]
pub struct ListProps {
    pub peer: Option<Peer>,
    pub dispatch: Dispatch,
}

/// The pins, and how to be rid of them.
#[component]
pub fn PinList(props: &ListProps) -> Html {
    let changed = use_force_update();
    let pins = pins(props.peer.as_ref());
    html! {
        <section class="card stack" aria-labelledby="pins-title">
            <div>
                <h2 id="pins-title">{ "Pinned names" }</h2>
                <p class="hint">{ "What a bare name means in this browser where several people publish a service of that name." }</p>
            </div>
            if pins.is_empty() {
                <p class="hint" data-testid="no-pins">{ "Nothing is pinned. You are asked when a name is not clear." }</p>
            } else {
                <ul class="plain stack tight">
                    { for pins.into_iter().map(|(name, service)| {
                        let (peer, dispatch, changed, of) = (props.peer.clone(), props.dispatch.clone(), changed.clone(), name.clone());
                        let remove = move |_: MouseEvent| {
                            match peer.as_ref().map(|peer| peer.pin(&of, &JsValue::NULL)) {
                                Some(Err(error)) => dispatch.dispatch(Action::warn(explain(&error))),
                                _ => changed.force_update(),
                            }
                        };
                        let publisher = service.split_once('@').map(|(_, publisher)| publisher).unwrap_or_default().to_owned();
                        html! {
                            <li class="example" key={name.clone()} data-testid="pin" data-name={name.clone()}>
                                <div><strong><bdi>{ service_name(&service) }</bdi></strong>{ " is by " }<PeerChip id={publisher} /></div>
                                <button class="button" data-testid="unpin" aria-label={format!("Let go of {name}")} onclick={remove}>{ "Let go" }</button>
                            </li>
                        }
                    }) }
                </ul>
            }
        </section>
    }
}
