//! The manifest: what a service says about itself, and everything that follows from it.
//!
//! An author writes a [`Manifest`] as JSON ([`Manifest::parse_author`]); publishing adds the publisher's key and the
//! digests of the package's files and signs the bytes ([`sign`]); every other peer accepts only [`verify`]'s result.
//! [`limits`] derives what decides an event's outcome, [`fits`] whether a host may take the service. All of it is
//! pure, so every peer comes to the same answer.
//!
//! | file | holds |
//! |---|---|
//! | this one | the manifest's fields, and what follows from them |
//! | `check`, `error`, `text` | the rules of the fields; what a broken one is told; what a name may look like |
//! | `example`, `external` | calls that an author shows; services that run outside of all tabs |
//! | `package` | the files, and the signature over all |
//! | `fit` | may a host take it |
//!
//! ```
//! use overlay::manifest::{Manifest, StateKind};
//!
//! let manifest = Manifest::parse_author(
//!     br#"{ "name": "counter", "version": "1.0.0", "engine": "wasm", "state": "single",
//!           "interface": { "add": {}, "read": { "readOnly": true } } }"#,
//! )?;
//! assert_eq!(manifest.state, StateKind::Single);
//! assert_eq!(manifest.requires.memory_mib, 16);
//! # Ok::<(), overlay::manifest::ManifestError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::id::{InvalidId, PeerId};
use crate::sandbox::Limits;

mod check;
mod error;
mod example;
mod external;
mod fit;
mod package;
mod text;

pub use error::ManifestError;
pub use example::{examples, ExampleCall};
pub use external::{address, method_url, Address, MAX_URL};
pub use fit::{fits, Capabilities, Unfit};
pub use package::{
    file_ref, package_id, sign, verify, FileRef, Package, PackageError, Signature, MAX_MODULE, MAX_UI,
    MAX_UI_FILE, MAX_UI_FILES,
};
pub use text::is_service;
pub(crate) use text::{is_location, is_name, is_printable, is_version};

/// The most bytes of a manifest's JSON, signed or not.
pub const MAX_MANIFEST: usize = 64 * 1024;
/// The version of the manifest's format that this code reads.
pub const FORMAT: u32 = 1;
/// The version of the module ABI that this code runs.
pub const ABI: u32 = service_abi::ABI_VERSION;

/// Gas of one event under ABI 1. A constant, because a value that differs between hosts would let replicas differ;
/// about a tenth of a second on a slow phone, so that a spinning event is answered well within half a second (guess,
/// to be measured).
pub const GAS_PER_EVENT: u64 = 100_000_000;
/// Call stack depth under ABI 1, in the instrumenter's units; leaves room below the smallest browser's own limit.
pub const STACK_DEPTH: u32 = service_abi::limits::DEFAULT_STACK_DEPTH;
/// Pages of 64 KiB in a MiB.
const PAGES_PER_MIB: u32 = (1 << 20) / service_abi::limits::PAGE;
/// Bytes that one event may put out under ABI 1: two bodies of the largest size.
pub const OUTPUT_BYTES: u32 = 2 * crate::io::MAX_BODY as u32;

/// What an author writes. Everything but name, version, engine, state and interface has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    /// The manifest's format: [`FORMAT`].
    #[serde(default = "one")]
    pub format: u32,
    /// The module's ABI: [`ABI`].
    #[serde(default = "one")]
    pub abi: u32,
    /// 1 to 64 characters of `a-z`, `0-9` and `-`, not beginning with `-`.
    pub name: String,
    /// 1 to 32 characters of `0-9A-Za-z.+-`.
    pub version: String,
    /// A sentence for people, at most 500 characters.
    #[serde(default)]
    pub description: String,
    /// At most 8 tags of the same form as names, at most 32 characters each.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What runs the module.
    pub engine: Engine,
    /// Where a service of [`Engine::Url`] runs; there is no module then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How its state is kept.
    pub state: StateKind,
    /// Flush checkpoints before acknowledging.
    #[serde(default)]
    pub durable: bool,
    /// Who may open sessions.
    #[serde(default)]
    pub access: Permit,
    /// Who may host it.
    #[serde(default)]
    pub hosts: Permit,
    /// The methods, at most 64.
    pub interface: BTreeMap<String, Method>,
    /// Calls that show what the service does, at most 16. Each host makes them in this order, in one session of a fresh
    /// instance, before it runs the package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// What a host must offer.
    #[serde(default)]
    pub requires: Requires,
    /// What the farm aims at.
    #[serde(default)]
    pub qos: Qos,
    /// What the service may do outside itself.
    #[serde(default)]
    pub permissions: Permissions,
    /// Latitude and longitude in degrees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<(f64, f64)>,
    /// The path of the UI's first page among the package's UI files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
}

/// What made a module, for information, since every module is wasm and complete in itself; or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// It was compiled to wasm.
    Wasm,
    /// It is JavaScript linked with the QuickJS engine.
    Quickjs,
    /// There is none: the service runs elsewhere, at the manifest's `url`.
    Url,
}

