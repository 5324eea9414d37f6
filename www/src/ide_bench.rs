//! The bench of one project: its files, the editor, what the compiler says, the form, and the buttons that try and publish it.

use std::rc::Rc;

use gloo::timers::callback::Timeout;
use js_sys::Function;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use crate::api::{reveal, Peer};
use crate::draft::Draft;
use crate::hooks::Dispatch;
use crate::ide::{Current, Desk};
use crate::ide_api::Workspace;
use crate::ide_files::{FileChange, Files};
use crate::ide_form::IdeForm;
use crate::ide_output::{diagnostics, show, Output, Step};
use crate::ide_projects::LANGUAGES;
use crate::ide_versions::Versions;
use crate::model::field;
use crate::publish::{compile, package, Publication};
use crate::trial::{Trial, TrialView};
use crate::words::explain;

/// How long typing must rest before the source is checked, in ms.
const CHECK_MS: u32 = 600;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub desk: Desk,
    pub current: Current,
    pub peer: Option<Peer>,
    pub joined: bool,
    pub dispatch: Dispatch,
}

/// What a click is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Publish,
    Try,
}

/// The editor with the closure that it calls; destroyed when dropped.
struct Mounted {
    editor: Workspace,
    _changed: Closure<dyn FnMut(String)>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.editor.destroy();
    }
}

