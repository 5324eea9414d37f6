//! `Idempotency-Key`: a call that a client repeats with the same key is executed once (the IETF's draft of the HTTP working
//! group, `draft-ietf-httpapi-idempotency-key-header`).
//!
//! The call goes on when its client has gone, and keeps its client's place until it ends. Whoever comes with the same key
//! within ten minutes gets its answer, or waits for it; another body under the same key is refused with 422. What certainly
//! was not executed may be tried again. A key belongs to a client's address, a service and a method, and is known to this
//! relay alone. When answers need too much room, the ones that nobody asked for the longest go; a call under way never does.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use overlay::io::Error;
use sha2::{Digest, Sha256};
use tokio::sync::{watch, Mutex};

use super::call::{Call, Reply, LONGEST_DEADLINE};
use super::clients::Permit;
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
type Name = [u8; 32];

/// The calls with a key. Clones share them.
#[derive(Clone)]
pub struct Keyed {
    /// As many as clients have places.
    under_way: Arc<Mutex<HashMap<Name, Entry>>>,
    ended: Cache<Name, Entry>,
}

#[derive(Clone)]
struct Entry {
    /// Of the body.
    digest: [u8; 32],
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Entry {
    fn bytes(&self) -> u32 {
        let reply = match &*self.outcome.borrow() {
            Some(Ok(reply)) => reply.body.len(),
            _ => 0,
        };
        ENTRY.saturating_add(u32::try_from(reply).unwrap_or(u32::MAX))
    }
}

impl Default for Keyed {
    fn default() -> Self {
        let ended = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(|_: &Name, entry: &Entry| entry.bytes())
            // The usual policy does not take in what nobody asked for before: a full cache would keep no new answer.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(KEPT)
            .build();
        Self { under_way: Arc::default(), ended }
    }
}

impl Keyed {
    /// The call of this name; `call` is made if there is none. It does not depend on its client.
    async fn entry<F>(&self, name: Name, digest: [u8; 32], call: F) -> Entry
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        // Held until the call is known to all: it ends on another thread, perhaps at once.
        let mut under_way = self.under_way.lock().await;
        if let Some(entry) = under_way.get(&name) {
            return entry.clone();
        }
        if let Some(entry) = self.ended.get(&name).await {
            return entry;
        }
        let (done, outcome) = watch::channel(None);
        let entry = Entry { digest, outcome };
        under_way.insert(name, entry.clone());
        let (keyed, kept) = (self.clone(), entry.clone());
        tokio::spawn(async move {
            let outcome = call.await;
            if outcome.as_ref().err().is_none_or(may_have_run) {
                done.send_replace(Some(outcome));
                keyed.ended.insert(name, kept).await;
                keyed.under_way.lock().await.remove(&name);
            } else {
                keyed.under_way.lock().await.remove(&name);
                done.send_replace(Some(outcome));
            }
        });
        entry
    }
}

impl Inner {
    /// Makes the call, or waits for the one that was made with this key; the outer error is the key's.
    pub(super) async fn keyed_call(
        self: Arc<Self>,
        (client, permit): (Client, Permit),
        key: &[u8],
        call: Call,
        deadline: Duration,
    ) -> Result<Outcome, Problem> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Problem::bad_request("Idempotency-Key has 1 to 255 bytes"));
        }
        let digest: [u8; 32] = Sha256::digest(&call.body).into();
        let name = name(client, key, &call);
        let place = Arc::new(permit);
        let (inner, held) = (self.clone(), place.clone());
        let call = async move {
            let outcome = inner.call(call, LONGEST_DEADLINE).await;
            drop(held);
            outcome
        };
        let mut entry = self.keyed.entry(name, digest, call).await;
        if entry.digest != digest {
            let detail = "this key was used with another body";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Key used before", detail));
        }
        let outcome = tokio::time::timeout(deadline, entry.outcome.wait_for(Option::is_some)).await;
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(unknown())),
            // Its task was lost.
            Ok(Err(_)) => Err(unknown()),
            Err(_) => Err(Error::Deadline("repeat the request with the same key for its answer".to_owned())),
        };
        drop(place);
        Ok(outcome)
    }
}

fn name(Client(address): Client, key: &[u8], call: &Call) -> Name {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use overlay::io::{Path, SessionInfo, MAX_BODY};
    use overlay::time::Millis;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn reply(bytes: usize) -> Outcome {
        let (id, service, server) = ("7".to_owned(), "counter".to_owned(), String::new());
        let info = SessionInfo { id, service, server, epoch: 1, term: 1, path: Path::Relayed };
        Ok(Reply { info, body: vec![7; bytes].into() })
    }

    async fn outcome(mut entry: Entry) -> Outcome {
        let outcome = entry.outcome.wait_for(Option::is_some).await.unwrap().clone();
        outcome.unwrap()
    }

    fn named(n: u64) -> Name {
        Sha256::digest(n.to_le_bytes()).into()
    }

    #[tokio::test]
    async fn others_answers_do_not_keep_a_new_one_out() {
        let keyed = Keyed::default();
        for n in 0..2 * MAX_BYTES / MAX_BODY as u64 {
            assert!(outcome(keyed.entry(named(n), [0; 32], async { reply(MAX_BODY) }).await).await.is_ok());
        }
        keyed.ended.run_pending_tasks().await;
        let made = Arc::new(AtomicU32::new(0));
        for _ in 0..3 {
            let counted = made.clone();
            let call = async move {
                counted.fetch_add(1, Ordering::SeqCst);
                reply(1)
            };
            assert!(outcome(keyed.entry(named(u64::MAX), [0; 32], call).await).await.is_ok());
            keyed.ended.run_pending_tasks().await;
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert!(keyed.ended.weighted_size() <= MAX_BYTES);
        assert!(keyed.under_way.lock().await.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_not_executed_is_tried_again_however_soon_it_ended() {
        let keyed = Keyed::default();
        for n in 0..2_000 {
            let busy = async { Err(Error::Overloaded("busy".into(), Millis(1))) };
            assert!(outcome(keyed.entry(named(n), [0; 32], busy).await).await.is_err());
            assert!(outcome(keyed.entry(named(n), [0; 32], async { reply(1) }).await).await.is_ok(), "{n}");
        }
    }

    #[tokio::test]
    async fn a_call_under_way_is_made_once_whatever_ends_meanwhile() {
        let keyed = Keyed::default();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let call = async move {
            let _ = gone.await;
            reply(3)
        };
        let first = keyed.entry(named(0), [1; 32], call).await;
        for n in 1..2 * MAX_BYTES / MAX_BODY as u64 {
            assert!(outcome(keyed.entry(named(n), [0; 32], async { reply(MAX_BODY) }).await).await.is_ok());
        }
        keyed.ended.run_pending_tasks().await;
        let again = keyed.entry(named(0), [1; 32], async { Err(unknown()) }).await;
        go.send(()).unwrap();
        assert_eq!(outcome(first).await.unwrap().body.len(), 3);
        assert_eq!(outcome(again).await.unwrap().body.len(), 3);
    }
}
