//! The IDE: an editor, a form, a compiler in its worker, and the button that publishes.

use std::rc::Rc;

use gloo::timers::callback::Timeout;
use js_sys::{Date, Function, Object, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::api::{load_ide, set, Editor, Ide, Peer};
use crate::draft::{Draft, FORM, SOURCE};
use crate::hooks::{keep, Dispatch};
use crate::ide_form::IdeForm;
use crate::ide_output::{diagnostics, show, Output, Step};
use crate::model::{field, text, Status};
use crate::parts::Problem;
use crate::state::{Action, EntryKind, State};
use crate::trial::{Trial, TrialView};
use crate::words::{explain, trimmed};

/// How long typing must rest before the source is checked, in ms.
const CHECK_MS: u32 = 600;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view: the bundle is fetched when it is first shown.
#[component]
pub fn IdeView(props: &Props) -> Html {
    let attempt = use_state(|| 0u32);
    let bundle = use_state(|| None::<Result<Bundle, String>>);
    {
        let bundle = bundle.clone();
        use_effect_with(*attempt, move |_| {
            bundle.set(None);
            spawn_local(async move {
                bundle.set(Some(
                    load_ide().await.map(|ide| Bundle(Rc::new(ide))).map_err(|error| text(&error, "message")),
                ));
            });
        });
    }
    let again = Callback::from(move |_: MouseEvent| attempt.set(*attempt + 1));
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "IDE" }</h1>
                    <p class="lead">{ "Write a small backend in AssemblyScript and publish it. It runs in this tab first, then wherever it is moved." }</p>
                </div>
            </div>
            { match &*bundle {
                None => html! { <div class="card ghost editor-host" role="status"><p class="hint">{ "Loading the editor…" }</p></div> },
                Some(Err(why)) => html! {
                    <Problem text={format!("The editor could not be loaded. Check your connection. ({})", trimmed(why))}>
                        <button class="button" onclick={again}>{ "Try again" }</button>
                    </Problem>
                },
                Some(Ok(ide)) => html! { <Workbench ide={ide.clone()} peer={props.state.peer.clone()} dispatch={props.state.dispatcher()} /> },
            } }
        </div>
    }
}

/// The bundle; there is one, so all are equal.
#[derive(Clone)]
struct Bundle(Rc<Ide>);

impl PartialEq for Bundle {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Properties, PartialEq)]
struct WorkbenchProps {
    ide: Bundle,
    peer: Option<Peer>,
    dispatch: Dispatch,
}

