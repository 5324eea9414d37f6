//! What an operator sets: flags, then `TABFARM_*` variables, then a TOML file, then defaults.
//!
//! | module | does |
//! |---|---|
//! | `options` | [`Options`]: what can be written, and where it is read from |
//!
//! [`Config`] is what comes of it: every setting with a value, checked.

mod options;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::Multiaddr;

pub use self::options::Options;
use crate::http;

/// The most HTTP connections that can be asked for: more sockets than one address has ports.
const MAX_HTTP: usize = 65_536;

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where peers connect.
    pub listen: Vec<Multiaddr>,
    /// Addresses to announce besides.
    pub announce: Vec<Multiaddr>,
    /// Other relays.
    pub join: Vec<Multiaddr>,
    /// Where the key is.
    pub data_dir: Option<PathBuf>,
    /// Where the certificate comes from.
    pub tls: Tls,
    /// The app's files, where they are not the binary's own.
    pub web: Option<PathBuf>,
    /// Print JSON when ready.
    pub json: bool,
    /// A name for people.
    pub name: String,
    /// What tabs may use.
    pub limits: Limits,
    /// What clients of the HTTP server may use.
    pub http_limits: http::Limits,
    /// What they may use of services, and where services' pages are.
    pub services: http::Services,
    /// What is logged.
    pub log: Log,
}

/// What is logged, to stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Levels and directives of `tracing`.
    pub filter: String,
    /// One JSON object a line.
    pub json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// There is none: HTTP and websockets are plain.
    Off,
    /// The operator has one.
    Files {
        /// The chain, PEM.
        cert: PathBuf,
        /// The private key, PEM.
        key: PathBuf,
    },
    /// The relay's own authority makes one.
    Local {
        /// Where the authority is kept.
        data_dir: PathBuf,
    },
}

/// What tabs may use of a relay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Reservations at a time.
    pub reservations: usize,
    /// Reservations per IP address and minute.
    pub reservations_per_ip: u32,
    /// Circuits at a time.
    pub circuits: usize,
    /// Bytes of one circuit, both ways together. Enough to call and to host a small service without WebRTC.
    pub circuit_bytes: u64,
    /// How long one circuit lasts.
    pub circuit_time: Duration,
    /// Established connections.
    pub connections: u32,
    /// Connections in their handshake, ten seconds each; half of them by one IP address.
    pub handshakes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reservations: 10_000,
            reservations_per_ip: 1_024,
            circuits: 1_024,
            circuit_bytes: 64 * 1024 * 1024,
            circuit_time: Duration::from_secs(3_600),
            connections: 12_000,
            handshakes: 1_024,
        }
    }
}

impl Config {
    /// Refuses what cannot work, with the name of the setting.
    fn check(&self) -> anyhow::Result<()> {
        for address in &self.listen {
            let is_direct = address.iter().any(|part| part == Protocol::WebRTCDirect);
            anyhow::ensure!(
                !is_direct || cfg!(feature = "webrtc-direct"),
                "--listen {address}: this relay was built without the feature webrtc-direct"
            );
        }
        for address in &self.join {
            anyhow::ensure!(
                overlay_libp2p::addresses::last_peer(address).is_some(),
                "--join {address}: the address must end in /p2p/ID"
            );
        }
        anyhow::ensure!(
            self.limits.circuit_time <= Duration::from_secs(u64::from(u32::MAX)),
            "circuits last too long"
        );
        anyhow::ensure!(self.limits.reservations_per_ip > 0, "--reservations-per-ip must not be 0");
        let http = self.http_limits;
        anyhow::ensure!(
            http.connections > 0 && http.per_address > 0,
            "--max-http, --http-per-ip: must not be 0"
        );
        anyhow::ensure!(http.connections <= MAX_HTTP, "--max-http must not exceed {MAX_HTTP}");
        let label = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if let Some(domain) = &self.services.domain {
            anyhow::ensure!(domain.split('.').all(label), "--services-domain {domain}: not a domain's name");
        }
        Ok(())
    }
}
