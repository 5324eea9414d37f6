//! A reply as people read it: values of JSON as lists and pairs, everything else as the text that it is.

use js_sys::{Array, Object, JSON};
use wasm_bindgen::{JsCast, JsValue};
use yew::prelude::*;

use crate::model::field;

/// Items of a list, or pairs of an object, that are shown; the rest is a number.
const MAX_SHOWN: usize = 100;
/// Levels that are laid out; what lies deeper is written as JSON.
const MAX_DEPTH: usize = 3;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub text: AttrValue,
    /// Does the interface say that it is JSON.
    pub json: bool,
}

/// The reply.
#[component]
pub fn Reply(props: &Props) -> Html {
    let value = props.json.then(|| JSON::parse(&props.text).ok()).flatten();
    // A text is read, not copied into a program: without quotes and escapes.
    let text =
        value.as_ref().and_then(JsValue::as_string).map_or_else(|| props.text.clone(), AttrValue::from);
    match value {
        Some(value) if value.is_object() => {
            html! { <div class="reply" data-testid="method-reply">{ laid_out(&value, 0) }</div> }
        }
        _ => {
            html! { <bdi class="mono reply" data-testid="method-reply">{ if text.is_empty() { "(empty reply)" } else { text.as_str() } }</bdi> }
        }
    }
}

fn laid_out(value: &JsValue, depth: usize) -> Html {
    if depth < MAX_DEPTH {
        if let Some(list) = value.dyn_ref::<Array>() {
            return items(list, depth);
        }
        if let Some(object) = value.dyn_ref::<Object>() {
            return pairs(object, depth);
        }
    }
    if let Some(text) = value.as_string() {
        return html! { <bdi class="wrap">{ text }</bdi> };
    }
    let json = JSON::stringify(value).ok().and_then(|json| json.as_string()).unwrap_or_default();
    html! { <bdi class="mono wrap">{ json }</bdi> }
}

fn items(list: &Array, depth: usize) -> Html {
    let hidden = (list.length() as usize).saturating_sub(MAX_SHOWN);
    if list.length() == 0 {
        return html! { <span class="faint">{ "an empty list" }</span> };
    }
    html! {
        <>
            <ol class="reply-list">{ for list.iter().take(MAX_SHOWN).map(|item| html! { <li>{ laid_out(&item, depth + 1) }</li> }) }</ol>
            if hidden > 0 { <p class="hint">{ format!("and {hidden} more") }</p> }
        </>
    }
}

fn pairs(object: &Object, depth: usize) -> Html {
    let keys: Vec<String> = Object::keys(object).iter().filter_map(|key| key.as_string()).collect();
    let hidden = keys.len().saturating_sub(MAX_SHOWN);
    if keys.is_empty() {
        return html! { <span class="faint">{ "an empty object" }</span> };
    }
    html! {
        <>
            <dl class="facts">
                { for keys.iter().take(MAX_SHOWN).map(|key| html! { <><dt><bdi>{ key }</bdi></dt><dd>{ laid_out(&field(object, key), depth + 1) }</dd></> }) }
            </dl>
            if hidden > 0 { <p class="hint">{ format!("and {hidden} more") }</p> }
        </>
    }
}
