//! The one task that owns swarm and kernel: commands in, answers and events out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::relay;
use overlay::id::{RequestId, SessionId};
use overlay::io::{Answer, Command, Error, Event};
use overlay_libp2p::driver::{Driver, Outgoing};
use tokio::sync::{mpsc, oneshot};

use super::handle::{Asked, Facts};
use super::swarm::{Native, NativeEvent};

pub(super) struct Task {
    driver: Driver<Native>,
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
    /// Nobody has asked anything yet.
    pub fn new(driver: Driver<Native>, facts: Arc<Mutex<Facts>>, inbox: mpsc::Receiver<Asked>) -> Self {
        Self { driver, facts, inbox, waiting: HashMap::new(), listening: HashMap::new(), next: 0 }
    }

    /// Runs until `stop` is told, and until what the node serves is handed over then.
    pub async fn run(mut self, mut stop: oneshot::Receiver<()>) {
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
