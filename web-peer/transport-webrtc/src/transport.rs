//! The transport: dials through signalling paths, turns introductions into inbound connections.

use std::{
    pin::Pin,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    task::{Context, Poll},
};

use futures::{
    channel::oneshot,
    future::{poll_fn, select, BoxFuture, Either},
    stream::FuturesUnordered,
    FutureExt, StreamExt,
};
use libp2p_core::{
    multiaddr::Protocol,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    Multiaddr, Transport,
};
use libp2p_identity::PeerId;

use crate::{
    address::{bare, WebRtcAddress},
    error::{Error, Step},
    handshake::{self, within, InboundOffer},
    rtc::Backend,
    signalling::{Introduction, PathError, SignallingIo, SignallingPath},
    tiebreak::{DialGuard, Handover, Rendezvous, Verdict},
    Config,
};

/// Browser-to-browser WebRTC. Put it *before* the relay transport: that one takes our addresses for plain circuits.
pub struct WebRtcTransport<B: Backend> {
    local: PeerId,
    config: Arc<Config>,
    backend: B,
    paths: Vec<Box<dyn SignallingPath>>,
    all: Rendezvous<InboundOffer, B::Connection>,
    listener: ListenerId,
    /// Introductions whose offer has not come yet.
    reading: FuturesUnordered<BoxFuture<'static, (PeerId, Result<InboundOffer, Error>)>>,
    /// One reference per answer under way, and one here.
    answering: Arc<()>,
    /// One reference per dial under way, and one here.
    dialling: Arc<()>,
    /// Connections that the behaviour has seen come up.
    established: Established,
}

/// How many WebRTC connections are up: the behaviour counts, the transport asks.
pub(crate) type Established = Arc<AtomicUsize>;

type Output<B> = (PeerId, <B as Backend>::Connection);

impl<B: Backend> WebRtcTransport<B> {
    pub(crate) fn with_backend(
        local: PeerId,
        config: Config,
        backend: B,
        path: impl SignallingPath,
        established: Established,
    ) -> WebRtcTransport<B> {
        WebRtcTransport {
            local,
            config: Arc::new(config),
            backend,
            paths: vec![Box::new(path)],
            all: Rendezvous::new(local),
            listener: ListenerId::next(),
            reading: FuturesUnordered::new(),
            answering: Arc::new(()),
            dialling: Arc::new(()),
            established,
        }
    }

    /// Adds a way to signal. Dials try the paths in the order in which they were added.
    pub fn add_path(&mut self, path: impl SignallingPath) {
        self.paths.push(Box::new(path));
    }

    /// Whether there are as many connections as there may be, those that are being made included. Introductions whose
    /// offer has not come are none yet: who says nothing takes no place.
    fn full(&self) -> bool {
        let handshakes = Arc::strong_count(&self.answering) + Arc::strong_count(&self.dialling) - 2;
        self.established.load(Ordering::Relaxed) + handshakes >= self.config.max_connections
    }

    fn busy(&self) -> bool {
        self.reading.len() + Arc::strong_count(&self.answering) > self.config.max_inbound_handshakes
    }

    fn on_offer(
        &mut self,
        peer: PeerId,
        offer: InboundOffer,
    ) -> Option<BoxFuture<'static, Result<Output<B>, Error>>> {
        // A dial of ours to the same peer has a place already, which the offer may take.
        if self.full() && !self.all.is_dialling(&peer) {
            tracing::debug!(%peer, "refused an offer: as many connections as allowed are in use");
            return None;
        }
        let (offer, guard) = match self.all.offer(peer, offer) {
            Verdict::Answer(offer, guard) => (offer, guard),
            Verdict::HandedOver => return None,
            Verdict::Refused => {
                tracing::debug!(%peer, "refused an offer: our own dial goes first");
                return None;
            }
        };
        let (backend, config, slot) = (self.backend.clone(), self.config.clone(), self.answering.clone());
        Some(
            async move {
                let _slot = slot;
                let connection = handshake::answer(&backend, &config, offer).await?;
                let connection = guard.finish(connection).ok_or(Error::Superseded)?;
                backend.connected(peer, &connection);
                Ok((peer, connection))
            }
            .boxed(),
        )
    }
}

