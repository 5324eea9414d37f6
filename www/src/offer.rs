//! What this tab offers to others: the switch, the limits, which services are taken, and what that means for the device.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{keep_in_tab, keep_text, kept_in_tab, kept_text, knows_screen, Peer};
use crate::hooks::{keep, Dispatch};
use crate::limits::{Limits, LIMITS, MAX_LIST};
use crate::power::{use_power, use_screen, Power};
use crate::state::{Action, State};
use crate::words::{explain, plural, service_name};

/// Kept per tab: a reload goes on volunteering, a new tab asks first.
const VOLUNTEERING: &str = "tabfarm.volunteering";
const SCREEN: &str = "tabfarm.screen";

/// Is there something here that goes on whichever view is shown, so that the form has to be there?
pub fn lasts() -> bool {
    was_on() || kept_text(SCREEN) == "on"
}

/// Did this tab volunteer before it was reloaded?
fn was_on() -> bool {
    kept_in_tab(VOLUNTEERING) == "on"
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
    /// What stands between the switch and the limits where there is room for one column only.
    pub children: Html,
}

/// The form: three cells of a grid, the switch, what runs here, and the limits.
#[component]
pub fn Offer(props: &Props) -> Html {
    let state = &props.state;
    let limits = use_state(Limits::kept);
    let on = use_state(was_on);
    let screen = use_state(|| kept_text(SCREEN) == "on");
    let power = use_power();
    let hosting = !state.status.hosting.is_empty();
    let waits = limits.mains_only && power == Power::Battery;
    let lit = use_screen(*screen && hosting);
    let turn = use_mut_ref(|| 0u32);
    {
        let state = state.clone();
        let deps = (state.peer.clone(), *on, (*limits).clone(), power);
        use_effect_with(deps, move |(peer, on, limits, power)| {
            *turn.borrow_mut() += 1;
            // Nothing is begun or ended before it is known whether the device is on its battery.
            if let Some(peer) = peer.as_ref().filter(|_| *power != Power::Asking || !limits.mains_only) {
                if *on && limits.mains_only && *power == Power::Battery {
                    rest(peer.clone(), &state, turn.clone());
                } else {
                    let policy = if *on { limits.policy(*power != Power::Battery) } else { JsValue::FALSE };
                    offer(peer, &policy, &state.dispatcher());
                }
            }
        });
    }
    let toggle = {
        let on = on.clone();
        Callback::from(move |event: Event| {
            let checked = checked(&event);
            // A tab that cannot keep it asks again after a reload.
            keep_in_tab(VOLUNTEERING, if checked { "on" } else { "" });
            on.set(checked);
        })
    };
    let change = {
        let (limits, dispatch) = (limits.clone(), state.dispatcher());
        Callback::from(move |next: Limits| {
            keep(LIMITS, &next.json(), &dispatch);
            limits.set(next);
        })
    };
    let set = |apply: fn(&mut Limits, u32)| {
        let now = (*limits).clone();
        change.reform(move |value: u32| {
            let mut next = now.clone();
            apply(&mut next, value);
            next
        })
    };
    let write = |apply: fn(&mut Limits, String)| {
        let now = (*limits).clone();
        change.reform(move |event: Event| {
            let text = event.target_unchecked_into::<HtmlInputElement>().value();
            let mut next = now.clone();
            apply(&mut next, text.trim().chars().take(MAX_LIST).collect());
            next
        })
    };
    let mains =
        set(|limits, on| limits.mains_only = on == 1).reform(|event: Event| u32::from(checked(&event)));
    let light = {
        let screen = screen.clone();
        Callback::from(move |event: Event| {
            let wanted = checked(&event);
            // Where it cannot be kept, it is off again after a reload.
            keep_text(SCREEN, if wanted { "on" } else { "" });
            screen.set(wanted);
        })
    };
    let now = &*limits;
    html! {
        <>
            <section class="card stack offer-switch" aria-labelledby="offer">
                <label class="switch">
                    <input type="checkbox" role="switch" data-testid="volunteer-toggle" checked={*on} onchange={toggle} disabled={state.peer.is_none()} />
                    <span class="switch-track" aria-hidden="true"></span>
                    <span><strong id="offer">{ if *on { "Volunteering" } else { "Volunteer this tab" } }</strong>
                        <span class="hint block">{ if *on { "Others may move services here. Switch off at any time." } else { "Off: others cannot move services here." } }</span></span>
                </label>
                if *on && waits {
                    <p class="banner" role="status" data-testid="on-battery">{ "This device runs on its battery, so nothing is taken on now. Services that others can take are handed over; it goes on by itself on mains power." }</p>
                }
            </section>
            { props.children.clone() }
            <div class="stack offer-limits">
            <section class="card stack" aria-labelledby="limits">
                <h2 id="limits">{ "Limits" }</h2>
                <Slider label="Processor" unit="% of a core" min="5" max="100" step="5" value={now.cpu} name="cpu" change={set(|limits, value| limits.cpu = value)} />
                <Slider label="Memory" unit="MiB" min="16" max="2048" step="16" value={now.memory_mib} name="memory" change={set(|limits, value| limits.memory_mib = value)} />
                <Slider label="Storage" unit="MiB" min="0" max="2048" step="16" value={now.storage_mib} name="storage" change={set(|limits, value| limits.storage_mib = value)} />
                <Slider label="Bandwidth up" unit="kbit/s" min="0" max="20000" step="250" value={now.up_kbps} name="up" change={set(|limits, value| limits.up_kbps = value)} />
                <label class="check">
                    <input type="checkbox" data-testid="mains-only" checked={now.mains_only} onchange={mains} disabled={power == Power::Unknown} />
                    <span>{ "Only on mains power" }</span>
                </label>
                <p class="hint" data-testid="power">{ match power {
                    Power::Asking => "\u{a0}",
                    Power::Unknown => "This browser does not say whether the device runs on its battery.",
                    Power::Mains => "The device runs on mains power now.",
                    Power::Battery => "The device runs on its battery now.",
                } }</p>
            </section>
            <section class="card stack" aria-labelledby="which">
                <div><h2 id="which">{ "Which services" }</h2><p class="hint">{ "What is left empty takes all. A service has to be on each list that is not empty; every other one is refused. Separate entries with commas." }</p></div>
                <List label="Services" name="services" value={now.services.clone()} placeholder="all, or names like chat, kv@12D3KooW…" change={write(|limits, text| limits.services = text)} />
                <List label="Publishers" name="publishers" value={now.publishers.clone()} placeholder="all, or peer ids like 12D3KooW…" change={write(|limits, text| limits.publishers = text)} />
                <List label="Tags" name="tags" value={now.tags.clone()} placeholder="all, or tags like example" change={write(|limits, text| limits.tags = text)} />
            </section>
            <section class="card stack" aria-labelledby="awake">
                <div><h2 id="awake">{ "While something runs here" }</h2><p class="hint">{ "The browser is asked not to put this tab to sleep. A tab in the background serves as well, but a device that sleeps does not." }</p></div>
                <label class="check">
                    <input type="checkbox" data-testid="screen-on" checked={*screen} onchange={light} disabled={!knows_screen()} />
                    <span>{ "Keep the screen on" }</span>
                </label>
                if !knows_screen() {
                    <p class="hint">{ "This browser cannot keep the screen on." }</p>
                } else if *screen {
                    <p class={if lit { "banner" } else { "hint" }} role="status" data-testid="screen-notice">{
                        if lit { "The screen stays on while a service runs here and this tab is in front. That uses power." }
                        else if hosting { "The screen is not kept on now: the browser allows it only while this tab is in front." }
                        else { "The screen will stay on as soon as a service runs here." }
                    }</p>
                }
            </section>
            <div class="note" data-testid="trust-note">
                <h3>{ "Who can see what" }</h3>
                <p>{ "The person who runs a service's tab can read its data: every message, every name, its whole state. Put nothing into a service that its hosts must not read. The other way round there is a sandbox: a service that runs here sees nothing of this computer, no files, no other pages, no network." }</p>
            </div>
            </div>
        </>
    }
}

