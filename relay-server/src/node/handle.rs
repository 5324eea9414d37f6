//! How others ask the node: commands through a bounded channel, sessions, facts.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::{Multiaddr, PeerId};
use overlay::id::SessionId;
use overlay::io::{Answer, Command, Error, Event, SessionInfo};
use overlay::time::Millis;
use tokio::sync::{mpsc, oneshot};

/// Events of a session that wait for whoever listens; a slower listener loses its session.
const MAX_EVENTS: usize = 256;

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
    pub(super) facts: Arc<Mutex<Facts>>,
    pub(super) commands: mpsc::Sender<Asked>,
}

/// A command, and who waits for its answer.
pub(super) struct Asked {
    pub command: Command,
    pub sender: oneshot::Sender<Result<Answer, Error>>,
    /// Who hears the events of the session that it opens.
    pub events: Option<mpsc::Sender<Event>>,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use overlay::io::Path;
    use std::time::Duration;

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
