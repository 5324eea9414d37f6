//! A UI for services that bring none: a form per method of the manifest, messages, and a log.

use js_sys::{Date, Object, Uint8Array, JSON};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use crate::api::{set, Peer, Session};
use crate::model::{text, Method, Status};
use crate::schema::{self, Property};
use crate::session::{readable, Change, Life, Line, LineKind};
use crate::words::{clock, count, explain, millis};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub session: Session,
    pub life: UseReducerHandle<Life>,
    /// The peer that runs the service on trial and nothing else: each call then shows the gas that it took.
    #[prop_or_default]
    pub meter: Option<Peer>,
}

/// The UI.
#[component]
pub fn DefaultUi(props: &Props) -> Html {
    let methods = props.life.package.as_ref().map(|package| package.methods.clone()).unwrap_or_default();
    let problem = props.life.package.as_ref().and_then(|package| package.problem.clone());
    html! {
        <div class="columns">
            <section class="stack" aria-label="Methods">
                <h2>{ "Methods" }</h2>
                if methods.is_empty() {
                    <FreeForm session={props.session.clone()} {problem} meter={props.meter.clone()} />
                }
                { for methods.iter().map(|method| html! {
                    <MethodForm key={method.name.clone()} method={method.clone()} session={props.session.clone()} meter={props.meter.clone()} />
                }) }
            </section>
            <section class="stack" aria-label="Messages">
                <h2>{ "Messages" }</h2>
                <MessageForm session={props.session.clone()} life={props.life.clone()} />
                <Log lines={props.life.lines.iter().cloned().collect::<Vec<_>>()} />
            </section>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct FreeProps {
    session: Session,
    /// Why the methods are not known.
    problem: Option<String>,
    meter: Option<Peer>,
}

/// The manifest names no method: the person does.
#[component]
fn FreeForm(props: &FreeProps) -> Html {
    let name = use_state(String::new);
    let oninput = {
        let name = name.clone();
        Callback::from(move |event: InputEvent| {
            name.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let method = Method {
        name: (*name).clone(),
        json_body: false,
        body_type: String::new(),
        body: JsValue::UNDEFINED,
        reply: JsValue::UNDEFINED,
        read_only: false,
        description: String::new(),
    };
    html! {
        <>
            if let Some(why) = &props.problem {
                <p class="problem" role="alert">{ "What this service can do could not be fetched. " }{ why }</p>
            }
            <p class="hint">{ if props.problem.is_some() { "If you know a method, name it." } else { "This service describes no methods. If you know one, name it." } }</p>
            <label class="field"><span class="field-label">{ "Method" }</span><input type="text" maxlength="256" value={(*name).clone()} {oninput} /></label>
            <MethodForm {method} session={props.session.clone()} meter={props.meter.clone()} />
        </>
    }
}

#[derive(Properties, PartialEq)]
struct MethodProps {
    method: Method,
    session: Session,
    meter: Option<Peer>,
}

#[derive(Clone, PartialEq)]
enum Outcome {
    None,
    Waiting,
    Reply { text: String, ms: f64, gas: Option<u64> },
    Failed(String),
}

#[component]
fn MethodForm(props: &MethodProps) -> Html {
    let body = use_state(String::new);
    let outcome = use_state(|| Outcome::None);
    let method = &props.method;
    // An object is filled in field by field, unless the person would rather write JSON.
    let properties = schema::properties(&method.body);
    let values = use_state(Vec::<String>::new);
    let as_json = use_state(|| false);
    let by_field = !properties.is_empty() && !*as_json;
    let oninput = {
        let body = body.clone();
        Callback::from(move |event: InputEvent| {
            body.set(event.target_unchecked_into::<HtmlTextAreaElement>().value())
        })
    };
    let onsubmit = {
        let (body, outcome, method, session, meter, properties, values) = (
            body.clone(),
            outcome.clone(),
            method.clone(),
            props.session.clone(),
            props.meter.clone(),
            properties.clone(),
            values.clone(),
        );
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let written = if by_field { assemble(&properties, &values) } else { Ok((*body).clone()) };
            let sent = match written.and_then(|body| check(&method, &body).map(|()| body)) {
                Ok(sent) => sent,
                Err(why) => return outcome.set(Outcome::Failed(why)),
            };
            outcome.set(Outcome::Waiting);
            let (bytes, outcome, method, session, meter) = (
                Uint8Array::from(sent.as_bytes()),
                outcome.clone(),
                method.clone(),
                session.clone(),
                meter.clone(),
            );
            spawn_local(async move {
                let before = meter.as_ref().map(burnt);
                let started = Date::now();
                let result = if method.read_only {
                    session.query(&method.name, &bytes).await
                } else {
                    session.call(&method.name, &bytes).await
                };
                outcome.set(match result {
                    Ok(reply) => Outcome::Reply {
                        text: readable(
                            &reply.dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).unwrap_or_default(),
                        ),
                        ms: Date::now() - started,
                        gas: before
                            .zip(meter.as_ref().map(burnt))
                            .map(|(before, now)| now.saturating_sub(before)),
                    },
                    Err(error) => Outcome::Failed(explain(&error)),
                });
            });
        })
    };
    let turn = {
        let (as_json, body, properties, values) =
            (as_json.clone(), body.clone(), properties.clone(), values.clone());
        Callback::from(move |_: MouseEvent| {
            // What was filled in is not lost; what cannot be read yet is not taken along.
            if let (false, Ok(written)) = (*as_json, assemble(&properties, &values)) {
                body.set(written);
            }
            as_json.set(!*as_json);
        })
    };
    // Enter calls, Shift+Enter makes a new line: most bodies are one line.
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
            event.prevent_default();
            let area: web_sys::Element = event.target_unchecked_into();
            if let Ok(Some(form)) = area.closest("form") {
                // A form that is shown can be submitted.
                let _ = form.unchecked_into::<web_sys::HtmlFormElement>().request_submit();
            }
        }
    });
    html! {
        <form class="card method" data-testid="method" data-method={method.name.clone()} {onsubmit}>
            <div class="method-head">
                <h3 class="mono"><bdi>{ &method.name }</bdi></h3>
                if method.read_only { <span class="pill">{ "reads only" }</span> }
            </div>
            if !method.description.is_empty() { <p class="hint"><bdi>{ &method.description }</bdi></p> }
            if by_field { <Fields method={method.name.clone()} properties={properties.clone()} values={values.clone()} /> }
            <div class="method-row">
                if by_field { <span class="grow"></span> } else {
                <textarea rows="1" class="mono grow" spellcheck="false" data-testid="method-body" aria-label={format!("Body of {}", method.name)}
                    placeholder={hint(method)} value={(*body).clone()} {oninput} {onkeydown} />
                }
                if !properties.is_empty() {
                    <button type="button" class="quiet small" data-testid="method-json" onclick={turn}>{ if by_field { "as JSON" } else { "as a form" } }</button>
                }
                <button class="button primary" data-testid="method-call" disabled={*outcome == Outcome::Waiting || method.name.is_empty()}>{ "Call" }</button>
            </div>
            <output class={classes!("result", matches!(*outcome, Outcome::Failed(_)).then_some("bad"))} data-testid="method-result" aria-live="polite">
                { match &*outcome {
                    Outcome::None => html! { <span class="faint">{ "No reply yet." }</span> },
                    Outcome::Waiting => html! { <span class="faint">{ "Waiting for the reply…" }</span> },
                    Outcome::Reply { text, ms, gas } => html! {
                        <>
                            <span class="mono reply" data-testid="method-reply">{ if text.is_empty() { "(empty reply)" } else { text.as_str() } }</span>
                            <span class="faint small cost">{ millis(*ms) }
                                if let Some(gas) = gas {
                                    <span data-testid="method-gas" title="Gas counts the steps that the service computed">{ format!(" · {} gas", count(*gas)) }</span>
                                }
                            </span>
                        </>
                    },
                    Outcome::Failed(why) => html! { <span>{ why }</span> },
                } }
            </output>
        </form>
    }
}

