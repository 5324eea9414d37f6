//! What a person fills in about the service that the IDE publishes: kept across reloads, checked while typing.

use js_sys::{Object, JSON};
use wasm_bindgen::{JsCast, JsValue};

use crate::api::{kept_text, set};
use crate::model::text;

/// Where the form is kept; the source is kept by the editor itself under [`SOURCE`].
pub const FORM: &str = "tabfarm.ide.form";
/// Where the source is kept.
pub const SOURCE: &str = "tabfarm.ide.source";
/// The most characters of a description.
const MAX_DESCRIPTION: usize = 500;
/// The most tags.
const MAX_TAGS: usize = 8;
/// The most peers of a list.
const MAX_PEERS: usize = 32;
/// The most methods.
const MAX_METHODS: u32 = 64;

/// The form.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Draft {
    pub template: String,
    pub name: String,
    pub version: String,
    pub state: String,
    pub description: String,
    /// As typed: separated by commas or spaces.
    pub tags: String,
    /// The methods as JSON.
    pub interface: String,
    /// MiB; empty is the manifest's default. The same for `storage`.
    pub memory: String,
    pub storage: String,
    /// Peer ids, separated by commas, spaces or new lines; empty is anyone. The same for `hosts`.
    pub access: String,
    pub hosts: String,
}

/// A problem of one field, in words.
#[derive(Clone, PartialEq, Debug)]
pub struct Flaw {
    pub field: &'static str,
    pub words: String,
}

impl Draft {
    /// What was kept, if anything was.
    pub fn kept() -> Option<Self> {
        let kept = kept_text(FORM);
        if kept.is_empty() {
            return None;
        }
        JSON::parse(&kept).ok().map(|value| Self::read(&value))
    }

    /// Reads a template or a kept form.
    pub fn read(value: &JsValue) -> Self {
        Self {
            template: text(value, "template"),
            name: text(value, "name"),
            version: text(value, "version"),
            state: text(value, "state"),
            description: text(value, "description"),
            tags: text(value, "tags"),
            interface: text(value, "interface"),
            memory: text(value, "memory"),
            storage: text(value, "storage"),
            access: text(value, "access"),
            hosts: text(value, "hosts"),
        }
    }

    /// The form as it is kept.
    pub fn to_json(&self) -> String {
        let object = Object::new();
        for (key, value) in [
            ("template", &self.template),
            ("name", &self.name),
            ("version", &self.version),
            ("state", &self.state),
            ("description", &self.description),
            ("tags", &self.tags),
            ("interface", &self.interface),
            ("memory", &self.memory),
            ("storage", &self.storage),
            ("access", &self.access),
            ("hosts", &self.hosts),
        ] {
            set(&object, key, &value.into());
        }
        JSON::stringify(&object).map(String::from).unwrap_or_default()
    }

    /// Everything that would keep the form from being published, in the order of its fields.
    pub fn flaws(&self) -> Vec<Flaw> {
        let checks: [(&'static str, Option<String>); 9] = [
            ("name", check_label(&self.name, 64, "name")),
            ("version", check_version(&self.version)),
            ("description", check_description(&self.description)),
            ("tags", check_tags(&self.tags)),
            ("interface", check_interface(&self.interface)),
            ("memory", check_number(&self.memory, 1, 256)),
            ("storage", check_number(&self.storage, 0, 1024)),
            ("access", check_peers(&self.access)),
            ("hosts", check_peers(&self.hosts)),
        ];
        checks.into_iter().filter_map(|(field, words)| Some(Flaw { field, words: words? })).collect()
    }

    /// The author's manifest; only a form without flaws has one.
    pub fn manifest(&self) -> Result<Object, JsValue> {
        let manifest = Object::new();
        set(&manifest, "format", &1.into());
        set(&manifest, "abi", &1.into());
        set(&manifest, "name", &self.name.as_str().into());
        set(&manifest, "version", &self.version.as_str().into());
        set(&manifest, "description", &self.description.trim().into());
        let tags: js_sys::Array = self.tags().map(JsValue::from_str).collect();
        set(&manifest, "tags", &tags);
        set(&manifest, "engine", &"wasm".into());
        set(&manifest, "state", &self.state.as_str().into());
        set(&manifest, "interface", &JSON::parse(&self.interface)?);
        let requires = Object::new();
        for (key, value) in [("memoryMiB", &self.memory), ("storageMiB", &self.storage)] {
            if let Ok(number) = value.trim().parse::<u32>() {
                set(&requires, key, &number.into());
            }
        }
        set(&manifest, "requires", &requires);
        for (key, value) in [("access", &self.access), ("hosts", &self.hosts)] {
            let peers: js_sys::Array = split(value).map(JsValue::from_str).collect();
            if peers.length() > 0 {
                set(&manifest, key, &peers);
            }
        }
        Ok(manifest)
    }

    fn tags(&self) -> impl Iterator<Item = &str> {
        split(&self.tags)
    }
}

/// The words of a list as typed.
fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\n']).map(str::trim).filter(|word| !word.is_empty())
}

