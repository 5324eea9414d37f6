//! The two sides of a handshake, over any [`SignallingPath`](crate::SignallingPath) and any [`Rtc`].

use std::{collections::VecDeque, future::Future, task::Poll, time::Duration};

use futures::{
    future::{poll_fn, select, try_join, BoxFuture, Either},
    pin_mut, FutureExt,
};
use futures_timer::Delay;

use crate::{
    error::{Error, Step},
    rtc::{Backend, Rtc, RtcEvent},
    sdp,
    signalling::{PathError, Signaller, SignallingIo},
    wire::Signal,
    Config,
};

/// How long a finished handshake waits for the peer to end the signalling stream.
const GOODBYE: Duration = Duration::from_secs(10);

/// An offer and the stream on which it came.
pub(crate) struct InboundOffer {
    sdp: String,
    signals: Signals,
}

/// Dials: `path` gives the signalling stream, `may_offer` says when the offer may go out.
///
/// The peer connection gathers candidates while the relay is dialled; that is most of what a dial takes.
pub(crate) async fn dial<B: Backend>(
    backend: &B,
    config: &Config,
    path: BoxFuture<'static, Result<Box<dyn SignallingIo>, PathError>>,
    may_offer: impl Future<Output = ()>,
) -> Result<B::Connection, Error> {
    let mut rtc = backend.peer(config)?;
    let offer = rtc.offer().map(|offer| offer.map_err(Error::from));
    let path = async move { path.await.map_err(Error::from) };
    let (sdp, io) = within(config.relay_timeout, Step::Relay, try_join(offer, path)).await?;
    may_offer.await;

    let mut signals = Signals::new(io, config);
    signals.wire.queue(&Signal::Offer(sdp));
    within(config.signalling_timeout, Step::Signalling, async {
        loop {
            match signals.next(&mut rtc).await? {
                Next::Signal(Signal::Answer(answer)) => {
                    sdp::check(&answer, config.max_sdp_len)?;
                    return Ok(rtc.accept(answer).await?);
                }
                Next::Signal(_) => return Err(Error::Protocol("something else came before the answer")),
                Next::Ended => return Err(Error::Refused),
                Next::Connected | Next::InitOpen => {}
            }
        }
    })
    .await?;
    let mut open = false;
    within(config.ice_timeout, Step::Ice, connected(&mut signals, &mut rtc, &mut open)).await?;
    within(config.init_timeout, Step::Init, async {
        while !open {
            open = matches!(signals.next(&mut rtc).await?, Next::InitOpen);
        }
        Ok(())
    })
    .await?;
    Ok(rtc.into_connection(signals.goodbye()))
}

/// Reads the offer of a peer that wants to connect to us.
pub(crate) async fn read_offer(io: Box<dyn SignallingIo>, config: &Config) -> Result<InboundOffer, Error> {
    let mut signals = Signals::new(io, config);
    let first = poll_fn(|cx| signals.wire.poll_next(cx));
    match within(config.signalling_timeout, Step::Signalling, first.map(|first| first.map_err(Error::from)))
        .await?
    {
        Some(Signal::Offer(sdp)) => {
            sdp::check(&sdp, config.max_sdp_len)?;
            Ok(InboundOffer { sdp, signals })
        }
        Some(_) => Err(Error::Protocol("something else came before the offer")),
        None => Err(Error::Refused),
    }
}

/// Answers an offer.
pub(crate) async fn answer<B: Backend>(
    backend: &B,
    config: &Config,
    offer: InboundOffer,
) -> Result<B::Connection, Error> {
    let InboundOffer { sdp, mut signals } = offer;
    signals.check_peer().await?;
    let mut rtc = backend.peer(config)?;
    let answer = rtc.answer(sdp).map(|answer| answer.map_err(Error::from));
    let answer = within(config.signalling_timeout, Step::Signalling, answer).await?;
    signals.wire.queue(&Signal::Answer(answer));
    within(config.ice_timeout, Step::Ice, connected(&mut signals, &mut rtc, &mut false)).await?;
    Ok(rtc.into_connection(signals.goodbye()))
}

