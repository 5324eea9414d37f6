//! Between the form and JSON: a manifest's values as a person types them, methods as rows, and what is wrong with either.

use js_sys::{Array, Object, JSON};
use wasm_bindgen::{JsCast, JsValue};

use crate::api::set;
use crate::draft::{MethodRow, MAX_METHODS};
use crate::draft_check::{place, split, Kind};
use crate::model::{field, flag, text};
use crate::words::trimmed;

/// A value of the manifest as a person would type it.
pub fn typed(kind: Kind, value: &JsValue) -> String {
    match kind {
        Kind::Names(..) | Kind::Peers | Kind::Services(_) | Kind::Place if Array::is_array(value) => {
            let words: Vec<String> =
                list(value).map(|item| item.as_string().unwrap_or_else(|| stringify(&item))).collect();
            words.join(", ")
        }
        Kind::Names(..) | Kind::Peers | Kind::Services(_) | Kind::Place => String::new(),
        Kind::Number(..) => value.as_f64().map(|number| (number as u64).to_string()).unwrap_or_default(),
        Kind::Switch => {
            if value.is_truthy() {
                "yes".into()
            } else {
                String::new()
            }
        }
        _ => value.as_string().unwrap_or_default(),
    }
}

/// What stands in the manifest for a typed value; nothing for an empty one.
pub fn written(kind: Kind, value: &str) -> Option<JsValue> {
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    let words = || split(value).map(JsValue::from_str).collect::<Array>().into();
    match kind {
        Kind::Names(..) | Kind::Peers | Kind::Services(_) => Some(words()),
        Kind::Number(..) => value.parse::<u64>().ok().map(|number| JsValue::from_f64(number as f64)),
        Kind::Place => {
            place(value).map(|(latitude, longitude)| Array::of2(&latitude.into(), &longitude.into()).into())
        }
        Kind::Switch => Some(JsValue::TRUE),
        Kind::Name | Kind::Version | Kind::Text | Kind::Choice(_) => Some(value.into()),
    }
}

/// Sets a value at a path of one or two keys.
pub fn put(manifest: &Object, path: &[&str], value: &JsValue) {
    match path {
        [outer, inner] => {
            if field(manifest, outer).is_undefined() {
                set(manifest, outer, &Object::new());
            }
            if let Ok(part) = field(manifest, outer).dyn_into::<Object>() {
                set(&part, inner, value);
            }
        }
        [key] => set(manifest, key, value),
        _ => {}
    }
}

/// Methods of a manifest as rows.
pub fn rows(interface: &JsValue) -> Vec<MethodRow> {
    let schema = |method: &JsValue, key: &str| match field(method, key) {
        value if value.is_undefined() => String::new(),
        value => stringify(&value),
    };
    Object::keys(interface.unchecked_ref())
        .iter()
        .filter_map(|name| name.as_string())
        .take(MAX_METHODS)
        .map(|name| {
            let method = field(interface, &name);
            MethodRow {
                description: text(&method, "description"),
                body: schema(&method, "body"),
                reply: schema(&method, "reply"),
                read_only: flag(&method, "readOnly"),
                name,
            }
        })
        .collect()
}

/// Rows as a manifest has them.
pub fn interface_of(methods: &[MethodRow]) -> Object {
    let interface = Object::new();
    for row in methods {
        let method = Object::new();
        if !row.description.is_empty() {
            set(&method, "description", &row.description.as_str().into());
        }
        for (key, schema) in [("body", &row.body), ("reply", &row.reply)] {
            if let (false, Ok(schema)) = (schema.trim().is_empty(), JSON::parse(schema)) {
                set(&method, key, &schema);
            }
        }
        if row.read_only {
            set(&method, "readOnly", &JsValue::TRUE);
        }
        set(&interface, &row.name, &method);
    }
    interface
}

/// What is wrong with methods that are written as JSON.
pub fn check_interface(interface: &str) -> Option<String> {
    let value = match JSON::parse(interface) {
        Ok(value) => value,
        Err(error) => return Some(format!("The methods are not valid JSON: {}", text(&error, "message"))),
    };
    if !value.is_object() || Array::is_array(&value) {
        return Some("Write the methods as {\"name\": {…}}; {} means none.".into());
    }
    let methods = Object::keys(value.unchecked_ref());
    if methods.length() as usize > MAX_METHODS {
        return Some(format!("At most {MAX_METHODS} methods."));
    }
    let bad =
        methods.iter().find(|name| !field(&value, &name.as_string().unwrap_or_default()).is_object())?;
    Some(format!(
        "The method “{}” has to be an object, at least {{}}.",
        trimmed(&bad.as_string().unwrap_or_default())
    ))
}

/// What is wrong with the schema of `what`; an empty one is bytes.
pub fn check_schema(what: &str, schema: &str) -> Option<String> {
    if schema.trim().is_empty() {
        return None;
    }
    match JSON::parse(schema) {
        Ok(value) if (value.is_object() && !Array::is_array(&value)) || value.as_bool().is_some() => None,
        Ok(_) => Some(format!(
            "The schema of the {what} is an object like {{\"type\": \"integer\"}}; empty means bytes."
        )),
        Err(error) => {
            Some(format!("The schema of the {what} is not valid JSON: {}", text(&error, "message")))
        }
    }
}

/// What is wrong with a value of JSON.
pub fn check_json(what: &str, value: &str, is_json: bool) -> Option<String> {
    if value.is_empty() || !is_json {
        return None;
    }
    JSON::parse(value).err().map(|error| format!("The {what} is not valid JSON: {}", text(&error, "message")))
}

/// A value as JSON for people.
pub fn pretty(value: &JsValue) -> String {
    JSON::stringify_with_replacer_and_space(value, &JsValue::NULL, &2.into())
        .map(String::from)
        .unwrap_or_default()
}

/// A value as JSON; empty where it has none.
pub fn stringify(value: &JsValue) -> String {
    JSON::stringify(value).ok().and_then(|text| text.as_string()).unwrap_or_default()
}

/// The items of a list; none of anything else.
pub fn list(value: &JsValue) -> impl Iterator<Item = JsValue> {
    value.dyn_ref::<Array>().cloned().unwrap_or_default().to_vec().into_iter()
}