fn checked(event: &Event) -> bool {
    event.target_unchecked_into::<HtmlInputElement>().checked()
}

fn offer(peer: &Peer, policy: &JsValue, dispatch: &Dispatch) {
    if let Err(error) = peer.volunteer(policy) {
        dispatch.dispatch(Action::warn(explain(&error)));
    }
}

/// On battery: whatever others can take goes to them, then nothing more is taken on. What nobody takes goes on here. It ends when its `turn` is
/// over: the person or the device has changed what holds.
fn rest(peer: Peer, state: &UseReducerHandle<State>, turn: Rc<RefCell<u32>>) {
    let (dispatch, mine) = (state.dispatcher(), *turn.borrow());
    let served: Vec<String> = state
        .status
        .hosting
        .iter()
        .filter(|hosted| hosted.role == "leader")
        .map(|hosted| hosted.service.clone())
        .collect();
    let targets: Vec<String> = state.status.volunteers().map(|peer| peer.id.clone()).collect();
    spawn_local(async move {
        let mut stays = Vec::new();
        for service in &served {
            let mut moved = false;
            for target in &targets {
                if *turn.borrow() != mine {
                    return;
                }
                moved = peer.handover(service, target).await.is_ok();
                if moved {
                    break;
                }
            }
            if !moved {
                stays.push(service_name(service).to_owned());
            }
        }
        if *turn.borrow() != mine {
            return;
        }
        offer(&peer, &JsValue::FALSE, &dispatch);
        if !stays.is_empty() {
            dispatch.dispatch(Action::warn(format!(
                "On battery: {} could not be handed over and {} here: {}.",
                plural(stays.len(), "service"),
                if stays.len() == 1 { "goes on" } else { "go on" },
                stays.join(", ")
            )));
        }
    });
}

#[derive(Properties, PartialEq)]
struct ListProps {
    label: &'static str,
    name: &'static str,
    value: String,
    placeholder: &'static str,
    change: Callback<Event>,
}

#[component]
fn List(props: &ListProps) -> Html {
    html! {
        <label class="field">
            <span class="field-label">{ props.label }</span>
            <input type="text" data-testid={format!("take-{}", props.name)} maxlength={MAX_LIST.to_string()} spellcheck="false" autocomplete="off"
                placeholder={props.placeholder} value={props.value.clone()} onchange={props.change.clone()} />
        </label>
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
