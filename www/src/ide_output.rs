//! What the IDE says below the editor: what the compiler found, how far a publication is, how it ended.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use yew::prelude::*;

use crate::hooks::go;
use crate::model::{field, text};
use crate::state::View;
use crate::words::{bytes, millis, moment, trimmed};

/// A finding of the compiler.
#[derive(Clone, PartialEq)]
pub struct Diagnostic {
    /// Empty when it belongs to no file.
    file: String,
    /// 1-based; 0 when it belongs to no line.
    line: u32,
    severity: String,
    message: String,
}

/// The steps of a publication or trial, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Compiling,
    /// The sandbox inspects and starts it; then, unless it is a trial, others are told.
    Starting {
        trial: bool,
    },
    /// Its source is kept as a version.
    Keeping,
}

impl Step {
    fn words(self) -> &'static str {
        match self {
            Step::Compiling => "Step 1: compiling…",
            Step::Starting { trial: false } => {
                "Step 2 of 3: inspecting it, starting it in this tab and announcing it…"
            }
            Step::Starting { trial: true } => "Step 2 of 2: inspecting it and starting it in this tab…",
            Step::Keeping => "Step 3 of 3: keeping this version…",
        }
    }
}

/// What is shown.
#[derive(Clone, PartialEq)]
pub enum Output {
    Idle,
    Busy(Step),
    Checked {
        diagnostics: Vec<Diagnostic>,
    },
    Failed {
        why: String,
        diagnostics: Vec<Diagnostic>,
    },
    Published {
        service: String,
        version: String,
        size: u32,
        compile_ms: f64,
        publish_ms: f64,
        /// It replaced a version that ran.
        replaced: bool,
        /// The newer version that was published before, above which this one was raised.
        above: Option<String>,
    },
    /// It runs already as it is written.
    Unchanged {
        service: String,
        version: String,
        at: f64,
    },
    Cancelled,
    Tried {
        size: u32,
        compile_ms: f64,
    },
}

impl Output {
    /// A failure that belongs to no line.
    pub fn failed(why: &str) -> Self {
        Output::Failed { why: why.to_owned(), diagnostics: Vec::new() }
    }

    /// Does it answer a click, and is it the end of it? The buttons stand above the editor and the output below it, so what a person waits for is brought
    /// into view. What a check finds while one types is not, and a trial shows itself.
    pub fn awaited(&self) -> Option<bool> {
        match self {
            Output::Idle | Output::Checked { .. } | Output::Tried { .. } => None,
            Output::Busy(_) => Some(false),
            Output::Failed { .. }
            | Output::Published { .. }
            | Output::Unchanged { .. }
            | Output::Cancelled => Some(true),
        }
    }
}

const REPLACED: &str = "It replaced the version that ran: its users stay, and what it stored with cx.put; \
    the rest of its state began anew.";

/// The findings of a compilation.
pub fn diagnostics(result: &JsValue) -> Vec<Diagnostic> {
    let list = field(result, "diagnostics").dyn_into::<Array>().unwrap_or_default();
    list.iter()
        .map(|each| Diagnostic {
            file: trimmed(&text(&each, "file")),
            line: field(&each, "line").as_f64().unwrap_or(0.0) as u32,
            severity: text(&each, "severity"),
            message: trimmed(&text(&each, "message")),
        })
        .collect()
}

/// The output; `jump` is called with the file and line of a finding that is clicked, `cancel` stops the compiler.
pub fn show(output: &Output, jump: &Callback<(String, u32)>, cancel: &Callback<MouseEvent>) -> Html {
    match output {
        Output::Idle => {
            html! { <p class="hint">{ "The compiler loads in the background. What it finds appears here." }</p> }
        }
        Output::Busy(step) => {
            html! {
                <>
                    <p class="hint">{ step.words() }</p>
                    <progress aria-label={step.words()} />
                    if *step == Step::Compiling { <button class="button" data-testid="ide-cancel" onclick={cancel.clone()}>{ "Cancel" }</button> }
                </>
            }
        }
        Output::Checked { diagnostics } if diagnostics.is_empty() => {
            html! { <p class="good">{ "No problems found." }</p> }
        }
        Output::Checked { diagnostics } => list(diagnostics, jump),
        Output::Failed { why, diagnostics } => {
            html! { <><p class="problem">{ why }</p>{ list(diagnostics, jump) }</> }
        }
        Output::Cancelled => {
            html! { <p class="problem">{ "Compiling was cancelled. Nothing was published, and your text is kept." }</p> }
        }
        Output::Unchanged { service, version, at } => {
            let id = service.clone();
            html! {
                <div class="published">
                    <p class="good">{ "Published " }<strong class="wrap"><bdi>{ service }</bdi></strong>{ " already" }</p>
                    <p class="hint">{ format!("Nothing changed since version {version} of {}, and it runs. So nothing was done.", moment(*at)) }</p>
                    <button class="button" data-testid="ide-open" onclick={move |_| go(View::Services, Some(&id))}>{ "Open it" }</button>
                </div>
            }
        }
        Output::Published { service, version, size, compile_ms, publish_ms, replaced, above } => {
            let id = service.clone();
            html! {
                <div class="published">
                    <p class="good">{ "Published " }<strong class="wrap"><bdi>{ service }</bdi></strong></p>
                    <p class="hint">{ format!("Version {version}: {} of wasm, compiled in {}, published in {}. {}",
                        bytes(u64::from(*size)), millis(*compile_ms), millis(*publish_ms),
                        if *replaced { REPLACED } else { "This tab serves it until another one takes it over." }) }</p>
                    if let Some(above) = above {
                        <p class="hint" data-testid="ide-raised">{ format!("It was to be an older version than {above}, which is published. So it became {version}.") }</p>
                    }
                    <button class="button" data-testid="ide-open" onclick={move |_| go(View::Services, Some(&id))}>{ "Open it" }</button>
                </div>
            }
        }
        Output::Tried { size, compile_ms } => html! {
            <>
                <p class="good">{ "It runs below, in this tab alone." }</p>
                <p class="hint">{ format!("{} of wasm, compiled in {}. Nothing was published.", bytes(u64::from(*size)), millis(*compile_ms)) }</p>
            </>
        },
    }
}

fn list(diagnostics: &[Diagnostic], jump: &Callback<(String, u32)>) -> Html {
    html! {
        <ul class="plain diagnostics">
            { for diagnostics.iter().map(|each| {
                let (file, line, jump) = (each.file.clone(), each.line, jump.clone());
                let place = if file.is_empty() { format!("line {line}") } else { format!("{file} line {line}") };
                html! {
                    <li class={each.severity.clone()}>
                        if line > 0 { <button class="quiet mono" data-testid="ide-jump" onclick={move |_| jump.emit((file.clone(), line))}><bdi>{ place }</bdi></button> }
                        <span>{ &each.message }</span>
                    </li>
                }
            }) }
        </ul>
    }
}
