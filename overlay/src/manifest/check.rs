//! The rules of every field of a manifest, each with an error that names the field.

use serde_json::Value;

use super::{
    address, Engine, Example, Manifest, Method, Permissions, Permit, Qos, Requires, StateKind, ABI, FORMAT,
    MAX_MANIFEST,
};
use crate::id::PeerId;
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

/// Why a manifest is refused; the text names the field for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Too many bytes.
    #[error("the manifest has {0} bytes, the most is 65536")]
    Size(usize),
    /// Not JSON, a field is missing, unknown or of the wrong type.
    #[error("the manifest cannot be read: {0}")]
    Json(String),
    /// Another format.
    #[error("format {0} is not supported, only 1")]
    Format(u32),
    /// Another ABI.
    #[error("abi {0} is not supported, only 1")]
    Abi(u32),
    /// The name.
    #[error("name: 1 to 64 characters of a-z, 0-9 and -, not beginning with -")]
    Name,
    /// The version.
    #[error("version: 1 to 32 characters of 0-9, A-Z, a-z, '.', '+' and '-'")]
    Version,
    /// The description.
    #[error("description: at most 500 characters, no control or text direction characters")]
    Description,
    /// The tags.
    #[error("tags: at most 8, each 1 to 32 characters of a-z, 0-9 and -, none twice")]
    Tags,
    /// The access list.
    #[error("access: \"anyone\" or a list of 1 to 32 peer ids")]
    Access,
    /// The hosts list.
    #[error("hosts: \"anyone\" or a list of 1 to 32 peer ids")]
    Hosts,
    /// Too many methods.
    #[error("interface: at most 64 methods")]
    Methods,
    /// A method's name.
    #[error("interface: a method's name has 1 to 64 characters of 0-9, A-Z, a-z, '_', '.' and '-'")]
    MethodName,
    /// A method's description.
    #[error("interface.{0}.description: at most 500 characters, no control or text direction characters")]
    MethodDescription(String),
    /// A method's schema of the body.
    #[error("interface.{0}.body: {1}")]
    Body(String, &'static str),
    /// A method's schema of the reply.
    #[error("interface.{0}.reply: {1}")]
    Reply(String, &'static str),
    /// Too many examples.
    #[error("examples: at most 16")]
    Examples,
    /// An example, counted from 1.
    #[error("examples, number {0}: {1}")]
    Example(usize, &'static str),
    /// Memory.
    #[error("requires.memoryMiB: 1 to 256")]
    Memory,
    /// Gas.
    #[error("requires.gasPerSecond: at most 1000000000000")]
    Gas,
    /// Storage.
    #[error("requires.storageMiB: at most 1024")]
    Storage,
    /// Bandwidth.
    #[error("requires.upKbps: at most 10000000")]
    Bandwidth,
    /// Latency.
    #[error("requires.latencyMs: 1 to 60000")]
    Latency,
    /// Features.
    #[error("requires.features: at most 16, each 1 to 32 characters of a-z, 0-9 and -, none twice")]
    Features,
    /// Delay target.
    #[error("qos.responseMs: 1 to 600000")]
    Response,
    /// Sessions.
    #[error("qos.sessionsPerServer: 1 to 10000")]
    Sessions,
    /// Servers.
    #[error("qos.minServers and qos.maxServers: 1 to 1000, the first not above the second")]
    Servers,
    /// Idle time.
    #[error("qos.idleSeconds: 10 to 604800")]
    Idle,
    /// Standbys.
    #[error("qos.standby: 0 to 2")]
    Standby,
    /// Outgoing calls.
    #[error("permissions.call: at most 16 services, each a name or name@publisher, none twice")]
    Call,
    /// Location.
    #[error("location: a latitude of -90 to 90 and a longitude of -180 to 180")]
    Location,
    /// The UI's path.
    #[error("ui: a relative path of at most 128 characters, without '..', '\\' and empty parts")]
    UiPath,
    /// The address of a service that runs elsewhere.
    #[error("url: {0}")]
    Url(&'static str),
    /// A field that says nothing about a service that runs elsewhere.
    #[error("{0}: nobody hosts a service that runs elsewhere; leave this out")]
    External(&'static str),
}

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

/// 1 to `most` characters of `a-z0-9-`, not beginning with `-`.
pub(crate) fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// 1 to 32 characters of a version.
pub(crate) fn is_version(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b))
}

/// At most `most` characters and twice as many bytes, none of which controls a terminal or the direction of text.
pub(crate) fn is_printable(text: &str, most: usize) -> bool {
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    text.len() <= 4 * most && text.chars().count() <= most && !text.contains(controls)
}

/// A latitude and a longitude in degrees, finite and in range.
pub(crate) fn is_location((lat, lon): (f64, f64)) -> bool {
    (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)
}

/// A relative path below the package's UI folder.
pub(super) fn is_path(path: &str) -> bool {
    (1..=128).contains(&path.len())
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._- @+".contains(&b))
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

fn are_distinct<T: Ord>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(i, item)| !items[..i].contains(item))
}

fn are_names(names: &[String], most: usize) -> bool {
    names.len() <= most && names.iter().all(|name| is_name(name, 32)) && are_distinct(names)
}

fn is_permit(permit: &Permit) -> bool {
    match permit {
        Permit::Anyone => true,
        Permit::Peers(peers) => (1..=MAX_PEERS).contains(&peers.len()) && are_distinct(peers),
    }
}

/// A name, or `name@publisher`; anything else names no service.
pub fn is_service(text: &str) -> bool {
    match text.split_once('@') {
        Some((name, publisher)) => is_name(name, 64) && publisher.parse::<PeerId>().is_ok(),
        None => is_name(text, 64),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const FULL: &str = r#"{ "format": 1, "abi": 1, "name": "counter", "version": "1.0.0", "description": "counts",
        "tags": ["example"], "engine": "wasm", "state": "single", "access": "anyone", "hosts": "anyone",
        "interface": { "add": { "body": { "type": "integer" }, "reply": { "type": "integer" } },
                       "read": { "readOnly": true } },
        "examples": [],
        "requires": { "memoryMiB": 16, "gasPerSecond": 50000000, "storageMiB": 0, "upKbps": 0, "features": [] },
        "qos": { "responseMs": 200, "sessionsPerServer": 100, "minServers": 1, "maxServers": 8, "idleSeconds": 600, "standby": 1 },
        "permissions": { "call": [], "datagrams": false }, "location": [52.52, 13.40], "ui": "index.html" }"#;

    fn changed(path: &str, value: Value) -> Result<Manifest, ManifestError> {
        let mut json: Value = serde_json::from_str(FULL).unwrap();
        *json.pointer_mut(path).unwrap() = value;
        Manifest::parse_author(json.to_string().as_bytes())
    }

    #[test]
    fn the_documented_example_is_the_defaults() {
        let full = Manifest::parse_author(FULL.as_bytes()).unwrap();
        let mut short = Manifest::parse_author(
            br#"{"name":"counter","version":"1.0.0","engine":"wasm","state":"single",
            "interface":{"add":{"body":{"type":"integer"},"reply":{"type":"integer"}},"read":{"readOnly":true}}}"#,
        )
        .unwrap();
        short.description = "counts".into();
        short.tags = vec!["example".into()];
        short.location = Some((52.52, 13.4));
        short.ui = Some("index.html".into());
        assert_eq!(full, short);
    }

    #[test]
    fn each_field_is_refused_by_name() {
        use ManifestError as E;
        let deep = (0..17).fold(json!({}), |inner, _| json!({ "not": inner }));
        let wide: Value =
            (0..600).map(|n| (format!("f{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
        let peers: Vec<String> = (0..33).map(|n| PeerId([n; 32]).to_string()).collect();
        let cases = [
            ("/format", json!(2), E::Format(2)),
            ("/abi", json!(0), E::Abi(0)),
            ("/name", json!(""), E::Name),
            ("/name", json!("-a"), E::Name),
            ("/name", json!("Counter"), E::Name),
            ("/name", json!("a".repeat(65)), E::Name),
            ("/name", json!("\u{202e}retnuoc"), E::Name),
            ("/version", json!("1 0"), E::Version),
            ("/description", json!("x".repeat(501)), E::Description),
            ("/description", json!("a\u{202e}b"), E::Description),
            ("/description", json!("a\u{1b}[2Jb"), E::Description),
            ("/tags", json!(["a", "a"]), E::Tags),
            ("/tags", json!(["a b"]), E::Tags),
            ("/tags", json!(["1", "2", "3", "4", "5", "6", "7", "8", "9"]), E::Tags),
            ("/access", json!([]), E::Access),
            ("/hosts", json!(peers), E::Hosts),
            ("/interface", json!({ "a b": {} }), E::MethodName),
            (
                "/interface/add/body",
                json!(3),
                E::Body("add".into(), "a JSON Schema is an object or a boolean"),
            ),
            (
                "/interface/add/body",
                deep,
                E::Body("add".into(), "a JSON Schema nests at most 16 levels deep"),
            ),
            ("/interface/add/reply", wide, E::Reply("add".into(), "a JSON Schema holds at most 512 values")),
            ("/examples", json!([{ "method": "sub" }]), E::Example(1, "the interface has no such method")),
            (
                "/examples",
                json!([{ "method": "add", "body": [1] }, { "method": "read", "reply": 1 }]),
                E::Example(2, "without a schema, body and reply are texts of at most 256 KiB"),
            ),
            ("/examples", json!(vec![json!({ "method": "add" }); 17]), E::Examples),
            ("/requires/memoryMiB", json!(0), E::Memory),
            ("/requires/memoryMiB", json!(257), E::Memory),
            ("/requires/gasPerSecond", json!(2_000_000_000_000_u64), E::Gas),
            ("/requires/storageMiB", json!(1025), E::Storage),
            ("/requires/upKbps", json!(10_000_001), E::Bandwidth),
            ("/requires/features", json!(["A"]), E::Features),
            ("/qos/responseMs", json!(0), E::Response),
            ("/qos/sessionsPerServer", json!(0), E::Sessions),
            ("/qos/minServers", json!(9), E::Servers),
            ("/qos/idleSeconds", json!(1), E::Idle),
            ("/qos/standby", json!(3), E::Standby),
            ("/permissions/call", json!(["x@y"]), E::Call),
            ("/location", json!([91, 0]), E::Location),
            ("/location", json!([0, -180.5]), E::Location),
            ("/ui", json!("../x"), E::UiPath),
            ("/ui", json!("/x"), E::UiPath),
            ("/ui", json!("a\\b"), E::UiPath),
        ];
        for (path, value, error) in cases {
            assert_eq!(changed(path, value.clone()), Err(error), "{path} {value}");
        }
    }

    #[test]
    fn a_service_that_runs_elsewhere_has_an_address_and_nothing_that_a_host_would_heed() {
        use ManifestError as E;
        const EXTERNAL: &str = r#"{ "name": "weather", "version": "1.0.0", "engine": "url", "state": "none",
            "url": "https://api.example.org/v1", "interface": { "now": { "readOnly": true, "reply": {} } } }"#;
        let with = |field: &str, value: Value| {
            let mut json: Value = serde_json::from_str(EXTERNAL).unwrap();
            json[field] = value;
            Manifest::parse_author(json.to_string().as_bytes())
        };
        let manifest = Manifest::parse_author(EXTERNAL.as_bytes()).unwrap();
        assert_eq!(manifest.url.as_deref(), Some("https://api.example.org/v1"));
        let again = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(Manifest::parse_author(&again), Ok(manifest));
        assert!(with("ui", json!("index.html")).is_ok());
        let me = PeerId([1; 32]).to_string();
        let cases = [
            ("url", Value::Null, E::Url("the engine url needs it")),
            ("url", json!("javascript:alert(1)"), E::Url("it begins with https://")),
            ("engine", json!("wasm"), E::Url("only with the engine url")),
            ("state", json!("single"), E::External("state other than none")),
            ("durable", json!(true), E::External("durable")),
            ("access", json!([me]), E::External("access")),
            ("hosts", json!([me]), E::External("hosts")),
            ("examples", json!([{ "method": "now" }]), E::External("examples")),
            ("requires", json!({ "memoryMiB": 1 }), E::External("requires")),
            ("qos", json!({ "minServers": 2 }), E::External("qos")),
            ("permissions", json!({ "datagrams": true }), E::External("permissions")),
            ("interface", json!({ "..": {} }), E::MethodName),
            ("interface", json!({ ".": {} }), E::MethodName),
        ];
        for (field, value, error) in cases {
            assert_eq!(with(field, value.clone()), Err(error), "{field} {value}");
        }
        assert_eq!(
            with("access", json!([me])).unwrap_err().to_string(),
            "access: nobody hosts a service that runs elsewhere; leave this out"
        );
        assert!(changed("/engine", json!("url")).is_err());
    }

    #[test]
    fn unknown_and_wrong_fields_are_refused() {
        for (path, value) in [
            ("/name", json!(1)),
            ("/state", json!("replicated-2")),
            ("/engine", json!("elf")),
            ("/access", json!("nobody")),
            ("/access", json!(["12D3"])),
            ("/requires", json!({ "memory": 1 })),
            ("/requires/memoryMiB", json!(-1)),
            ("/requires/memoryMiB", json!(1e30)),
            ("/qos", json!({ "x": 1 })),
            ("/permissions", json!({ "x": 1 })),
            ("/interface/add", json!({ "bdy": {} })),
            ("/examples", json!([{ "method": "add", "expect": 1 }])),
            ("/location", json!([1, 2, 3])),
        ] {
            assert!(matches!(changed(path, value.clone()), Err(ManifestError::Json(_))), "{path} {value}");
        }
        let publisher = FULL.replacen('{', r#"{"publisher":"x","#, 1);
        assert!(matches!(Manifest::parse_author(publisher.as_bytes()), Err(ManifestError::Json(_))));
        let twice = FULL.replacen('{', r#"{"name":"other","#, 1);
        assert!(matches!(Manifest::parse_author(twice.as_bytes()), Err(ManifestError::Json(_))));
        let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        assert!(matches!(Manifest::parse_author(nested.as_bytes()), Err(ManifestError::Json(_))));
        assert_eq!(Manifest::parse_author(&[b' '; 65_537]), Err(ManifestError::Size(65_537)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse_author(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics_and_what_is_accepted_round_trips(at in 0..FULL.len(), to in any::<u8>()) {
            let mut bytes = FULL.as_bytes().to_vec();
            bytes[at] = to;
            if let Ok(manifest) = Manifest::parse_author(&bytes) {
                let again = serde_json::to_vec(&manifest).unwrap();
                prop_assert_eq!(Manifest::parse_author(&again).unwrap(), manifest);
            }
        }
    }
}