/// Gas that everything at a peer has burnt until now.
fn burnt(peer: &Peer) -> u64 {
    let status = peer.status().map(|status| Status::read(&status)).unwrap_or_default();
    status.hosting.iter().map(|hosted| hosted.gas).sum()
}

fn hint(method: &Method) -> String {
    match (method.json_body, method.body_type.as_str()) {
        (true, "integer") => "a number, like 1".into(),
        (true, "string") => "text in quotes, like \"hello\"".into(),
        (true, "") => "JSON".into(),
        (true, kind) => format!("JSON, {kind}"),
        (false, _) => "text, or empty".into(),
    }
}

fn check(method: &Method, body: &str) -> Result<(), String> {
    if !method.json_body {
        return Ok(());
    }
    if body.trim().is_empty() {
        return Err(format!("This method takes {}. Fill in the body, then call.", hint(method)));
    }
    match JSON::parse(body) {
        Ok(value) => schema::check(&method.body, &value, "The body"),
        Err(error) => Err(format!("The body is not valid JSON: {}", text(&error, "message"))),
    }
}

/// The fields of an object as JSON.
fn assemble(properties: &[Property], values: &[String]) -> Result<String, String> {
    let object = Object::new();
    for (at, property) in properties.iter().enumerate() {
        let value = values.get(at).map(String::as_str).unwrap_or_default();
        if let Some(value) = schema::typed(property, value)? {
            set(&object, &property.name, &value);
        }
    }
    Ok(JSON::stringify(&object).map(String::from).unwrap_or_default())
}

