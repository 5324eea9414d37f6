//! The peer that a relay is: swarm and kernel in one task, asked through a channel.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{dns, noise, relay, tcp, websocket, yamux, Multiaddr, PeerId, Swarm, Transport};
use overlay::id::{RequestId, SessionId};
use overlay::io::{Answer, Command, Error, Event, Role, SessionInfo};
use overlay::time::Millis;
use overlay_libp2p::behaviour::{Behaviour, Options};
use overlay_libp2p::dht::Capacity;
use overlay_libp2p::doors::Doors;
use overlay_libp2p::driver::{Clock, Driver, Outgoing, TimerAlarm};
use overlay_libp2p::relays::Use;
use overlay_libp2p::swarm_config;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Limits};
use crate::identity;
use crate::tls::Tls;

/// The longest websocket frame. libp2p's default of 256 MiB, taken before a peer has said who it is, lets sixteen
/// sockets fill gigabytes.
const MAX_WS_FRAME: usize = 128 * 1024;
/// Connections that may be in their handshake: with ten seconds for each, half-open sockets fill this and no more.
const MAX_PENDING: u32 = 1_024;
/// Connections to one peer: its tab may meet the relay again before the old socket is known to be dead.
const MAX_PER_PEER: u32 = 4;
/// Streams of one connection: lanes, the protocols' own, and a circuit each for those who look for a popular tab.
const MAX_STREAMS: usize = 192;
/// A handshake that takes longer is given up.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a reservation lasts; tabs renew it.
const RESERVATION_TIME: Duration = Duration::from_secs(30 * 60);
/// Between two pings of a tab: ten thousand tabs make 170 pings a second each way.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A connection without streams is closed after this time: a plain libp2p node that comes for the DHT now and then need
/// not dial anew each time.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// Commands that wait for the node; more are refused at once.
const MAX_WAITING: usize = 256;
/// Events of a session that wait for whoever listens; a slower listener loses its session.
const MAX_EVENTS: usize = 256;
/// How long listening addresses are waited for at the start.
const LISTEN_TIME: Duration = Duration::from_secs(10);
/// Several addresses of one listener come within this time.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// The protocols of a native node.
#[derive(NetworkBehaviour)]
struct Native {
    limits: connection_limits::Behaviour,
    relay: relay::Behaviour,
}

type Node = Driver<Native>;

/// What others need to know of the node.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Addresses that it listens on, ending in its id.
    pub listening: Vec<Multiaddr>,
    /// Addresses that the operator announces, ending in its id.
    pub announced: Vec<Multiaddr>,
    /// Other relays that are connected.
    pub relays: Vec<Multiaddr>,
    /// Connected peers.
    pub peers: usize,
    /// Reservations held by tabs.
    pub reservations: usize,
    /// Open circuits.
    pub circuits: usize,
}

/// A handle on the running node.
#[derive(Clone)]
pub struct Handle {
    /// Its id.
    pub peer_id: PeerId,
    facts: Arc<Mutex<Facts>>,
    commands: mpsc::Sender<Asked>,
}

/// A command, and who waits for its answer.
struct Asked {
    command: Command,
    sender: oneshot::Sender<Result<Answer, Error>>,
    /// Who hears the events of the session that it opens.
    events: Option<mpsc::Sender<Event>>,
}

/// An open session; it is closed when this is dropped.
pub struct Session {
    /// What it was when it was opened.
    pub info: SessionInfo,
    /// Its id.
    pub id: SessionId,
    node: Handle,
}

impl Handle {
    /// Asks the kernel.
    pub async fn command(&self, command: Command) -> Result<Answer, Error> {
        self.submit(command)?.await
    }

    /// Opens a session; its events go to `events`, if anybody wants them.
    pub async fn open(
        &self,
        service: String,
        deadline_ms: u64,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Session, Error> {
        let answer = self.give(Command::Open { service, deadline_ms }, events)?;
        let node = self.clone();
        // Whoever asks may go between the answer and its being read: the task has the session then, and drops it.
        let opened = tokio::spawn(async move {
            match answer.await? {
                Answer::Opened(info) => {
                    let id = u128::from_str_radix(&info.id, 16).map(SessionId);
                    let id = id.map_err(|_| Error::Disconnected("the session has no id".into()))?;
                    Ok(Session { info, id, node })
                }
                _ => Err(Error::Disconnected("the relay gave another answer than was asked for".into())),
            }
        });
        opened.await.unwrap_or_else(|_| Err(Error::Disconnected("the relay is stopping".into())))
    }

    /// A channel for a session's events.
    pub fn events() -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
        mpsc::channel(MAX_EVENTS)
    }

