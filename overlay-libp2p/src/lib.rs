//! Drives overlay::Node with a libp2p Swarm, in a tab and natively.
