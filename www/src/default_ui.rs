//! A UI for services that bring none: a form per method of the manifest, messages, and a log.

use js_sys::{Date, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{Peer, Session};
use crate::model::{Method, Path, Status};
use crate::reply::Reply;
use crate::schema::Schema;
use crate::schema_form::SchemaForm;
use crate::session::{readable, Change, Life, Line, LineKind};
use crate::words::{bytes, clock, count, explain, host_of, millis};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub session: Session,
    pub life: UseReducerHandle<Life>,
    /// The peer that runs the service on trial and nothing else: each call then shows the gas that it took and the memory that it left.
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
            if let Some(info) = props.life.info.as_ref().filter(|info| info.path == Path::External) {
                <aside class="note" data-testid="elsewhere">
                    <h3>{ "It runs outside of all tabs" }</h3>
                    <p>{ "Your browser sends each call straight to " }<bdi class="wrap">{ host_of(&info.server) }</bdi>{ ", whose operator sees your device's address. No tab checks the answers. It takes calls and sends no messages." }</p>
                </aside>
            } else {
                <section class="stack" aria-label="Messages">
                    <h2>{ "Messages" }</h2>
                    <MessageForm session={props.session.clone()} life={props.life.clone()} />
                    <Log lines={props.life.lines.iter().cloned().collect::<Vec<_>>()} />
                </section>
            }
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
    let method = Method { name: (*name).clone(), ..Method::default() };
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

/// What a call took.
#[derive(Clone, Copy, PartialEq)]
struct Cost {
    gas: u64,
    /// Bytes of the service's memory after it.
    memory: u64,
}

#[derive(Clone, PartialEq)]
enum Outcome {
    None,
    Waiting,
    Reply { text: String, ms: f64, cost: Option<Cost> },
    Failed(String),
}

#[component]
fn MethodForm(props: &MethodProps) -> Html {
    let entered = use_state(|| props.method.body.blank());
    let outcome = use_state(|| Outcome::None);
    let tried = use_state(|| false);
    let method = &props.method;
    let on_change = {
        let entered = entered.clone();
        Callback::from(move |next: Vec<String>| entered.set(next))
    };
    let onsubmit = {
        let (entered, outcome, tried) = (entered.clone(), outcome.clone(), tried.clone());
        let (method, session, meter) = (method.clone(), props.session.clone(), props.meter.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            tried.set(true);
            let body = match method.body.body(&entered) {
                Ok(body) => body,
                Err(why) => return outcome.set(Outcome::Failed(format!("Nothing was called: {why}."))),
            };
            outcome.set(Outcome::Waiting);
            let (input, outcome, method, session, meter) = (
                Uint8Array::from(body.as_bytes()),
                outcome.clone(),
                method.clone(),
                session.clone(),
                meter.clone(),
            );
            spawn_local(async move {
                let before = meter.as_ref().map(burnt);
                let started = Date::now();
                let result = if method.read_only {
                    session.query(&method.name, &input).await
                } else {
                    session.call(&method.name, &input).await
                };
                outcome.set(match result {
                    Ok(reply) => Outcome::Reply {
                        text: readable(
                            &reply.dyn_into::<Uint8Array>().map(|bytes| bytes.to_vec()).unwrap_or_default(),
                        ),
                        ms: Date::now() - started,
                        cost: before.zip(meter.as_ref()).map(|(before, peer)| Cost {
                            gas: burnt(peer).saturating_sub(before),
                            memory: peer.memory().map_or(0, |bytes| bytes as u64),
                        }),
                    },
                    Err(error) => Outcome::Failed(explain(&error)),
                });
            });
        })
    };
    let single = !matches!(method.body, Schema::Object(_));
    let call = html! {
        <button class="button primary" data-testid="method-call" disabled={*outcome == Outcome::Waiting || method.name.is_empty()}>{ "Call" }</button>
    };
    let fields = html! { <SchemaForm method={method.name.clone()} schema={method.body.clone()} entered={(*entered).clone()} {on_change} tried={*tried} /> };
    html! {
        <form class="card method" data-testid="method" data-method={method.name.clone()} {onsubmit}>
            <div class="method-head">
                <h3 class="mono"><bdi>{ &method.name }</bdi></h3>
                if method.read_only { <span class="pill">{ "reads only" }</span> }
            </div>
            if !method.description.is_empty() { <p class="hint"><bdi>{ &method.description }</bdi></p> }
            if single {
                <div class="method-row"><div class="field grow">{ fields }</div>{ call }</div>
            } else {
                { fields }
                <div>{ call }</div>
            }
            <output class={classes!("result", matches!(*outcome, Outcome::Failed(_)).then_some("bad"))} data-testid="method-result" aria-live="polite">
                { match &*outcome {
                    Outcome::None => html! { <span class="faint">{ "No reply yet." }</span> },
                    Outcome::Waiting => html! { <span class="faint">{ "Waiting for the reply…" }</span> },
                    Outcome::Reply { text, ms, cost } => html! {
                        <>
                            <Reply text={text.clone()} json={method.json_reply} />
                            <span class="faint small cost">{ millis(*ms) }
                                if let Some(Cost { gas, memory }) = cost {
                                    <span data-testid="method-gas" title="Gas counts the steps that the service computed">{ format!(" · {} gas", count(*gas)) }</span>
                                    <span data-testid="method-memory" title="The memory that the service holds after the call; it never shrinks">{ format!(" · {} memory", bytes(*memory)) }</span>
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
        <div class="log" role="log" data-testid="session-log" tabindex="0" aria-label="Messages"><ol class="plain">
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
        </ol></div>
    }
}