    /// Gives a command now; commands run in the order in which they were given.
    pub fn submit(
        &self,
        command: Command,
    ) -> Result<impl Future<Output = Result<Answer, Error>> + Send + 'static, Error> {
        self.give(command, None)
    }

    fn give(
        &self,
        command: Command,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<impl Future<Output = Result<Answer, Error>> + Send + 'static, Error> {
        let (sender, answer) = oneshot::channel();
        let busy = |_| Error::Overloaded("too many commands wait".into(), Millis(200));
        self.commands.try_send(Asked { command, sender, events }).map_err(busy)?;
        Ok(async { answer.await.map_err(|_| Error::Disconnected("the relay is stopping".into()))? })
    }

    /// What is known of the node now.
    pub fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (node, session) = (self.node.clone(), self.id);
        // Its end is logged by the service; nobody here waits for that.
        tokio::spawn(async move {
            let (sender, _) = oneshot::channel();
            let close = Asked { command: Command::Close { session }, sender, events: None };
            // Without a receiver the node has ended, and all sessions with it.
            let _ = node.commands.send(close).await;
        });
    }
}

/// Starts the node; it runs in a task until `stop` is told, then hands over what it serves and disconnects.
pub async fn start(
    config: &Config,
    tls: Option<&Tls>,
    stop: oneshot::Receiver<()>,
) -> anyhow::Result<(Handle, tokio::task::JoinHandle<()>)> {
    let key = identity::load(config.data_dir.as_deref())?;
    let mut seed = [0; 32];
    getrandom::getrandom(&mut seed).context("no randomness")?;
    let mut swarm = swarm(&key, config.limits, tls, association_seed(&seed))?;
    let peer_id = *swarm.local_peer_id();
    let listening = listen(&mut swarm, &config.listen).await?;
    let announced: Vec<_> =
        config.announce.iter().filter_map(|address| address.clone().with_p2p(peer_id).ok()).collect();
    for address in listening.iter().chain(&announced) {
        swarm.add_external_address(address.clone());
    }
    let clock = Clock::start();
    let kernel = overlay::Node::new(
        overlay::io::Config {
            secret_key: identity::secret(&key)?,
            role: Role::Relay,
            name: config.name.clone(),
            seed,
        },
        clock.now(),
    );
    let alarm = Box::new(TimerAlarm::default());
    let mut driver = Driver::new(
        swarm,
        kernel,
        clock,
        alarm,
        (Use::Connect, Doors::default()),
        overlay_libp2p::dht::admit,
    );
    driver.report_addresses();
    for address in &config.join {
        anyhow::ensure!(driver.add_relay(address.clone()), "--join {address}: too many relays");
    }
    let facts = Arc::new(Mutex::new(Facts { listening, announced, ..Facts::default() }));
    let (commands, inbox) = mpsc::channel(MAX_WAITING);
    let handle = Handle { peer_id, facts: facts.clone(), commands };
    let (waiting, listening) = (HashMap::new(), HashMap::new());
    let task = Task { driver, facts, inbox, waiting, listening, next: 0 };
    Ok((handle, tokio::spawn(task.run(stop))))
}

struct Task {
    driver: Node,
    facts: Arc<Mutex<Facts>>,
    inbox: mpsc::Receiver<Asked>,
    waiting: HashMap<RequestId, Waiting>,
    /// Who hears a session's events, by its id in hex.
    listening: HashMap<String, mpsc::Sender<Event>>,
    next: u64,
}

struct Waiting {
    sender: oneshot::Sender<Result<Answer, Error>>,
    events: Option<mpsc::Sender<Event>>,
}

