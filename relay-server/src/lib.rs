//! A native node of Tabfarm: relay, bootstrap, DHT server, index of records, HTTP; serves the web app.
//!
//! | module | does |
//! |---|---|
//! | [`config`] | flags, variables, file, defaults |
//! | [`identity`] | the key in the data directory |
//! | [`node`] | swarm and kernel in one task, asked through a handle |
//! | [`http`] | the HTTP server: accept loop with limits, routes |
//! | `api` | `/api/node`, `/api/services`, `/health`, `/metrics` |
//! | [`gateway`] | `/s/…`: services in tabs, for clients without a browser |
//! | [`client`] | the other side: what the command `tabfarm` asks a gateway |
//! | `metrics` | what `/metrics` counts |
//! | `web` | the app's files: compressed once, with their security headers |
//! | [`tls`] | the certificate: the operator's, or of an authority of its own |
//! | `trust` | how people come to trust that authority |
//! | `problem` | errors as RFC 9457 documents |
//!
//! [`run`] is the whole program behind the command line.

mod api;
pub mod client;
pub mod config;
pub mod gateway;
pub mod http;
pub mod identity;
mod metrics;
pub mod node;
mod problem;
pub mod tls;
mod trust;
mod web;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use tokio::signal::unix::{signal, Signal, SignalKind};
use tokio::sync::{oneshot, Notify};
use tokio::task::JoinHandle;

use crate::config::Config;

/// A stop takes at most this long; what has not ended by then is cut.
pub const DRAIN_TIME: Duration = Duration::from_secs(9);

/// A running relay. Dropping it leaves it running; [`Relay::stop`] ends it.
pub struct Relay {
    /// Its node.
    pub node: node::Handle,
    /// Where it serves HTTP.
    pub http: SocketAddr,
    /// Addresses that peers connect to, ending in its id.
    pub addresses: Vec<Multiaddr>,
    /// `http`, or `https` where there is a certificate.
    pub scheme: &'static str,
    /// Who vouches for the certificate, if that is the relay itself.
    pub authority: Option<tls::Authority>,
    server: http::Server,
    stop_node: oneshot::Sender<()>,
    node_task: JoinHandle<()>,
    renewal: Option<Renewal>,
}

/// Looks for a newer certificate, as long as the relay runs.
struct Renewal {
    asked: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay; it is ready when this returns.
    pub async fn start(config: &Config) -> anyhow::Result<Relay> {
        let (stop_node, stopped) = oneshot::channel();
        let tls = tls::Tls::load(config)?;
        let (node, node_task) = node::start(config, tls.as_ref(), stopped).await?;
        let files = web::Files::load(config.web.as_deref());
        let server = http::Server::start(
            config.http,
            config.http_limits,
            config.services.clone(),
            tls.as_ref(),
            node.clone(),
            files,
        )
        .await?;
        let facts = node.facts();
        let addresses = [facts.announced, facts.listening].concat();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let renewal = tls.as_ref().and_then(tls::Tls::renewal).map(|renewal| {
            let asked = Arc::new(Notify::new());
            Renewal { task: tokio::spawn(renewal.run(asked.clone())), asked }
        });
        let (http, authority) = (server.address, tls.and_then(|tls| tls.authority));
        Ok(Relay { http, node, addresses, scheme, authority, server, stop_node, node_task, renewal })
    }

    /// Looks now whether the operator's certificate was renewed, and not within the next minute only.
    pub fn renew_certificate(&self) {
        match &self.renewal {
            Some(renewal) => renewal.asked.notify_one(),
            None => tracing::info!("there is no certificate to read again"),
        }
    }

    /// Ends it: requests under way are answered, what the node serves is handed over. At most [`DRAIN_TIME`].
    pub async fn stop(self) {
        if let Some(renewal) = &self.renewal {
            renewal.task.abort();
        }
        // The node may have ended by itself; then nobody listens.
        let _ = self.stop_node.send(());
        let drained = async {
            self.server.stop().await;
            // An error means that the task panicked: there is nothing left to hand over.
            let _ = self.node_task.await;
        };
        // Late: whatever is left is cut.
        let _ = tokio::time::timeout(DRAIN_TIME, drained).await;
    }

    /// Who is connected by HTTP.
    pub fn http_counts(&self) -> http::Counts {
        self.server.counts()
    }

    /// The line that `--json` prints.
    pub fn ready_line(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(Multiaddr::to_string).collect();
        let http = format!("{}://{}", self.scheme, self.http);
        let peer_id = self.node.peer_id.to_string();
        serde_json::json!({ "peer_id": peer_id, "http": http, "addresses": addresses }).to_string()
    }
}

/// Runs a relay until the process is told to stop.
pub async fn run(config: Config) -> anyhow::Result<()> {
    // Before anybody is told that the relay runs: a signal that nobody awaits ends the process at once.
    let stop = stop_signal()?;
    // Without a certificate to read again, a terminal that hangs up ends the relay as it ends other programs.
    let hears = matches!(config.tls, config::Tls::Files { .. }) || !std::io::stderr().is_terminal();
    let mut hang_up = if hears { Some(signal(SignalKind::hangup())?) } else { None };
    log_to_stderr(&config.log)?;
    let relay = Relay::start(&config).await?;
    tracing::info!(peer_id = %relay.node.peer_id, http = %relay.http, scheme = relay.scheme, "started");
    if config.json {
        println!("{}", relay.ready_line());
    } else {
        println!("tabfarm: relay {}", relay.node.peer_id);
        relay.addresses.iter().for_each(|address| println!("tabfarm: listens on {address}"));
    }
    // On stdout for people; a program that reads JSON gets its one line there and nothing else.
    let say = |line: String| if config.json { eprintln!("{line}") } else { println!("{line}") };
    let host = match relay.http {
        at if at.ip().is_unspecified() => format!("localhost:{}", at.port()),
        at => at.to_string(),
    };
    say(format!("tabfarm: open {}://{host}", relay.scheme));
    if let Some(authority) = &relay.authority {
        say(format!("tabfarm: people learn at http://{host}/trust how to trust this relay"));
        say(format!("tabfarm: its authority's fingerprint (SHA-256): {}", authority.fingerprint()));
    }
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = hung_up(&mut hang_up) => relay.renew_certificate(),
        }
    }
    tracing::info!("stopping");
    relay.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn log_to_stderr(log: &config::Log) -> anyhow::Result<()> {
    use anyhow::Context;
    // What strangers send is no reason to warn anybody: soketto does, once for each frame that is too long.
    let filter = tracing_subscriber::EnvFilter::try_new(format!("soketto=error,{}", log.filter))
        .with_context(|| format!("--log {}", log.filter))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if log.json { lines.json().try_init() } else { lines.with_ansi(false).try_init() };
    set.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
}

/// Ends with SIGTERM or SIGINT; they are caught from the call on.
fn stop_signal() -> std::io::Result<impl std::future::Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Ends with a SIGHUP, where it means something.
async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        // `None` is an end of all signals, which is never told.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
