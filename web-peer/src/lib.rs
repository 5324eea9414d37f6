//! A browser tab as a peer: transports, sandbox host, storage, JavaScript API.
