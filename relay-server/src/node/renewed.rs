//! Websockets whose certificate is renewed while they listen.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{dns, tcp, websocket, Multiaddr, Transport};
use tokio::sync::watch;

use crate::tls::Credentials;

type Sockets = websocket::Config<dns::tokio::Transport<tcp::tokio::Transport>>;

/// [`Sockets`] that show whoever comes next the newest certificate.
pub(super) struct Renewed {
    sockets: Sockets,
    /// `None` where websockets are plain.
    credentials: Option<watch::Receiver<Arc<Credentials>>>,
}

impl Renewed {
    pub fn new(sockets: Sockets, credentials: Option<watch::Receiver<Arc<Credentials>>>) -> Self {
        let mut all = Self { sockets, credentials };
        if let Some(credentials) = &mut all.credentials {
            credentials.mark_changed();
        }
        all.renew();
        all
    }

    fn renew(&mut self) {
        let Some(credentials) = &mut self.credentials else { return };
        // An error means that nothing newer will come.
        if credentials.has_changed().unwrap_or(false) {
            self.sockets.set_tls_config(credentials.borrow_and_update().websocket.clone());
        }
    }
}

impl Transport for Renewed {
    type Output = <Sockets as Transport>::Output;
    type Error = <Sockets as Transport>::Error;
    type ListenerUpgrade = <Sockets as Transport>::ListenerUpgrade;
    type Dial = <Sockets as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.sockets.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.sockets.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.sockets.dial(address, options)
    }

    /// A connection is asked for here, and takes the certificate with it: nobody need be woken for a newer one.
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        self.renew();
        Pin::new(&mut self.sockets).poll(cx)
    }
}
