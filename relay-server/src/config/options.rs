//! Flags, `TABFARM_*` variables and the lines of a TOML file: the same names for all three.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use libp2p::Multiaddr;
use serde::Deserialize;

use super::{Config, Limits, Log, Tls};
use crate::{gateway, http};

/// Runs a relay of Tabfarm: tabs meet through it, it keeps records of services for them, and it serves the app.
#[derive(Clone, Debug, Default, Parser, Deserialize)]
#[command(name = "tabfarm-relay", version)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Where to serve the app and the API [default: 127.0.0.1:8080]; port 0 picks one
    #[arg(long, value_name = "ADDR", env = "TABFARM_HTTP")]
    pub http: Option<SocketAddr>,
    /// Where peers connect [default: a websocket on --http's host, any port]; may be repeated
    #[arg(long, value_name = "MULTIADDR", env = "TABFARM_LISTEN", value_delimiter = ',')]
    pub listen: Vec<Multiaddr>,
    /// Addresses under which the world reaches this relay, for example behind a proxy; may be repeated
    #[arg(long, value_name = "MULTIADDR", env = "TABFARM_ANNOUNCE", value_delimiter = ',')]
    pub announce: Vec<Multiaddr>,
    /// Other relays to keep in touch with, each ending in /p2p/ID; may be repeated
    #[arg(long, value_name = "MULTIADDR", env = "TABFARM_JOIN", value_delimiter = ',')]
    pub join: Vec<Multiaddr>,
    /// Where the relay's key is kept; without it, the relay has a new id at each start
    #[arg(long, value_name = "DIR", env = "TABFARM_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The certificate for HTTPS and secure websockets, a chain in PEM
    #[arg(long, value_name = "FILE", env = "TABFARM_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", env = "TABFARM_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Be an authority of its own, kept in --data-dir, for a local network: people are shown how to trust it
    #[arg(long, env = "TABFARM_TLS_LOCAL")]
    pub tls_local: bool,
    /// The app's files [default: those in the binary, else target/web-tree]
    #[arg(long, value_name = "DIR", env = "TABFARM_WEB")]
    pub web: Option<PathBuf>,
    /// A TOML file with the same settings
    #[arg(long, value_name = "FILE", env = "TABFARM_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Print one line of JSON when ready: peer_id, http, addresses
    #[arg(long, env = "TABFARM_JSON")]
    pub json: bool,
    /// A name for people
    #[arg(long, env = "TABFARM_NAME")]
    pub name: Option<String>,
    /// Tabs that may hold a reservation [default: 10000]
    #[arg(long, value_name = "N", env = "TABFARM_MAX_RESERVATIONS")]
    pub max_reservations: Option<usize>,
    /// Reservations that one IP address may make in a minute: a school has one address [default: 1024]
    #[arg(long, value_name = "N", env = "TABFARM_RESERVATIONS_PER_IP")]
    pub reservations_per_ip: Option<u32>,
    /// Circuits at a time [default: 1024]
    #[arg(long, value_name = "N", env = "TABFARM_MAX_CIRCUITS")]
    pub max_circuits: Option<usize>,
    /// Bytes that one circuit may carry [default: 67108864]
    #[arg(long, value_name = "BYTES", env = "TABFARM_CIRCUIT_BYTES")]
    pub circuit_bytes: Option<u64>,
    /// Seconds that one circuit may last [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "TABFARM_CIRCUIT_SECONDS")]
    pub circuit_seconds: Option<u64>,
    /// Peers that may be connected [default: 12000]
    #[arg(long, value_name = "N", env = "TABFARM_MAX_CONNECTIONS")]
    pub max_connections: Option<u32>,
    /// HTTP connections at a time [default: 1792]
    #[arg(long, value_name = "N", env = "TABFARM_MAX_HTTP")]
    pub max_http: Option<usize>,
    /// HTTP connections of one IP address at a time; behind a proxy, as many as --max-http [default: 1024]
    #[arg(long, value_name = "N", env = "TABFARM_HTTP_PER_IP")]
    pub http_per_ip: Option<usize>,
    /// SERVICE.DOMAIN is the origin of a service's own page, beside SERVICE.localhost
    #[arg(long, value_name = "DOMAIN", env = "TABFARM_SERVICES_DOMAIN")]
    pub services_domain: Option<String>,
    /// Calls of services that one IP address may make at a time [default: 256]
    #[arg(long, value_name = "N", env = "TABFARM_CALLS_PER_IP")]
    pub calls_per_ip: Option<usize>,
    /// Calls and new sessions that it may make in a second [default: 500]
    #[arg(long, value_name = "N", env = "TABFARM_RATE_PER_IP")]
    pub rate_per_ip: Option<NonZeroU32>,
    /// Sessions that it may hold by WebSocket or event stream [default: 128]
    #[arg(long, value_name = "N", env = "TABFARM_SESSIONS_PER_IP")]
    pub sessions_per_ip: Option<usize>,
    /// What is logged to stderr: error, warn, info, debug, trace, or directives like relay_server=debug,libp2p=warn
    /// [default: info]
    #[arg(long, value_name = "FILTER", env = "TABFARM_LOG")]
    pub log: Option<String>,
    /// Log one JSON object a line
    #[arg(long, env = "TABFARM_LOG_JSON")]
    pub log_json: bool,
}

