//! Settings: what this browser keeps for its person, and the view that changes it.

use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use crate::api::{copy_text, kept_text};
use crate::hooks::{keep, window, Dispatch};
use crate::pins::PinList;
use crate::state::{Action, State};

const NAME: &str = "tabfarm.name";
const RELAYS: &str = "tabfarm.relays";
const THEME: &str = "tabfarm.theme";
/// The longest name of a person, in characters.
const MAX_NAME: &str = "32";
/// The most relays that are joined.
const MAX_RELAYS: usize = 8;

/// The name that others see, or empty.
pub fn name() -> String {
    kept_text(NAME)
}

/// Relays to join instead of this origin's, one multiaddress each.
pub fn relays() -> Vec<String> {
    let kept = kept_text(RELAYS);
    kept.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_RELAYS).map(str::to_owned).collect()
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The Settings view.
#[component]
pub fn SettingsView(props: &Props) -> Html {
    let dispatch = props.state.dispatcher();
    html! {
        <div class="stack narrow">
            <h1>{ "Settings" }</h1>
            <Person dispatch={dispatch.clone()} />
            <Theme dispatch={dispatch.clone()} />
            <Relays dispatch={dispatch.clone()} connected={props.state.status.relays.clone()} />
            <PinList peer={props.state.peer.clone()} dispatch={dispatch.clone()} />
            <About id={props.state.peer.as_ref().map(|peer| peer.id()).unwrap_or_default()} {dispatch} />
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct PartProps {
    dispatch: Dispatch,
}

#[component]
fn Person(props: &PartProps) -> Html {
    let dispatch = props.dispatch.clone();
    let onchange = Callback::from(move |event: Event| {
        let input: HtmlInputElement = event.target_unchecked_into();
        keep(NAME, input.value().trim(), &dispatch);
        dispatch.dispatch(Action::tell("Saved. Others see the name after you reload this page."));
    });
    html! {
        <section class="card stack">
            <label class="field">
                <span class="field-label">{ "Your name" }</span>
                <input type="text" maxlength={MAX_NAME} autocomplete="nickname" value={name()} {onchange} />
                <span class="hint">{ "Shown to the peers that you are connected with. Leave it empty to be known by your id only." }</span>
            </label>
        </section>
    }
}

#[component]
fn Theme(props: &PartProps) -> Html {
    let chosen = use_state(|| kept_text(THEME));
    let onchange = {
        let (chosen, dispatch) = (chosen.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let value = event.target_unchecked_into::<HtmlSelectElement>().value();
            keep(THEME, &value, &dispatch);
            apply_theme(&value);
            chosen.set(value);
        })
    };
    let option = |value: &'static str, label: &'static str| {
        html! { <option {value} selected={*chosen == value}>{ label }</option> }
    };
    html! {
        <section class="card stack">
            <label class="field">
                <span class="field-label">{ "Appearance" }</span>
                <select {onchange} data-testid="theme">
                    { option("", "As the system") }
                    { option("light", "Light") }
                    { option("dark", "Dark") }
                </select>
            </label>
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct RelaysProps {
    dispatch: Dispatch,
    connected: Vec<String>,
}

#[component]
fn Relays(props: &RelaysProps) -> Html {
    let problem = use_state(String::new);
    let onchange = {
        let (problem, dispatch) = (problem.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let value = event.target_unchecked_into::<HtmlTextAreaElement>().value();
            let bad = value.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('/'));
            match bad {
                Some(line) => problem.set(format!(
                    "“{}” is no multiaddress: it has to start with “/”.",
                    crate::words::trimmed(line)
                )),
                None => {
                    problem.set(String::new());
                    keep(RELAYS, value.trim(), &dispatch);
                    dispatch.dispatch(Action::tell("Saved. Reload this page to join through these relays."));
                }
            }
        })
    };
    html! {
        <section class="card stack">
            <label class="field">
                <span class="field-label">{ "Relays" }</span>
                <textarea rows="3" class="mono" spellcheck="false" value={kept_text(RELAYS)} {onchange}
                    placeholder="/dns4/relay.example/tcp/443/wss/p2p/12D3KooW…" />
                <span class="hint">{ "One multiaddress per line. Empty: the relay that served this page. Relays only help tabs to meet; once met, tabs talk directly." }</span>
                if !problem.is_empty() {
                    <span class="problem" role="alert">{ &*problem }</span>
                }
            </label>
            if props.connected.is_empty() {
                <p class="hint">{ "Connected to no relay at the moment." }</p>
            } else {
                <div>
                    <p class="hint" id="connected-relays">{ "Connected now:" }</p>
                    <ul class="plain mono small" aria-labelledby="connected-relays">
                        { for props.connected.iter().map(|relay| html! { <li class="cut" title={relay.clone()}>{ relay }</li> }) }
                    </ul>
                </div>
            }
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct AboutProps {
    id: String,
    dispatch: Dispatch,
}

#[component]
fn About(props: &AboutProps) -> Html {
    let copy = {
        let (id, dispatch) = (props.id.clone(), props.dispatch.clone());
        Callback::from(move |_: MouseEvent| {
            let (id, dispatch) = (id.clone(), dispatch.clone());
            wasm_bindgen_futures::spawn_local(async move {
                dispatch.dispatch(if copy_text(&id).await {
                    Action::tell("Your peer id is in the clipboard.")
                } else {
                    Action::warn(
                        "The browser does not allow copying here. Select the id and copy it by hand.",
                    )
                });
            });
        })
    };
    html! {
        <section class="card stack">
            <h2>{ "About" }</h2>
            <p>{ "Tabfarm is made of browser tabs. Each tab can call services, publish them, and run them for others. A running service can move from tab to tab with its state while its users go on." }</p>
            <dl class="facts">
                <dt>{ "Version" }</dt><dd>{ env!("CARGO_PKG_VERSION") }</dd>
                <dt>{ "Your peer id" }</dt>
                <dd class="mono wrap">{ if props.id.is_empty() { "not joined yet" } else { props.id.as_str() } }</dd>
                <dt>{ "Secure page" }</dt><dd>{ if secure() { "yes" } else { "no" } }</dd>
            </dl>
            if !secure() {
                <p class="hint">{ "This page was opened over plain http, so the browser gives it no lasting identity, no storage locks and no media. Open it over https, or on localhost, to have them." }</p>
            }
            <div><button class="button" onclick={copy} disabled={props.id.is_empty()}>{ "Copy my peer id" }</button></div>
        </section>
    }
}

/// Does the browser regard the page as secure.
pub fn secure() -> bool {
    crate::model::field(&js_sys::global(), "isSecureContext").is_truthy()
}

fn apply_theme(theme: &str) {
    if let Some(root) = window().document().and_then(|document| document.document_element()) {
        // A data attribute can be set on every element.
        let _ = if theme.is_empty() {
            root.remove_attribute("data-theme")
        } else {
            root.set_attribute("data-theme", theme)
        };
    }
}
