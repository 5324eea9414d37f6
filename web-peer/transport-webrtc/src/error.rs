//! Why a dial or an accept failed.

use std::{error::Error as StdError, fmt};

use libp2p_core::transport::TransportError;
use libp2p_swarm::DialError;
use thiserror::Error as ThisError;

use crate::{sdp::SdpError, signalling::PathError, signalling::SignalError};

/// The steps of a handshake, each with a time-out in [`crate::Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The relayed connection and the stream on it.
    Relay,
    /// The exchange of session descriptions.
    Signalling,
    /// ICE and DTLS.
    Ice,
    /// The first data channel.
    Init,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Relay => "the relayed connection",
            Step::Signalling => "the exchange of session descriptions",
            Step::Ice => "ICE",
            Step::Init => "the first data channel",
        })
    }
}

/// What the browser said.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{0}")]
pub struct RtcError(pub String);

/// Why a handshake failed. In every case no connection exists and nothing was sent over one.
#[derive(Debug, ThisError)]
pub enum Error {
    /// No signalling stream; the peer has not seen an offer.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A step took too long.
    #[error("{0} took too long")]
    Timeout(Step),
    /// The signalling stream broke or carried nonsense.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The peer sent a message that does not belong there.
    #[error("the peer broke the signalling protocol: {0}")]
    Protocol(&'static str),
    /// The peer's session description was refused.
    #[error("the peer sent {0}")]
    Sdp(#[from] SdpError),
    /// The browser refused something.
    #[error("the browser refused: {0}")]
    Rtc(#[from] RtcError),
    /// The peer ended the signalling stream without an answer.
    #[error("the peer refused the connection")]
    Refused,
    /// We have as many connections as we allow ourselves.
    #[error("as many WebRTC connections as allowed ({0}) are in use")]
    Full(usize),
    /// The peer and we dialled each other at once: this attempt's connection became the other attempt's.
    #[error("a simultaneous attempt got the connection")]
    Superseded,
    /// This address cannot be listened on: peers reach us over the addresses of the relay client.
    #[error("nothing is listened on: peers come by the relay client's listeners")]
    Listen,
}

/// Whether a dial failed because the peer does not speak the signalling protocol at all.
pub(crate) fn is_unsupported(error: &DialError) -> bool {
    has_cause(error, &PathError::Unsupported.to_string())
}

/// Whether a dial failed because another one to the same peer has succeeded.
pub(crate) fn is_superseded(error: &DialError) -> bool {
    has_cause(error, &Error::Superseded.to_string())
}

/// Compares words, as the transports around ours wrap its errors in types of their own.
fn has_cause(error: &DialError, words: &str) -> bool {
    let DialError::Transport(errors) = error else { return false };
    errors.iter().any(|(_, error)| match error {
        TransportError::Other(io) => {
            let mut cause = io.get_ref().map(|e| e as &(dyn StdError + 'static));
            while let Some(error) = cause {
                if error.to_string() == words {
                    return true;
                }
                cause = error.source();
            }
            false
        }
        TransportError::MultiaddrNotSupported(_) => false,
    })
}