#[derive(Properties, PartialEq)]
struct FieldsProps {
    method: String,
    properties: Vec<Property>,
    values: UseStateHandle<Vec<String>>,
}

/// One field per property of an object.
#[component]
fn Fields(props: &FieldsProps) -> Html {
    let put = |at: usize| {
        let (values, length) = (props.values.clone(), props.properties.len());
        Callback::from(move |value: String| {
            let mut next = (*values).clone();
            next.resize(length, String::new());
            if let Some(place) = next.get_mut(at) {
                *place = value;
            }
            values.set(next);
        })
    };
    html! {
        <div class="method-fields">
            { for props.properties.iter().enumerate().map(|(at, property)| {
                let set = put(at);
                let value = props.values.get(at).cloned().unwrap_or_default();
                let hint = if property.kind == "string" { "" } else { schema::kind_words(&property.kind) };
                let choices: Vec<String> = if property.choices.is_empty() && property.kind == "boolean" {
                    vec!["true".into(), "false".into()]
                } else {
                    property.choices.clone()
                };
                html! {
                    <label class="field" key={property.name.clone()}>
                        <span class="field-label"><bdi>{ &property.name }</bdi>{ if property.required { "" } else { " (optional)" } }</span>
                        if choices.is_empty() {
                            <input type="text" autocomplete="off" data-testid="method-field" data-field={property.name.clone()} placeholder={hint} value={value}
                                oninput={move |event: InputEvent| set.emit(event.target_unchecked_into::<HtmlInputElement>().value())} />
                        } else {
                            <select data-testid="method-field" data-field={property.name.clone()}
                                onchange={move |event: Event| set.emit(event.target_unchecked_into::<HtmlSelectElement>().value())}>
                                <option value="" selected={value.is_empty()}>{ "–" }</option>
                                { for choices.iter().map(|choice| html! { <option value={choice.clone()} selected={*choice == value}>{ choice }</option> }) }
                            </select>
                        }
                        if !property.description.is_empty() { <span class="hint"><bdi>{ &property.description }</bdi></span> }
                    </label>
                }
            }) }
        </div>
    }
}

#[component]
fn MessageForm(props: &Props) -> Html {
    let body = use_state(String::new);
    let oninput = {
        let body = body.clone();
        Callback::from(move |event: InputEvent| {
            body.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let onsubmit = {
        let (body, session, life) = (body.clone(), props.session.clone(), props.life.dispatcher());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            life.dispatch(match session.send(&Uint8Array::from(body.as_bytes())) {
                Ok(()) => Change::Line(LineKind::Sent, (*body).clone()),
                Err(error) => Change::Line(LineKind::Failed, explain(&error)),
            });
            body.set(String::new());
        })
    };
    html! {
        <form class="method-row" {onsubmit}>
            <input type="text" class="grow" placeholder="Send a message to the service" aria-label="Message" autocomplete="off"
                data-testid="message-input" value={(*body).clone()} {oninput} />
            <button class="button" data-testid="message-send" disabled={body.is_empty()}>{ "Send" }</button>
        </form>
    }
}

#[derive(Properties, PartialEq)]
struct LogProps {
    lines: Vec<Line>,
}

#[component]
fn Log(props: &LogProps) -> Html {
    if props.lines.is_empty() {
        return html! { <p class="log-empty hint">{ "What the service sends appears here, and each move to another tab." }</p> };
    }
    html! {
        <ol class="log" role="log" data-testid="session-log" tabindex="0" aria-label="Messages">
            { for props.lines.iter().map(|line| {
                let (tone, sign) = match line.kind {
                    LineKind::Sent => ("sent", "you"),
                    LineKind::Got => ("got", "service"),
                    LineKind::Moved => ("moved", "moved"),
                    LineKind::Failed => ("bad", "failed"),
                    LineKind::Log => ("logged", "log"),
                };
                html! {
                    <li key={line.number} class={tone}>
                        <time class="faint mono small">{ clock(line.at) }</time>
                        <span class="log-sign small">{ sign }</span>
                        <bdi class="wrap">{ &line.text }</bdi>
                    </li>
                }
            }) }
        </ol>
    }
}