impl Options {
    /// Adds the file's settings where neither a flag nor a variable gave one, and the defaults.
    pub fn resolve(self) -> anyhow::Result<Config> {
        let file = match &self.config {
            Some(path) => Options::read(path).with_context(|| format!("in {}", path.display()))?,
            None => Options::default(),
        };
        let limits = Limits::default();
        let http_limits = http::Limits::default();
        let gateway_limits = gateway::Limits::default();
        let http = self.http.or(file.http).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
        let data_dir = self.data_dir.or(file.data_dir);
        let tls = tls(
            self.tls_cert.or(file.tls_cert),
            self.tls_key.or(file.tls_key),
            self.tls_local || file.tls_local,
            data_dir.as_ref(),
        )?;
        let mut listen = or(self.listen, file.listen);
        if listen.is_empty() {
            listen = vec![default_listen(http, tls != Tls::Off)];
        }
        let config = Config {
            http,
            listen,
            announce: or(self.announce, file.announce),
            join: or(self.join, file.join),
            data_dir,
            tls,
            web: self.web.or(file.web),
            json: self.json || file.json,
            name: self.name.or(file.name).unwrap_or_else(|| "relay".to_owned()),
            limits: Limits {
                reservations: self.max_reservations.or(file.max_reservations).unwrap_or(limits.reservations),
                reservations_per_ip: self
                    .reservations_per_ip
                    .or(file.reservations_per_ip)
                    .unwrap_or(limits.reservations_per_ip),
                circuits: self.max_circuits.or(file.max_circuits).unwrap_or(limits.circuits),
                circuit_bytes: self.circuit_bytes.or(file.circuit_bytes).unwrap_or(limits.circuit_bytes),
                circuit_time: self
                    .circuit_seconds
                    .or(file.circuit_seconds)
                    .map_or(limits.circuit_time, Duration::from_secs),
                connections: self.max_connections.or(file.max_connections).unwrap_or(limits.connections),
                ..limits
            },
            http_limits: http::Limits {
                connections: self.max_http.or(file.max_http).unwrap_or(http_limits.connections),
                per_address: self.http_per_ip.or(file.http_per_ip).unwrap_or(http_limits.per_address),
                ..http_limits
            },
            services: http::Services {
                limits: gateway::Limits {
                    calls: self.calls_per_ip.or(file.calls_per_ip).unwrap_or(gateway_limits.calls),
                    per_second: self.rate_per_ip.or(file.rate_per_ip).unwrap_or(gateway_limits.per_second),
                    sessions: self
                        .sessions_per_ip
                        .or(file.sessions_per_ip)
                        .unwrap_or(gateway_limits.sessions),
                    ..gateway_limits
                },
                domain: self
                    .services_domain
                    .or(file.services_domain)
                    .map(|domain| domain.to_ascii_lowercase()),
            },
            log: Log {
                filter: self.log.or(file.log).unwrap_or_else(|| Log::default().filter),
                json: self.log_json || file.log_json,
            },
        };
        config.check()?;
        Ok(config)
    }

