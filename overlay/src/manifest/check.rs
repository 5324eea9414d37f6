//! The rules of every field of a manifest, each with an error that names the field.

use serde_json::Value;

use super::text::{
    are_distinct, are_names, is_location, is_name, is_path, is_printable, is_service, is_version,
};
use super::{
    address, Engine, Example, Manifest, ManifestError, Method, Permissions, Permit, Qos, Requires, StateKind,
    ABI, FORMAT, MAX_MANIFEST,
};
use crate::io::MAX_BODY;
use crate::wire::MAX_LEARNERS;

/// The most methods of an interface.
const MAX_METHODS: usize = 64;
/// The most examples.
const MAX_EXAMPLES: usize = 16;
/// The most tags.
const MAX_TAGS: usize = 8;
/// The most peers in `access` and in `hosts`: a record with the list must stay below 4 KiB.
pub(crate) const MAX_PEERS: usize = 32;
/// The most required features, and the most callable services.
const MAX_FEATURES: usize = 16;
/// How deep a JSON Schema may nest.
const MAX_SCHEMA_DEPTH: usize = 16;
/// How many values a JSON Schema may hold.
const MAX_SCHEMA_VALUES: usize = 512;

impl Manifest {
    /// Reads what an author wrote and checks every field.
    pub fn parse_author(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > MAX_MANIFEST {
            return Err(ManifestError::Size(json.len()));
        }
        // serde_json refuses more than 128 levels, so hostile nesting cannot exhaust the stack.
        let mut manifest: Self =
            serde_json::from_slice(json).map_err(|error| ManifestError::Json(error.to_string()))?;
        manifest.location = manifest.location.map(|(lat, lon)| (round(lat), round(lon)));
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks every field. Whatever leaves this module has passed it.
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        use ManifestError as E;
        ensure(self.format == FORMAT, E::Format(self.format))?;
        ensure(self.abi == ABI, E::Abi(self.abi))?;
        ensure(is_name(&self.name, 64), E::Name)?;
        ensure(is_version(&self.version), E::Version)?;
        ensure(is_printable(&self.description, 500), E::Description)?;
        ensure(are_names(&self.tags, MAX_TAGS), E::Tags)?;
        ensure(is_permit(&self.access), E::Access)?;
        ensure(is_permit(&self.hosts), E::Hosts)?;
        ensure(self.interface.len() <= MAX_METHODS, E::Methods)?;
        self.interface.iter().try_for_each(|(name, method)| check_method(name, method))?;
        ensure(self.examples.len() <= MAX_EXAMPLES, E::Examples)?;
        for (at, example) in self.examples.iter().enumerate() {
            self.check_example(example).map_err(|why| E::Example(at + 1, why))?;
        }

        let requires = &self.requires;
        ensure((1..=256).contains(&requires.memory_mib), E::Memory)?;
        ensure(requires.gas_per_second <= 1_000_000_000_000, E::Gas)?;
        ensure(requires.storage_mib <= 1024, E::Storage)?;
        ensure(requires.up_kbps <= 10_000_000, E::Bandwidth)?;
        ensure(requires.latency_ms.is_none_or(|ms| (1..=60_000).contains(&ms)), E::Latency)?;
        ensure(are_names(&requires.features, MAX_FEATURES), E::Features)?;

        let qos = &self.qos;
        ensure((1..=600_000).contains(&qos.response_ms), E::Response)?;
        ensure((1..=10_000).contains(&qos.sessions_per_server), E::Sessions)?;
        ensure(
            1 <= qos.min_servers && qos.min_servers <= qos.max_servers && qos.max_servers <= 1000,
            E::Servers,
        )?;
        ensure((10..=604_800).contains(&qos.idle_seconds), E::Idle)?;
        ensure(qos.standby as usize <= MAX_LEARNERS, E::Standby)?;

        let call = &self.permissions.call;
        ensure(
            call.len() <= MAX_FEATURES && are_distinct(call) && call.iter().all(|name| is_service(name)),
            E::Call,
        )?;
        ensure(self.location.is_none_or(is_location), E::Location)?;
        ensure(self.ui.as_deref().is_none_or(is_path), E::UiPath)?;
        match (self.engine, &self.url) {
            (Engine::Url, Some(url)) => self.check_external(url),
            (Engine::Url, None) => Err(E::Url("the engine url needs it")),
            (_, Some(_)) => Err(E::Url("only with the engine url")),
            (_, None) => Ok(()),
        }
    }
}

