//! The behaviour: makes relayed connections for the transport, upgrades circuits, closes them, keeps addresses.

mod peers;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use futures::{channel::mpsc, stream::FuturesUnordered, StreamExt};
use futures_timer::Delay;
use libp2p_core::{transport::PortUse, Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure, FromSwarm},
    dial_opts::{DialOpts, PeerCondition},
    CloseConnection, ConnectionDenied, ConnectionId, DialError, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};

use self::peers::{Link, Peers};
use crate::{
    address::{webrtc_over, Path},
    datagrams::{Announcer, Datagrams, Identified},
    error::{is_superseded, is_unsupported},
    handler::{Handler, Open},
    signalling::{Inbox, OpenRequest, PathError, Reply},
    transport::Established,
    Config,
};
use either::Either;

/// Circuits that are being dialled for signalling at once; further dials fail with [`PathError::Busy`].
const MAX_OPENING: usize = 128;

/// What an application may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The best path to a connected peer is now another one. Also said for a peer's first connection.
    PathChanged {
        /// The peer.
        peer: PeerId,
        /// How it is reached from now on.
        path: Path,
    },
    /// A relayed peer could not be connected directly; it stays relayed.
    UpgradeFailed {
        /// The peer.
        peer: PeerId,
        /// Why, in words.
        reason: String,
        /// When the next attempt comes; `None` if this was the last one.
        retry_in: Option<Duration>,
    },
}

/// The [`NetworkBehaviour`] that belongs to a transport; made by [`crate::new`].
pub struct Behaviour {
    local: PeerId,
    config: Config,
    requests: mpsc::Receiver<OpenRequest>,
    inbox: Inbox,
    peers: Peers,
    /// Circuits that are being dialled so that something can be signalled over them.
    opening: BTreeMap<ConnectionId, Opening>,
    announced: BTreeSet<Multiaddr>,
    established: Established,
    datagrams: Datagrams,
    /// Somebody here wants datagrams: peers are told.
    speaks_datagrams: bool,
    timers: FuturesUnordered<Timer>,
    actions: VecDeque<ToSwarm<Event, Either<Open, std::convert::Infallible>>>,
}

struct Opening {
    peer: PeerId,
    replies: Vec<Reply>,
}

impl Behaviour {
    pub(crate) fn new(
        local: PeerId,
        config: Config,
        requests: mpsc::Receiver<OpenRequest>,
        inbox: Inbox,
        established: Established,
    ) -> Behaviour {
        Behaviour {
            local,
            config,
            requests,
            inbox,
            peers: Peers::default(),
            opening: BTreeMap::new(),
            announced: BTreeSet::new(),
            established,
            datagrams: Datagrams::default(),
            speaks_datagrams: false,
            timers: FuturesUnordered::new(),
            actions: VecDeque::new(),
        }
    }

    /// The best path to a peer, or `None` if it is not connected.
    pub fn path(&self, peer: &PeerId) -> Option<Path> {
        self.peers.path(peer)
    }

    /// Datagrams to and from peers that know of them: connections that come up from now on announce it.
    pub fn datagrams(&mut self) -> Datagrams {
        self.speaks_datagrams = true;
        self.datagrams.clone()
    }

    /// For the transport, whose connections carry them.
    pub(crate) fn shared_datagrams(&self) -> Datagrams {
        self.datagrams.clone()
    }

    fn on_open_request(&mut self, OpenRequest { target, reply }: OpenRequest) {
        if reply.is_canceled() {
            return;
        }
        let peer_id = target.peer;
        if let Some(connection) = self.peers.signalling_link(&peer_id) {
            self.ask(peer_id, connection, reply);
        } else if let Some(opening) = self.opening.values_mut().find(|opening| opening.peer == peer_id) {
            opening.replies.push(reply);
        } else if self.opening.len() >= MAX_OPENING {
            let _ = reply.send(Err(PathError::Busy));
        } else if let Some(circuit) = target.circuit {
            let opts =
                DialOpts::peer_id(peer_id).condition(PeerCondition::Always).addresses(vec![circuit]).build();
            self.opening.insert(opts.connection_id(), Opening { peer: peer_id, replies: vec![reply] });
            self.actions.push_back(ToSwarm::Dial { opts });
        } else {
            let _ = reply.send(Err(PathError::NoPath));
        }
    }

