//! Who is in the group: voters, learners, witnesses; and the configurations that change it.

use prost::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry};

use super::{Group, Poisoned};
use crate::id::PeerId;
use crate::wire::{self, Member, Members};

impl Group {
    /// Proposes the joint change to exactly `wanted`. False when it cannot be proposed now.
    pub fn change(&mut self, wanted: &Members) -> bool {
        if !self.may_change() {
            return false;
        }
        let now = self.voters();
        let add = wanted.keys().filter(|id| !now.contains(id));
        let remove = now.iter().filter(|id| !wanted.contains_key(id));
        let single = |kind: ConfChangeType, id: &u64| {
            let mut change = ConfChangeSingle::default();
            change.set_change_type(kind);
            change.node_id = *id;
            change
        };
        let mut change = ConfChangeV2::default();
        change.set_transition(ConfChangeTransition::Explicit);
        change.changes = add
            .map(|id| single(ConfChangeType::AddNode, id))
            .chain(remove.map(|id| single(ConfChangeType::RemoveNode, id)))
            .collect();
        if change.changes.is_empty() {
            return false;
        }
        let mut known = self.members.clone();
        known.extend(wanted.iter().map(|(id, member)| (*id, *member)));
        self.wake();
        self.raft.propose_conf_change(wire::encode(&known), change).is_ok()
    }

    /// Proposes to feed the log to a learner that holds the state. False when it cannot be proposed now.
    pub fn add_learner(&mut self, id: u64, peer: PeerId) -> bool {
        let mut known = self.members.clone();
        known.insert(id, Member { peer, witness: false });
        !self.members.contains_key(&id) && self.change_learner(ConfChangeType::AddLearnerNode, id, &known)
    }

    /// Proposes to feed a learner no more.
    pub fn remove_learner(&mut self, id: u64) -> bool {
        let known = self.members.clone();
        self.is_learner(id) && self.change_learner(ConfChangeType::RemoveNode, id, &known)
    }

    fn may_change(&self) -> bool {
        self.leads() && !self.is_changing() && !self.is_joint()
    }

    fn change_learner(&mut self, kind: ConfChangeType, id: u64, known: &Members) -> bool {
        if !self.may_change() {
            return false;
        }
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = id;
        let change = ConfChangeV2 { changes: vec![single], ..ConfChangeV2::default() };
        self.wake();
        self.raft.propose_conf_change(wire::encode(known), change).is_ok()
    }

    /// Proposes to leave a joint configuration. False when there is none or it cannot be proposed now.
    pub fn leave_joint(&mut self) -> bool {
        self.leads()
            && self.is_joint()
            && !self.is_changing()
            && self.raft.propose_conf_change(Vec::new(), ConfChangeV2::default()).is_ok()
    }

    /// A configuration is proposed and not applied yet.
    pub fn is_changing(&self) -> bool {
        self.raft.raft.has_pending_conf()
    }

    pub(super) fn configure(&mut self, entry: &Entry) -> Result<(), Poisoned> {
        let change =
            ConfChangeV2::decode(&entry.data[..]).map_err(|_| Poisoned("an unreadable configuration"))?;
        if !entry.context.is_empty() {
            let known: Members = wire::decode(&entry.context)
                .map_err(|_| Poisoned("unreadable members of a configuration"))?;
            if known.len() > 9 || change.changes.iter().any(|change| !known.contains_key(&change.node_id)) {
                return Err(Poisoned("a configuration names members that it does not describe"));
            }
            self.members.extend(known);
        }
        let state =
            self.raft.apply_conf_change(&change).map_err(|_| Poisoned("an impossible configuration"))?;
        self.raft.store().wl().set_conf_state(state.clone());
        let sets = [&state.voters, &state.voters_outgoing, &state.learners, &state.learners_next];
        let stays = |id: &u64| sets.iter().any(|ids| ids.contains(id));
        self.members.retain(|id, _| stays(id));
        self.configured = entry.index;
        Ok(())
    }

    /// Who is in the group: voters and learners.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Ids of the members that no majority counts.
    pub fn learners(&self) -> Vec<u64> {
        self.conf_state().learners
    }

    /// Is that member fed without being counted.
    pub fn is_learner(&self, id: u64) -> bool {
        self.raft.raft.prs().conf().learners().contains(&id)
    }

    /// Is this node one of the voters.
    pub fn is_voter(&self) -> bool {
        self.votes(self.id)
    }

    /// The members that majorities are taken of.
    pub fn voting_members(&self) -> Members {
        let voters = self.members.iter().filter(|(id, _)| self.votes(**id));
        voters.map(|(id, member)| (*id, *member)).collect()
    }

    /// A voter that holds state, as far as this node knows the group.
    pub fn has_state_voter(&self, peer: PeerId) -> bool {
        self.members.iter().any(|(id, member)| member.peer == peer && !member.witness && self.votes(*id))
    }

    pub(super) fn votes(&self, id: u64) -> bool {
        self.raft.raft.prs().conf().voters().contains(id)
    }

    /// Ids of the voters, both sides of a joint configuration.
    pub fn voters(&self) -> Vec<u64> {
        let state = self.conf_state();
        let mut voters = state.voters;
        voters.extend(state.voters_outgoing);
        voters.sort_unstable();
        voters.dedup();
        voters
    }

    /// The voters that each majority is taken of: one set, or two while the configuration is joint. Never exactly two
    /// voters (H7).
    pub fn majorities(&self) -> Vec<Vec<u64>> {
        let state = self.conf_state();
        [state.voters, state.voters_outgoing].into_iter().filter(|voters| !voters.is_empty()).collect()
    }

    /// Is a joint configuration applied.
    pub fn is_joint(&self) -> bool {
        !self.conf_state().voters_outgoing.is_empty()
    }

    /// Index of the last applied configuration.
    pub fn configured(&self) -> u64 {
        self.configured
    }

    fn conf_state(&self) -> ConfState {
        self.raft.raft.prs().conf().to_conf_state()
    }
}