/// How a service's state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateKind {
    /// Any server answers any call.
    #[serde(rename = "none")]
    None,
    /// One voter at rest.
    #[serde(rename = "single")]
    Single,
    /// Three voters.
    #[serde(rename = "replicated-3")]
    Replicated3,
    /// Five voters.
    #[serde(rename = "replicated-5")]
    Replicated5,
}

impl StateKind {
    /// Voters at rest; 1 for a stateless service, whose servers are each alone.
    pub fn voters(self) -> usize {
        match self {
            StateKind::None | StateKind::Single => 1,
            StateKind::Replicated3 => 3,
            StateKind::Replicated5 => 5,
        }
    }

    /// As in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            StateKind::None => "none",
            StateKind::Single => "single",
            StateKind::Replicated3 => "replicated-3",
            StateKind::Replicated5 => "replicated-5",
        }
    }
}

/// Anyone, or a list of at most 32 peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Permit {
    /// Anyone.
    #[default]
    Anyone,
    /// These and the publisher.
    Peers(Vec<PeerId>),
}

impl Permit {
    /// Is `peer` permitted? The publisher always is.
    pub fn permits(&self, peer: &PeerId, publisher: &PeerId) -> bool {
        match self {
            Permit::Anyone => true,
            Permit::Peers(peers) => peer == publisher || peers.contains(peer),
        }
    }
}

/// One method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Method {
    /// A sentence for people, at most 500 characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of the body; without one the body is bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// JSON Schema of the reply; without one the reply is bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Value>,
    /// It changes nothing, so that any replica may answer it.
    pub read_only: bool,
}

/// A call of a method, and what comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// A method of the interface.
    pub method: String,
    /// The body: JSON where the method has a schema for it, else text; absent means empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The reply, in the same form; absent means any, as long as the call succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Value>,
}

/// What a host must offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Requires {
    /// Linear memory, 1 to 256 MiB: what a tab can copy within a second.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// Gas per second that the service is expected to burn, at most 10^12.
    pub gas_per_second: u64,
    /// The kv store, 0 to 1,024 MiB.
    #[serde(rename = "storageMiB")]
    pub storage_mib: u32,
    /// Bandwidth up, at most 10,000,000 kbit/s.
    pub up_kbps: u32,
    /// Round trip to its consumers, 1 to 60,000 ms; absent means any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// Named features that the host must have, at most 16.
    pub features: Vec<String>,
    /// What may power the host.
    pub energy: Energy,
}

impl Default for Requires {
    fn default() -> Self {
        Self {
            memory_mib: 16,
            gas_per_second: 50_000_000,
            storage_mib: 0,
            up_kbps: 0,
            latency_ms: None,
            features: Vec::new(),
            energy: Energy::Any,
        }
    }
}

/// What may power a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Energy {
    /// Battery or mains.
    Any,
    /// Mains only.
    Mains,
}

/// What a farm aims at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Qos {
    /// Target of the response delay, 1 to 600,000 ms.
    pub response_ms: u32,
    /// Sessions that one server takes, 1 to 10,000.
    pub sessions_per_server: u32,
    /// The fewest servers, 1 to 1,000.
    pub min_servers: u32,
    /// The most servers, `minServers` to 1,000.
    pub max_servers: u32,
    /// A server without sessions for this long drops the service: 10 to 604,800 s.
    pub idle_seconds: u32,
    /// Warm copies that a `single` service has beside its host, where volunteers fit: 0 to 2.
    pub standby: u32,
}

impl Default for Qos {
    fn default() -> Self {
        Self {
            response_ms: 200,
            sessions_per_server: 100,
            min_servers: 1,
            max_servers: 8,
            idle_seconds: 600,
            standby: 1,
        }
    }
}

/// What a service may do outside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Permissions {
    /// Services that it may call, `name` or `name@publisher`, at most 16.
    pub call: Vec<String>,
    /// May its sessions exchange datagrams.
    pub datagrams: bool,
}

/// What decides an event's outcome. A function of the manifest and the ABI's version alone, never of the host.
pub fn limits(manifest: &Manifest) -> Limits {
    Limits {
        memory_pages: manifest.requires.memory_mib.saturating_mul(PAGES_PER_MIB),
        gas_per_event: GAS_PER_EVENT,
        stack_depth: STACK_DEPTH,
        output_bytes: OUTPUT_BYTES,
        kv_bytes: u64::from(manifest.requires.storage_mib) << 20,
    }
}

fn one() -> u32 {
    1
}

impl Serialize for Permit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Permit::Anyone => serializer.serialize_str("anyone"),
            Permit::Peers(peers) => serializer.collect_seq(peers.iter().map(PeerId::to_string)),
        }
    }
}

impl<'de> Deserialize<'de> for Permit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Permit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"anyone\" or a list of at most 32 peer ids")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Permit, E> {
                match text {
                    "anyone" => Ok(Permit::Anyone),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Permit, A::Error> {
                let mut peers = Vec::new();
                while let Some(text) = seq.next_element::<String>()? {
                    let peer = text.parse().map_err(|InvalidId| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &"a peer id")
                    })?;
                    peers.push(peer);
                }
                Ok(Permit::Peers(peers))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
