//! What a method's JSON Schema says about the form that fills it: one field per property, or one for the whole body. A schema is written by
//! a stranger: what is not understood becomes a field for JSON, and nothing in it is followed or evaluated.

use js_sys::JSON;
use wasm_bindgen::JsValue;

use crate::json::{is_number, quoted};
use crate::model::{each, field, text, texts};

/// Properties that get a field each; an object of more is written as JSON.
const MAX_FIELDS: usize = 24;
/// Choices of an enumeration; more are written as JSON.
const MAX_CHOICES: usize = 100;
/// Characters of a name or label that are shown.
const MAX_LABEL: usize = 80;

/// What a method takes.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Schema {
    /// No schema: bytes, or text.
    #[default]
    Bytes,
    /// One value.
    Value(Kind),
    /// An object, field by field.
    Object(Vec<Field>),
}

/// One property of an object.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    pub name: String,
    /// What people read in its place.
    pub title: String,
    pub description: String,
    pub required: bool,
    pub kind: Kind,
    /// What the field holds at first.
    pub default: String,
}

/// How a value is entered and written.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// One of these: what people read, and its JSON.
    Choice(Vec<(String, String)>),
    Flag,
    Integer(Bounds),
    Number(Bounds),
    Text {
        min: Option<u64>,
        max: Option<u64>,
    },
    /// Whatever else, as JSON; what kind of it, or empty.
    Json(String),
}

/// The least and the greatest number, both allowed.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Bounds {
    pub least: Option<f64>,
    pub greatest: Option<f64>,
}

impl Schema {
    /// Reads a manifest's `body`.
    pub fn read(value: &JsValue) -> Self {
        if !value.is_object() {
            return Schema::Bytes;
        }
        let properties = field(value, "properties");
        if text(value, "type") != "object" || !properties.is_object() {
            return Schema::Value(Kind::read(value));
        }
        let required = texts(value, "required");
        let names: Vec<String> = js_sys::Object::keys(&js_sys::Object::from(properties.clone()))
            .iter()
            .filter_map(|name| name.as_string())
            .collect();
        if names.is_empty() || names.len() > MAX_FIELDS {
            return Schema::Value(Kind::Json("object".into()));
        }
        let read = |name: String| {
            let schema = field(&properties, &name);
            let kind = Kind::read(&schema);
            Field {
                title: cut(&Some(text(&schema, "title"))
                    .filter(|title| !title.is_empty())
                    .unwrap_or(name.clone())),
                description: cut(&text(&schema, "description")),
                required: required.contains(&name),
                default: kind.entered(&field(&schema, "default")),
                kind,
                name,
            }
        };
        let mut fields: Vec<Field> = names.into_iter().map(read).collect();
        // Sorting is stable: what has to be filled in comes first.
        fields.sort_by_key(|field| !field.required);
        Schema::Object(fields)
    }

    /// What the form holds before a person wrote anything, one text per field.
    pub fn blank(&self) -> Vec<String> {
        match self {
            Schema::Object(fields) => fields.iter().map(|field| field.default.clone()).collect(),
            Schema::Bytes | Schema::Value(_) => vec![String::new()],
        }
    }

    /// The body that these texts make, or what is wrong with the first that is wrong.
    pub fn body(&self, entered: &[String]) -> Result<String, String> {
        let at = |index: usize| entered.get(index).map(String::as_str).unwrap_or_default();
        match self {
            Schema::Bytes => Ok(at(0).to_owned()),
            Schema::Value(kind) => kind.json(at(0)),
            Schema::Object(fields) => {
                let mut pairs = Vec::new();
                for (index, field) in fields.iter().enumerate() {
                    if let Some(json) =
                        field.json(at(index)).map_err(|why| format!("{}: {why}", field.title))?
                    {
                        pairs.push(format!("{}:{json}", quoted(&field.name)));
                    }
                }
                Ok(format!("{{{}}}", pairs.join(",")))
            }
        }
    }
}

impl Field {
    /// The value's JSON; `None` where it is left out.
    pub fn json(&self, entered: &str) -> Result<Option<String>, String> {
        let left_out = entered.is_empty() && !matches!(self.kind, Kind::Flag);
        match (left_out, self.required) {
            (true, false) => Ok(None),
            // An empty text is a text.
            (true, true) if !matches!(self.kind, Kind::Text { .. }) => Err("this is needed".into()),
            _ => self.kind.json(entered).map(Some),
        }
    }
}

impl Kind {
    fn read(schema: &JsValue) -> Self {
        let choices: Vec<JsValue> = each(schema, "enum").collect();
        if !choices.is_empty() && choices.len() <= MAX_CHOICES {
            let read = |value: JsValue| {
                let json = JSON::stringify(&value).ok().and_then(|json| json.as_string()).unwrap_or_default();
                (cut(&value.as_string().unwrap_or_else(|| json.clone())), json)
            };
            return Kind::Choice(choices.into_iter().map(read).collect());
        }
        let number = |key: &str| field(schema, key).as_f64();
        let bounds = Bounds { least: number("minimum"), greatest: number("maximum") };
        match text(schema, "type").as_str() {
            "boolean" => Kind::Flag,
            "integer" => Kind::Integer(bounds),
            "number" => Kind::Number(bounds),
            "string" => Kind::Text {
                min: number("minLength").map(|length| length as u64),
                max: number("maxLength").map(|length| length as u64),
            },
            kind => Kind::Json(cut(kind)),
        }
    }