impl Manifest {
    /// What nobody would heed is refused: a list in `access` would look like a lock, and no tab stands at that door.
    fn check_external(&self, url: &str) -> Result<(), ManifestError> {
        use ManifestError as E;
        address(url).map_err(E::Url)?;
        ensure(self.state == StateKind::None, E::External("state other than none"))?;
        ensure(!self.durable, E::External("durable"))?;
        ensure(self.access == Permit::Anyone, E::External("access"))?;
        ensure(self.hosts == Permit::Anyone, E::External("hosts"))?;
        ensure(self.examples.is_empty(), E::External("examples"))?;
        ensure(self.requires == Requires::default(), E::External("requires"))?;
        ensure(self.qos == Qos::default(), E::External("qos"))?;
        ensure(self.permissions == Permissions::default(), E::External("permissions"))?;
        // A method is the last part of its address.
        ensure(!self.interface.keys().any(|name| name == "." || name == ".."), E::MethodName)
    }

    fn check_example(&self, example: &Example) -> Result<(), &'static str> {
        let method = self.interface.get(&example.method).ok_or("the interface has no such method")?;
        for (value, schema) in [(&example.body, &method.body), (&example.reply, &method.reply)] {
            match value {
                Some(Value::String(text)) if schema.is_none() && text.len() <= MAX_BODY => {}
                Some(_) if schema.is_none() => {
                    return Err("without a schema, body and reply are texts of at most 256 KiB")
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_permit(permit: &Permit) -> bool {
    match permit {
        Permit::Anyone => true,
        Permit::Peers(peers) => (1..=MAX_PEERS).contains(&peers.len()) && are_distinct(peers),
    }
}

fn check_method(name: &str, method: &Method) -> Result<(), ManifestError> {
    let is_method = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    ensure(is_method, ManifestError::MethodName)?;
    ensure(is_printable(&method.description, 500), ManifestError::MethodDescription(name.to_owned()))?;
    check_schema(&method.body).map_err(|why| ManifestError::Body(name.to_owned(), why))?;
    check_schema(&method.reply).map_err(|why| ManifestError::Reply(name.to_owned(), why))
}

fn check_schema(schema: &Option<Value>) -> Result<(), &'static str> {
    match schema {
        None => return Ok(()),
        Some(Value::Object(_) | Value::Bool(_)) => {}
        Some(_) => return Err("a JSON Schema is an object or a boolean"),
    }
    let mut left: Vec<(&Value, usize)> = schema.iter().map(|value| (value, 1)).collect();
    let mut seen = 0;
    while let Some((value, depth)) = left.pop() {
        seen += 1;
        if seen > MAX_SCHEMA_VALUES {
            return Err("a JSON Schema holds at most 512 values");
        }
        if depth > MAX_SCHEMA_DEPTH {
            return Err("a JSON Schema nests at most 16 levels deep");
        }
        match value {
            Value::String(text) if !is_printable(text, 2000) => {
                return Err("a JSON Schema has no control or text direction characters");
            }
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                if fields.keys().any(|key| !is_printable(key, 200)) {
                    return Err("a JSON Schema has no control or text direction characters");
                }
                left.extend(fields.values().map(|item| (item, depth + 1)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// To a micro-degree: a text of so few digits comes back from JSON as the same number everywhere.
fn round(degrees: f64) -> f64 {
    (degrees * 1e6).round() / 1e6
}

fn ensure(holds: bool, error: ManifestError) -> Result<(), ManifestError> {
    if holds {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
