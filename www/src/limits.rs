//! What a person lets others use: the limits and the choice of services, as they are kept and as the peer takes them.

use js_sys::{Array, Object, JSON};
use wasm_bindgen::JsValue;

use crate::api::{kept_text, set};
use crate::model::{field, flag, text};

/// Where they are kept.
pub const LIMITS: &str = "tabfarm.limits";
/// Entries of a list that are taken.
const MAX_ENTRIES: usize = 64;
/// Characters of a list.
pub const MAX_LIST: usize = 4_096;

/// What a person lets others use.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Percent of a core.
    pub cpu: u32,
    pub memory_mib: u32,
    pub storage_mib: u32,
    /// What hosted services may ask for to send, in kbit/s.
    pub up_kbps: u32,
    /// Only while the device is not on its battery.
    pub mains_only: bool,
    /// Names, publishers and tags that are taken, as they were written; empty takes all.
    pub services: String,
    pub publishers: String,
    pub tags: String,
}

impl Default for Limits {
    /// A guess at what nobody notices on an ordinary laptop and line.
    fn default() -> Self {
        Self {
            cpu: 25,
            memory_mib: 256,
            storage_mib: 256,
            up_kbps: 2_000,
            mains_only: false,
            services: String::new(),
            publishers: String::new(),
            tags: String::new(),
        }
    }
}

impl Limits {
    /// What was kept; each value that is none is the default.
    pub fn kept() -> Self {
        let kept = JSON::parse(&kept_text(LIMITS)).unwrap_or(JsValue::NULL);
        let default = Limits::default();
        let number = |key: &str, default: u32, least: u32, most: u32| {
            field(&kept, key).as_f64().map_or(default, |value| (value as u32).clamp(least, most))
        };
        let list = |key: &str| text(&kept, key).chars().take(MAX_LIST).collect::<String>();
        Self {
            cpu: number("cpu", default.cpu, 5, 100),
            memory_mib: number("memoryMiB", default.memory_mib, 16, 2048),
            storage_mib: number("storageMiB", default.storage_mib, 0, 2048),
            up_kbps: number("upKbps", default.up_kbps, 0, 20_000),
            mains_only: flag(&kept, "mainsOnly"),
            services: list("services"),
            publishers: list("publishers"),
            tags: list("tags"),
        }
    }

    /// As it is kept.
    pub fn json(&self) -> String {
        let object = self.numbers();
        set(&object, "mainsOnly", &self.mains_only.into());
        set(&object, "services", &self.services.as_str().into());
        set(&object, "publishers", &self.publishers.as_str().into());
        set(&object, "tags", &self.tags.as_str().into());
        JSON::stringify(&object).ok().and_then(|json| json.as_string()).unwrap_or_default()
    }

    /// As the peer takes it; `mains`: does the device run on mains power.
    pub fn policy(&self, mains: bool) -> JsValue {
        let policy = self.numbers();
        set(&policy, "mains", &mains.into());
        for (key, list) in
            [("services", &self.services), ("publishers", &self.publishers), ("tags", &self.tags)]
        {
            let entries = entries(list);
            if entries.is_empty() {
                set(&policy, key, &"any".into());
            } else {
                set(&policy, key, &entries.into_iter().map(JsValue::from_str).collect::<Array>());
            }
        }
        policy.into()
    }

    fn numbers(&self) -> Object {
        let object = Object::new();
        set(&object, "cpu", &self.cpu.into());
        set(&object, "memoryMiB", &self.memory_mib.into());
        set(&object, "storageMiB", &self.storage_mib.into());
        set(&object, "upKbps", &self.up_kbps.into());
        object
    }
}

/// The entries of a list that a person wrote, parted by commas or spaces.
pub fn entries(list: &str) -> Vec<&str> {
    list.split([',', ' ', '\n', '\t']).filter(|entry| !entry.is_empty()).take(MAX_ENTRIES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parted_by_commas_and_spaces_and_bounded() {
        assert_eq!(entries(" chat, kv@12D3\nvoice,,"), ["chat", "kv@12D3", "voice"]);
        assert!(entries(" , ").is_empty());
        assert_eq!(entries(&"a ".repeat(500)).len(), MAX_ENTRIES);
    }
}
