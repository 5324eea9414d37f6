//! Connections in their handshake: bounded in total and for each address.
//!
//! A half-open connection costs its client nothing. When all places are taken, the newcomer gets the place of the one that has
//! been at it longest, of the address that holds the most: whoever floods displaces himself.

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::FutureExt;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Transport};

use crate::http::{Connections, Seat};

/// A transport whose incoming connections have a place until they are there.
pub(super) struct Handshakes<T> {
    transport: Boxed<T>,
    places: Connections,
}

impl<T> Handshakes<T> {
    /// At most `total` handshakes at a time, half of them by one address.
    pub fn new(transport: Boxed<T>, total: usize) -> Self {
        Self { transport, places: Connections::new(total, total.div_ceil(2)) }
    }
}

impl<T: Send + 'static> Transport for Handshakes<T> {
    type Output = T;
    type Error = Error;
    type ListenerUpgrade = BoxFuture<'static, Result<T>>;
    type Dial = <Boxed<T> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> std::result::Result<(), TransportError<Error>> {
        self.transport.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.transport.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> std::result::Result<Self::Dial, TransportError<Error>> {
        self.transport.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        let event = std::task::ready!(Pin::new(&mut self.transport).poll(cx));
        let seat = match &event {
            TransportEvent::Incoming { send_back_addr, .. } => self.places.admit(ip(send_back_addr)),
            _ => None,
        };
        Poll::Ready(event.map_upgrade(|handshake| seated(seat, handshake).boxed()))
    }
}

/// A handshake that ends when it loses its place. A place can always be had, as none of them is in use for anything else.
async fn seated<T>(seat: Option<Seat>, handshake: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(seat) = seat else { return Err(ErrorKind::ConnectionRefused.into()) };
    tokio::select! {
        result = handshake => result,
        () = seat.evicted() => Err(ErrorKind::ConnectionAborted.into()),
    }
}

/// Whose connection it is. All without an IP address are one client's.
fn ip(address: &Multiaddr) -> IpAddr {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    }
}
