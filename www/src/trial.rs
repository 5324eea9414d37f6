//! "Try it here": the project runs in this tab alone, on a peer without a network: a form per method, several sessions, what
//! the service sends and logs, the gas and memory of each call, its own page, and its examples. Its sandbox, its checks and its state
//! machine are those of a published one.

use std::rc::Rc;

use gloo::events::EventListener;
use js_sys::{Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{release_early, reveal, set, Peer};
use crate::default_ui::DefaultUi;
use crate::draft::{Draft, ExampleRow};
use crate::example_runs::{run, Verdict};
use crate::hooks::detail;
use crate::model::{field, text};
use crate::parts::Problem;
use crate::service_page::{pick, Frame, Segment};
use crate::session::{use_session, Change, LineKind, Phase};
use crate::words::{service_name, trimmed};

/// Sessions at once.
const MAX_SESSIONS: u32 = 8;

/// A service on trial; ends when dropped.
#[derive(PartialEq)]
pub struct Trial {
    pub peer: Peer,
    pub service: String,
    pub examples: Vec<ExampleRow>,
    /// What was published, for a fresh instance of it.
    package: Object,
}

impl Trial {
    /// Starts a package; what the draft says of examples is run by a click.
    pub async fn start(draft: &Draft, package: &Object) -> Result<Self, JsValue> {
        let manifest = field(package, "manifest").dyn_into::<Object>()?;
        if draft.value("state").starts_with("replicated") {
            // There is nobody else here to keep a copy; what a call does is the same.
            set(&manifest, "state", &"single".into());
        }
        // A host refuses what fails its examples; here a person looks at them one by one.
        Reflect::delete_property(&manifest, &"examples".into())?;
        Self::publish(draft.known_examples().cloned().collect(), package.clone()).await
    }

    /// A fresh instance of the same.
    pub async fn again(&self) -> Result<Self, JsValue> {
        Self::publish(self.examples.clone(), self.package.clone()).await
    }

    async fn publish(examples: Vec<ExampleRow>, package: Object) -> Result<Self, JsValue> {
        let mut trial = Trial { peer: Peer::alone().await?, service: String::new(), examples, package };
        let id = trial.peer.publish(&trial.package).await?;
        trial.service = id.as_string().unwrap_or_default();
        Ok(trial)
    }

    /// The manifest that it runs with.
    pub fn manifest(&self) -> JsValue {
        field(&self.package, "manifest")
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let peer = self.peer.clone();
        spawn_local(async move {
            // A peer that is alone has nobody to tell; it closes whatever its answer is.
            let _ = peer.leave().await;
        });
    }
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub trial: Rc<Trial>,
    pub stop: Callback<MouseEvent>,
}

/// The service on trial.
#[component]
pub fn TrialView(props: &Props) -> Html {
    let trial = &props.trial;
    let sessions = use_state(|| 1u32);
    let shown = use_state(|| 1u32);
    let section = use_node_ref();
    {
        let section = section.clone();
        use_effect_with((), move |()| {
            if let Some(section) = section.cast::<web_sys::Element>() {
                reveal(&section);
            }
        });
    }
    let more = {
        let (sessions, shown) = (sessions.clone(), shown.setter());
        Callback::from(move |_: MouseEvent| {
            let next = (*sessions + 1).min(MAX_SESSIONS);
            sessions.set(next);
            shown.set(next);
        })
    };
    html! {
        <section ref={section} class="card stack trial" data-testid="trial" aria-labelledby="trial-title">
            <div class="head">
                <div>
                    <h2 id="trial-title">{ "Trying " }<bdi>{ service_name(&trial.service) }</bdi>{ " in this tab" }</h2>
                    <p class="hint">{ "Nobody else sees it. Its state is gone when you stop it or try again." }</p>
                </div>
                <button class="button" data-testid="trial-stop" onclick={props.stop.clone()}>{ "Stop" }</button>
            </div>
            if !trial.examples.is_empty() { <RunExamples trial={trial.clone()} /> }
            <div class="segments" role="group" aria-label="Sessions">
                { for (1..=*sessions).map(|number| {
                    let shown = shown.clone();
                    let on = *shown == number;
                    html! { <button key={number} class="segment" aria-pressed={on.to_string()} data-testid="trial-session" onclick={move |_| shown.set(number)}>{ format!("Session {number}") }</button> }
                }) }
                if *sessions < MAX_SESSIONS { <button class="segment" data-testid="trial-session-add" onclick={more}>{ "Open another" }</button> }
            </div>
            // All stay open: what one sends, the others get.
            { for (1..=*sessions).map(|number| html! {
                <div key={number} hidden={*shown != number} data-testid="trial-panel" data-session={number.to_string()}><TrialSession trial={trial.clone()} /></div>
            }) }
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct TrialProps {
    trial: Rc<Trial>,
}

/// One session to the service on trial.
#[component]
fn TrialSession(props: &TrialProps) -> Html {
    let trial = &props.trial;
    let plain = use_state(|| true);
    let life = use_session(trial.peer.clone(), trial.service.clone(), 0);
    {
        let dispatch = life.dispatcher();
        use_effect_with(trial.peer.clone(), move |peer| {
            let listener = EventListener::new(peer, "log", move |event| {
                dispatch.dispatch(Change::Line(LineKind::Log, trimmed(&text(&detail(event), "text"))));
            });
            move || drop(listener)
        });
    }
    let package = life.package.clone().unwrap_or_default();
    let own_page = package.entry.is_some();
    let unframed = match &life.phase {
        Phase::Open(session) if life.package.is_some() && !own_page => Some(session.clone()),
        _ => None,
    };
    use_effect_with(unframed, |session| {
        if let Some(session) = session {
            release_early(session);
        }
    });
    match &life.phase {
        Phase::Open(session) if life.package.is_some() => html! {
            <>
                if own_page {
                    <div class="segments" role="group" aria-label="Which interface">
                        <Segment label="Methods" on={*plain} pick={pick(&plain, true)} />
                        <Segment label="Its own page" on={!*plain} pick={pick(&plain, false)} />
                    </div>
                    <div hidden={*plain}><Frame session={session.clone()} {package} info={life.info.clone()} me={trial.peer.id()} /></div>
                }
                if *plain { <DefaultUi session={session.clone()} life={life.clone()} meter={trial.peer.clone()} /> }
            </>
        },
        Phase::Failed(why) => html! { <Problem text={why.clone()} /> },
        Phase::Closed(why) => html! { <Problem text={format!("The service closed the session. {why}")} /> },
        _ => html! { <p class="hint" role="status">{ "Opening a session…" }</p> },
    }
}

/// The examples of the manifest, each with how it went; they run on a fresh instance, as at a host.
#[component]
fn RunExamples(props: &TrialProps) -> Html {
    let verdicts = use_state(|| None::<Vec<Verdict>>);
    let running = use_state(|| false);
    let onclick = {
        let (trial, verdicts, running) = (props.trial.clone(), verdicts.setter(), running.clone());
        Callback::from(move |_: MouseEvent| {
            if *running {
                return;
            }
            running.set(true);
            let (trial, verdicts, running) = (trial.clone(), verdicts.clone(), running.clone());
            spawn_local(async move {
                verdicts.set(Some(run(&trial).await));
                running.set(false);
            });
        })
    };
    html! {
        <div class="stack tight">
            <div class="method-row">
                <h3 class="grow">{ "Examples" }</h3>
                <button class="button" data-testid="examples-run" disabled={*running} {onclick}>{ if *running { "Running…" } else { "Run the examples" } }</button>
            </div>
            if let Some(verdicts) = &*verdicts {
                <ol class="plain examples" data-testid="examples" aria-live="polite">
                    { for verdicts.iter().enumerate().map(|(at, verdict)| html! {
                        <li key={at} data-testid="example" data-passed={verdict.passed.to_string()}>
                            <span class={if verdict.passed { "pill" } else { "pill warn" }}>{ if verdict.passed { "passed" } else { "failed" } }</span>
                            <span class="wrap"><bdi class="mono">{ &verdict.call }</bdi>{ " " }<bdi>{ &verdict.words }</bdi></span>
                        </li>
                    }) }
                </ol>
            }
        </div>
    }
}
