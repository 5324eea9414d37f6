//! The lanes' protocols, as libp2p negotiates them.

use std::convert::Infallible;
use std::future::{ready, Ready};

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::Stream;
use overlay::io::Lane;

/// A lane's protocol name.
#[derive(Clone)]
pub struct LaneName(Lane);

impl AsRef<str> for LaneName {
    fn as_ref(&self) -> &str {
        self.0.protocol()
    }
}

/// Accepts a stream of any lane.
pub struct AnyLane;

impl UpgradeInfo for AnyLane {
    type Info = LaneName;
    type InfoIter = [LaneName; Lane::ALL.len()];
    fn protocol_info(&self) -> Self::InfoIter {
        Lane::ALL.map(LaneName)
    }
}

impl InboundUpgrade<Stream> for AnyLane {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<(Lane, Stream), Infallible>>;
    fn upgrade_inbound(self, stream: Stream, name: LaneName) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}

/// Opens a stream of one lane.
pub struct OneLane(pub(super) Lane);

impl UpgradeInfo for OneLane {
    type Info = LaneName;
    type InfoIter = [LaneName; 1];
    fn protocol_info(&self) -> Self::InfoIter {
        [LaneName(self.0)]
    }
}

impl OutboundUpgrade<Stream> for OneLane {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;
    fn upgrade_outbound(self, stream: Stream, _: LaneName) -> Self::Future {
        ready(Ok(stream))
    }
}