    fn ask(&mut self, peer_id: PeerId, connection: ConnectionId, reply: Reply) {
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Either::Left(Open(reply)),
        });
    }

    fn on_established(&mut self, event: ConnectionEstablished<'_>) {
        let ConnectionEstablished { peer_id: peer, connection_id: id, endpoint, .. } = event;
        let path = Path::of(endpoint);
        if path == Path::WebRtc {
            self.established.fetch_add(1, Ordering::Relaxed);
        }
        let circuit = match endpoint {
            libp2p_core::ConnectedPoint::Dialer { address, .. } => address,
            libp2p_core::ConnectedPoint::Listener { local_addr, .. } => local_addr,
        };
        self.peers.add(peer, Link { id, path, upgrade_addr: webrtc_over(circuit, peer) });
        let for_signalling = match self.opening.remove(&id) {
            Some(opening) => {
                for reply in opening.replies {
                    self.ask(peer, id, reply);
                }
                true
            }
            None => false,
        };
        // A circuit may also come up late beside a direct connection: its dial was overtaken by the peer's.
        if self.peers.path(&peer).is_some_and(Path::is_direct) {
            self.peers.end_upgrade(&peer);
            if let Some(delay) = self.config.close_circuit_after {
                self.timers.push(Timer::new(delay, Task::CloseCircuits(peer)));
            }
        } else if !for_signalling {
            let wait = if endpoint.is_dialer() { Duration::ZERO } else { self.config.upgrade_inbound_after };
            self.schedule_upgrade(peer, wait);
        }
        self.report(peer);
    }

    fn on_closed(&mut self, event: ConnectionClosed<'_>) {
        let ConnectionClosed { peer_id: peer, connection_id, endpoint, .. } = event;
        if Path::of(endpoint) == Path::WebRtc {
            self.established.fetch_sub(1, Ordering::Relaxed);
            self.datagrams.prune();
        }
        self.peers.remove(&peer, connection_id);
        if self.peers.path(&peer) == Some(Path::Relayed) {
            self.schedule_upgrade(peer, self.config.upgrade_retry);
        }
        self.report(peer);
    }

    fn on_dial_failure(&mut self, DialFailure { peer_id, error, connection_id }: DialFailure<'_>) {
        if let Some(opening) = self.opening.remove(&connection_id) {
            for reply in opening.replies {
                let _ = reply.send(Err(PathError::Relay(error.to_string())));
            }
            return;
        }
        let Some(peer) = peer_id else { return };
        if self.peers.path(&peer) != Some(Path::Relayed) {
            return;
        }
        let Some(attempts) = self.peers.upgrade_failed(&peer, connection_id) else {
            // Somebody else's dial: if it left a circuit behind, that one is ours to upgrade.
            if !matches!(error, DialError::DialPeerConditionFalse(_)) {
                self.schedule_upgrade(peer, self.config.upgrade_retry);
            }
            return;
        };
        if is_superseded(error) {
            // Looks again later whether there is anything left to do.
            self.timers.push(Timer::new(self.config.upgrade_retry, Task::Upgrade(peer)));
            return;
        }
        let retry_in = (attempts < self.config.upgrade_attempts && !is_unsupported(error))
            .then(|| self.config.upgrade_retry * 2u32.saturating_pow(attempts - 1));
        self.actions.push_back(ToSwarm::GenerateEvent(Event::UpgradeFailed {
            peer,
            reason: error.to_string(),
            retry_in,
        }));
        if let Some(wait) = retry_in {
            self.timers.push(Timer::new(wait, Task::Upgrade(peer)));
        }
    }

    fn schedule_upgrade(&mut self, peer: PeerId, wait: Duration) {
        if self.config.upgrade && self.peers.begin_upgrade(&peer) {
            self.timers.push(Timer::new(wait, Task::Upgrade(peer)));
        }
    }

    fn on_timer(&mut self, task: Task) {
        match task {
            Task::Upgrade(peer) => {
                if let Some(address) = self.peers.upgrade_addr(&peer) {
                    let opts = DialOpts::peer_id(peer)
                        .condition(PeerCondition::Always)
                        .addresses(vec![address])
                        .build();
                    self.peers.upgrade_dialled(&peer, opts.connection_id());
                    self.actions.push_back(ToSwarm::Dial { opts });
                }
            }
            Task::CloseCircuits(peer_id) => {
                for id in self.peers.circuits_beside_direct(&peer_id) {
                    let connection = CloseConnection::One(id);
                    self.actions.push_back(ToSwarm::CloseConnection { peer_id, connection });
                }
            }
        }
    }

    fn report(&mut self, peer: PeerId) {
        if let Some(path) = self.peers.changed_path(&peer) {
            self.actions.push_back(ToSwarm::GenerateEvent(Event::PathChanged { peer, path }));
        }
    }

    fn handler(&self, peer: PeerId, path: Path) -> Either<Handler, Announcer> {
        match path {
            Path::WebRtc => Either::Right(Announcer::new(self.speaks_datagrams)),
            Path::Relayed | Path::Direct => Either::Left(Handler::new(peer, self.inbox.clone())),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Either<Handler, Announcer>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        local_addr: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let endpoint = libp2p_core::ConnectedPoint::Listener {
            local_addr: local_addr.clone(),
            send_back_addr: remote_addr.clone(),
        };
        Ok(self.handler(peer, Path::of(&endpoint)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role_override: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let endpoint =
            libp2p_core::ConnectedPoint::Dialer { address: address.clone(), role_override, port_use };
        Ok(self.handler(peer, Path::of(&endpoint)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::DialFailure(event) => self.on_dial_failure(event),
            FromSwarm::ExternalAddrConfirmed(event) => {
                if let Some(addr) = webrtc_over(event.addr, self.local) {
                    if self.announced.insert(addr.clone()) {
                        self.actions.push_back(ToSwarm::ExternalAddrConfirmed(addr));
                    }
                }
            }
            FromSwarm::ExternalAddrExpired(event) => {
                if let Some(addr) = webrtc_over(event.addr, self.local) {
                    if self.announced.remove(&addr) {
                        self.actions.push_back(ToSwarm::ExternalAddrExpired(addr));
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(never) => match never {},
            Either::Right(Identified { datagrams }) => self.datagrams.identified(peer, datagrams),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            if let Poll::Ready(Some(request)) = self.requests.poll_next_unpin(cx) {
                self.on_open_request(request);
                continue;
            }
            if let Poll::Ready(Some(task)) = self.timers.poll_next_unpin(cx) {
                self.on_timer(task);
                continue;
            }
            return Poll::Pending;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Upgrade(PeerId),
    CloseCircuits(PeerId),
}

struct Timer {
    delay: Delay,
    task: Task,
}

impl Timer {
    fn new(wait: Duration, task: Task) -> Timer {
        Timer { delay: Delay::new(wait), task }
    }
}

impl Future for Timer {
    type Output = Task;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Task> {
        Pin::new(&mut self.delay).poll(cx).map(|()| self.task)
    }
}