    /// A JSON value as a person would enter it.
    fn entered(&self, value: &JsValue) -> String {
        if value.is_undefined() {
            return String::new();
        }
        match (self, value.as_string()) {
            (Kind::Text { .. }, Some(text)) => text,
            _ => JSON::stringify(value).ok().and_then(|json| json.as_string()).unwrap_or_default(),
        }
    }

    /// The JSON of what was entered, or what is wrong with it, in words.
    pub fn json(&self, entered: &str) -> Result<String, String> {
        match self {
            Kind::Flag => Ok(if entered == "true" { "true" } else { "false" }.into()),
            Kind::Choice(choices) => {
                let found = choices.iter().find(|(_, json)| json == entered);
                found.map(|(_, json)| json.clone()).ok_or_else(|| "choose one".into())
            }
            Kind::Integer(bounds) => {
                if !is_number(entered.trim(), true) {
                    return Err("a whole number is needed, like 1".into());
                }
                bounds.hold(entered.trim())
            }
            Kind::Number(bounds) => {
                if !is_number(entered.trim(), false) {
                    return Err("a number is needed, like 1.5".into());
                }
                bounds.hold(entered.trim())
            }
            Kind::Text { min, max } => {
                let length = entered.chars().count() as u64;
                match (min, max) {
                    (Some(min), _) if length < *min => Err(format!("at least {min} characters are needed")),
                    (_, Some(max)) if length > *max => Err(format!("at most {max} characters are allowed")),
                    _ => Ok(quoted(entered)),
                }
            }
            Kind::Json(_) if entered.trim().is_empty() => Err("JSON is needed".into()),
            Kind::Json(_) => match JSON::parse(entered) {
                Ok(_) => Ok(entered.trim().to_owned()),
                Err(error) => Err(format!("this is not valid JSON: {}", cut(&text(&error, "message")))),
            },
        }
    }

    /// What to write, in a few words.
    pub fn hint(&self) -> String {
        match self {
            Kind::Choice(_) | Kind::Flag => String::new(),
            Kind::Integer(bounds) => format!("a whole number{}", bounds.words()),
            Kind::Number(bounds) => format!("a number{}", bounds.words()),
            Kind::Text { max: Some(max), .. } => format!("text of up to {max} characters"),
            Kind::Text { .. } => "text".into(),
            Kind::Json(kind) if kind.is_empty() => "JSON".into(),
            Kind::Json(kind) => format!("JSON, {kind}"),
        }
    }
}

impl Bounds {
    fn hold(self, number: &str) -> Result<String, String> {
        let value = number.parse::<f64>().unwrap_or(f64::NAN);
        let within = self.least.is_none_or(|least| value >= least)
            && self.greatest.is_none_or(|greatest| value <= greatest);
        if within && value.is_finite() {
            Ok(number.to_owned())
        } else {
            Err(format!("a number{} is needed", self.words()))
        }
    }

    fn words(self) -> String {
        match (self.least, self.greatest) {
            (Some(least), Some(greatest)) => format!(" from {least} to {greatest}"),
            (Some(least), None) => format!(" from {least} on"),
            (None, Some(greatest)) => format!(" up to {greatest}"),
            (None, None) => String::new(),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: Kind, required: bool) -> Field {
        Field {
            name: name.into(),
            title: name.into(),
            description: String::new(),
            required,
            kind,
            default: String::new(),
        }
    }

    #[test]
    fn an_object_is_written_from_its_fields() {
        let schema = Schema::Object(vec![
            field("who", Kind::Text { min: None, max: Some(5) }, true),
            field("n", Kind::Integer(Bounds { least: Some(1.0), greatest: Some(9.0) }), true),
            field("x", Kind::Number(Bounds::default()), false),
            field("loud", Kind::Flag, false),
            field(
                "hue",
                Kind::Choice(vec![("red".into(), "\"red\"".into()), ("2".into(), "2".into())]),
                false,
            ),
        ]);
        let body = |entered: [&str; 5]| schema.body(&entered.map(str::to_owned));
        let made = [
            body(["A\"n\n", "3", "", "", ""]),
            body(["Ann", "3", "-1.5e3", "true", "2"]),
            body(["Annabel", "3", "", "", ""]),
            body(["Ann", "", "", "", ""]),
            body(["Ann", "10", "", "", ""]),
            body(["Ann", "1.5", "", "", ""]),
            body(["Ann", "1", "1.", "", ""]),
            body(["Ann", "1", "", "", "blue"]),
        ];
        let said: Vec<String> = made.into_iter().map(|made| made.unwrap_or_else(|why| why)).collect();
        assert_eq!(
            said,
            [
                r#"{"who":"A\"n\u000a","n":3,"loud":false}"#,
                r#"{"who":"Ann","n":3,"x":-1.5e3,"loud":true,"hue":2}"#,
                "who: at most 5 characters are allowed",
                "n: this is needed",
                "n: a number from 1 to 9 is needed",
                "n: a whole number is needed, like 1",
                "x: a number is needed, like 1.5",
                "hue: choose one",
            ]
        );
    }
}
