//! Manifests that break a rule, field by field.

use super::*;
use crate::id::PeerId;
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
    let wide: Value = (0..600).map(|n| (format!("f{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
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
        ("/interface/add/body", json!(3), E::Body("add".into(), "a JSON Schema is an object or a boolean")),
        ("/interface/add/body", deep, E::Body("add".into(), "a JSON Schema nests at most 16 levels deep")),
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
