//! The Services view: the catalogue, and the page of the service that is open.

use yew::prelude::*;

use crate::catalogue::Catalogue;
use crate::hooks::{go, Dispatch};
use crate::lazy::{Lazy, Part};
use crate::state::{Action, State, View};
use crate::words::service_name;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view.
#[component]
pub fn ServicesView(props: &Props) -> Html {
    let state = &props.state;
    html! {
        <>
            <div class="stack" hidden={!state.browsing}>
                if let Some(service) = &state.service { <StillOpen service={service.clone()} dispatch={state.dispatcher()} /> }
                <Catalogue state={state.clone()} />
            </div>
            <div hidden={state.browsing}>
                if state.service.is_some() && state.peer.is_some() {
                    <Lazy part={Part::Service} state={state.clone()} />
                } else {
                    <p class="hint" role="status">{ "Joining; the service opens as soon as this tab has joined." }</p>
                }
            </div>
        </>
    }
}

#[derive(Properties, PartialEq)]
struct OpenProps {
    service: String,
    dispatch: Dispatch,
}

/// The way back to the open service, above the catalogue.
#[component]
fn StillOpen(props: &OpenProps) -> Html {
    let (service, dispatch) = (props.service.clone(), props.dispatch.clone());
    html! {
        <div class="strip" data-testid="still-open">
            <span class="grow">{ "Still open: " }<strong><bdi>{ service_name(&props.service) }</bdi></strong></span>
            <button class="button" onclick={move |_| go(View::Services, Some(&service))}>{ "Return to it" }</button>
            <button class="button" onclick={move |_| dispatch.dispatch(Action::CloseService)}>{ "Close it" }</button>
        </div>
    }
}
