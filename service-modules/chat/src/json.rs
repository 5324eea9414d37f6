//! Writing JSON, just as much as the chat needs; a JSON crate would double the module.

use std::fmt::Write;

/// An object under construction.
pub(crate) struct Object(String);

impl Object {
    /// Starts an object with a `type`.
    pub(crate) fn new(kind: &str) -> Self {
        Object(format!("{{\"type\":{}", string(kind)))
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, &string(value))
    }

    pub(crate) fn number(self, key: &str, value: u64) -> Self {
        self.raw(key, &value.to_string())
    }

    /// An array of values that are JSON already.
    pub(crate) fn array(self, key: &str, values: Vec<String>) -> Self {
        self.raw(key, &format!("[{}]", values.join(",")))
    }

    pub(crate) fn end(self) -> String {
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
pub(crate) fn string(text: &str) -> String {
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
        let object =
            Object::new("x").text("a\"", "\\\n<é>").number("n", 7).array("l", vec![string("1")]).end();
        assert_eq!(object, r#"{"type":"x","a\"":"\\\u000a<é>","n":7,"l":["1"]}"#);
    }
}
