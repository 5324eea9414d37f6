//! Methods and examples of the form as rows.

use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use crate::draft::{Draft, ExampleRow, Flaw, MethodRow, MAX_EXAMPLES};
use crate::ide_form::flaw;

/// The most methods.
const MAX_METHODS: usize = 64;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub draft: Draft,
    pub flaws: Vec<Flaw>,
    pub change: Callback<Draft>,
}

/// The methods, each with what it takes and gives.
#[component]
pub fn Methods(props: &Props) -> Html {
    let draft = &props.draft;
    let edit = |apply: fn(&mut Vec<MethodRow>, usize, String), at: usize| {
        let (draft, change) = (draft.clone(), props.change.clone());
        Callback::from(move |value: String| {
            let mut next = draft.clone();
            let mut rows = next.methods.clone();
            apply(&mut rows, at, value);
            next.set_methods(rows);
            change.emit(next);
        })
    };
    let click = |apply: fn(&mut Vec<MethodRow>, usize, String), at: usize| {
        let edit = edit(apply, at);
        Callback::from(move |_: MouseEvent| edit.emit(String::new()))
    };
    let read_only = |at: usize| {
        let edit = edit(
            |rows, at, value| {
                if let Some(row) = rows.get_mut(at) {
                    row.read_only = !value.is_empty();
                }
            },
            at,
        );
        Callback::from(move |event: Event| {
            let on = event.target_unchecked_into::<HtmlInputElement>().checked();
            edit.emit(if on { "yes".into() } else { String::new() });
        })
    };
    html! {
        <div class="stack tight" data-testid="ide-methods">
            { for draft.methods.iter().enumerate().map(|(at, row)| html! {
                <fieldset key={at} class="row" data-testid="ide-method">
                    <div class="row-head">
                        <Text label="Name" testid="ide-method-name" value={row.name.clone()} set={edit(|rows, at, value| with(rows, at, |row| row.name = value), at)} />
                        <button type="button" class="quiet small" data-testid="ide-method-remove" aria-label={format!("Remove the method {}", row.name)} onclick={click(|rows, at, _| remove(rows, at), at)}>{ "Remove" }</button>
                    </div>
                    <Text label="Description" testid="ide-method-description" value={row.description.clone()} set={edit(|rows, at, value| with(rows, at, |row| row.description = value), at)} />
                    <Text label="Schema of the body" hint="bytes" mono=true testid="ide-method-body" value={row.body.clone()} set={edit(|rows, at, value| with(rows, at, |row| row.body = value), at)} />
                    <Text label="Schema of the reply" hint="bytes" mono=true testid="ide-method-reply" value={row.reply.clone()} set={edit(|rows, at, value| with(rows, at, |row| row.reply = value), at)} />
                    <label class="check"><input type="checkbox" data-testid="ide-method-readonly" checked={row.read_only} onchange={read_only(at)} />{ "Reads only: any copy may answer" }</label>
                    if let Some(words) = flaw(&props.flaws, &format!("method-{at}")) { <span class="problem" role="alert">{ words }</span> }
                </fieldset>
            }) }
            if draft.methods.len() < MAX_METHODS {
                <div><button type="button" class="button" data-testid="ide-method-add" onclick={click(|rows, _, _| rows.push(MethodRow { name: free_name(rows), ..MethodRow::default() }), 0)}>{ "Add a method" }</button></div>
            }
        </div>
    }
}