    fn read(path: &Path) -> anyhow::Result<Options> {
        Ok(toml::from_str(&std::fs::read_to_string(path)?)?)
    }
}

fn or<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() {
        second
    } else {
        first
    }
}

fn tls(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    local: bool,
    data_dir: Option<&PathBuf>,
) -> anyhow::Result<Tls> {
    match (cert, key, local) {
        (None, None, false) => Ok(Tls::Off),
        (Some(cert), Some(key), false) => Ok(Tls::Files { cert, key }),
        (None, None, true) => {
            let data_dir =
                data_dir.context("--tls-local needs --data-dir: people trust an authority that stays")?;
            Ok(Tls::Local { data_dir: data_dir.clone() })
        }
        (_, _, true) => anyhow::bail!("--tls-local and --tls-cert exclude each other"),
        _ => anyhow::bail!("--tls-cert and --tls-key go together"),
    }
}

/// A websocket on the host that serves HTTP: who can open the app can join.
fn default_listen(http: SocketAddr, tls: bool) -> Multiaddr {
    use libp2p::multiaddr::Protocol;
    let socket = Multiaddr::from(http.ip()).with(Protocol::Tcp(0));
    let socket = if tls { socket.with(Protocol::Tls) } else { socket };
    socket.with(Protocol::Ws("/".into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::parse_from([&["tabfarm-relay"], arguments].concat())
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("relay.toml");
        std::fs::write(&file, "http = \"127.0.0.1:1\"\nmax-reservations = 7\nname = \"filed\"\n").unwrap();
        let path = file.to_str().unwrap();
        let config = options(&["--config", path, "--name", "flagged"]).resolve().unwrap();
        assert_eq!((config.http.port(), config.name.as_str()), (1, "flagged"));
        assert_eq!((config.limits.reservations, config.limits.circuits), (7, 1_024));
        assert_eq!(config.listen, ["/ip4/127.0.0.1/tcp/0/ws".parse().unwrap()]);
    }

    #[test]
    fn the_settings_that_come_with_the_project_are_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/relay.toml");
        let config = options(&["--config", file.to_str().unwrap()]).resolve().unwrap();
        assert_eq!((config.http.port(), config.log.json), (8080, true));
        // What is switched off in it can be switched on.
        let text = std::fs::read_to_string(file).unwrap();
        let settings =
            text.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.contains(" = "));
        let on: Vec<&str> = settings.filter(|line| !line.starts_with("join")).collect();
        assert_eq!(on.len(), 4);
        toml::from_str::<Options>(&on.join("\n")).unwrap();
    }

    #[test]
    fn a_certificate_is_whole_and_makes_websockets_secure() {
        let tls = |arguments: &[&str]| options(arguments).resolve().map(|config| (config.tls, config.listen));
        let secure: Vec<Multiaddr> = vec!["/ip4/127.0.0.1/tcp/0/tls/ws".parse().unwrap()];
        let files = Tls::Files { cert: "c".into(), key: "k".into() };
        assert_eq!(tls(&["--tls-cert", "c", "--tls-key", "k"]).unwrap(), (files, secure.clone()));
        let local = Tls::Local { data_dir: "d".into() };
        assert_eq!(tls(&["--tls-local", "--data-dir", "d"]).unwrap(), (local, secure));
        for wrong in [
            &["--tls-local"][..],
            &["--tls-cert", "c"],
            &["--tls-key", "k"],
            &["--tls-local", "--data-dir", "d", "--tls-cert", "c", "--tls-key", "k"],
        ] {
            assert!(tls(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn unknown_settings_and_bad_addresses_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("relay.toml");
        std::fs::write(&file, "htpp = \"127.0.0.1:1\"\n").unwrap();
        assert!(options(&["--config", file.to_str().unwrap()]).resolve().is_err());
        assert!(options(&["--join", "/ip4/127.0.0.1/tcp/1/ws"]).resolve().is_err());
        match options(&["--listen", "/ip4/127.0.0.1/udp/0/webrtc-direct"]).resolve() {
            Ok(config) => assert!(cfg!(feature = "webrtc-direct") && config.listen.len() == 1),
            Err(error) => assert!(error.to_string().contains("without the feature webrtc-direct"), "{error}"),
        }
    }
}
