//! The IDE: the bundle of editor and compilers is fetched when it is first shown, then one project of this browser is open.

use std::rc::Rc;

use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{keep_in_tab, keep_text, kept_in_tab, kept_text};
use crate::hooks::Dispatch;
use crate::ide_api::{load_ide, Ide, Project, Store};
use crate::ide_bench::Workbench;
use crate::ide_projects::ProjectBar;
use crate::model::text;
use crate::parts::Problem;
use crate::state::{Action, State};
use crate::words::trimmed;

/// The project that was open last, in this tab and in this browser.
const LAST: &str = "tabfarm.ide.project";
/// What a person begins with.
const FIRST: &str = "hello";

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view.
#[component]
pub fn IdeView(props: &Props) -> Html {
    let attempt = use_state(|| 0u32);
    let desk = use_state(|| None::<Result<Desk, String>>);
    // Why this browser does not keep what is written, in words; empty when it does.
    let unkept = use_state(String::new);
    {
        let (desk, unkept) = (desk.clone(), unkept.setter());
        use_effect_with(*attempt, move |_| {
            desk.set(None);
            let report = Closure::<dyn Fn(String)>::new(move |words: String| unkept.set(words));
            spawn_local(async move {
                let opened = async {
                    let ide = load_ide().await?;
                    let store = ide.store().await?;
                    store.on_report(report.as_ref().unchecked_ref());
                    // The store reports for as long as the page lives.
                    report.forget();
                    Ok::<_, JsValue>(Desk(Rc::new(Opened { ide, store })))
                };
                desk.set(Some(opened.await.map_err(|error| text(&error, "message"))));
            });
        });
    }
    let again = Callback::from(move |_: MouseEvent| attempt.set(*attempt + 1));
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "IDE" }</h1>
                    <p class="lead">{ "Write a small backend and publish it. It runs in this tab first, then wherever it is moved." }</p>
                </div>
            </div>
            if !unkept.is_empty() { <Problem text={(*unkept).clone()} /> }
            { match &*desk {
                None => html! { <div class="card ghost editor-host" role="status"><p class="hint">{ "Loading the editor…" }</p></div> },
                Some(Err(why)) => html! {
                    <Problem text={format!("The editor could not be loaded. Check your connection. ({})", trimmed(why))}>
                        <button class="button" onclick={again}>{ "Try again" }</button>
                    </Problem>
                },
                Some(Ok(desk)) => html! { <Projects desk={desk.clone()} state={props.state.clone()} /> },
            } }
        </div>
    }
}

/// The bundle and what this browser keeps; there is one, so all are equal.
#[derive(Clone)]
pub struct Desk(Rc<Opened>);

/// What the desk holds.
pub struct Opened {
    pub ide: Ide,
    pub store: Store,
}

impl std::ops::Deref for Desk {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        &self.0
    }
}

impl PartialEq for Desk {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// An open project; equal by its id.
#[derive(Clone)]
pub struct Current(pub Project);

impl PartialEq for Current {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

#[derive(Properties, PartialEq)]
struct ProjectsProps {
    desk: Desk,
    state: UseReducerHandle<State>,
}

/// The project that is open, and the bar that opens others.
#[component]
fn Projects(props: &ProjectsProps) -> Html {
    let current = use_state(|| None::<Current>);
    let choose = {
        let current = current.setter();
        Callback::from(move |project: Project| {
            let id = project.id();
            // A convenience: what is refused here is missed by nobody.
            let _ = (keep_in_tab(LAST, &id), keep_text(LAST, &id));
            current.set(Some(Current(project)));
        })
    };
    {
        let (desk, choose, dispatch) = (props.desk.clone(), choose.clone(), props.state.dispatcher());
        use_effect_with(props.state.project.clone(), move |wanted| {
            let wanted = wanted.clone();
            spawn_local(async move { first(&desk, wanted, &choose, &dispatch).await });
        });
    }
    let Some(Current(project)) = &*current else {
        return html! { <div class="card ghost editor-host" role="status"><p class="hint">{ "Opening your project…" }</p></div> };
    };
    html! {
        <>
            <ProjectBar desk={props.desk.clone()} current={Current(project.clone())} choose={choose} dispatch={props.state.dispatcher()} />
            // Each project has a bench of its own: another editor, another form.
            <Workbench key={project.id()} desk={props.desk.clone()} current={Current(project.clone())}
                peer={props.state.peer.clone()} joined={props.state.status.joined} dispatch={props.state.dispatcher()} />
        </>
    }
}

/// Opens what the address names, else what was open last, else the newest, else a first one.
async fn first(desk: &Desk, wanted: Option<String>, choose: &Callback<Project>, dispatch: &Dispatch) {
    let newest = text(&desk.store.list().get(0), "id");
    let asked = wanted.is_some();
    for (at, id) in
        [wanted.unwrap_or_default(), kept_in_tab(LAST), kept_text(LAST), newest].iter().enumerate()
    {
        if id.is_empty() {
            continue;
        }
        match desk.store.open(id).await {
            Ok(Some(project)) => return choose.emit(project),
            _ if at == 0 && asked => {
                dispatch.dispatch(Action::warn("That project is not in this browser."));
            }
            _ => {}
        }
    }
    match desk.store.create(FIRST, "assemblyscript") {
        Ok(project) => choose.emit(project),
        Err(error) => dispatch.dispatch(Action::warn(text(&error, "message"))),
    }
}
