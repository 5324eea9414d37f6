//! The swarm and the loop that drives it.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures::{
    channel::{mpsc, oneshot},
    future::{poll_fn, Either},
    select, FutureExt, StreamExt,
};
use libp2p::{
    core::{multiaddr::Protocol, muxing::StreamMuxerBox, upgrade, Transport as _},
    identify, identity, noise, ping, relay,
    swarm::{self, dial_opts::DialOpts, ConnectionId, NetworkBehaviour, SwarmEvent},
    yamux, Multiaddr, PeerId, StreamProtocol, Swarm,
};
use transport_webrtc::{Config, Datagrams, Path, Prompt};

use crate::streams;

/// Commands that wait for the loop.
const MAX_COMMANDS: usize = 64;
/// How soon a dead relay is noticed.
const PING: std::time::Duration = std::time::Duration::from_secs(2);
/// Datagrams that are kept for [`State::datagrams`].
const MAX_DATAGRAMS: usize = 10_000;
/// Events that are kept for [`State::events`].
const MAX_EVENTS: usize = 1000;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    webrtc: transport_webrtc::Behaviour,
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    streams: streams::Behaviour,
}

pub(crate) enum Command {
    Listen(Multiaddr, oneshot::Sender<Result<(), String>>),
    Dial(Multiaddr, oneshot::Sender<Result<(), String>>),
    Disconnect(PeerId),
    Open(PeerId, StreamProtocol, streams::Reply),
}

/// A swarm that runs.
pub(crate) struct Running {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) datagrams: Datagrams,
}

/// What the loop knows, for JavaScript to look at.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) external: Vec<Multiaddr>,
    pub(crate) connections: HashMap<ConnectionId, (PeerId, Path)>,
    pub(crate) events: Vec<String>,
    /// The number in each datagram that came.
    pub(crate) datagrams: Vec<u32>,
}

impl State {
    /// Whether the peer that `addr` ends in is connected by WebRTC.
    fn is_direct(&self, addr: &Multiaddr) -> bool {
        let target = addr.iter().last();
        let mut links = self.connections.values();
        links.any(|(peer, path)| *path == Path::WebRtc && target == Some(Protocol::P2p(*peer)))
    }

    fn hear(&mut self, datagram: &[u8]) {
        let number = datagram.first_chunk().map(|number| u32::from_le_bytes(*number));
        if self.datagrams.len() < MAX_DATAGRAMS {
            self.datagrams.extend(number);
        }
    }

    fn say(&mut self, event: String) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(format!("{:.0} {event}", js_sys::Date::now() % 1e6));
        }
    }
}

pub(crate) fn start(
    keypair: &identity::Keypair,
    config: Config,
    protocols: Vec<StreamProtocol>,
    incoming: streams::Incoming,
) -> Result<Running, String> {
    let local = keypair.public().to_peer_id();
    let (webrtc, mut webrtc_behaviour) = transport_webrtc::new(local, config);
    let (circuits, relay_client) = relay::client::new(local);
    let through_noise = circuits
        .or_transport(libp2p::websocket_websys::Transport::default().map(|socket, _| Prompt(socket)))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(keypair).map_err(|e| e.to_string())?)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let transport = webrtc
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .or_transport(through_noise)
        .map(|either, _| match either {
            Either::Left(connection) | Either::Right(connection) => connection,
        })
        .boxed();
    let datagrams = webrtc_behaviour.datagrams();
    let behaviour = Behaviour {
        webrtc: webrtc_behaviour,
        relay: relay_client,
        identify: identify::Behaviour::new(identify::Config::new("/tab-test/1".into(), keypair.public())),
        // A websocket whose other end has died is noticed when something is written to it.
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING)),
        streams: streams::Behaviour::new(protocols, incoming),
    };
    let config =
        swarm::Config::with_wasm_executor().with_idle_connection_timeout(std::time::Duration::from_secs(600));
    let swarm = Swarm::new(transport, behaviour, local, config);
    let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
    let state = Rc::new(RefCell::new(State::default()));
    wasm_bindgen_futures::spawn_local(drive(swarm, receiver, state.clone()));
    wasm_bindgen_futures::spawn_local(listen(datagrams.clone(), state.clone()));
    Ok(Running { commands, state, datagrams })
}

async fn listen(datagrams: Datagrams, state: Rc<RefCell<State>>) {
    loop {
        let (_, datagram) = poll_fn(|cx| datagrams.poll(cx)).await;
        state.borrow_mut().hear(&datagram);
    }
}

async fn drive(
    mut swarm: Swarm<Behaviour>,
    mut commands: mpsc::Receiver<Command>,
    state: Rc<RefCell<State>>,
) {
    let mut dials: HashMap<ConnectionId, oneshot::Sender<Result<(), String>>> = HashMap::new();
    loop {
        select! {
            command = commands.next() => match command {
                Some(Command::Listen(addr, reply)) => {
                    let _ = reply.send(swarm.listen_on(addr).map(drop).map_err(|e| e.to_string()));
                }
                // A peer that is connected already has no reason to dial.
                Some(Command::Dial(addr, reply)) if state.borrow().is_direct(&addr) => drop(reply.send(Ok(()))),
                Some(Command::Dial(addr, reply)) => {
                    let opts = DialOpts::from(addr);
                    let id = opts.connection_id();
                    match swarm.dial(opts) {
                        Ok(()) => drop(dials.insert(id, reply)),
                        Err(error) => drop(reply.send(Err(words(&error)))),
                    }
                }
                Some(Command::Disconnect(peer)) => drop(swarm.disconnect_peer_id(peer)),
                Some(Command::Open(peer, protocol, reply)) => swarm.behaviour_mut().streams.open(peer, protocol, reply),
                None => return,
            },
            event = swarm.next().fuse() => {
                let Some(event) = event else { return };
                on_event(event, &mut dials, &mut state.borrow_mut());
                state.borrow_mut().external = swarm.external_addresses().cloned().collect();
            }
        }
    }
}

fn on_event(
    event: SwarmEvent<BehaviourEvent>,
    dials: &mut HashMap<ConnectionId, oneshot::Sender<Result<(), String>>>,
    state: &mut State,
) {
    match event {
        SwarmEvent::ConnectionEstablished { connection_id, peer_id, endpoint, .. } => {
            state.connections.insert(connection_id, (peer_id, Path::of(&endpoint)));
            state.say(format!("connected {peer_id} {:?}", Path::of(&endpoint)));
            if let Some(reply) = dials.remove(&connection_id) {
                let _ = reply.send(Ok(()));
            }
        }
        SwarmEvent::ConnectionClosed { connection_id, peer_id, cause, .. } => {
            state.connections.remove(&connection_id);
            state.say(format!("closed {peer_id} {cause:?}"));
        }
        SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
            state.say(format!("dial failed {}", words(&error)));
            if let Some(reply) = dials.remove(&connection_id) {
                let _ = reply.send(Err(words(&error)));
            }
        }
        SwarmEvent::IncomingConnectionError { error, .. } => {
            state.say(format!("accept failed {}", words(&error)))
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
            connection_id,
            peer_id,
            ..
        })) => {
            let path = state.connections.get(&connection_id).map(|(_, path)| *path);
            state.say(format!("identified {peer_id} {path:?}"));
        }
        SwarmEvent::Behaviour(BehaviourEvent::Webrtc(event)) => state.say(format!("{event:?}")),
        _ => {}
    }
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
