//! JSON Schema as far as forms need it: what a body should be like, said before it is sent. The service itself checks
//! whatever it gets; a keyword that is not known here allows everything.

use js_sys::{Array, Object, JSON};
use wasm_bindgen::{JsCast, JsValue};

use crate::model::{each, field, text};
use crate::words::trimmed;

/// How deep values are looked at; a manifest's schema nests no deeper.
const MAX_DEPTH: u32 = 16;
/// Fields of a form; an object with more is typed as JSON.
const MAX_FIELDS: usize = 24;

/// One property of an object, as a form shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Property {
    pub name: String,
    /// The JSON type that the schema names, or empty.
    pub kind: String,
    pub required: bool,
    pub description: String,
    /// The values that it may have, as JSON; empty where they are not listed.
    pub choices: Vec<String>,
}

/// The properties of an object's schema; none for anything else.
pub fn properties(schema: &JsValue) -> Vec<Property> {
    let listed = field(schema, "properties");
    if text(schema, "type") != "object" || !listed.is_object() {
        return Vec::new();
    }
    let keys = Object::keys(listed.unchecked_ref());
    if keys.length() as usize > MAX_FIELDS {
        return Vec::new();
    }
    let required: Vec<String> = each(schema, "required").filter_map(|name| name.as_string()).collect();
    keys.iter()
        .filter_map(|name| name.as_string())
        .map(|name| {
            let own = field(&listed, &name);
            let choices = each(&own, "enum").map(|value| stringify(&value)).collect();
            Property {
                kind: text(&own, "type"),
                required: required.contains(&name),
                description: trimmed(&text(&own, "description")),
                choices,
                name,
            }
        })
        .collect()
}

/// The value of a property as typed: text as it is, everything else as JSON. `None` for one that is left out.
pub fn typed(property: &Property, value: &str) -> Result<Option<JsValue>, String> {
    if value.is_empty() && !(property.required && property.kind == "string") {
        return if property.required { Err(format!("“{}” is needed.", property.name)) } else { Ok(None) };
    }
    if property.kind == "string" && property.choices.is_empty() {
        return Ok(Some(value.into()));
    }
    JSON::parse(value)
        .map(Some)
        .map_err(|_| format!("“{}” has to be {}.", property.name, kind_words(&property.kind)))
}

/// What is wrong with a value, in words; `at` names it.
pub fn check(schema: &JsValue, value: &JsValue, at: &str) -> Result<(), String> {
    check_at(schema, value, at, MAX_DEPTH)
}

fn check_at(schema: &JsValue, value: &JsValue, at: &str, depth: u32) -> Result<(), String> {
    if depth == 0 || !schema.is_object() {
        return Ok(());
    }
    let kinds = kinds(schema);
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_kind(value, kind)) {
        let words: Vec<&str> = kinds.iter().map(|kind| kind_words(kind)).collect();
        return Err(format!("{at} has to be {}.", words.join(" or ")));
    }
    let choices: Vec<String> = each(schema, "enum").map(|choice| stringify(&choice)).collect();
    if !choices.is_empty() && !choices.contains(&stringify(value)) {
        return Err(format!("{at} has to be one of {}.", trimmed(&choices.join(", "))));
    }
    if let Some(number) = value.as_f64() {
        let bound = |key: &str| field(schema, key).as_f64();
        if bound("minimum").is_some_and(|least| number < least)
            || bound("exclusiveMinimum").is_some_and(|least| number <= least)
        {
            return Err(format!("{at} is too small."));
        }
        if bound("maximum").is_some_and(|most| number > most)
            || bound("exclusiveMaximum").is_some_and(|most| number >= most)
        {
            return Err(format!("{at} is too large."));
        }
    }
    if let Some(said) = value.as_string() {
        let length = said.chars().count() as f64;
        if field(schema, "minLength").as_f64().is_some_and(|least| length < least) {
            return Err(format!("{at} is too short."));
        }
        if field(schema, "maxLength").as_f64().is_some_and(|most| length > most) {
            return Err(format!("{at} is too long."));
        }
    }
    if let Some(items) = value.dyn_ref::<Array>() {
        let count = f64::from(items.length());
        if field(schema, "minItems").as_f64().is_some_and(|least| count < least) {
            return Err(format!("{at} has too few items."));
        }
        if field(schema, "maxItems").as_f64().is_some_and(|most| count > most) {
            return Err(format!("{at} has too many items."));
        }
        let own = field(schema, "items");
        return items
            .iter()
            .enumerate()
            .try_for_each(|(n, item)| check_at(&own, &item, &format!("{at}[{n}]"), depth - 1));
    }
    if !value.is_object() {
        return Ok(());
    }
    for name in each(schema, "required").filter_map(|name| name.as_string()) {
        if field(value, &name).is_undefined() {
            return Err(format!("{at} lacks “{}”.", trimmed(&name)));
        }
    }
    let listed = field(schema, "properties");
    let closed = field(schema, "additionalProperties").as_bool() == Some(false);
    for name in Object::keys(value.unchecked_ref()).iter().filter_map(|name| name.as_string()) {
        let own = field(&listed, &name);
        if own.is_undefined() && closed {
            return Err(format!("{at} has no “{}”.", trimmed(&name)));
        }
        check_at(&own, &field(value, &name), &format!("“{}”", trimmed(&name)), depth - 1)?;
    }
    Ok(())
}

/// Do two JSON values say the same; the order of an object's fields says nothing.
pub fn is_same(a: &JsValue, b: &JsValue) -> bool {
    same_at(a, b, 128)
}

fn same_at(a: &JsValue, b: &JsValue, depth: u32) -> bool {
    if depth == 0 {
        return false;
    }
    match (a.dyn_ref::<Array>(), b.dyn_ref::<Array>()) {
        (Some(a), Some(b)) => {
            a.length() == b.length() && a.iter().zip(b.iter()).all(|(a, b)| same_at(&a, &b, depth - 1))
        }
        (None, None) if a.is_object() && b.is_object() => {
            let keys = Object::keys(a.unchecked_ref());
            keys.length() == Object::keys(b.unchecked_ref()).length()
                && keys.iter().filter_map(|key| key.as_string()).all(|key| {
                    let other = field(b, &key);
                    !other.is_undefined() && same_at(&field(a, &key), &other, depth - 1)
                })
        }
        (None, None) => a == b,
        _ => false,
    }
}

fn kinds(schema: &JsValue) -> Vec<String> {
    match field(schema, "type").as_string() {
        Some(kind) => vec![kind],
        None => each(schema, "type").filter_map(|kind| kind.as_string()).collect(),
    }
}

fn is_kind(value: &JsValue, kind: &str) -> bool {
    match kind {
        "integer" => value.as_f64().is_some_and(|number| number.is_finite() && number.fract() == 0.0),
        "number" => value.as_f64().is_some(),
        "string" => value.is_string(),
        "boolean" => value.as_bool().is_some(),
        "null" => value.is_null(),
        "array" => Array::is_array(value),
        "object" => value.is_object() && !Array::is_array(value),
        _ => true,
    }
}

/// A JSON type as people say it.
pub fn kind_words(kind: &str) -> &'static str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "boolean" => "true or false",
        "null" => "null",
        "array" => "a list, like [1, 2]",
        "object" => "an object, like {\"a\": 1}",
        _ => "JSON",
    }
}

fn stringify(value: &JsValue) -> String {
    JSON::stringify(value).ok().and_then(|text| text.as_string()).unwrap_or_default()
}