impl Task {
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut refresh = tokio::time::interval(Duration::from_secs(1));
        let mut leaving = None;
        loop {
            let driver = &mut self.driver;
            tokio::select! {
                outgoing = futures::future::poll_fn(|cx| driver.poll(cx)) => {
                    let done = matches!(&outgoing, Outgoing::Answer(request, _) if Some(*request) == leaving);
                    self.on_outgoing(outgoing);
                    if done {
                        return;
                    }
                }
                Some(Asked { command, sender, events }) = self.inbox.recv() => {
                    if let Command::Close { session } = &command {
                        self.listening.remove(&session.to_string());
                    }
                    let request = self.request(command);
                    self.waiting.insert(request, Waiting { sender, events });
                }
                _ = refresh.tick() => self.refresh(),
                _ = &mut stop, if leaving.is_none() => leaving = Some(self.request(Command::Leave)),
            }
        }
    }

    fn request(&mut self, command: Command) -> RequestId {
        self.next += 1;
        let request = RequestId(self.next);
        self.driver.command(request, command);
        request
    }

    fn on_outgoing(&mut self, outgoing: Outgoing<NativeEvent>) {
        match outgoing {
            Outgoing::Answer(request, result) => {
                let Some(Waiting { sender, events }) = self.waiting.remove(&request) else { return };
                let opened = match &result {
                    Ok(Answer::Opened(info)) => Some(info.id.clone()),
                    _ => None,
                };
                match (sender.send(result), opened) {
                    (Ok(()), Some(session)) => {
                        self.listening.extend(events.map(|events| (session, events)));
                    }
                    // Whoever asked has gone: the session has nobody.
                    (Err(_), Some(session)) => {
                        if let Ok(id) = u128::from_str_radix(&session, 16) {
                            self.request(Command::Close { session: SessionId(id) });
                        }
                    }
                    _ => {}
                }
            }
            Outgoing::Event(event) => self.on_event(event),
            Outgoing::Platform(NativeEvent::Relay(event)) => self.on_relay(event),
            Outgoing::Platform(NativeEvent::Limits(never)) => match never {},
            // A relay hosts no modules: it is a witness at most.
            Outgoing::Sandbox(_) | Outgoing::Store { .. } | Outgoing::Listening(_) => {}
        }
    }

    /// Hands a session's event to its listener. One that is too slow hears no more: its channel ends.
    fn on_event(&mut self, event: Event) {
        let session = match &event {
            Event::Message { session, .. }
            | Event::Datagram { session, .. }
            | Event::SessionError { session, .. }
            | Event::Closed { session, .. } => session.clone(),
            Event::Moved(info) => info.id.clone(),
            _ => return,
        };
        let Some(listener) = self.listening.get(&session) else { return };
        let is_lossy = matches!(event, Event::Datagram { .. });
        let ends = matches!(event, Event::Closed { .. });
        if listener.try_send(event).is_err() && !is_lossy || ends {
            self.listening.remove(&session);
        }
    }

    fn on_relay(&mut self, event: relay::Event) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            relay::Event::ReservationReqAccepted { renewed: false, src_peer_id } => {
                tracing::debug!(peer = %src_peer_id, "a tab joined");
                facts.reservations += 1;
            }
            relay::Event::ReservationReqDenied { src_peer_id, status } => {
                tracing::warn!(peer = %src_peer_id, ?status, "a reservation was refused");
            }
            relay::Event::ReservationClosed { .. } | relay::Event::ReservationTimedOut { .. } => {
                facts.reservations = facts.reservations.saturating_sub(1);
            }
            relay::Event::CircuitReqAccepted { .. } => facts.circuits += 1,
            relay::Event::CircuitClosed { .. } => facts.circuits = facts.circuits.saturating_sub(1),
            _ => {}
        }
    }

    fn refresh(&mut self) {
        let relays = self.driver.relays_up();
        let peers = self.driver.swarm().network_info().num_peers();
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.relays.len() != relays.len() {
            tracing::info!(relays = relays.len(), "other relays");
        }
        facts.relays = relays;
        facts.peers = peers;
    }
}

fn swarm(
    key: &Keypair,
    limits: Limits,
    tls: Option<&Tls>,
    seed: u64,
) -> anyhow::Result<Swarm<Behaviour<Native>>> {
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let names = |transport| dns::tokio::Transport::system(transport).context("no DNS configuration");
    let mut ws = websocket::Config::new(names(tcp())?);
    ws.set_max_data_size(MAX_WS_FRAME);
    if let Some(tls) = tls {
        ws.set_tls_config(tls.websocket()?);
    }
    let noise = || noise::Config::new(key).context("noise");
    let secured_ws = ws
        .upgrade(Version::V1Lazy)
        .authenticate(noise()?)
        .multiplex(multiplexer())
        .timeout(HANDSHAKE_TIME)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let secured_tcp = names(tcp())?
        .upgrade(Version::V1Lazy)
        .authenticate(noise()?)
        .multiplex(multiplexer())
        .timeout(HANDSHAKE_TIME)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let transport = secured_ws.or_transport(secured_tcp).map(|either, _| either.into_inner()).boxed();
    let native = Native {
        limits: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_pending_incoming(Some(MAX_PENDING))
                .with_max_established(Some(limits.connections))
                .with_max_established_per_peer(Some(MAX_PER_PEER)),
        ),
        relay: relay::Behaviour::new(key.public().to_peer_id(), relay_config(limits)),
    };
    let options = Options {
        capacity: Capacity::RELAY,
        ping_interval: PING_INTERVAL,
        socket_ping_interval: PING_INTERVAL,
        limit: None,
        hide_listen_addresses: false,
        seed,
    };
    let config =
        swarm_config(libp2p::swarm::Config::with_tokio_executor()).with_idle_connection_timeout(IDLE);
    Ok(Swarm::new(transport, Behaviour::new(key, native, options), key.public().to_peer_id(), config))
}

