//! The Volunteer view: whether and how much this tab takes on for others, what runs here, and where it moves.

use js_sys::Object;
use wasm_bindgen::JsValue;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{keep_in_tab, kept_in_tab, kept_text, set, Peer};
use crate::hooks::{keep, Dispatch};
use crate::hosted::HostedItem;
use crate::parts::{Empty, PeerChip};
use crate::state::{Action, State};
use crate::words::{bytes, explain, millis, service_name};

const LIMITS: &str = "tabfarm.limits";
/// Kept per tab: a reload goes on volunteering, a new tab asks first.
const VOLUNTEERING: &str = "tabfarm.volunteering";

/// Did this tab volunteer before it was reloaded? Then the view has to be there for it to go on.
pub fn was_on() -> bool {
    kept_in_tab(VOLUNTEERING) == "on"
}

/// What a person lets others use.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Limits {
    /// Percent of a core.
    cpu: u32,
    memory_mib: u32,
    storage_mib: u32,
}

impl Limits {
    /// A guess at what nobody notices on an ordinary laptop.
    const DEFAULT: Limits = Limits { cpu: 25, memory_mib: 256, storage_mib: 256 };

    fn kept() -> Self {
        let kept = kept_text(LIMITS);
        let mut numbers = kept.split(' ').map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(cpu)), Some(Ok(memory_mib)), Some(Ok(storage_mib))) => Self {
                cpu: cpu.clamp(5, 100),
                memory_mib: memory_mib.clamp(16, 2048),
                storage_mib: storage_mib.min(2048),
            },
            _ => Self::DEFAULT,
        }
    }

    fn policy(self) -> JsValue {
        let policy = Object::new();
        set(&policy, "cpu", &self.cpu.into());
        set(&policy, "memoryMiB", &self.memory_mib.into());
        set(&policy, "storageMiB", &self.storage_mib.into());
        set(&policy, "services", &"any".into());
        policy.into()
    }
}

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
            <div class="columns wide-right">
                <Offer peer={state.peer.clone()} dispatch={state.dispatcher()} />
                <section class="stack" aria-labelledby="here">
                    <h2 id="here">{ "Running here" } <span class="faint">{ format!(" {}", state.status.hosting.len()) }</span></h2>
                    if state.status.hosting.is_empty() {
                        <Empty title="Nothing runs in this tab">
                            <p>{ "Volunteer, or publish a service: what you publish runs here until somebody else takes it." }</p>
                        </Empty>
                    } else if let Some(peer) = &state.peer {
                        <ul class="plain stack">
                            { for state.status.hosting.iter().map(|hosted| html! {
                                <HostedItem key={hosted.service.clone()} hosted={hosted.clone()} targets={targets.clone()} peers={state.status.peers.clone()}
                                    peer={peer.clone()} dispatch={state.dispatcher()} />
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

#[derive(Properties, PartialEq)]
struct OfferProps {
    peer: Option<Peer>,
    dispatch: Dispatch,
}

#[component]
fn Offer(props: &OfferProps) -> Html {
    let limits = use_state(Limits::kept);
    let on = use_state(was_on);
    {
        let dispatch = props.dispatch.clone();
        use_effect_with((props.peer.clone(), *on, *limits), move |(peer, on, limits)| {
            if let Some(peer) = peer {
                let policy = if *on { limits.policy() } else { JsValue::FALSE };
                if let Err(error) = peer.volunteer(&policy) {
                    dispatch.dispatch(Action::warn(explain(&error)));
                }
            }
        });
    }
    let toggle = {
        let on = on.clone();
        Callback::from(move |event: Event| {
            let checked = event.target_unchecked_into::<HtmlInputElement>().checked();
            // A tab that cannot keep it asks again after a reload.
            keep_in_tab(VOLUNTEERING, if checked { "on" } else { "" });
            on.set(checked);
        })
    };
    let change = {
        let (limits, dispatch) = (limits.clone(), props.dispatch.clone());
        Callback::from(move |next: Limits| {
            keep(LIMITS, &format!("{} {} {}", next.cpu, next.memory_mib, next.storage_mib), &dispatch);
            limits.set(next);
        })
    };
    let now = *limits;
    html! {
        <section class="card stack" aria-labelledby="offer">
            <label class="switch">
                <input type="checkbox" role="switch" data-testid="volunteer-toggle" checked={*on} onchange={toggle} disabled={props.peer.is_none()} />
                <span class="switch-track" aria-hidden="true"></span>
                <span><strong id="offer">{ if *on { "Volunteering" } else { "Volunteer this tab" } }</strong>
                    <span class="hint block">{ if *on { "Others may move services here. Switch off at any time." } else { "Off: others cannot move services here." } }</span></span>
            </label>
            <hr />
            <Slider label="Processor" unit="% of a core" min="5" max="100" step="5" value={now.cpu} name="cpu"
                change={change.reform(move |cpu| Limits { cpu, ..now })} />
            <Slider label="Memory" unit="MiB" min="16" max="2048" step="16" value={now.memory_mib} name="memory"
                change={change.reform(move |memory_mib| Limits { memory_mib, ..now })} />
            <Slider label="Storage" unit="MiB" min="0" max="2048" step="16" value={now.storage_mib} name="storage"
                change={change.reform(move |storage_mib| Limits { storage_mib, ..now })} />
            <div class="note">
                <h3>{ "Who can see what" }</h3>
                <p>{ "Services run in a sandbox: they see nothing of this computer, no files, no other pages, no network. But whoever hosts a service can see everything inside it: every message, every name, its whole state. Put nothing into a service that its hosts must not read." }</p>
            </div>
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct SliderProps {
    label: &'static str,
    unit: &'static str,
    name: &'static str,
    min: &'static str,
    max: &'static str,
    step: &'static str,
    value: u32,
    change: Callback<u32>,
}

#[component]
fn Slider(props: &SliderProps) -> Html {
    // The number follows the finger; what is applied and kept follows its release.
    let shown = use_state(|| props.value);
    let read = |event: &Event| {
        event.target_dyn_into::<HtmlInputElement>().and_then(|input| input.value().parse::<u32>().ok())
    };
    let oninput = {
        let shown = shown.clone();
        Callback::from(move |event: InputEvent| {
            if let Some(value) = read(&event) {
                shown.set(value);
            }
        })
    };
    let onchange = {
        let change = props.change.clone();
        Callback::from(move |event: Event| {
            if let Some(value) = read(&event) {
                change.emit(value);
            }
        })
    };
    html! {
        <label class="field">
            <span class="slider-head"><span class="field-label">{ props.label }</span><output class="small">{ format!("{} {}", *shown, props.unit) }</output></span>
            <input type="range" data-testid={format!("limit-{}", props.name)} min={props.min} max={props.max} step={props.step}
                value={shown.to_string()} {oninput} {onchange} aria-valuetext={format!("{} {}", *shown, props.unit)} />
        </label>
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