impl<B: Backend> Transport for WebRtcTransport<B> {
    type Output = Output<B>;
    type Error = Error;
    type ListenerUpgrade = BoxFuture<'static, Result<Output<B>, Error>>;
    type Dial = BoxFuture<'static, Result<Output<B>, Error>>;

    /// Always refused: a peer is reachable over WebRTC wherever it has a reservation with a relay, and inbound
    /// connections come without a listener. Listen on the relay's `/p2p-circuit` address.
    fn listen_on(&mut self, _: ListenerId, addr: Multiaddr) -> Result<(), TransportError<Error>> {
        match addr.iter().last() {
            Some(Protocol::WebRTC) => Err(TransportError::Other(Error::Listen)),
            _ => Err(TransportError::MultiaddrNotSupported(addr)),
        }
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, addr: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        let Some(target) = WebRtcAddress::parse(&addr).filter(|target| target.peer != self.local) else {
            return Err(TransportError::MultiaddrNotSupported(addr));
        };
        if self.full() {
            return Err(TransportError::Other(Error::Full(self.config.max_connections)));
        }
        let peer = target.peer;
        let path = open(self.paths.iter_mut().map(|path| path.open(&target)).collect());
        let (guard, handover) = self.all.dial(peer);
        let (backend, config, slot) = (self.backend.clone(), self.config.clone(), self.dialling.clone());
        let dial = async move {
            let _slot = slot;
            let connection = dial(&backend, &config, path, &guard, handover).await?;
            guard.succeeded();
            backend.connected(peer, &connection);
            Ok((peer, connection))
        };
        Ok(dial.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(Some((peer, offer))) = this.reading.poll_next_unpin(cx) {
                match offer.map(|offer| this.on_offer(peer, offer)) {
                    Ok(Some(upgrade)) => {
                        return Poll::Ready(TransportEvent::Incoming {
                            listener_id: this.listener,
                            upgrade,
                            local_addr: bare(this.local),
                            send_back_addr: bare(peer),
                        })
                    }
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%peer, %error, "dropped an introduction"),
                }
                continue;
            }
            let introduction = this.paths.iter_mut().find_map(|path| match path.poll_introduction(cx) {
                Poll::Ready(introduction) => Some(introduction),
                Poll::Pending => None,
            });
            match introduction {
                Some(Introduction { peer, .. }) if peer == this.local || this.busy() => {
                    tracing::debug!(%peer, "too many handshakes are under way: dropped an introduction");
                }
                Some(Introduction { peer, io }) => {
                    let config = this.config.clone();
                    let offer = async move { (peer, handshake::read_offer(io, &config).await) };
                    this.reading.push(offer.boxed());
                }
                None => return Poll::Pending,
            }
        }
    }
}

type OpenPath = BoxFuture<'static, Result<Box<dyn SignallingIo>, PathError>>;

/// The first of `paths` that works, tried one after the other.
fn open(paths: Vec<OpenPath>) -> OpenPath {
    async move {
        let mut last = PathError::NoPath;
        for path in paths {
            match path.await {
                Ok(io) => return Ok(io),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
    .boxed()
}

/// Our own attempt, unless the peer's comes in its way.
async fn dial<B: Backend>(
    backend: &B,
    config: &Config,
    path: OpenPath,
    guard: &DialGuard<InboundOffer, B::Connection>,
    handover: oneshot::Receiver<Handover<InboundOffer, B::Connection>>,
) -> Result<B::Connection, Error> {
    let own = handshake::dial(backend, config, path, poll_fn(|cx| guard.poll_may_offer(cx))).boxed();
    let given = match select(handover, own).await {
        Either::Left((given, _own_attempt_ends_here)) => given,
        Either::Right((Err(Error::Refused), handover)) if guard.peer_wins() => {
            // Refused before an answer, by a peer whose offers go before ours: its own is on the way.
            let given = handover.map(|given| given.map_err(|_| Error::Refused));
            match within(config.crossing_timeout, Step::Signalling, given).await {
                Ok(given) => Ok(given),
                Err(_) => return Err(Error::Refused),
            }
        }
        Either::Right((result, _)) => return result,
    };
    match given {
        Ok(Handover::Connection(connection)) => Ok(connection),
        Ok(Handover::Offer(offer)) => handshake::answer(backend, config, offer).await,
        Err(oneshot::Canceled) => Err(Error::Superseded),
    }
}

#[cfg(test)]
mod tests;
