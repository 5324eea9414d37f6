//! The form beside the editor: what the manifest says about the service.

use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use crate::draft::{Draft, Flaw};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub draft: Draft,
    pub flaws: Vec<Flaw>,
    pub change: Callback<Draft>,
}

/// The form.
#[component]
pub fn IdeForm(props: &Props) -> Html {
    let draft = &props.draft;
    let flaw =
        |field: &str| props.flaws.iter().find(|flaw| flaw.field == field).map(|flaw| flaw.words.clone());
    let text = |apply: fn(&mut Draft, String)| {
        let (draft, change) = (draft.clone(), props.change.clone());
        Callback::from(move |value: String| {
            let mut next = draft.clone();
            apply(&mut next, value);
            change.emit(next);
        })
    };
    let choose_state = {
        let set = text(|draft, value| draft.state = value);
        Callback::from(move |event: Event| {
            set.emit(event.target_unchecked_into::<HtmlSelectElement>().value())
        })
    };
    let methods = {
        let set = text(|draft, value| draft.interface = value);
        Callback::from(move |event: InputEvent| {
            set.emit(event.target_unchecked_into::<HtmlTextAreaElement>().value())
        })
    };
    let state = |value: &'static str, label: &'static str| html! { <option {value} selected={draft.state == value}>{ label }</option> };
    html! {
        <div class="card stack ide-form">
            <div class="pair">
                <TextField id="name" label="Name" value={draft.name.clone()} set={text(|draft, value| draft.name = value)} flaw={flaw("name")} />
                <TextField id="version" label="Version" value={draft.version.clone()} set={text(|draft, value| draft.version = value)} flaw={flaw("version")} />
            </div>
            <label class="field">
                <span class="field-label">{ "State" }</span>
                <select onchange={choose_state} data-testid="ide-state">
                    { state("none", "none: any tab answers any call") }
                    { state("single", "one copy, moved as a whole") }
                    { state("replicated-3", "three copies: survives the loss of one tab") }
                    { state("replicated-5", "five copies: survives the loss of two") }
                </select>
            </label>
            <TextField id="description" label="Description" value={draft.description.clone()} set={text(|draft, value| draft.description = value)} flaw={flaw("description")} />
            <TextField id="tags" label="Tags" value={draft.tags.clone()} set={text(|draft, value| draft.tags = value)} flaw={flaw("tags")} />
            <Fold title="Limits and people" flawed={["memory", "storage", "access", "hosts"].iter().any(|field| flaw(field).is_some())}>
                <div class="stack tight">
                    <div class="pair even">
                        <TextField id="memory" label="Memory, MiB" hint="16" value={draft.memory.clone()} set={text(|draft, value| draft.memory = value)} flaw={flaw("memory")} />
                        <TextField id="storage" label="Storage, MiB" hint="0" value={draft.storage.clone()} set={text(|draft, value| draft.storage = value)} flaw={flaw("storage")} />
                    </div>
                    <TextField id="access" label="Who may use it" hint="anyone, or peer ids" value={draft.access.clone()} set={text(|draft, value| draft.access = value)} flaw={flaw("access")} />
                    <TextField id="hosts" label="Who may host it" hint="anyone, or peer ids" value={draft.hosts.clone()} set={text(|draft, value| draft.hosts = value)} flaw={flaw("hosts")} />
                    <p class="hint">{ "Storage is what " }<code>{ "cx.put" }</code>{ " may keep. You are always among those who may." }</p>
                </div>
            </Fold>
            <Fold title="Methods" flawed={flaw("interface").is_some()}>
                <label class="field">
                    <textarea rows="6" class="mono small" spellcheck="false" data-testid="ide-interface" aria-label="Methods as JSON"
                        aria-invalid={flaw("interface").is_some().to_string()} value={draft.interface.clone()} oninput={methods} />
                    <span class="hint">{ "Each method with the JSON Schema of its body and reply; without a schema it takes and gives bytes. " }<code>{ "readOnly" }</code>{ " methods change nothing." }</span>
                    if let Some(words) = flaw("interface") { <span class="problem" role="alert">{ words }</span> }
                </label>
            </Fold>
        </div>
    }
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

#[derive(Properties, PartialEq)]
struct TextProps {
    id: &'static str,
    label: &'static str,
    /// What an empty field means.
    #[prop_or_default]
    hint: &'static str,
    value: String,
    set: Callback<String>,
    flaw: Option<String>,
}

#[component]
fn TextField(props: &TextProps) -> Html {
    let set = props.set.clone();
    let oninput = Callback::from(move |event: InputEvent| {
        set.emit(event.target_unchecked_into::<HtmlInputElement>().value())
    });
    let flaw_id = format!("ide-{}-flaw", props.id);
    html! {
        <label class="field">
            <span class="field-label">{ props.label }</span>
            <input type="text" autocomplete="off" spellcheck="false" data-testid={format!("ide-{}", props.id)} placeholder={props.hint} value={props.value.clone()} {oninput}
                aria-invalid={props.flaw.is_some().to_string()} aria-describedby={flaw_id.clone()} />
            <span class="problem" id={flaw_id} aria-live="polite">{ props.flaw.clone().unwrap_or_default() }</span>
        </label>
    }
}
