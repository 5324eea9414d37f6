//! Read-only calls that wait for their turn.

use serde_bytes::ByteBuf;

use super::budget::gas_of;
use super::machine::{bounded_reply, SessionKey};
use super::Instance;
use crate::cx::Cx;
use crate::sandbox::Outcome;
use crate::time::Time;
use crate::wire::CallResult;

/// Queries that wait for the sandbox; further ones are refused as overload.
const MAX_QUERIES: usize = 256;

/// A query that waits.
#[derive(Clone, Debug)]
pub struct QueryJob {
    /// Who asks.
    pub key: SessionKey,
    /// Echoed.
    pub id: u64,
    /// The method.
    pub method: String,
    /// The body.
    pub body: Vec<u8>,
    /// It reads everything that was acknowledged until then.
    pub as_of: Time,
    /// Index of the last entry that it read.
    pub index: u64,
}

impl QueryJob {
    /// Of a consumer.
    pub fn new(key: SessionKey, id: u64, method: String, body: Vec<u8>) -> Self {
        Self { key, id, method, body, as_of: Time(0), index: 0 }
    }
}

impl Instance {
    /// Runs a read-only call when its turn comes. False when too many wait.
    pub fn query(&mut self, cx: &mut Cx, job: QueryJob) -> bool {
        if self.queries.len() >= MAX_QUERIES {
            return false;
        }
        self.active_at = cx.now;
        self.queries.push_back(job);
        self.advance(cx);
        true
    }

    /// A query ran.
    pub(super) fn answer(&mut self, job: QueryJob, outcome: Outcome) {
        let gas = gas_of(&outcome);
        self.machine.note_gas(gas);
        self.spend(gas);
        let result = match outcome {
            Outcome::Done { reply, .. } => CallResult::Ok(ByteBuf::from(reply)),
            Outcome::Failed { reply, .. } => CallResult::Failed(ByteBuf::from(reply)),
            Outcome::Trapped { reason } => CallResult::Trapped(reason),
        };
        self.unreported = true;
        self.report.answers.push((job, bounded_reply(result)));
    }
}