fn check_label(label: &str, longest: usize, what: &str) -> Option<String> {
    if label.is_empty() {
        return Some(format!("Give it a {what}."));
    }
    if label.len() > longest {
        return Some(format!("The {what} has at most {longest} characters."));
    }
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if !label.chars().all(fits) || label.starts_with('-') {
        return Some(format!("A {what} is made of a–z, 0–9 and “-”, and does not begin with “-”."));
    }
    None
}

fn check_version(version: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".+-".contains(letter);
    if version.is_empty() || version.len() > 32 || !version.chars().all(fits) {
        return Some("A version is like 1.0.0: letters, digits, “.”, “+” and “-”, at most 32.".into());
    }
    None
}

fn check_description(description: &str) -> Option<String> {
    (description.chars().count() > MAX_DESCRIPTION).then(|| format!("At most {MAX_DESCRIPTION} characters."))
}

fn check_tags(tags: &str) -> Option<String> {
    if split(tags).count() > MAX_TAGS {
        return Some(format!("At most {MAX_TAGS} tags."));
    }
    split(tags).find_map(|tag| {
        check_label(tag, 32, "tag").map(|words| format!("“{}”: {words}", crate::words::trimmed(tag)))
    })
}

fn check_interface(interface: &str) -> Option<String> {
    let value = match JSON::parse(interface) {
        Ok(value) => value,
        Err(error) => return Some(format!("The methods are not valid JSON: {}", text(&error, "message"))),
    };
    if !value.is_object() || js_sys::Array::is_array(&value) {
        return Some("Write the methods as {\"name\": {…}}; {} means none.".into());
    }
    let methods = js_sys::Object::keys(value.unchecked_ref());
    if methods.length() > MAX_METHODS {
        return Some(format!("At most {MAX_METHODS} methods."));
    }
    let is_object =
        |name: &JsValue| js_sys::Reflect::get(&value, name).is_ok_and(|method| method.is_object());
    let bad = methods.iter().find(|name| !is_object(name))?;
    Some(format!(
        "The method “{}” has to be an object, at least {{}}.",
        crate::words::trimmed(&bad.as_string().unwrap_or_default())
    ))
}

fn check_number(number: &str, least: u32, most: u32) -> Option<String> {
    let number = number.trim();
    let fits = number.parse::<u32>().is_ok_and(|number| (least..=most).contains(&number));
    (!number.is_empty() && !fits).then(|| format!("A whole number from {least} to {most}."))
}

fn check_peers(list: &str) -> Option<String> {
    if split(list).count() > MAX_PEERS {
        return Some(format!("At most {MAX_PEERS} peers."));
    }
    // What every peer's id looks like: base58 of an ed25519 key. The kernel checks the key itself.
    let is_id = |word: &str| {
        word.len() == 52
            && word.starts_with("12D3KooW")
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let bad = split(list).find(|word| !is_id(word))?;
    Some(format!(
        "“{}” is no peer id. An id begins with 12D3KooW; Settings shows yours in full.",
        crate::words::trimmed(bad)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tags_and_versions_follow_the_manifest() {
        assert_eq!(check_label("chat-2", 64, "name"), None);
        for bad in ["", "-chat", "Chat", "a b", "chät", &"a".repeat(65)] {
            assert!(check_label(bad, 64, "name").is_some(), "{bad}");
        }
        assert_eq!(check_version("1.0.0-rc.1+x"), None);
        assert!(check_version("1 0").is_some());
        assert_eq!(check_tags("game, two-player"), None);
        assert!(check_tags("a b c d e f g h i").is_some());
        assert!(check_tags("A").is_some());
    }

    #[test]
    fn limits_and_lists_follow_the_manifest() {
        assert_eq!([check_number("", 1, 256), check_number(" 256 ", 1, 256)], [None, None]);
        for bad in ["0", "257", "-1", "1.5", "many"] {
            assert!(check_number(bad, 1, 256).is_some(), "{bad}");
        }
        let id = "12D3KooWCr1PCxUiWduxDpwEsS5ZDAFsbh3HKxjpAL9bpVav75SJ";
        assert_eq!([check_peers(""), check_peers(&format!("{id},\n{id}"))], [None, None]);
        assert!(check_peers("DicWeV").is_some());
        assert!(check_peers(&vec![id; 33].join(" ")).is_some());
    }
}
