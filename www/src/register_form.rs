//! The form that registers a service that runs elsewhere.

use js_sys::Object;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{set, Peer};
use crate::draft::{Draft, Flaw, MethodRow};
use crate::hooks::{search, Dispatch};
use crate::ide_form::flaw;
use crate::ide_methods::Methods;
use crate::parts::Problem;
use crate::state::Action;
use crate::words::{explain, host_of};

/// The longest address that is taken.
const MAX_URL: u32 = 512;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub peer: Peer,
    pub dispatch: Dispatch,
    /// It is registered.
    pub done: Callback<()>,
}

#[derive(Clone, PartialEq)]
enum Sending {
    No,
    Now,
    Failed(String),
}

fn blank() -> Draft {
    let mut draft = Draft::default();
    draft.set_value("version", "1.0.0".into());
    draft.set_interface("{}".into());
    draft.set_methods(vec![MethodRow::default()]);
    draft
}

/// The form.
#[component]
pub fn RegisterForm(props: &Props) -> Html {
    let draft = use_state(blank);
    let url = use_state(String::new);
    let tried = use_state(|| false);
    let sending = use_state(|| Sending::No);
    let flaws = flaws(&draft, &url);
    let shown = if *tried { flaws.clone() } else { Vec::new() };
    let set_field = |id: &'static str| {
        let draft = draft.clone();
        Callback::from(move |value: String| {
            let mut next = (*draft).clone();
            next.set_value(id, value);
            draft.set(next);
        })
    };
    let set_url = {
        let url = url.clone();
        Callback::from(move |value: String| url.set(value))
    };
    let change = {
        let draft = draft.clone();
        Callback::from(move |next: Draft| draft.set(next))
    };
    let onsubmit = {
        let (draft, url, tried, sending) = (draft.clone(), url.clone(), tried.clone(), sending.clone());
        let (peer, dispatch, done, is_right) =
            (props.peer.clone(), props.dispatch.clone(), props.done.clone(), flaws.is_empty());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            tried.set(true);
            if !is_right || *sending == Sending::Now {
                return;
            }
            sending.set(Sending::Now);
            let (draft, url, sending) = ((*draft).clone(), url.trim().to_owned(), sending.clone());
            let (peer, dispatch, done) = (peer.clone(), dispatch.clone(), done.clone());
            spawn_local(async move {
                let published = async { peer.publish(&package(&draft, &url)?).await };
                match published.await {
                    Ok(_) => {
                        let name = draft.value("name");
                        dispatch
                            .dispatch(Action::tell(format!("{name} is registered at {}.", host_of(&url))));
                        search(&peer, "", &dispatch);
                        done.emit(());
                    }
                    Err(error) => sending.set(Sending::Failed(explain(&error))),
                }
            });
        })
    };
    let text = |id: &'static str, label: &'static str, hint: &'static str| {
        html! { <Text {id} {label} {hint} value={draft.value(id).to_owned()} set={set_field(id)} flaw={flaw(&shown, id)} /> }
    };
    html! {
        <form id="register-form" class="card stack ide-form" data-testid="register-form" novalidate=true {onsubmit}>
            <div class="pair even">
                { text("name", "Name", "weather") }
                { text("version", "Version", "1.0.0") }
            </div>
            <Text id="url" label="Address" hint="https://api.example.org/v1" value={(*url).clone()} set={set_url} flaw={flaw(&shown, "url")} />
            { text("description", "Description", "") }
            { text("tags", "Tags", "") }
            <h3>{ "Methods" }</h3>
            <p class="hint">{ "Each is called by POST at the address, a slash and its name. With a JSON Schema its body or reply is JSON, else bytes." }</p>
            <Methods draft={(*draft).clone()} flaws={shown.clone()} {change} />
            if let Some(words) = flaw(&shown, "interface") { <p class="problem" role="alert">{ words }</p> }
            <p class="hint">{ "The server answers the browser's question beforehand: it allows any origin, and the headers content-type and idempotency-key." }</p>
            if let Sending::Failed(why) = &*sending { <Problem text={why.clone()} /> }
            <div class="toolbar wraps">
                <button class="button primary" data-testid="register-publish" disabled={*sending == Sending::Now}>
                    { if *sending == Sending::Now { "Registering…" } else { "Register" } }</button>
                if !shown.is_empty() { <span class="problem" role="status">{ "Something above is not right yet." }</span> }
            </div>
        </form>
    }
}

/// What keeps the form from being sent. What an address may be, the peer says.
fn flaws(draft: &Draft, url: &str) -> Vec<Flaw> {
    let mut flaws = draft.flaws();
    if url.trim().is_empty() {
        flaws.push(Flaw { field: "url".into(), words: "Where does it run?".into() });
    }
    if draft.methods.is_empty() {
        flaws.push(Flaw { field: "interface".into(), words: "Name at least one method.".into() });
    }
    flaws
}

/// What `Peer::publish` takes.
fn package(draft: &Draft, url: &str) -> Result<Object, JsValue> {
    let manifest = draft.manifest("url", None)?;
    set(&manifest, "url", &url.into());
    let package = Object::new();
    set(&package, "manifest", &manifest);
    Ok(package)
}

#[derive(Properties, PartialEq)]
struct TextProps {
    id: &'static str,
    label: &'static str,
    hint: &'static str,
    value: String,
    set: Callback<String>,
    flaw: Option<String>,
}

#[component]
fn Text(props: &TextProps) -> Html {
    let set = props.set.clone();
    let oninput = Callback::from(move |event: InputEvent| {
        set.emit(event.target_unchecked_into::<HtmlInputElement>().value())
    });
    let flaw_id = format!("register-{}-flaw", props.id);
    html! {
        <label class="field">
            <span class="field-label">{ props.label }</span>
            <input type="text" autocomplete="off" spellcheck="false" maxlength={MAX_URL.to_string()} data-testid={format!("register-{}", props.id)} placeholder={props.hint}
                value={props.value.clone()} {oninput} aria-invalid={props.flaw.is_some().to_string()} aria-describedby={flaw_id.clone()} />
            <span class="problem" id={flaw_id} aria-live="polite">{ props.flaw.clone().unwrap_or_default() }</span>
        </label>
    }
}
