//! The IDE: an editor, a form, a compiler in its worker, and the button that publishes.

use std::rc::Rc;

use gloo::timers::callback::Timeout;
use js_sys::{Array, Date, Function, Object, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::api::{load_ide, set, Editor, Ide, Peer};
use crate::draft::{Draft, FORM, SOURCE};
use crate::hooks::{go, keep, Dispatch};
use crate::ide_form::IdeForm;
use crate::model::{field, text};
use crate::parts::Problem;
use crate::state::{Action, State, View};
use crate::words::{bytes, explain, millis, trimmed};

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

/// A line of the output.
#[derive(Clone, PartialEq)]
struct Diagnostic {
    /// 1-based; 0 when it belongs to no line.
    line: u32,
    severity: String,
    message: String,
}

#[derive(Clone, PartialEq)]
enum Output {
    Idle,
    Busy(&'static str),
    Checked { diagnostics: Vec<Diagnostic> },
    Failed { why: String, diagnostics: Vec<Diagnostic> },
    Published { service: String, size: u32, compile_ms: f64, publish_ms: f64 },
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
    let publish = {
        let (ide, editor, output, publishing, draft, peer, dispatch) = (
            ide.clone(),
            editor.clone(),
            output.clone(),
            publishing.clone(),
            draft.clone(),
            props.peer.clone(),
            props.dispatch.clone(),
        );
        let flawed = !flaws.is_empty();
        Callback::from(move |_: MouseEvent| {
            let Some(editor) = editor.borrow().as_ref().map(|mounted| mounted.editor.clone()) else { return };
            if flawed {
                return output.set(Output::Failed {
                    why: "Fix what is marked in the form first; nothing was published.".into(),
                    diagnostics: Vec::new(),
                });
            }
            let Some(peer) = peer.clone() else {
                return output.set(Output::Failed {
                    why: "This tab has not joined yet. Wait until the header says “joined”.".into(),
                    diagnostics: Vec::new(),
                });
            };
            *publishing.borrow_mut() = true;
            let (ide, output, publishing, draft, dispatch) =
                (ide.clone(), output.setter(), publishing.clone(), (*draft).clone(), dispatch.clone());
            spawn_local(async move {
                output.set(Output::Busy("Compiling…"));
                let done = compile_and_publish(&ide, &editor, &peer, &draft, &output).await;
                *publishing.borrow_mut() = false;
                if let Output::Published { service, .. } = &done {
                    dispatch.dispatch(Action::Note(
                        Date::now(),
                        crate::state::EntryKind::Service,
                        format!("{service} published by this tab"),
                    ));
                }
                output.set(done);
            });
        })
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
                    <button class="button primary" data-testid="ide-publish" onclick={publish} disabled={busy} aria-busy={busy.to_string()}>{ if busy { "Publishing…" } else { "Publish" } }</button>
                </div>
                <div class="card editor-host" ref={host} data-testid="ide-editor"></div>
                <div class="card output" data-testid="ide-output" role="log" aria-live="polite" aria-label="Compiler output">{ show(&output, &jump) }</div>
            </div>
            <IdeForm draft={(*draft).clone()} {flaws} {change} />
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

async fn compile_and_publish(
    ide: &Ide,
    editor: &Editor,
    peer: &Peer,
    draft: &Draft,
    output: &UseStateSetter<Output>,
) -> Output {
    let started = Date::now();
    let result = match ide.compile(&editor.text(), true).await {
        Ok(result) => result,
        Err(error) => return Output::Failed { why: explain(&error), diagnostics: Vec::new() },
    };
    editor.mark(&field(&result, "diagnostics"));
    let Ok(module) = field(&result, "module").dyn_into::<Uint8Array>() else {
        let why = "It does not compile, so nothing was published. Your text is kept.".into();
        return Output::Failed { why, diagnostics: diagnostics(&result) };
    };
    output.set(Output::Busy("Publishing…"));
    let compiled = Date::now();
    let published = async {
        let package = Object::new();
        set(&package, "manifest", &draft.manifest()?.into());
        set(&package, "module", &module);
        peer.publish(&package).await
    };
    match published.await {
        Ok(id) => {
            let service = match id.as_string() {
                Some(id) if id.contains('@') => id,
                _ => format!("{}@{}", draft.name, peer.id()),
            };
            Output::Published {
                service,
                size: module.length(),
                compile_ms: compiled - started,
                publish_ms: Date::now() - compiled,
            }
        }
        Err(error) => Output::Failed { why: explain(&error), diagnostics: diagnostics(&result) },
    }
}

fn diagnostics(result: &JsValue) -> Vec<Diagnostic> {
    let list = field(result, "diagnostics").dyn_into::<Array>().unwrap_or_default();
    list.iter()
        .map(|each| Diagnostic {
            line: field(&each, "line").as_f64().unwrap_or(0.0) as u32,
            severity: text(&each, "severity"),
            message: trimmed(&text(&each, "message")),
        })
        .collect()
}

fn show(output: &Output, jump: &Callback<u32>) -> Html {
    match output {
        Output::Idle => {
            html! { <p class="hint">{ "The compiler loads in the background. What it finds appears here." }</p> }
        }
        Output::Busy(what) => html! { <p class="hint">{ *what }</p> },
        Output::Checked { diagnostics } if diagnostics.is_empty() => {
            html! { <p class="good">{ "No problems found." }</p> }
        }
        Output::Checked { diagnostics } => list(diagnostics, jump),
        Output::Failed { why, diagnostics } => {
            html! { <><p class="problem">{ why }</p>{ list(diagnostics, jump) }</> }
        }
        Output::Published { service, size, compile_ms, publish_ms } => {
            let id = service.clone();
            html! {
                <div class="published">
                    <p class="good">{ "Published " }<strong class="wrap"><bdi>{ service }</bdi></strong></p>
                    <p class="hint">{ format!("{} of wasm, compiled in {}, published in {}. This tab serves it until another one takes it over.",
                        bytes(u64::from(*size)), millis(*compile_ms), millis(*publish_ms)) }</p>
                    <button class="button" data-testid="ide-open" onclick={move |_| go(View::Services, Some(&id))}>{ "Open it" }</button>
                </div>
            }
        }
    }
}

fn list(diagnostics: &[Diagnostic], jump: &Callback<u32>) -> Html {
    html! {
        <ul class="plain diagnostics">
            { for diagnostics.iter().map(|each| {
                let (line, jump) = (each.line, jump.clone());
                html! {
                    <li class={each.severity.clone()}>
                        if line > 0 { <button class="quiet mono" onclick={move |_| jump.emit(line)}>{ format!("line {line}") }</button> }
                        <span>{ &each.message }</span>
                    </li>
                }
            }) }
        </ul>
    }
}
