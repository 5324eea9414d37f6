//! The bar above the editor: new projects from templates, the list of those that this browser keeps, zip files in and out.

use js_sys::Date;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use crate::hooks::Dispatch;
use crate::ide::{Current, Desk};
use crate::ide_api::Project;
use crate::model::{count, field, text};
use crate::state::Action;
use crate::words::{explain, moment, plural};

/// Languages, and what people call them.
pub const LANGUAGES: [(&str, &str); 4] = [
    ("assemblyscript", "AssemblyScript"),
    ("script", "TypeScript on QuickJS"),
    ("wat", "WAT"),
    ("wasm", "a wasm file"),
];

/// What people call a language.
pub fn language_word(language: &str) -> &'static str {
    LANGUAGES.iter().find(|(value, _)| *value == language).map_or("another language", |(_, label)| label)
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub desk: Desk,
    pub current: Current,
    pub choose: Callback<Project>,
    pub dispatch: Dispatch,
}

/// The bar.
#[component]
pub fn ProjectBar(props: &Props) -> Html {
    let open = use_state(|| false);
    let revision = use_state(|| 0u32);
    let (desk, Current(project)) = (&props.desk, &props.current);
    let changed = {
        let revision = revision.clone();
        Callback::from(move |()| revision.set(*revision + 1))
    };
    let choose = {
        let (choose, open, changed) = (props.choose.clone(), open.setter(), changed.clone());
        Callback::from(move |project: Project| {
            open.set(false);
            changed.emit(());
            choose.emit(project);
        })
    };
    let template = {
        let (desk, choose, dispatch) = (desk.clone(), choose.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let select: HtmlSelectElement = event.target_unchecked_into();
            let chosen = select.value();
            select.set_value("");
            let (language, name) = chosen.split_once('/').unwrap_or(("assemblyscript", &chosen));
            match desk.store.create(name, language) {
                Ok(project) => choose.emit(project),
                Err(error) => dispatch.dispatch(Action::warn(explain(&error))),
            }
        })
    };
    let import = {
        let (desk, choose, dispatch) = (desk.clone(), choose.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            let Some(file) = chosen_file(&input) else { return };
            let (desk, choose, dispatch) = (desk.clone(), choose.clone(), dispatch.clone());
            spawn_local(async move {
                match desk.ide.import_zip(&desk.store, &file).await {
                    Ok(project) => choose.emit(project),
                    Err(error) => dispatch.dispatch(Action::warn(explain(&error))),
                }
                // The same file may be chosen again.
                input.set_value("");
            });
        })
    };
    let export = {
        let (desk, project, dispatch) = (desk.clone(), project.clone(), props.dispatch.clone());
        Callback::from(move |_: MouseEvent| {
            if let Err(error) = desk.ide.download(&project) {
                dispatch.dispatch(Action::warn(explain(&error)));
            }
        })
    };
    let toggle = {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(!*open))
    };
    html! {
        <div class="card projects">
            <div class="toolbar">
                <button class="button" data-testid="ide-projects" aria-expanded={open.to_string()} onclick={toggle}>
                    { "Projects" }
                </button>
                <span class="grow cut" data-testid="ide-title"><strong><bdi>{ project.title() }</bdi></strong>
                    <span class="faint small">{ format!(" · {}", language_word(&project.language())) }</span></span>
                <label class="visually-hidden" for="ide-template">{ "New project from a template" }</label>
                <select id="ide-template" data-testid="ide-template" onchange={template}>
                    <option value="" selected=true>{ "New from a template…" }</option>
                    { for LANGUAGES.iter().map(|(language, label)| templates(desk, language, label)) }
                </select>
            </div>
            if !project.from().is_empty() {
                <p class="hint">{ "Forked from " }<bdi class="wrap">{ crate::words::trimmed(&project.from()) }</bdi>{ ". Publishing makes a service of your own." }</p>
            }
            if *open {
                <ul class="plain project-list" aria-label="Projects">
                    { for desk.store.list().iter().map(|meta| {
                        let id = text(&meta, "id");
                        html! { <Row key={id.clone()} desk={desk.clone()} is_current={id == project.id()} meta={Meta::read(&meta)}
                            choose={choose.clone()} changed={changed.clone()} dispatch={props.dispatch.clone()} /> }
                    }) }
                </ul>
                <div class="toolbar">
                    <label class="button file-button">{ "Import a zip" }
                        <input type="file" class="visually-hidden" accept=".zip,application/zip" data-testid="ide-import" onchange={import} /></label>
                    <button class="button" data-testid="ide-export" onclick={export}>{ "Export as a zip" }</button>
                </div>
                <p class="hint">{ "Projects are kept in this browser alone. A zip holds at most 64 files and 1 MiB." }</p>
            }
        </div>
    }
}

/// The file of an input, where one was chosen.
pub fn chosen_file(input: &HtmlInputElement) -> Option<JsValue> {
    let file = field(&field(input.unchecked_ref(), "files"), "0");
    file.is_object().then_some(file)
}

fn templates(desk: &Desk, language: &'static str, label: &'static str) -> Html {
    let names = desk.ide.template_names(language);
    if names.length() == 0 {
        return Html::default();
    }
    html! {
        <optgroup {label}>
            { for names.iter().filter_map(|name| name.as_string()).map(|name| {
                let value = if language == "assemblyscript" { name.clone() } else { format!("{language}/{name}") };
                html! { <option {value}>{ name }</option> }
            }) }
        </optgroup>
    }
}

