//! What the driver found of an earlier run: read, and kept for as long as it may be of use.

use std::collections::BTreeMap;

use super::{state_key, Files, State};
use crate::id::{PackageId, RequestId, ServiceId};
use crate::io::{Answer, Event, Output};
use crate::node::Node;
use crate::registry::{self, Validated};
use crate::revival::Votes;
use crate::wire::{self, Holding, Members};

/// Services that one recall brings back.
const MAX_RECALLED: usize = 64;

/// A service that may come back.
#[derive(Debug)]
pub(crate) struct Recalled {
    pub(super) state: State,
    pub(super) name: String,
    /// Its own publisher takes a service back, a volunteer only within its limits.
    pub(super) own: bool,
    pub(super) searching: bool,
    /// It goes on once enough of its members say that they are gone.
    pub(super) is_replicated: bool,
    /// Nobody serves it, and its module is prepared here: it waits for other members.
    pub is_prepared: bool,
    /// What those said.
    pub votes: Votes,
}

/// Services that may come back.
pub(crate) type RecalledServices = BTreeMap<ServiceId, Recalled>;

impl Recalled {
    /// The package that it runs.
    pub(crate) fn package(&self) -> PackageId {
        self.state.package
    }

    /// `name@publisher`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// This node published it.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// The voters when it was stored.
    pub(crate) fn members(&self) -> &Members {
        &self.state.members
    }

    /// What is on disk here.
    pub(crate) fn holding(&self) -> Holding {
        Holding { epoch: self.state.epoch, term: self.state.term, index: self.state.index, alive: false }
    }
}

impl Node {
    /// What the driver found of an earlier run of this node: keys and values of [`Output::Store`].
    pub(crate) fn recall(&mut self, request: RequestId, stored: Vec<(String, Vec<u8>)>) {
        let (elsewhere, stored): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(key, _)| Self::is_external_key(key));
        for (key, value) in elsewhere {
            if let Err(reason) = self.recall_external(&value) {
                self.refuse_stored(key, &reason, false);
            }
        }
        let (packages, states): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(key, _)| key.starts_with("package/"));
        for (key, value) in packages {
            if let Err(reason) = self.recall_package(&value) {
                self.refuse_stored(key, &reason, false);
            }
        }
        for (key, value) in states {
            if let Err((reason, for_good)) = self.recall_state(&value) {
                self.refuse_stored(key, &reason, for_good);
            }
        }
        self.cx.put(Output::Answer { request, result: Ok(Answer::Done) });
        self.seek_recalled();
    }

    fn recall_package(&mut self, value: &[u8]) -> Result<(), String> {
        let files: Files = wire::decode_unbounded(value).map_err(|error| error.to_string())?;
        self.packages.learn(&mut self.cx, &files.manifest, &files.signature)?;
        for file in files.files {
            self.packages.add_file(&file)?;
        }
        Ok(())
    }

    /// An error says whether the state will never be of use.
    fn recall_state(&mut self, value: &[u8]) -> Result<(), (String, bool)> {
        let for_good = |reason: String| (reason, true);
        let for_now = |reason: &str| (reason.to_owned(), false);
        let state: State = wire::decode_unbounded(value).map_err(|error| for_good(error.to_string()))?;
        let record = Validated::decode(&state.record).map_err(|error| for_good(error.to_string()))?;
        let Validated::Service(record) = record else {
            return Err(for_good("it has no service record".to_owned()));
        };
        let service = record.service();
        let valid = registry::validate(registry::service_key(service), &state.record, self.cx.now).is_ok();
        // Its own publisher signs a new record when it comes back.
        if !valid && record.publisher != self.cx.me {
            return Err(for_good("the service's record has expired".to_owned()));
        }
        if !record.hosts_permit(&self.cx.me) || state.succession.holder() != self.cx.me {
            return Err(for_good("this node may not host the service".to_owned()));
        }
        let known = self.packages.get(&state.package).ok_or(for_now("its package is not at hand"))?;
        if known.package.service() != service {
            return Err(for_good("its package is that of another service".to_owned()));
        }
        if self.recalled.len() >= MAX_RECALLED {
            return Err(for_now("too many services are stored"));
        }
        let (name, own) = (record.full_name(), record.publisher == self.cx.me);
        let is_replicated = known.package.manifest.state.voters() > 1;
        let (searching, is_prepared, votes) = (false, false, Votes::default());
        let recalled = Recalled { state, name, own, searching, is_replicated, is_prepared, votes };
        self.recalled.insert(service, recalled);
        Ok(())
    }

    pub(super) fn refuse_stored(&mut self, key: String, reason: &str, for_good: bool) {
        let message = format!("what was stored of a service cannot be used: {reason}");
        self.cx.event(Event::Error { code: "refused".to_owned(), message });
        if for_good {
            self.forget_stored(key);
        }
    }

    /// What may come back of the service does not: its publisher has made something else of it.
    pub(crate) fn forget_recalled(&mut self, service: ServiceId) {
        if let Some(recalled) = self.recalled.remove(&service) {
            self.forget_stored(state_key(service));
            self.forget_package(recalled.state.package);
        }
    }
}
