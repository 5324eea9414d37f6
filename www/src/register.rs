//! Services that run elsewhere: the person's own ones with a way to withdraw them, and the way to the form that registers one.

use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::Peer;
use crate::hooks::{search, Dispatch};
use crate::lazy::{Lazy, Part};
use crate::model::ServiceInfo;
use crate::state::{Action, State};
use crate::words::{explain, host_of};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The section; the form is folded away until it is wanted.
#[component]
pub fn Register(props: &Props) -> Html {
    let open = use_state(|| false);
    let state = &props.state;
    let me = state.peer.as_ref().map(Peer::id).unwrap_or_default();
    let own =
        state.catalogue.services.iter().filter(|service| !service.url.is_empty() && service.publisher == me);
    let own: Vec<ServiceInfo> = own.cloned().collect();
    let toggle = {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(!*open))
    };
    let done = {
        let open = open.clone();
        Callback::from(move |()| open.set(false))
    };
    html! {
        <section class="stack examples register" aria-labelledby="register-title">
            <div>
                <h2 id="register-title">{ "A service that runs elsewhere" }</h2>
                <p class="hint">{ "A server of yours, found and called here like a service in a tab. It has to allow calls from web pages." }</p>
            </div>
            if !own.is_empty() {
                <ul class="plain stack tight">
                    { for own.iter().map(|service| html! { <Own key={service.id.clone()} service={service.clone()} peer={state.peer.clone()} dispatch={state.dispatcher()} /> }) }
                </ul>
            }
            <div>
                <button class="button" aria-expanded={open.to_string()} aria-controls="register-form" data-testid="register-open" disabled={state.peer.is_none()} onclick={toggle}>
                    { if *open { "Close the form" } else { "Register one" } }</button>
            </div>
            if *open { <Lazy part={Part::Register} state={state.clone()} {done} /> }
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct OwnProps {
    service: ServiceInfo,
    peer: Option<Peer>,
    dispatch: Dispatch,
}

/// One that this person registered.
#[component]
fn Own(props: &OwnProps) -> Html {
    let busy = use_state(|| false);
    let onclick = {
        let (id, peer, dispatch, busy) =
            (props.service.id.clone(), props.peer.clone(), props.dispatch.clone(), busy.clone());
        Callback::from(move |_: MouseEvent| {
            let Some(peer) = peer.clone() else { return };
            busy.set(true);
            let (id, dispatch, busy) = (id.clone(), dispatch.clone(), busy.clone());
            spawn_local(async move {
                dispatch.dispatch(match peer.drop_service(&id).await {
                    Ok(_) => Action::tell(
                        "It is withdrawn. Whoever has it open can go on calling its address.".to_owned(),
                    ),
                    Err(error) => Action::warn(explain(&error)),
                });
                search(&peer, "", &dispatch);
                busy.set(false);
            });
        })
    };
    html! {
        <li class="strip" data-testid="registered" data-service={props.service.name.clone()}>
            <span class="grow"><strong><bdi>{ &props.service.name }</bdi></strong>{ " at " }<bdi class="wrap">{ host_of(&props.service.url) }</bdi></span>
            <button class="button" data-testid="withdraw" disabled={*busy} aria-label={format!("Withdraw {}", props.service.name)} {onclick}>{ "Withdraw" }</button>
        </li>
    }
}
