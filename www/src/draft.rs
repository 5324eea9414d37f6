//! What a person says about the service of a project: kept with the project, checked while typing, and turned into the manifest.

use std::collections::BTreeMap;

use js_sys::{Array, Object, JSON};
use wasm_bindgen::JsValue;

use crate::api::set;
use crate::draft_check::{check_description, check_method, fields};
use crate::draft_json::{
    check_interface, check_json, check_schema, interface_of, list, pretty, put, rows, stringify, typed,
    written,
};
use crate::model::{field, text};

/// The most methods.
pub const MAX_METHODS: usize = 64;
/// The most examples.
pub const MAX_EXAMPLES: usize = 16;

/// The form. A value that was never filled in is empty.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Draft {
    values: BTreeMap<&'static str, String>,
    /// The methods as JSON. Where both can be read, it says the same as `methods`.
    interface: String,
    /// The methods as rows.
    pub methods: Vec<MethodRow>,
    pub examples: Vec<ExampleRow>,
    /// Does the package carry the project's files.
    pub attach: bool,
    /// Is the version raised when it replaces one that runs.
    pub raise: bool,
}

/// A method as typed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MethodRow {
    pub name: String,
    pub description: String,
    /// A JSON Schema, or empty: bytes. The same for `reply`.
    pub body: String,
    pub reply: String,
    pub read_only: bool,
}

/// An example as typed: what a call of a fresh instance answers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ExampleRow {
    pub method: String,
    /// JSON for a method with a schema, else a text.
    pub body: String,
    /// As `body`; empty is any reply.
    pub reply: String,
}

/// A problem of one field, in words.
#[derive(Clone, PartialEq, Debug)]
pub struct Flaw {
    /// A field's id, `interface`, `method-N` or `example-N`.
    pub field: String,
    pub words: String,
}

impl Draft {
    /// Reads a template's or a project's form.
    pub fn read(form: &JsValue) -> Self {
        let mut draft = Self::default();
        for each in fields() {
            draft.values.insert(each.id, text(form, each.id));
        }
        draft.set_interface(match text(form, "interface") {
            empty if empty.is_empty() => "{}".into(),
            interface => interface,
        });
        let rows = field(form, "exampleRows");
        draft.examples = if rows.is_undefined() {
            // A template has them as a manifest does.
            let examples = JSON::parse(&text(form, "examples")).unwrap_or(JsValue::UNDEFINED);
            draft.rows_of(&examples)
        } else {
            list(&rows)
                .map(|row| ExampleRow {
                    method: text(&row, "method"),
                    body: text(&row, "body"),
                    reply: text(&row, "reply"),
                })
                .take(MAX_EXAMPLES)
                .collect()
        };
        draft.attach = text(form, "attach") != "no";
        draft.raise = text(form, "raise") == "yes";
        draft
    }

    /// The form as it is kept.
    pub fn to_form(&self) -> Object {
        let form = Object::new();
        for (id, value) in &self.values {
            set(&form, id, &value.into());
        }
        set(&form, "interface", &self.interface.as_str().into());
        let rows = self.examples.iter().map(|row| {
            let object = Object::new();
            for (key, value) in [("method", &row.method), ("body", &row.body), ("reply", &row.reply)] {
                set(&object, key, &value.into());
            }
            object
        });
        set(&form, "exampleRows", &rows.collect::<Array>());
        set(&form, "attach", &(if self.attach { "yes" } else { "no" }).into());
        set(&form, "raise", &(if self.raise { "yes" } else { "" }).into());
        form
    }

    /// What a manifest of unknown origin says, as a form.
    pub fn of_manifest(manifest: &JsValue) -> Self {
        let mut draft = Self { attach: true, ..Self::default() };
        for each in fields() {
            let value = each.path.iter().fold(manifest.clone(), |value, key| field(&value, key));
            draft.values.insert(each.id, typed(each.kind, &value));
        }
        let interface = field(manifest, "interface");
        draft.set_interface(if interface.is_object() { pretty(&interface) } else { "{}".into() });
        draft.examples = draft.rows_of(&field(manifest, "examples"));
        draft
    }

    /// A field's value.
    pub fn value(&self, id: &str) -> &str {
        self.values.get(id).map(String::as_str).unwrap_or_default()
    }

    pub fn set_value(&mut self, id: &'static str, value: String) {
        self.values.insert(id, value);
    }

    /// The methods as JSON.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Takes the methods as JSON; the rows follow where it can be read.
    pub fn set_interface(&mut self, interface: String) {
        if check_interface(&interface).is_none() {
            self.methods = JSON::parse(&interface).map(|value| rows(&value)).unwrap_or_default();
        }
        self.interface = interface;
    }

    /// Takes the methods as rows; the JSON follows where all of them are right.
    pub fn set_methods(&mut self, methods: Vec<MethodRow>) {
        self.methods = methods;
        if self.method_flaws().next().is_none() {
            self.interface = pretty(&interface_of(&self.methods));
        }
    }

