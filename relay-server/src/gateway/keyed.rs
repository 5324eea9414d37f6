//! `Idempotency-Key`: a call that a client repeats with the same key is executed once (the IETF's draft of the HTTP working
//! group, `draft-ietf-httpapi-idempotency-key-header`).
//!
//! The call goes on when its client has gone. Whoever comes with the same key within ten minutes gets its answer, or waits
//! for it; another body under the same key is refused with 422. What certainly was not executed may be tried again.
//! A key belongs to a client's address, a service and a method, and is known to this relay alone.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use moka::future::Cache;
use overlay::io::Error;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::call::{Call, Reply, LONGEST_DEADLINE};
use super::{Client, Inner};
use crate::http::network;
use crate::problem::Problem;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);
/// Bytes of answers that are kept.
const MAX_BYTES: u64 = 64 << 20;
/// What an entry costs beside its reply.
const ENTRY: u32 = 512;
/// Bytes of a key.
const MAX_KEY: usize = 255;

type Outcome = Result<Reply, Error>;

/// The calls with a key.
pub struct Keyed(Cache<[u8; 32], Entry>);

#[derive(Clone)]
struct Entry {
    /// Of the body.
    digest: [u8; 32],
    outcome: watch::Receiver<Option<Outcome>>,
    bytes: u32,
}

impl Default for Keyed {
    fn default() -> Self {
        let weight = |_: &[u8; 32], entry: &Entry| entry.bytes;
        Keyed(Cache::builder().max_capacity(MAX_BYTES).weigher(weight).time_to_live(KEPT).build())
    }
}

impl Inner {
    /// Makes the call, or waits for the one that was made with this key; the outer error is the key's.
    pub(super) async fn keyed_call(
        self: Arc<Self>,
        client: Client,
        key: &[u8],
        call: Call,
        deadline: Duration,
    ) -> Result<Outcome, Problem> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Problem::bad_request("Idempotency-Key has 1 to 255 bytes"));
        }
        let digest: [u8; 32] = Sha256::digest(&call.body).into();
        let name = name(client, key, &call);
        let keyed = &self.keyed.0;
        let entry = keyed.entry(name).or_insert_with(async { self.clone().begin(name, digest, call) }).await;
        let mut entry = entry.into_value();
        if entry.digest != digest {
            let detail = "this key was used with another body";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Key used before", detail));
        }
        let outcome = tokio::time::timeout(deadline, entry.outcome.wait_for(Option::is_some)).await;
        Ok(match outcome {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(unknown())),
            // Its task was lost.
            Ok(Err(_)) => Err(unknown()),
            Err(_) => Err(Error::Deadline("repeat the request with the same key for its answer".to_owned())),
        })
    }

    /// Starts the call; it does not depend on its client.
    fn begin(self: Arc<Self>, name: [u8; 32], digest: [u8; 32], call: Call) -> Entry {
        let (done, outcome) = watch::channel(None);
        let entry = Entry { digest, outcome, bytes: ENTRY };
        let kept = entry.clone();
        tokio::spawn(async move {
            let outcome = self.call(call, LONGEST_DEADLINE).await;
            match &outcome {
                Err(error) if !may_have_run(error) => self.keyed.0.invalidate(&name).await,
                Err(_) => {}
                Ok(reply) => {
                    let bytes = ENTRY.saturating_add(u32::try_from(reply.body.len()).unwrap_or(u32::MAX));
                    self.keyed.0.insert(name, Entry { bytes, ..kept }).await;
                }
            }
            done.send_replace(Some(outcome));
        });
        entry
    }
}

fn name(Client(address): Client, key: &[u8], call: &Call) -> [u8; 32] {
    let mut hash = Sha256::new();
    let address = network(address).to_string();
    for part in [address.as_bytes(), key, call.service.as_bytes(), call.method.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn may_have_run(error: &Error) -> bool {
    matches!(
        error,
        Error::Trapped(_) | Error::Deadline(_) | Error::UnknownOutcome(_) | Error::Disconnected(_)
    )
}

fn unknown() -> Error {
    Error::UnknownOutcome("the relay lost track of it".to_owned())
}
