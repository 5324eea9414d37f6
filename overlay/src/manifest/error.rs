//! Why a manifest is refused.

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
