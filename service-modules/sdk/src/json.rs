//! Writing JSON, just as much as small services need; a JSON crate would double their modules.

use std::fmt::Write;

/// An object under construction.
#[derive(Debug)]
pub struct Object(String);

impl Object {
    /// Starts an object with a `type`.
    pub fn new(kind: &str) -> Self {
        Object(format!("{{\"type\":{}", string(kind)))
    }

    /// Adds a text.
    pub fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, &string(value))
    }

    /// Adds a number.
    pub fn number(self, key: &str, value: u64) -> Self {
        self.raw(key, &value.to_string())
    }

    /// Adds a truth value.
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    /// Adds a value that is JSON already.
    pub fn value(self, key: &str, value: &str) -> Self {
        self.raw(key, value)
    }

    /// Adds an array of values that are JSON already.
    pub fn array(self, key: &str, values: Vec<String>) -> Self {
        self.raw(key, &format!("[{}]", values.join(",")))
    }

    /// The object's text.
    pub fn end(self) -> String {
        self.0 + "}"
    }

    fn raw(mut self, key: &str, value: &str) -> Self {
        self.0.push(',');
        self.0.push_str(&string(key));
        self.0.push(':');
        self.0.push_str(value);
        self
    }
}

/// A JSON string.
pub fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // Writing to a String cannot fail.
            '\0'..='\x1f' => drop(write!(json, "\\u{:04x}", c as u32)),
            _ => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let object = Object::new("x")
            .text("a\"", "\\\n<é>")
            .number("n", 7)
            .flag("f", true)
            .array("l", vec![string("1")])
            .end();
        assert_eq!(object, r#"{"type":"x","a\"":"\\\u000a<é>","n":7,"f":true,"l":["1"]}"#);
    }
}