/// What the list shows of a project.
#[derive(Clone, PartialEq)]
struct Meta {
    id: String,
    title: String,
    language: String,
    files: u64,
    changed: f64,
}

impl Meta {
    fn read(value: &JsValue) -> Self {
        Self {
            id: text(value, "id"),
            title: text(value, "title"),
            language: text(value, "language"),
            files: count(value, "files"),
            changed: field(value, "changed").as_f64().unwrap_or_else(Date::now),
        }
    }
}

#[derive(Properties, PartialEq)]
struct RowProps {
    desk: Desk,
    is_current: bool,
    meta: Meta,
    choose: Callback<Project>,
    changed: Callback<()>,
    dispatch: Dispatch,
}

/// What a person is about to do with a project of the list.
#[derive(Clone, PartialEq)]
enum Doing {
    Nothing,
    Renaming(String),
    Deleting,
}

#[component]
fn Row(props: &RowProps) -> Html {
    let doing = use_state(|| Doing::Nothing);
    let meta = &props.meta;
    // Opens or copies, then shows it.
    let fetch = |copy: bool| {
        let (desk, id, choose, dispatch) =
            (props.desk.clone(), meta.id.clone(), props.choose.clone(), props.dispatch.clone());
        Callback::from(move |_: MouseEvent| {
            let (desk, id, choose, dispatch) = (desk.clone(), id.clone(), choose.clone(), dispatch.clone());
            spawn_local(async move {
                let found =
                    if copy { desk.store.duplicate(&id).await.map(Some) } else { desk.store.open(&id).await };
                match found {
                    Ok(Some(project)) => choose.emit(project),
                    Ok(None) => dispatch.dispatch(Action::warn("That project is not there any more.")),
                    Err(error) => dispatch.dispatch(Action::warn(explain(&error))),
                }
            });
        })
    };
    let begin = |next: Doing| {
        let doing = doing.clone();
        Callback::from(move |_: MouseEvent| doing.set(next.clone()))
    };
    let rename = {
        let (doing, desk, id, changed, dispatch) = (
            doing.clone(),
            props.desk.clone(),
            meta.id.clone(),
            props.changed.clone(),
            props.dispatch.clone(),
        );
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let Doing::Renaming(title) = &*doing else { return };
            match desk.store.rename(&id, title) {
                refused if !refused.is_empty() => dispatch.dispatch(Action::warn(refused)),
                _ => doing.set(Doing::Nothing),
            }
            changed.emit(());
        })
    };
    let retitle = {
        let doing = doing.clone();
        Callback::from(move |event: InputEvent| {
            doing.set(Doing::Renaming(event.target_unchecked_into::<HtmlInputElement>().value()));
        })
    };
    let delete = {
        let (desk, id, changed, choose, is_current) = (
            props.desk.clone(),
            meta.id.clone(),
            props.changed.clone(),
            props.choose.clone(),
            props.is_current,
        );
        Callback::from(move |_: MouseEvent| {
            let (desk, id, changed, choose) = (desk.clone(), id.clone(), changed.clone(), choose.clone());
            spawn_local(async move {
                // What cannot be deleted now is deleted with the next change; the store says why.
                let _ = desk.store.remove(&id).await;
                if is_current {
                    let next = text(&desk.store.list().get(0), "id");
                    let found = desk.store.open(&next).await.ok().flatten();
                    if let Some(project) = found.or_else(|| desk.store.create("hello", "assemblyscript").ok())
                    {
                        choose.emit(project);
                    }
                }
                changed.emit(());
            });
        })
    };
    html! {
        <li class="project-row" data-testid="ide-project" data-title={meta.title.clone()}>
            { match &*doing {
                Doing::Renaming(title) => html! {
                    <form class="method-row grow" onsubmit={rename}>
                        <input type="text" class="grow" maxlength="64" aria-label="New name of the project" data-testid="ide-project-title" value={title.clone()} oninput={retitle} />
                        <button class="button primary" data-testid="ide-project-rename-yes">{ "Rename" }</button>
                        <button class="button" type="button" onclick={begin(Doing::Nothing)}>{ "Leave it" }</button>
                    </form>
                },
                Doing::Deleting => html! {
                    <>
                        <span class="grow problem">{ "Delete “" }<bdi>{ &meta.title }</bdi>{ "” and its versions? It cannot be brought back." }</span>
                        <button class="button danger" data-testid="ide-project-delete-yes" onclick={delete}>{ "Delete" }</button>
                        <button class="button" onclick={begin(Doing::Nothing)}>{ "Keep it" }</button>
                    </>
                },
                Doing::Nothing => html! {
                    <>
                        <button class="quiet grow project-title" data-testid="ide-project-open" aria-current={props.is_current.then_some("true")} onclick={fetch(false)}>
                            <bdi class="cut">{ &meta.title }</bdi>
                            <span class="faint small">{ format!("{}, {}, {}", language_word(&meta.language), plural(meta.files as usize, "file"), moment(meta.changed)) }</span>
                        </button>
                        <button class="quiet small" data-testid="ide-project-rename" onclick={begin(Doing::Renaming(meta.title.clone()))}>{ "Rename" }</button>
                        <button class="quiet small" data-testid="ide-project-duplicate" onclick={fetch(true)}>{ "Duplicate" }</button>
                        <button class="quiet small" data-testid="ide-project-delete" onclick={begin(Doing::Deleting)}>{ "Delete" }</button>
                    </>
                },
            } }
        </li>
    }
}