/// Differs from run to run; tells nothing about the kernel's own seed that matters.
fn association_seed(seed: &[u8; 32]) -> u64 {
    seed.iter().rev().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// What a peer leaves unread is held here, 256 KiB a stream.
fn multiplexer() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}

fn relay_config(limits: Limits) -> relay::Config {
    let per_minute = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    let minute = Duration::from_secs(60);
    relay::Config {
        max_reservations: limits.reservations,
        max_reservations_per_peer: MAX_PER_PEER as usize,
        reservation_duration: RESERVATION_TIME,
        reservation_rate_limiters: Vec::new(),
        max_circuits: limits.circuits,
        max_circuits_per_peer: 64,
        max_circuit_duration: limits.circuit_time,
        max_circuit_bytes: limits.circuit_bytes,
        circuit_src_rate_limiters: Vec::new(),
    }
    .reservation_rate_per_peer(per_minute(60), minute)
    .reservation_rate_per_ip(per_minute(limits.reservations_per_ip), minute)
    .circuit_src_per_peer(per_minute(240), minute)
    .circuit_src_per_ip(per_minute(limits.reservations_per_ip.saturating_mul(4)), minute)
}

/// Listens, and waits until every address is known. Addresses end in the relay's id.
async fn listen(
    swarm: &mut Swarm<Behaviour<Native>>,
    addresses: &[Multiaddr],
) -> anyhow::Result<Vec<Multiaddr>> {
    let mut waiting = HashSet::new();
    for address in addresses {
        waiting
            .insert(swarm.listen_on(address.clone()).with_context(|| format!("cannot listen on {address}"))?);
    }
    let mut listening = Vec::new();
    let local = *swarm.local_peer_id();
    // One listener on an unspecified address reports several: the first shows that it works, and whatever comes soon
    // after belongs to it.
    let deadline = tokio::time::Instant::now() + LISTEN_TIME;
    let mut until = deadline;
    while let Ok(Some(event)) = tokio::time::timeout_at(until, swarm.next()).await {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                waiting.remove(&listener_id);
                listening.extend(address.with_p2p(local));
                if waiting.is_empty() {
                    until = until.min(tokio::time::Instant::now() + SETTLE_TIME);
                }
            }
            SwarmEvent::ListenerClosed { reason, .. } => anyhow::bail!("a listener closed: {reason:?}"),
            SwarmEvent::ListenerError { error, .. } => anyhow::bail!("a listener failed: {error}"),
            _ => {}
        }
    }
    anyhow::ensure!(waiting.is_empty(), "listening took too long");
    Ok(listening)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use overlay::io::Path;

    #[tokio::test]
    async fn a_session_that_nobody_waits_for_any_more_is_closed() {
        let (commands, mut inbox) = mpsc::channel(4);
        let handle = Handle { peer_id: PeerId::random(), facts: Arc::default(), commands };
        let mut opening = Box::pin(handle.open("counter".into(), 1_000, None));
        assert!(futures::poll!(opening.as_mut()).is_pending());
        let asked = inbox.recv().await.unwrap();
        let info = SessionInfo {
            id: format!("{:032x}", 7),
            service: "counter".into(),
            server: String::new(),
            epoch: 1,
            term: 1,
            path: Path::Relayed,
        };
        assert!(asked.sender.send(Ok(Answer::Opened(info))).is_ok(), "somebody waits");
        drop(opening);
        let closed = tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await.unwrap().unwrap();
        assert!(matches!(closed.command, Command::Close { session: SessionId(7) }));
    }
}