#[component]
fn Workbench(props: &WorkbenchProps) -> Html {
    let ide = props.ide.0.clone();
    let draft = {
        let ide = ide.clone();
        use_state(move || Draft::kept().unwrap_or_else(|| template(&ide, "hello").1))
    };
    let output = use_state(|| Output::Idle);
    let previous = use_state(|| None::<(String, Draft)>);
    let host = use_node_ref();
    let editor = use_mut_ref(|| None::<Mounted>);
    let timer = use_mut_ref(|| None::<Timeout>);
    let publishing = use_mut_ref(|| false);

    let check = {
        let (ide, editor, output, timer, publishing) =
            (ide.clone(), editor.clone(), output.setter(), timer.clone(), publishing.clone());
        Rc::new(move || {
            let (ide, editor, output, publishing) =
                (ide.clone(), editor.clone(), output.clone(), publishing.clone());
            *timer.borrow_mut() = Some(Timeout::new(CHECK_MS, move || {
                let Some(editor) = editor.borrow().as_ref().map(|mounted| mounted.editor.clone()) else {
                    return;
                };
                if *publishing.borrow() {
                    return;
                }
                spawn_local(async move {
                    let Ok(result) = ide.compile(&editor.text(), false).await else { return };
                    if field(&result, "superseded").is_truthy() {
                        return;
                    }
                    editor.mark(&field(&result, "diagnostics"));
                    output.set(Output::Checked { diagnostics: diagnostics(&result) });
                });
            }));
        })
    };
    {
        let (ide, host, editor, check, dispatch, source) = (
            ide.clone(),
            host.clone(),
            editor.clone(),
            check.clone(),
            props.dispatch.clone(),
            template(&ide, &draft.template).0,
        );
        use_effect_with((), move |()| {
            if let Some(host) = host.cast::<web_sys::Element>() {
                let first = check.clone();
                let changed = Closure::<dyn FnMut(bool)>::new(move |kept: bool| {
                    if !kept {
                        dispatch.dispatch(Action::warn("This browser has no room to keep your source. Copy it elsewhere before you reload."));
                    }
                    check();
                });
                let mounted = ide.mount(&host, SOURCE, &source, changed.as_ref().unchecked_ref::<Function>());
                *editor.borrow_mut() = Some(Mounted { editor: mounted, _changed: changed });
                ide.warm();
                first();
            }
            move || drop(editor.borrow_mut().take())
        });
    }
    let change = {
        let (draft, dispatch) = (draft.clone(), props.dispatch.clone());
        Callback::from(move |next: Draft| {
            keep(FORM, &next.to_json(), &dispatch);
            draft.set(next);
        })
    };
    let choose = {
        let (ide, editor, previous, draft, change) =
            (ide.clone(), editor.clone(), previous.clone(), draft.clone(), change.clone());
        Callback::from(move |event: Event| {
            let (source, next) = template(&ide, &event.target_unchecked_into::<HtmlSelectElement>().value());
            if let Some(mounted) = editor.borrow().as_ref() {
                previous.set(Some((mounted.editor.text(), (*draft).clone())));
                mounted.editor.replace(&source);
            }
            change.emit(next);
        })
    };
    let restore = {
        let (editor, previous, change) = (editor.clone(), previous.clone(), change.clone());
        Callback::from(move |_: MouseEvent| {
            if let (Some(mounted), Some((source, draft))) = (editor.borrow().as_ref(), &*previous) {
                mounted.editor.replace(source);
                change.emit(draft.clone());
            }
            previous.set(None);
        })
    };
    let flaws = draft.flaws();
    let trial = use_state(|| None::<Rc<Trial>>);
    // Publishing and trying are the same up to the compiled module.
    let begin = |goal: Goal| {
        let (ide, editor, output, publishing, draft, peer, dispatch, trial, timer) = (
            ide.clone(),
            editor.clone(),
            output.clone(),
            publishing.clone(),
            draft.clone(),
            props.peer.clone(),
            props.dispatch.clone(),
            trial.setter(),
            timer.clone(),
        );
        let flawed = !flaws.is_empty();
        Callback::from(move |_: MouseEvent| {
            let Some(editor) = editor.borrow().as_ref().map(|mounted| mounted.editor.clone()) else { return };
            if flawed {
                return output.set(Output::failed("Fix what is marked in the form first."));
            }
            if goal == Goal::Publish && peer.is_none() {
                return output.set(Output::failed(
                    "This tab has not joined yet. Wait until the header says “joined”.",
                ));
            }
            // A check that is due would only repeat what the compiler says now.
            timer.borrow_mut().take();
            *publishing.borrow_mut() = true;
            let (ide, output, publishing, draft, peer, dispatch, trial) = (
                ide.clone(),
                output.setter(),
                publishing.clone(),
                (*draft).clone(),
                peer.clone(),
                dispatch.clone(),
                trial.clone(),
            );
            spawn_local(async move {
                output.set(Output::Busy(Step::Compiling));
                let done = match (compile(&ide, &editor).await, peer) {
                    (Err(failed), _) => failed,
                    (Ok(compiled), Some(peer)) if goal == Goal::Publish => {
                        output.set(Output::Busy(Step::Starting { trial: false }));
                        publish(&peer, &draft, compiled, &dispatch).await
                    }
                    (Ok(compiled), _) => {
                        output.set(Output::Busy(Step::Starting { trial: true }));
                        trial.set(None);
                        match Trial::start(&draft, &compiled.module).await {
                            Ok(started) => {
                                trial.set(Some(Rc::new(started)));
                                Output::Tried { size: compiled.module.length(), compile_ms: compiled.ms }
                            }
                            Err(error) => Output::failed(&explain(&error)),
                        }
                    }
                };
                *publishing.borrow_mut() = false;
                output.set(done);
            });
        })
    };
    let (publish, attempt) = (begin(Goal::Publish), begin(Goal::Try));
    let stop = {
        let trial = trial.setter();
        Callback::from(move |_: MouseEvent| trial.set(None))
    };
    let jump = {
        let editor = editor.clone();
        Callback::from(move |line: u32| {
            if let Some(mounted) = editor.borrow().as_ref() {
                mounted.editor.goto(line);
            }
        })
    };
    let busy = matches!(*output, Output::Busy(_));
    html! {
        <div class="ide">
            <div class="stack ide-main">
                <div class="toolbar">
                    <label class="visually-hidden" for="ide-template">{ "Template" }</label>
                    <select id="ide-template" data-testid="ide-template" onchange={choose}>
                        { for TEMPLATES.iter().map(|(value, label)| html! { <option value={*value} selected={draft.template == *value}>{ *label }</option> }) }
                    </select>
                    if previous.is_some() { <button class="button" onclick={restore}>{ "Bring my text back" }</button> }
                    <span class="grow"></span>
                    <button class="button" data-testid="ide-try" onclick={attempt} disabled={busy} title="Runs it in this tab alone; nothing is published">{ "Try it here" }</button>
                    <button class="button primary" data-testid="ide-publish" onclick={publish} disabled={busy} aria-busy={busy.to_string()}>{ "Publish" }</button>
                </div>
                <div class="card editor-host" ref={host} data-testid="ide-editor"></div>
                <div class="card output" data-testid="ide-output" role="log" aria-live="polite" aria-label="Compiler output">{ show(&output, &jump) }</div>
            </div>
            <IdeForm draft={(*draft).clone()} {flaws} {change} />
            if let Some(trial) = &*trial {
                // Each trial has a component of its own: another peer, another session.
                <TrialView key={Rc::as_ptr(trial) as usize} trial={trial.clone()} {stop} />
            }
        </div>
    }
}