    /// Everything that would keep the form from being published, in the order of its fields.
    pub fn flaws(&self) -> Vec<Flaw> {
        let plain = fields().filter_map(|each| {
            Some(Flaw { field: each.id.to_owned(), words: each.kind.flaw(self.value(each.id))? })
        });
        let interface =
            check_interface(&self.interface).map(|words| Flaw { field: "interface".into(), words });
        plain
            .chain(self.order_flaw())
            .chain(interface)
            .chain(self.method_flaws())
            .chain(self.example_flaws())
            .collect()
    }

    /// The author's manifest, of a form without flaws.
    pub fn manifest(&self, engine: &str, ui: Option<&str>) -> Result<Object, JsValue> {
        let manifest = Object::new();
        set(&manifest, "format", &1.into());
        set(&manifest, "abi", &1.into());
        set(&manifest, "engine", &engine.into());
        for each in fields() {
            if let Some(value) = written(each.kind, self.value(each.id)) {
                put(&manifest, each.path, &value);
            }
        }
        if self.value("state").is_empty() {
            set(&manifest, "state", &"none".into());
        }
        set(&manifest, "interface", &JSON::parse(&self.interface)?);
        let examples = self.known_examples().map(|row| self.example(row)).collect::<Result<Array, _>>()?;
        if examples.length() > 0 {
            set(&manifest, "examples", &examples);
        }
        if let Some(ui) = ui {
            set(&manifest, "ui", &ui.into());
        }
        Ok(manifest)
    }

    /// The examples whose method there is.
    pub fn known_examples(&self) -> impl Iterator<Item = &ExampleRow> {
        self.examples.iter().filter(|row| self.method(&row.method).is_some())
    }

    /// The method of an example.
    pub fn method(&self, name: &str) -> Option<&MethodRow> {
        self.methods.iter().find(|method| method.name == name)
    }

    fn order_flaw(&self) -> Option<Flaw> {
        let number = |id, default: u64| self.value(id).trim().parse().unwrap_or(default);
        (number("min", 1) > number("max", 8))
            .then(|| Flaw { field: "min".into(), words: "That is more than the most servers.".into() })
    }

    fn method_flaws(&self) -> impl Iterator<Item = Flaw> + '_ {
        self.methods.iter().enumerate().filter_map(move |(at, row)| {
            let twice = || {
                self.methods[..at]
                    .iter()
                    .any(|other| other.name == row.name)
                    .then(|| "That name is there twice.".to_owned())
            };
            let words = check_method(&row.name)
                .or_else(twice)
                .or_else(|| check_description(&row.description))
                .or_else(|| check_schema("body", &row.body))
                .or_else(|| check_schema("reply", &row.reply))
                .or_else(|| (at >= MAX_METHODS).then(|| format!("At most {MAX_METHODS} methods.")))?;
            Some(Flaw { field: format!("method-{at}"), words })
        })
    }

    fn example_flaws(&self) -> impl Iterator<Item = Flaw> + '_ {
        self.examples.iter().enumerate().filter_map(move |(at, row)| {
            // One whose method is gone is left out, and says so; it keeps nothing from being published.
            let method = self.method(&row.method)?;
            let words = check_json("body", &row.body, !method.body.is_empty())
                .or_else(|| check_json("reply", &row.reply, !method.reply.is_empty()));
            Some(Flaw { field: format!("example-{at}"), words: words? })
        })
    }

    /// An example as the manifest has it.
    fn example(&self, row: &ExampleRow) -> Result<Object, JsValue> {
        let example = Object::new();
        set(&example, "method", &row.method.as_str().into());
        let schemas =
            self.method(&row.method).map(|method| (method.body.is_empty(), method.reply.is_empty()));
        let (body_is_text, reply_is_text) = schemas.unwrap_or((true, true));
        for (key, value, is_text) in [("body", &row.body, body_is_text), ("reply", &row.reply, reply_is_text)]
        {
            if !value.is_empty() {
                set(&example, key, &if is_text { value.into() } else { JSON::parse(value)? });
            }
        }
        Ok(example)
    }

    /// Examples of a manifest as rows.
    fn rows_of(&self, examples: &JsValue) -> Vec<ExampleRow> {
        let shown = |value: JsValue, is_text: bool| match value.as_string() {
            _ if value.is_undefined() => String::new(),
            Some(text) if is_text => text,
            _ => stringify(&value),
        };
        list(examples)
            .map(|example| {
                let name = text(&example, "method");
                let schemas =
                    self.method(&name).map(|method| (method.body.is_empty(), method.reply.is_empty()));
                let (body_is_text, reply_is_text) = schemas.unwrap_or((true, true));
                let body = shown(field(&example, "body"), body_is_text);
                let reply = shown(field(&example, "reply"), reply_is_text);
                ExampleRow { method: name, body, reply }
            })
            .take(MAX_EXAMPLES)
            .collect()
    }
}
