//! The form beside the editor: what the manifest says about the service, field by field.

use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use crate::draft::{Draft, Flaw};
use crate::draft_check::{Field, Kind, BASICS, GROUPS};
use crate::ide_methods::{Examples, Methods};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub draft: Draft,
    pub flaws: Vec<Flaw>,
    pub change: Callback<Draft>,
}

/// The form.
#[component]
pub fn IdeForm(props: &Props) -> Html {
    let (draft, flaws) = (&props.draft, &props.flaws);
    let set = |field: &'static Field| {
        let (draft, change) = (draft.clone(), props.change.clone());
        Callback::from(move |value: String| {
            let mut next = draft.clone();
            next.set_value(field.id, value);
            change.emit(next);
        })
    };
    let show = |field: &'static Field| html! { <Input key={field.id} {field} value={draft.value(field.id).to_owned()} set={set(field)} flaw={flaw(flaws, field.id)} /> };
    let methods = {
        let (draft, change) = (draft.clone(), props.change.clone());
        Callback::from(move |event: InputEvent| {
            let mut next = draft.clone();
            next.set_interface(event.target_unchecked_into::<HtmlTextAreaElement>().value());
            change.emit(next);
        })
    };
    let begins = |prefix: &str| flaws.iter().any(|flaw| flaw.field.starts_with(prefix));
    let wrong = flaw(flaws, "interface");
    html! {
        <div class="card stack ide-form">
            <div class="pair">{ for BASICS[..2].iter().map(show) }</div>
            { for BASICS[2..].iter().map(show) }
            <Fold title="Methods" flawed={begins("method-")}>
                <Methods draft={draft.clone()} flaws={flaws.clone()} change={props.change.clone()} />
            </Fold>
            <Fold title="Methods as JSON" flawed={wrong.is_some()}>
                <label class="field">
                    <textarea rows="6" class="mono small" spellcheck="false" data-testid="ide-interface" aria-label="Methods as JSON"
                        aria-invalid={wrong.is_some().to_string()} value={draft.interface().to_owned()} oninput={methods} />
                    <span class="hint">{ "Each method with the JSON Schema of its body and reply; without a schema it takes and gives bytes. " }<code>{ "readOnly" }</code>{ " methods change nothing." }</span>
                    if let Some(words) = wrong { <span class="problem" role="alert">{ words }</span> }
                </label>
            </Fold>
            <Fold title="Examples" flawed={begins("example-")}>
                <Examples draft={draft.clone()} flaws={flaws.clone()} change={props.change.clone()} />
            </Fold>
            { for GROUPS.iter().map(|group| html! {
                <Fold key={group.title} title={group.title} flawed={group.fields.iter().any(|field| flaw(flaws, field.id).is_some())}>
                    <div class="stack tight">
                        { for group.fields.iter().map(show) }
                        <p class="hint">{ group.note }</p>
                    </div>
                </Fold>
            }) }
        </div>
    }
}

/// What is wrong with a field, in words.
pub fn flaw(flaws: &[Flaw], field: &str) -> Option<String> {
    flaws.iter().find(|flaw| flaw.field == field).map(|flaw| flaw.words.clone())
}

#[derive(Properties, PartialEq)]
struct FoldProps {
    title: &'static str,
    /// Something in it is wrong: it opens, and then stays as the person leaves it.
    flawed: bool,
    children: Html,
}

/// A part of the form that is folded away until it is needed.
#[component]
fn Fold(props: &FoldProps) -> Html {
    let open = use_state(|| false);
    let ontoggle = {
        let open = open.clone();
        Callback::from(move |event: Event| {
            open.set(event.target_unchecked_into::<web_sys::Element>().has_attribute("open"));
        })
    };
    html! {
        <details open={*open || props.flawed} {ontoggle}>
            <summary>{ props.title }</summary>
            { props.children.clone() }
        </details>
    }
}

#[derive(Properties)]
struct InputProps {
    field: &'static Field,
    value: String,
    set: Callback<String>,
    flaw: Option<String>,
}

impl PartialEq for InputProps {
    fn eq(&self, other: &Self) -> bool {
        self.field.id == other.field.id
            && self.value == other.value
            && self.flaw == other.flaw
            && self.set == other.set
    }
}

/// One field.
#[component]
fn Input(props: &InputProps) -> Html {
    let field = props.field;
    let testid = format!("ide-{}", field.id);
    let flaw_id = format!("ide-{}-flaw", field.id);
    let invalid = props.flaw.is_some().to_string();
    let wrong = html! { <span class="problem" id={flaw_id.clone()} aria-live="polite">{ props.flaw.clone().unwrap_or_default() }</span> };
    match field.kind {
        Kind::Switch => {
            let set = props.set.clone();
            let onchange = Callback::from(move |event: Event| {
                let on = event.target_unchecked_into::<HtmlInputElement>().checked();
                set.emit(if on { "yes".into() } else { String::new() });
            });
            html! { <label class="check"><input type="checkbox" data-testid={testid} checked={props.value == "yes"} {onchange} />{ field.label }</label> }
        }
        Kind::Choice(choices) => {
            let set = props.set.clone();
            let onchange = Callback::from(move |event: Event| {
                set.emit(event.target_unchecked_into::<HtmlSelectElement>().value())
            });
            html! {
                <label class="field">
                    <span class="field-label">{ field.label }</span>
                    <select {onchange} data-testid={testid} aria-describedby={flaw_id.clone()}>
                        { for choices.iter().map(|(value, label)| html! { <option value={*value} selected={props.value == *value}>{ *label }</option> }) }
                    </select>
                    { wrong }
                </label>
            }
        }
        _ => {
            let set = props.set.clone();
            let oninput = Callback::from(move |event: InputEvent| {
                set.emit(event.target_unchecked_into::<HtmlInputElement>().value())
            });
            html! {
                <label class="field">
                    <span class="field-label">{ field.label }</span>
                    <input type="text" autocomplete="off" spellcheck="false" data-testid={testid} placeholder={field.hint} value={props.value.clone()} {oninput}
                        aria-invalid={invalid} aria-describedby={flaw_id} />
                    { wrong }
                </label>
            }
        }
    }
}