/// Examples: what a fresh instance answers. Each host runs them before it serves.
#[component]
pub fn Examples(props: &Props) -> Html {
    let draft = &props.draft;
    let edit = |apply: fn(&mut Draft, usize, String), at: usize| {
        let (draft, change) = (draft.clone(), props.change.clone());
        Callback::from(move |value: String| {
            let mut next = draft.clone();
            apply(&mut next, at, value);
            change.emit(next);
        })
    };
    let click = |apply: fn(&mut Draft, usize, String), at: usize| {
        let edit = edit(apply, at);
        Callback::from(move |_: MouseEvent| edit.emit(String::new()))
    };
    let choose = |at: usize| {
        let edit = edit(|draft, at, value| with(&mut draft.examples, at, |row| row.method = value), at);
        Callback::from(move |event: Event| {
            edit.emit(event.target_unchecked_into::<HtmlSelectElement>().value())
        })
    };
    let hint = |schema: Option<&String>| {
        if schema.is_some_and(|schema| !schema.is_empty()) {
            "JSON"
        } else {
            "text"
        }
    };
    html! {
        <div class="stack tight" data-testid="ide-examples">
            <p class="hint">{ "In this order, on a fresh instance. “Try it here” runs them, and every host before it serves." }</p>
            { for draft.examples.iter().enumerate().map(|(at, row)| {
                let method = draft.method(&row.method);
                html! {
                    <fieldset key={at} class="row" data-testid="ide-example">
                        <div class="row-head">
                            <label class="field"><span class="field-label">{ "Method" }</span>
                                <select data-testid="ide-example-method" onchange={choose(at)}>
                                    if method.is_none() { <option value={row.method.clone()} selected=true>{ &row.method }</option> }
                                    { for draft.methods.iter().map(|each| html! { <option value={each.name.clone()} selected={each.name == row.method}>{ &each.name }</option> }) }
                                </select></label>
                            <button type="button" class="quiet small" data-testid="ide-example-remove" aria-label={format!("Remove example {}", at + 1)} onclick={click(|draft, at, _| remove(&mut draft.examples, at), at)}>{ "Remove" }</button>
                        </div>
                        <Text label="Body" hint={hint(method.map(|method| &method.body))} mono=true testid="ide-example-body" value={row.body.clone()}
                            set={edit(|draft, at, value| with(&mut draft.examples, at, |row| row.body = value), at)} />
                        <Text label="Expected reply" hint="anything" mono=true testid="ide-example-reply" value={row.reply.clone()}
                            set={edit(|draft, at, value| with(&mut draft.examples, at, |row| row.reply = value), at)} />
                        if method.is_none() { <span class="hint">{ "There is no such method, so this example is left out." }</span> }
                        if let Some(words) = flaw(&props.flaws, &format!("example-{at}")) { <span class="problem" role="alert">{ words }</span> }
                    </fieldset>
                }
            }) }
            if draft.examples.len() < MAX_EXAMPLES && !draft.methods.is_empty() {
                <div><button type="button" class="button" data-testid="ide-example-add" onclick={click(|draft, _, _| {
                    let method = draft.methods.first().map(|method| method.name.clone()).unwrap_or_default();
                    draft.examples.push(ExampleRow { method, ..ExampleRow::default() });
                }, 0)}>{ "Add an example" }</button></div>
            }
        </div>
    }
}

fn with<T>(rows: &mut [T], at: usize, change: impl FnOnce(&mut T)) {
    if let Some(row) = rows.get_mut(at) {
        change(row);
    }
}

fn remove<T>(rows: &mut Vec<T>, at: usize) {
    if at < rows.len() {
        rows.remove(at);
    }
}

fn free_name(rows: &[MethodRow]) -> String {
    let taken = |name: &str| rows.iter().any(|row| row.name == name);
    (1..).map(|number| format!("method{number}")).find(|name| !taken(name)).unwrap_or_default()
}

#[derive(Properties, PartialEq)]
struct TextProps {
    label: &'static str,
    #[prop_or_default]
    hint: &'static str,
    #[prop_or_default]
    mono: bool,
    testid: &'static str,
    value: String,
    set: Callback<String>,
}

#[component]
fn Text(props: &TextProps) -> Html {
    let set = props.set.clone();
    let oninput = Callback::from(move |event: InputEvent| {
        set.emit(event.target_unchecked_into::<HtmlInputElement>().value())
    });
    html! {
        <label class="field">
            <span class="field-label">{ props.label }</span>
            <input type="text" class={classes!(props.mono.then_some("mono"))} autocomplete="off" spellcheck="false" data-testid={props.testid} placeholder={props.hint} value={props.value.clone()} {oninput} />
        </label>
    }
}