/// The bench.
#[component]
pub fn Workbench(props: &Props) -> Html {
    let Current(project) = &props.current;
    let desk = &props.desk;
    let draft = {
        let project = project.clone();
        use_state(move || Draft::read(&project.form()))
    };
    let path = use_state(|| project.entry());
    // Raised when files come, go or are renamed, and with each publication.
    let (revision, published) = (use_state(|| 0u32), use_state(|| 0u32));
    let output = use_state(|| Output::Idle);
    let trial = use_state(|| None::<Rc<Trial>>);
    let (host, said) = (use_node_ref(), use_node_ref());
    let editor = use_mut_ref(|| None::<Mounted>);
    let timer = use_mut_ref(|| None::<Timeout>);
    let busy = use_mut_ref(|| false);

    let check = {
        let (desk, project, editor, output, timer, busy) =
            (desk.clone(), project.clone(), editor.clone(), output.setter(), timer.clone(), busy.clone());
        Rc::new(move || {
            let (desk, project, editor, output, busy) =
                (desk.clone(), project.clone(), editor.clone(), output.clone(), busy.clone());
            *timer.borrow_mut() = Some(Timeout::new(CHECK_MS, move || {
                let Some(editor) = editor.borrow().as_ref().map(|mounted| mounted.editor.clone()) else {
                    return;
                };
                if *busy.borrow() {
                    return;
                }
                spawn_local(async move {
                    let Ok(result) = desk.ide.compile(&project, false).await else { return };
                    if field(&result, "superseded").is_truthy() || *busy.borrow() {
                        return;
                    }
                    editor.mark(&field(&result, "diagnostics"));
                    output.set(Output::Checked { diagnostics: diagnostics(&result) });
                });
            }));
        })
    };
    {
        let (desk, project, host, editor, timer, check) =
            (desk.clone(), project.clone(), host.clone(), editor.clone(), timer.clone(), check.clone());
        use_effect_with((), move |()| {
            if let Some(host) = host.cast::<web_sys::Element>() {
                let first = check.clone();
                let changed = Closure::<dyn FnMut(String)>::new(move |_path: String| check());
                let mounted = desk.ide.mount(&host, &project, changed.as_ref().unchecked_ref::<Function>());
                *editor.borrow_mut() = Some(Mounted { editor: mounted, _changed: changed });
                desk.ide.warm(&project.language());
                first();
            }
            move || {
                drop(timer.borrow_mut().take());
                drop(editor.borrow_mut().take());
            }
        });
    }
    let change = {
        let (draft, project) = (draft.setter(), project.clone());
        Callback::from(move |next: Draft| {
            project.set_form(&next.to_form());
            draft.set(next);
        })
    };
    let on_files = {
        let (editor, path, revision, check) =
            (editor.clone(), path.setter(), revision.clone(), check.clone());
        Callback::from(move |event: FileChange| {
            let Some(editor) = editor.borrow().as_ref().map(|mounted| mounted.editor.clone()) else { return };
            match &event {
                FileChange::Open(file) | FileChange::Added(file) => editor.open(file),
                FileChange::Replaced(file) => {
                    editor.reload();
                    editor.open(file);
                }
                FileChange::Renamed(from, to) => editor.renamed(from, to),
                FileChange::Removed(file) => editor.removed(file),
            }
            path.set(editor.path());
            revision.set(*revision + 1);
            if !matches!(event, FileChange::Open(_)) {
                check();
            }
        })
    };
    let restored = {
        let (editor, path, revision, draft, project, output) = (
            editor.clone(),
            path.setter(),
            revision.clone(),
            draft.setter(),
            project.clone(),
            output.setter(),
        );
        let check = check.clone();
        Callback::from(move |()| {
            draft.set(Draft::read(&project.form()));
            if let Some(mounted) = editor.borrow().as_ref() {
                mounted.editor.reload();
                path.set(mounted.editor.path());
            }
            revision.set(*revision + 1);
            output.set(Output::Idle);
            check();
        })
    };
    let speak = {
        let (desk, project, revision, check) =
            (desk.clone(), project.clone(), revision.clone(), check.clone());
        Callback::from(move |event: Event| {
            let language = event.target_unchecked_into::<HtmlSelectElement>().value();
            project.set_language(&language);
            desk.ide.warm(&language);
            revision.set(*revision + 1);
            check();
        })
    };
    let flaws = draft.flaws();
    // Publishing and trying are the same up to the compiled module.
    let begin = |goal: Goal| {
        let (desk, project, editor, output, busy, draft, peer, dispatch, trial, timer, change, published) = (
            desk.clone(),
            project.clone(),
            editor.clone(),
            output.setter(),
            busy.clone(),
            (*draft).clone(),
            props.peer.clone().filter(|_| props.joined),
            props.dispatch.clone(),
            trial.setter(),
            timer.clone(),
            change.clone(),
            published.clone(),
        );
        let flawed = !flaws.is_empty();
        Callback::from(move |_: MouseEvent| {
            let Some(editor) = editor.borrow().as_ref().map(|mounted| mounted.editor.clone()) else { return };
            // A second click while the first one is under way changes nothing.
            if *busy.borrow() {
                return;
            }
            if flawed {
                return output.set(Output::failed("Fix what is marked in the form first."));
            }
            if goal == Goal::Publish && peer.is_none() {
                return output.set(Output::failed(
                    "This tab has not joined, so nothing was published. Your work is kept. Publish again once the header says “joined”.",
                ));
            }
            // A check that is due would only repeat what the compiler says now.
            timer.borrow_mut().take();
            *busy.borrow_mut() = true;
            let (desk, project, output, busy, draft, peer, dispatch, trial, change, published) = (
                desk.clone(),
                project.clone(),
                output.clone(),
                busy.clone(),
                draft.clone(),
                peer.clone(),
                dispatch.clone(),
                trial.clone(),
                change.clone(),
                published.clone(),
            );
            spawn_local(async move {
                let step = |step: Step| output.set(Output::Busy(step));
                let done = match peer {
                    Some(peer) if goal == Goal::Publish => {
                        let publication = Publication {
                            desk: &desk,
                            project: &project,
                            editor: &editor,
                            peer: &peer,
                            dispatch: &dispatch,
                            step: &step,
                            change: &|next| change.emit(next),
                        };
                        let done = publication.run(&draft).await;
                        published.set(*published + 1);
                        done
                    }
                    _ => {
                        step(Step::Compiling);
                        match compile(&desk, &project, &editor).await {
                            Err(failed) => failed,
                            Ok(compiled) => {
                                step(Step::Starting { trial: true });
                                trial.set(None);
                                let started = async {
                                    Trial::start(&draft, &package(&project, &draft, &compiled.module, false)?)
                                        .await
                                };
                                match started.await {
                                    Ok(started) => {
                                        trial.set(Some(Rc::new(started)));
                                        Output::Tried {
                                            size: compiled.module.length(),
                                            compile_ms: compiled.ms,
                                        }
                                    }
                                    Err(error) => Output::failed(&explain(&error)),
                                }
                            }
                        }
                    }
                };
                *busy.borrow_mut() = false;
                output.set(done);
            });
        })
    };
    let (publish, attempt) = (begin(Goal::Publish), begin(Goal::Try));
    let stop = {
        let trial = trial.setter();
        Callback::from(move |_: MouseEvent| trial.set(None))
    };
    let cancel = {
        let desk = desk.clone();
        Callback::from(move |_: MouseEvent| desk.ide.cancel())
    };
    let jump = {
        let (editor, path) = (editor.clone(), path.setter());
        Callback::from(move |(file, line): (String, u32)| {
            if let Some(mounted) = editor.borrow().as_ref() {
                mounted.editor.goto(&file, line);
                path.set(mounted.editor.path());
            }
        })
    };
    let switch = |apply: fn(&mut Draft, bool)| {
        let (draft, change) = (draft.clone(), change.clone());
        Callback::from(move |event: Event| {
            let mut next = (*draft).clone();
            apply(&mut next, event.target_unchecked_into::<HtmlInputElement>().checked());
            change.emit(next);
        })
    };
    {
        let said = said.clone();
        use_effect_with(output.awaited(), move |awaited| {
            if let (Some(_), Some(said)) = (awaited, said.cast::<web_sys::Element>()) {
                reveal(&said);
            }
        });
    }
    let is_busy = matches!(*output, Output::Busy(_));
    let paths: Vec<String> = project.paths().iter().filter_map(|path| path.as_string()).collect();
    html! {
        <div class="ide">
            <div class="stack ide-main">
                <div class="toolbar">
                    <label class="visually-hidden" for="ide-language">{ "Language" }</label>
                    <select id="ide-language" data-testid="ide-language" onchange={speak}>
                        { for LANGUAGES.iter().map(|(value, label)| html! { <option value={*value} selected={project.language() == *value}>{ *label }</option> }) }
                    </select>
                    <span class="grow"></span>
                    <button class="button" data-testid="ide-try" onclick={attempt} disabled={is_busy} title="Runs it in this tab alone; nothing is published">{ "Try it here" }</button>
                    <button class="button primary" data-testid="ide-publish" onclick={publish} disabled={is_busy} aria-busy={is_busy.to_string()}>{ "Publish" }</button>
                </div>
                <Files desk={desk.clone()} current={props.current.clone()} {paths} path={(*path).clone()} on={on_files} dispatch={props.dispatch.clone()} />
                <div class="card editor-host" ref={host} data-testid="ide-editor"></div>
                <p class="hint">{ "Tab indents. Escape and then Tab leaves the editor." }</p>
                <div class="publish-options">
                    <label class="check"><input type="checkbox" data-testid="ide-attach" checked={draft.attach} onchange={switch(|draft, on| draft.attach = on)} />
                        { "Attach the source, so that others can read and fork it" }</label>
                    <label class="check"><input type="checkbox" data-testid="ide-raise" checked={draft.raise} onchange={switch(|draft, on| draft.raise = on)} />
                        { "Raise the version when it replaces one that runs" }</label>
                </div>
                <div ref={said} class="card output" data-testid="ide-output" role="log" aria-live="polite" aria-label="Compiler output">{ show(&output, &jump, &cancel) }</div>
                <Versions desk={desk.clone()} current={props.current.clone()} published={*published} {restored} dispatch={props.dispatch.clone()} />
            </div>
            <IdeForm draft={(*draft).clone()} {flaws} {change} />
            if let Some(trial) = &*trial {
                // Each trial has a component of its own: another peer, another session.
                <TrialView key={Rc::as_ptr(trial) as usize} trial={trial.clone()} {stop} />
            }
        </div>
    }
}
