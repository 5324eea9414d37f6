//! "Try it here": the draft runs in this tab alone, on a peer without a network. A form per method, what the service
//! sends and logs, and the gas of each call. Its sandbox, its checks and its state machine are those of a published one.

use std::rc::Rc;

use gloo::events::EventListener;
use js_sys::{Object, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{reveal, set, Peer};
use crate::default_ui::DefaultUi;
use crate::draft::Draft;
use crate::hooks::detail;
use crate::model::text;
use crate::parts::Problem;
use crate::session::{use_session, Change, LineKind, Phase};
use crate::words::{service_name, trimmed};

/// A service on trial; ends when dropped.
#[derive(PartialEq)]
pub struct Trial {
    peer: Peer,
    service: String,
}

impl Trial {
    /// Starts `module` with the draft's manifest.
    pub async fn start(draft: &Draft, module: &Uint8Array) -> Result<Self, JsValue> {
        let manifest = draft.manifest()?;
        if draft.state.starts_with("replicated") {
            // There is nobody else here to keep a copy; what a call does is the same.
            set(&manifest, "state", &"single".into());
        }
        let package = Object::new();
        set(&package, "manifest", &manifest);
        set(&package, "module", module);
        let mut trial = Trial { peer: Peer::alone().await?, service: String::new() };
        let id = trial.peer.publish(&package).await?;
        trial.service = id.as_string().unwrap_or_default();
        Ok(trial)
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
    let section = use_node_ref();
    {
        let section = section.clone();
        use_effect_with(life.package.is_some(), move |_| {
            if let Some(section) = section.cast::<web_sys::Element>() {
                reveal(&section);
            }
        });
    }
    html! {
        <section ref={section} class="card stack trial" data-testid="trial" aria-labelledby="trial-title">
            <div class="head">
                <div>
                    <h2 id="trial-title">{ "Trying " }<bdi>{ service_name(&trial.service) }</bdi>{ " in this tab" }</h2>
                    <p class="hint">{ "Nobody else sees it. Its state is gone when you stop it or try again." }</p>
                </div>
                <button class="button" data-testid="trial-stop" onclick={props.stop.clone()}>{ "Stop" }</button>
            </div>
            { match &life.phase {
                Phase::Open(session) if life.package.is_some() => html! {
                    <DefaultUi session={session.clone()} life={life.clone()} meter={trial.peer.clone()} />
                },
                Phase::Failed(why) => html! { <Problem text={why.clone()} /> },
                Phase::Closed(why) => html! { <Problem text={format!("The service closed the session. {why}")} /> },
                _ => html! { <p class="hint" role="status">{ "Opening a session…" }</p> },
            } }
        </section>
    }
}
