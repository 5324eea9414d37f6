//! The Volunteer view: whether and how much this tab takes on for others, what runs here, and where it moves.

use yew::prelude::*;

use crate::api::Peer;
use crate::hooks::Dispatch;
use crate::hosted::HostedItem;
use crate::offer::Offer;
use crate::parts::{Empty, PeerChip};
use crate::state::{Action, State};
use crate::words::{bytes, explain, millis, service_name};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view.
#[component]
pub fn VolunteerView(props: &Props) -> Html {
    let state = &props.state;
    let me = state.peer.as_ref().map(Peer::id).unwrap_or_default();
    let targets: Vec<_> = state.status.volunteers().filter(|peer| peer.id != me).cloned().collect();
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "Volunteer" }</h1>
                    <p class="lead">{ "Let this tab run services for others, within limits that you set." }</p>
                </div>
            </div>
            <div class="offer">
                <Offer state={state.clone()}>
                <section class="stack offer-here" aria-labelledby="here">
                    <h2 id="here">{ "Running here" } if !state.status.hosting.is_empty() { <span class="faint">{ format!(" {}", state.status.hosting.len()) }</span> }</h2>
                    if state.status.hosting.is_empty() {
                        <Empty title="Nothing runs in this tab">
                            <p>{ "Volunteer, or publish a service: what you publish runs here until somebody else takes it." }</p>
                        </Empty>
                    } else if let Some(peer) = &state.peer {
                        <ul class="plain stack">
                            { for state.status.hosting.iter().map(|hosted| html! {
                                <HostedItem key={hosted.service.clone()} hosted={hosted.clone()} targets={targets.clone()} peers={state.status.peers.clone()}
                                    load={state.history.load(&hosted.service)} peer={peer.clone()} dispatch={state.dispatcher()} />
                            }) }
                        </ul>
                    }
                    if let Some(peer) = &state.peer {
                        { for state.status.waiting.iter().map(|service| html! {
                            <Waiting key={service.clone()} service={service.clone()} peer={peer.clone()} dispatch={state.dispatcher()} />
                        }) }
                    }
                    <Reports {state} />
                </section>
                </Offer>
            </div>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct WaitingProps {
    service: String,
    peer: Peer,
    dispatch: Dispatch,
}

/// A replicated service whose other copies are not there.
#[component]
fn Waiting(props: &WaitingProps) -> Html {
    let own = props.service.split_once('@').is_some_and(|(_, publisher)| publisher == props.peer.id());
    let recover = {
        let (peer, service, dispatch) = (props.peer.clone(), props.service.clone(), props.dispatch.clone());
        Callback::from(move |_: MouseEvent| {
            let (peer, service, dispatch) = (peer.clone(), service.clone(), dispatch.clone());
            wasm_bindgen_futures::spawn_local(async move {
                if let Err(error) = peer.recover(&service).await {
                    dispatch.dispatch(Action::warn(explain(&error)));
                }
            });
        })
    };
    html! {
        <div class="banner" data-testid="waiting-service">
            <p class="grow"><strong><bdi>{ service_name(&props.service) }</bdi></strong>
                { " waits: this tab has a stored copy, and goes on with it once most of the tabs that had one are back." }</p>
            if own {
                <button class="button" data-testid="recover-service" onclick={recover}>{ "Go on with this copy" }</button>
            }
        </div>
    }
}

/// What the last handovers cost.
#[component]
fn Reports(props: &Props) -> Html {
    let reports = &props.state.reports;
    if reports.is_empty() {
        return Html::default();
    }
    let me = props.state.peer.as_ref().map(Peer::id).unwrap_or_default();
    html! {
        <section class="stack" aria-labelledby="moved-title">
            <h2 id="moved-title">{ "Moved from here" }</h2>
            <ul class="plain stack" data-testid="handover-reports">
                { for reports.iter().map(|report| html! {
                    <li class="card report" data-testid="handover-report">
                        <div class="peers"><strong><bdi>{ service_name(&report.service) }</bdi></strong>
                            <PeerChip id={report.from.clone()} me={report.from == me} /><span aria-label="to">{ "→" }</span><PeerChip id={report.to.clone()} /></div>
                        <dl class="numbers">
                            <div><dt>{ "Pause" }</dt><dd>{ millis(report.pause_ms as f64) }</dd></div>
                            <div><dt>{ "Sent" }</dt><dd>{ bytes(report.bytes) }</dd></div>
                            <div><dt>{ "State" }</dt><dd>{ bytes(report.state_bytes) }</dd></div>
                            <div><dt>{ "Term" }</dt><dd>{ report.term.to_string() }</dd></div>
                        </dl>
                        if report.uncertain {
                            <p class="problem">{ "It is not known whether the other tab serves it. Look it up in the catalogue before you stop anything." }</p>
                        }
                    </li>
                }) }
            </ul>
        </section>
    }
}
