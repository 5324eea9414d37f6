//! The files of a project above the editor: shown, added, put in from the device, renamed, deleted.

use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::hooks::Dispatch;
use crate::ide::{Current, Desk};
use crate::ide_projects::chosen_file;
use crate::state::Action;
use crate::words::explain;

/// What happened to the files.
#[derive(Clone, PartialEq)]
pub enum FileChange {
    /// Show this one.
    Open(String),
    Added(String),
    /// The content of one was replaced.
    Replaced(String),
    Renamed(String, String),
    Removed(String),
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub desk: Desk,
    pub current: Current,
    pub paths: Vec<String>,
    /// The file that is shown.
    pub path: String,
    pub on: Callback<FileChange>,
    pub dispatch: Dispatch,
}

/// What a person is about to do.
#[derive(Clone, PartialEq)]
enum Doing {
    Nothing,
    Adding(String),
    Renaming(String),
    Deleting,
}

/// The row of files and what can be done with them.
#[component]
pub fn Files(props: &Props) -> Html {
    let doing = use_state(|| Doing::Nothing);
    let problem = use_state(String::new);
    let Current(project) = &props.current;
    let begin = |next: Doing| {
        let (doing, problem) = (doing.clone(), problem.setter());
        Callback::from(move |_: MouseEvent| {
            problem.set(String::new());
            doing.set(next.clone());
        })
    };
    let typed = {
        let doing = doing.clone();
        Callback::from(move |event: InputEvent| {
            let value = event.target_unchecked_into::<HtmlInputElement>().value();
            doing.set(if matches!(*doing, Doing::Adding(_)) {
                Doing::Adding(value)
            } else {
                Doing::Renaming(value)
            });
        })
    };
    let name = {
        let (doing, problem, project, path, on) =
            (doing.clone(), problem.setter(), project.clone(), props.path.clone(), props.on.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let (refused, change) = match &*doing {
                Doing::Adding(name) => {
                    (project.add(name.trim(), ""), FileChange::Added(name.trim().to_owned()))
                }
                Doing::Renaming(name) => (
                    project.rename_file(&path, name.trim()),
                    FileChange::Renamed(path.clone(), name.trim().to_owned()),
                ),
                _ => return,
            };
            if refused.is_empty() {
                doing.set(Doing::Nothing);
                on.emit(change);
            }
            problem.set(refused);
        })
    };
    let delete = {
        let (doing, project, path, on) =
            (doing.setter(), project.clone(), props.path.clone(), props.on.clone());
        Callback::from(move |_: MouseEvent| {
            project.remove_file(&path);
            doing.set(Doing::Nothing);
            on.emit(FileChange::Removed(path.clone()));
        })
    };
    let upload = {
        let (desk, project, on, dispatch) =
            (props.desk.clone(), project.clone(), props.on.clone(), props.dispatch.clone());
        Callback::from(move |event: Event| {
            let input: HtmlInputElement = event.target_unchecked_into();
            let Some(file) = chosen_file(&input) else { return };
            let (desk, project, on, dispatch) = (desk.clone(), project.clone(), on.clone(), dispatch.clone());
            spawn_local(async move {
                match desk.ide.upload(&project, &file, "").await {
                    Ok(path) => on.emit(FileChange::Replaced(path.as_string().unwrap_or_default())),
                    Err(error) => dispatch.dispatch(Action::warn(explain(&error))),
                }
                // The same file may be chosen again.
                input.set_value("");
            });
        })
    };
    let form = |label: &'static str, value: &str, act: &'static str| {
        html! {
            <form class="method-row" onsubmit={name.clone()}>
                <input type="text" class="grow mono" maxlength="100" spellcheck="false" autocomplete="off" aria-label={label} placeholder="lib/names.ts"
                    data-testid="ide-file-name" value={value.to_owned()} oninput={typed.clone()} aria-invalid={(!problem.is_empty()).to_string()} />
                <button class="button primary" data-testid="ide-file-name-yes">{ act }</button>
                <button class="button" type="button" onclick={begin(Doing::Nothing)}>{ "Leave it" }</button>
            </form>
        }
    };
    html! {
        <div class="card files">
            <ul class="plain file-row" aria-label="Files" data-testid="ide-files">
                { for props.paths.iter().map(|path| {
                    let (on, wanted) = (props.on.clone(), path.clone());
                    let shown = *path == props.path;
                    html! {
                        <li key={path.clone()}><button class="segment mono" data-testid="ide-file" data-path={path.clone()} aria-pressed={shown.to_string()}
                            onclick={move |_| on.emit(FileChange::Open(wanted.clone()))}><bdi>{ path }</bdi></button></li>
                    }
                }) }
            </ul>
            { match &*doing {
                Doing::Adding(value) => form("Name of the new file", value, "Add"),
                Doing::Renaming(value) => form("New name of the file", value, "Rename"),
                Doing::Deleting => html! {
                    <div class="method-row">
                        <span class="grow problem">{ "Delete “" }<bdi>{ &props.path }</bdi>{ "”? It cannot be brought back." }</span>
                        <button class="button danger" data-testid="ide-file-delete-yes" onclick={delete}>{ "Delete" }</button>
                        <button class="button" onclick={begin(Doing::Nothing)}>{ "Keep it" }</button>
                    </div>
                },
                Doing::Nothing => html! {
                    <div class="file-actions">
                        <button class="quiet small" data-testid="ide-file-add" onclick={begin(Doing::Adding(String::new()))}>{ "Add a file" }</button>
                        <label class="quiet small file-button">{ "Put one in from this device" }
                            <input type="file" class="visually-hidden" data-testid="ide-upload" onchange={upload} /></label>
                        if !props.path.is_empty() {
                            <button class="quiet small" data-testid="ide-file-rename" onclick={begin(Doing::Renaming(props.path.clone()))}>{ "Rename" }</button>
                            <button class="quiet small" data-testid="ide-file-delete" onclick={begin(Doing::Deleting)}>{ "Delete" }</button>
                        }
                    </div>
                },
            } }
            if !problem.is_empty() { <p class="problem" role="alert">{ &*problem }</p> }
        </div>
    }
}
