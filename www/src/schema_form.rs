//! The fields of a method's body, made from its schema, and checked as a person types. The form around them is the caller's.

use wasm_bindgen::JsCast;
use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use crate::schema::{Kind, Schema};

#[derive(Properties, PartialEq)]
pub struct Props {
    /// The method's name, for labels and ids.
    pub method: AttrValue,
    pub schema: Schema,
    /// What was entered, one text per field; `Schema::blank` at first.
    pub entered: Vec<String>,
    pub on_change: Callback<Vec<String>>,
    /// Are empty fields complained about as well, since somebody tried to call.
    #[prop_or_default]
    pub tried: bool,
}

/// The fields.
#[component]
pub fn SchemaForm(props: &Props) -> Html {
    let at = |index: usize| props.entered.get(index).cloned().unwrap_or_default();
    let change = |index: usize| {
        let (entered, on_change) = (props.entered.clone(), props.on_change.clone());
        Callback::from(move |text: String| {
            let mut entered = entered.clone();
            if let Some(slot) = entered.get_mut(index) {
                *slot = text;
            }
            on_change.emit(entered);
        })
    };
    match &props.schema {
        Schema::Bytes => html! {
            <Input id={format!("body-{}", props.method)} label={format!("Body of {}", props.method)} testid="method-body" entered={at(0)} change={change(0)}
                placeholder="text, or empty" lines={true} />
        },
        Schema::Value(kind) => {
            let entered = at(0);
            let wrong = kind.json(&entered).err().filter(|_| props.tried || !entered.is_empty());
            html! {
                <Value id={format!("body-{}", props.method)} label={format!("Body of {}", props.method)} testid="method-body" kind={kind.clone()} {entered} change={change(0)}
                    required={true} {wrong} />
            }
        }
        Schema::Object(fields) => html! {
            <div class="schema-fields">
                { for fields.iter().enumerate().map(|(index, field)| {
                    let entered = at(index);
                    let wrong = field.json(&entered).err().filter(|_| props.tried || !entered.is_empty());
                    let id = format!("body-{}-{index}", props.method);
                    html! {
                        <div class="field" key={field.name.clone()} data-testid="method-field" data-field={field.name.clone()}>
                            if field.kind != Kind::Flag {
                                <label class="field-label" for={id.clone()}><bdi>{ &field.title }</bdi>
                                    if !field.required { <span class="faint">{ " (optional)" }</span> }</label>
                            }
                            <Value {id} label={field.title.clone()} testid="method-input" kind={field.kind.clone()} {entered} change={change(index)} required={field.required} {wrong} labelled={true} />
                            if !field.description.is_empty() { <span class="hint"><bdi>{ &field.description }</bdi></span> }
                        </div>
                    }
                }) }
            </div>
        },
    }
}

#[derive(Properties, PartialEq)]
struct ValueProps {
    id: String,
    label: String,
    testid: &'static str,
    kind: Kind,
    entered: String,
    change: Callback<String>,
    required: bool,
    wrong: Option<String>,
    /// Does a label stand above it.
    #[prop_or_default]
    labelled: bool,
}

#[component]
fn Value(props: &ValueProps) -> Html {
    let change = props.change.clone();
    let label = (!props.labelled).then(|| props.label.clone());
    let problem = format!("{}-problem", props.id);
    let described = props.wrong.is_some().then(|| problem.clone());
    let invalid = props.wrong.is_some().then_some("true");
    let field = match &props.kind {
        Kind::Flag => html! {
            <label class="check">
                <input type="checkbox" id={props.id.clone()} data-testid={props.testid} checked={props.entered == "true"}
                    onchange={move |event: Event| change.emit(event.target_unchecked_into::<HtmlInputElement>().checked().to_string())} />
                <bdi>{ if props.labelled { props.label.as_str() } else { "yes" } }</bdi>
            </label>
        },
        Kind::Choice(choices) => html! {
            <select id={props.id.clone()} aria-label={label} data-testid={props.testid} aria-invalid={invalid} aria-describedby={described}
                onchange={move |event: Event| change.emit(event.target_unchecked_into::<HtmlSelectElement>().value())}>
                <option value="" selected={props.entered.is_empty()}>{ if props.required { "choose…" } else { "not given" } }</option>
                { for choices.iter().map(|(said, json)| html! { <option value={json.clone()} selected={*json == props.entered}>{ said }</option> }) }
            </select>
        },
        kind => html! {
            <Input id={props.id.clone()} label={props.label.clone()} labelled={props.labelled} testid={props.testid} entered={props.entered.clone()} {change}
                placeholder={kind.hint()} lines={matches!(kind, Kind::Json(_))} number={matches!(kind, Kind::Integer(_) | Kind::Number(_))} {invalid} {described} />
        },
    };
    html! {
        <>
            { field }
            if let Some(wrong) = &props.wrong { <span class="problem" id={problem} data-testid="field-problem"><bdi>{ wrong }</bdi></span> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct InputProps {
    id: String,
    label: String,
    #[prop_or_default]
    labelled: bool,
    testid: &'static str,
    entered: String,
    change: Callback<String>,
    placeholder: AttrValue,
    /// May it have several lines.
    lines: bool,
    #[prop_or_default]
    number: bool,
    #[prop_or_default]
    invalid: Option<&'static str>,
    #[prop_or_default]
    described: Option<String>,
}

#[component]
fn Input(props: &InputProps) -> Html {
    let label = (!props.labelled).then(|| props.label.clone());
    let change = props.change.clone();
    if !props.lines {
        // A number is a text field as well: nothing is rounded, and no wheel changes it.
        return html! {
            <input type="text" id={props.id.clone()} aria-label={label} data-testid={props.testid} autocomplete="off" spellcheck="false"
                inputmode={props.number.then_some("decimal")} placeholder={props.placeholder.clone()} value={props.entered.clone()}
                aria-invalid={props.invalid} aria-describedby={props.described.clone()}
                oninput={move |event: InputEvent| change.emit(event.target_unchecked_into::<HtmlInputElement>().value())} />
        };
    }
    // Enter calls, Shift+Enter makes a new line: most bodies are one line.
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
            event.prevent_default();
            let area: web_sys::Element = event.target_unchecked_into();
            if let Ok(Some(form)) = area.closest("form") {
                // A form that is shown can be submitted.
                let _ = form.unchecked_into::<web_sys::HtmlFormElement>().request_submit();
            }
        }
    });
    html! {
        <textarea rows="1" class="mono grow" spellcheck="false" id={props.id.clone()} aria-label={label} data-testid={props.testid}
            placeholder={props.placeholder.clone()} value={props.entered.clone()} aria-invalid={props.invalid} aria-describedby={props.described.clone()}
            {onkeydown} oninput={move |event: InputEvent| change.emit(event.target_unchecked_into::<HtmlTextAreaElement>().value())} />
    }
}
