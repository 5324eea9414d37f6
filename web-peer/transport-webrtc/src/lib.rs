//! Browser-to-browser WebRTC transport for rust-libp2p.