async fn connected(signals: &mut Signals, rtc: &mut impl Rtc, open: &mut bool) -> Result<(), Error> {
    loop {
        match signals.next(rtc).await? {
            Next::Signal(Signal::Candidate(candidate)) => {
                signals.candidates += 1;
                if signals.candidates > signals.max_candidates {
                    return Err(Error::Protocol("too many candidates"));
                }
                if candidate.len() > signals.max_candidate_len {
                    return Err(Error::Protocol("a candidate of indecent length"));
                }
                rtc.add_candidate(&candidate);
            }
            Next::Signal(_) => return Err(Error::Protocol("a second session description")),
            // The peer may be done already; what it sent so far has to do.
            Next::Ended => {}
            Next::InitOpen => *open = true,
            Next::Connected => return Ok(()),
        }
    }
}

enum Next {
    Signal(Signal),
    Ended,
    Connected,
    InitOpen,
}

/// A signalling stream in use.
struct Signals {
    wire: Signaller,
    /// What came with the offer, read before it was answered.
    early: VecDeque<Signal>,
    ended: bool,
    sent: usize,
    candidates: usize,
    max_candidates: usize,
    max_candidate_len: usize,
}

impl Signals {
    fn new(io: Box<dyn SignallingIo>, config: &Config) -> Signals {
        // A type, two tags and a length come on top of the text.
        let wire = Signaller::new(io, config.max_sdp_len.max(config.max_candidate_len) + 16);
        Signals {
            wire,
            early: VecDeque::new(),
            ended: false,
            sent: 0,
            candidates: 0,
            max_candidates: config.max_candidates,
            max_candidate_len: config.max_candidate_len,
        }
    }

    /// Fails if the peer has ended the stream behind its offer: it took our own offer meanwhile, or is gone.
    async fn check_peer(&mut self) -> Result<(), Error> {
        poll_fn(|cx| loop {
            if self.early.len() > self.max_candidates {
                return Poll::Ready(Err(Error::Protocol("too many candidates")));
            }
            match self.wire.poll_next(cx) {
                Poll::Pending => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Some(signal))) => self.early.push_back(signal),
                Poll::Ready(Ok(None) | Err(crate::SignalError::Io(_))) => {
                    return Poll::Ready(Err(Error::Refused))
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            }
        })
        .await
    }

    /// Sends what is queued and our candidates, until something else happens.
    async fn next(&mut self, rtc: &mut impl Rtc) -> Result<Next, Error> {
        poll_fn(|cx| loop {
            let event = rtc.poll_event(cx);
            if let Poll::Ready(RtcEvent::Candidate(json)) = event {
                if self.sent < self.max_candidates && !self.ended {
                    self.sent += 1;
                    self.wire.queue(&Signal::Candidate(json));
                }
                continue;
            }
            let flushed = if self.ended { Poll::Pending } else { self.wire.poll_flush(cx) };
            match event {
                Poll::Ready(RtcEvent::Connected) => return Poll::Ready(Ok(Next::Connected)),
                Poll::Ready(RtcEvent::InitOpen) => return Poll::Ready(Ok(Next::InitOpen)),
                Poll::Ready(RtcEvent::Failed(why)) => return Poll::Ready(Err(crate::RtcError(why).into())),
                Poll::Ready(RtcEvent::Candidate(_)) | Poll::Pending => {}
            }
            if let Some(signal) = self.early.pop_front() {
                return Poll::Ready(Ok(Next::Signal(signal)));
            }
            if self.ended {
                return Poll::Pending;
            }
            if let Poll::Ready(Err(error)) = flushed {
                tracing::debug!(%error, "the signalling stream broke");
                self.ended = true;
                return Poll::Ready(Ok(Next::Ended));
            }
            return match self.wire.poll_next(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(Some(signal))) => Poll::Ready(Ok(Next::Signal(signal))),
                Poll::Ready(Ok(None) | Err(crate::SignalError::Io(_))) => {
                    self.ended = true;
                    Poll::Ready(Ok(Next::Ended))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            };
        })
        .await
    }

    /// Ends our side, and waits for the peer to end its own: to drop the stream earlier would reset it.
    fn goodbye(mut self) -> BoxFuture<'static, ()> {
        async move {
            let end = async {
                let _ = poll_fn(|cx| self.wire.poll_close(cx)).await;
                for _ in 0..self.max_candidates {
                    match poll_fn(|cx| self.wire.poll_next(cx)).await {
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
                Ok(())
            };
            let _ = within(GOODBYE, Step::Signalling, end).await;
        }
        .boxed()
    }
}

/// The future's result, or that `step` took too long.
pub(crate) async fn within<T>(
    time: Duration,
    step: Step,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    pin_mut!(future);
    match select(future, Delay::new(time)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Error::Timeout(step)),
    }
}
