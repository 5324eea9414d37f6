//! Views that are not the first one: each lies in a wasm module of its own, which is fetched when the view is first shown.
//!
//! The build splits the app's wasm at the functions marked here (`xtask/src/split.rs`). All parts share one memory, so a view that
//! came late sees the same state as those that were there before. Once this tab has joined and had time to show what there is, all
//! but the IDE are fetched unasked: a tab that has met others goes on without a relay, and with it its views.
#![allow(unsafe_code)] // In what `wasm_split` writes: it declares the function that the other module has.

use gloo::timers::callback::Timeout;
use wasm_bindgen_futures::spawn_local;
use wasm_split_helpers::{wasm_split, SplitLoaderError};
use yew::prelude::*;

use crate::ide::IdeView;
use crate::network::NetworkView;
use crate::parts::Problem;
use crate::register_form::RegisterForm;
use crate::service_page::OpenService;
use crate::settings::SettingsView;
use crate::state::State;
use crate::voice::VoiceView;
use crate::volunteer::VolunteerView;

/// How long after joining the parts are fetched unasked, in ms.
const UNASKED_MS: u32 = 3_000;

/// What draws a part, once it is there.
type Draw = fn(&Props) -> Html;
type Loaded = Result<Draw, SplitLoaderError>;

/// A part of the app that is loaded late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Service,
    Register,
    Voice,
    Volunteer,
    Ide,
    Network,
    Settings,
}

impl Part {
    /// Fetches it, if it is not there yet.
    pub async fn load(self) -> Loaded {
        match self {
            Part::Service => service().await,
            Part::Register => register().await,
            Part::Voice => voice().await,
            Part::Volunteer => volunteer().await,
            Part::Ide => ide().await,
            Part::Network => network().await,
            Part::Settings => settings().await,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Part::Service => "service's page",
            Part::Register => "form",
            Part::Voice => "voice view",
            Part::Volunteer => "volunteer view",
            Part::Ide => "editor",
            Part::Network => "network view",
            Part::Settings => "settings",
        }
    }
}

#[wasm_split(service, fallible)]
fn service() -> Loaded {
    Ok(|props| html! { <OpenService state={props.state.clone()} /> })
}

#[wasm_split(register, fallible)]
fn register() -> Loaded {
    Ok(|props| match &props.state.peer {
        Some(peer) => {
            html! { <RegisterForm peer={peer.clone()} dispatch={props.state.dispatcher()} done={props.done.clone()} /> }
        }
        None => Html::default(),
    })
}

#[wasm_split(views, fallible)]
fn voice() -> Loaded {
    Ok(|props| html! { <VoiceView state={props.state.clone()} /> })
}

#[wasm_split(views, fallible)]
fn volunteer() -> Loaded {
    Ok(|props| html! { <VolunteerView state={props.state.clone()} /> })
}

#[wasm_split(ide, fallible)]
fn ide() -> Loaded {
    Ok(|props| html! { <IdeView state={props.state.clone()} /> })
}

#[wasm_split(views, fallible)]
fn network() -> Loaded {
    Ok(|props| html! { <NetworkView state={props.state.clone()} /> })
}

#[wasm_split(views, fallible)]
fn settings() -> Loaded {
    Ok(|props| html! { <SettingsView state={props.state.clone()} /> })
}

/// Fetches what a tab without a relay would miss, a while after it has joined.
#[hook]
pub fn use_unasked(joined: bool) {
    use_effect_with(joined, |joined| {
        let timer = joined.then(|| {
            Timeout::new(UNASKED_MS, || {
                for part in [Part::Service, Part::Volunteer] {
                    // What fails is fetched again when its view is opened, and says so then.
                    spawn_local(async move { drop(part.load().await) });
                }
            })
        });
        move || drop(timer)
    });
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub part: Part,
    pub state: UseReducerHandle<State>,
    /// What a person opened it for is done.
    #[prop_or_default]
    pub done: Callback<()>,
}

/// A part, or how far its loading got.
#[component]
pub fn Lazy(props: &Props) -> Html {
    let attempt = use_state(|| 0u32);
    let loaded = use_state(|| None::<Result<Draw, ()>>);
    {
        let loaded = loaded.setter();
        use_effect_with((props.part, *attempt), move |(part, _)| {
            let part = *part;
            spawn_local(async move {
                loaded.set(None);
                loaded.set(Some(part.load().await.map_err(drop)));
            });
        });
    }
    match *loaded {
        Some(Ok(draw)) => draw(props),
        Some(Err(())) => {
            let again = Callback::from(move |_: MouseEvent| attempt.set(*attempt + 1));
            html! {
                <Problem text={format!("The {} could not be loaded. Check your connection. If it stays so, the app was renewed: reload this page.", props.part.name())}>
                    <button class="button" data-testid="load-again" onclick={again}>{ "Try again" }</button>
                </Problem>
            }
        }
        None => {
            html! { <div class="card ghost tall" role="status"><p class="hint">{ format!("Loading the {}…", props.part.name()) }</p></div> }
        }
    }
}