const TEMPLATES: [(&str, &str); 4] = [
    ("hello", "Template: hello"),
    ("counter", "Template: counter"),
    ("chat", "Template: chat"),
    ("poll", "Template: poll"),
];

/// The editor with the closure that it calls; destroyed when dropped.
struct Mounted {
    editor: Editor,
    _changed: Closure<dyn FnMut(bool)>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.editor.destroy();
    }
}

/// The source and the form of a template.
fn template(ide: &Ide, name: &str) -> (String, Draft) {
    let found = ide.template(name);
    (text(&found, "source"), Draft::read(&found))
}

/// What a click is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Publish,
    Try,
}

struct Compiled {
    module: Uint8Array,
    /// How long it took.
    ms: f64,
}

async fn compile(ide: &Ide, editor: &Editor) -> Result<Compiled, Output> {
    let started = Date::now();
    let result = ide.compile(&editor.text(), true).await.map_err(|error| Output::failed(&explain(&error)))?;
    editor.mark(&field(&result, "diagnostics"));
    let module = field(&result, "module").dyn_into::<Uint8Array>().map_err(|_| Output::Failed {
        why: "It does not compile, so nothing was published. Your text is kept.".into(),
        diagnostics: diagnostics(&result),
    })?;
    Ok(Compiled { module, ms: Date::now() - started })
}

async fn publish(peer: &Peer, draft: &Draft, compiled: Compiled, dispatch: &Dispatch) -> Output {
    let started = Date::now();
    let replaced = runs(peer, &format!("{}@{}", draft.name, peer.id()));
    let published = async {
        let package = Object::new();
        set(&package, "manifest", &draft.manifest()?.into());
        set(&package, "module", &compiled.module);
        peer.publish(&package).await
    };
    match published.await {
        Ok(id) => {
            let service = match id.as_string() {
                Some(id) if id.contains('@') => id,
                _ => format!("{}@{}", draft.name, peer.id()),
            };
            let line = format!("{service} published by this tab");
            dispatch.dispatch(Action::Note(Date::now(), EntryKind::Service, line));
            Output::Published {
                service,
                size: compiled.module.length(),
                compile_ms: compiled.ms,
                publish_ms: Date::now() - started,
                replaced,
            }
        }
        Err(error) => Output::failed(&explain(&error)),
    }
}

/// Does this tab or one that it knows run the service now?
fn runs(peer: &Peer, service: &str) -> bool {
    let status = peer.status().map(|status| Status::read(&status)).unwrap_or_default();
    status.hosting.iter().any(|hosted| hosted.service == service)
        || status.peers.iter().any(|other| other.hosting.iter().any(|each| each == service))
}
