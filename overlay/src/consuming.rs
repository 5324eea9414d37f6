//! This node as a consumer: what its sessions want done.

use crate::id::{PeerId, RequestId, SessionId};
use crate::io::{Answer, Error, Event, Lane, Path, Query, SessionInfo};
use crate::lookup::Purpose;
use crate::node::Node;
use crate::session::client::{Action, ClientSession};
use crate::time::Time;
use crate::wire::{ClientBody, ClientFrame, SessionFrame};

/// Round trips that differ by less are alike, in microseconds: a busy tab answers that much later.
const AS_NEAR: u64 = 5_000;

impl Node {
    /// Runs `step` on a session and does what it wants done.
    pub(crate) fn with_session(
        &mut self,
        id: SessionId,
        step: impl FnOnce(&mut ClientSession, Time, &mut Vec<Action>),
    ) {
        let mut actions = Vec::new();
        let now = self.cx.now;
        if let Some(session) = self.sessions.get_mut(&id) {
            step(session, now, &mut actions);
        }
        self.act(id, actions);
    }

    pub(crate) fn act(&mut self, id: SessionId, actions: Vec<Action>) {
        let mut unreachable = None;
        for action in actions {
            match action {
                Action::Send(peer, body) => {
                    let Some(session) = self.sessions.get_mut(&id) else { continue };
                    let frame = SessionFrame::Client(session.frame(body));
                    if !self.net.send_or_dial(&mut self.cx, peer, frame.lane(), &frame) {
                        unreachable = Some(peer);
                    }
                }
                Action::SendAs(peer, wire, seq, input) => {
                    let Some(session) = self.sessions.get(&id) else { continue };
                    let body = ClientBody::Input { seq, input };
                    let frame = ClientFrame { service: session.service, session: wire, ack: 0, body };
                    self.net.send(&mut self.cx, peer, Lane::Session, &SessionFrame::Client(frame));
                }
                Action::Connect(peer) => {
                    self.net.connect(&mut self.cx, peer);
                }
                Action::Answer(request, result) => self.answer(request, result),
                Action::Event(event) => self.cx.event(event),
                Action::Opened(request) => {
                    if let Some(session) = self.sessions.get(&id) {
                        let info = self.session_info(session);
                        self.answer(request, Ok(Answer::Opened(info)));
                    }
                }
                Action::Moved => {
                    if let Some(session) = self.sessions.get(&id) {
                        let info = self.session_info(session);
                        self.cx.event(Event::Moved(info));
                    }
                }
                Action::Lookup => {
                    let Some(session) = self.sessions.get(&id) else { continue };
                    let (name, service) =
                        (session.name.split('@').next().map(str::to_owned), session.service);
                    let query = Query { name, ..Query::default() };
                    let search = self.directory.search(&mut self.cx, &mut self.net, query, Some(service));
                    self.searches.insert(search, Purpose::Hosts { session: id });
                }
                Action::Ended => {
                    self.sessions.remove(&id);
                }
            }
        }
        if let Some(peer) = unreachable {
            // At most one level: seeking sends only to others, and at most four times a second.
            let mut actions = Vec::new();
            if let Some(session) = self.sessions.get_mut(&id) {
                session.on_unreachable(self.cx.now, peer, &mut actions);
            }
            if !actions.is_empty() {
                self.act(id, actions);
            }
        }
    }

    /// The nearest copy that may answer a read; `None` is the server itself. Of those that are about as near, another
    /// each time.
    pub(crate) fn reader_of(&mut self, session: SessionId) -> Option<PeerId> {
        let session = self.sessions.get(&session)?;
        let (server, ..) = session.authority();
        let direct = |peer: &PeerId| {
            let known = self.net.peer(peer).filter(|peer| peer.path == Path::Direct && !peer.silent)?;
            Some((*peer, known.rtt.unwrap_or(1_000_000)))
        };
        let near: Vec<(PeerId, u64)> =
            session.readers().chain([server]).filter_map(|peer| direct(&peer)).collect();
        let nearest = near.iter().map(|(_, rtt)| *rtt).min()?;
        let near: Vec<PeerId> =
            near.into_iter().filter(|(_, rtt)| *rtt <= 2 * nearest + AS_NEAR).map(|(peer, _)| peer).collect();
        let pick = self.cx.below(near.len() as u64) as usize;
        near.get(pick).copied().filter(|peer| *peer != server)
    }

    pub(crate) fn session_info(&self, session: &ClientSession) -> SessionInfo {
        let (server, epoch, term) = session.authority();
        SessionInfo {
            id: session.id.to_string(),
            service: session.name.clone(),
            server: server.to_string(),
            epoch,
            term,
            path: self.net.peer(&server).map_or(Path::Direct, |peer| peer.path),
        }
    }

    pub(crate) fn in_session(
        &mut self,
        request: RequestId,
        id: SessionId,
        check: Result<(), Error>,
        step: impl FnOnce(&mut ClientSession, Time, &mut Vec<Action>),
    ) {
        match (check, self.sessions.contains_key(&id)) {
            (Err(error), _) => self.answer(request, Err(error)),
            (_, false) => {
                let error = Error::Disconnected("the session is closed".to_owned());
                self.answer(request, Err(error));
            }
            _ => self.with_session(id, step),
        }
    }
}
