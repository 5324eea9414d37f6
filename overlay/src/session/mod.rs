//! A session: a consumer's logical connection to a service, which outlives any transport connection and any server.
//!
//! [`client`] is the consumer's side; the server's side is [`server`], beside the replicated machine that holds the
//! dedupe cursor and the outbox. Inputs are numbered 1, 2, 3, … by the consumer, outbox items by the machine; each
//! frame acknowledges the other direction cumulatively. Whoever has something unacknowledged sends it again after a
//! change of server, term or connection; the receiver drops what it has. `resends` bounds how much a consumer may have sent
//! anew.

pub mod client;
pub mod queries;
mod resends;
pub mod server;
mod window;

/// Why a server refuses a consumer that the manifest's `access` does not name; a client tells it from other refusals.
pub(crate) const NOT_PERMITTED: &str = "the service does not permit this consumer";
