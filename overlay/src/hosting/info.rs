//! A hosted service as people see it.

use super::Hosted;
use crate::cx::Cx;
use crate::instance::Instance;
use crate::io::HostedInfo;
use crate::net::Net;

impl Hosted {
    /// Open sessions.
    pub fn sessions(&self) -> usize {
        self.instance.as_ref().map_or(0, |instance| instance.machine().sessions().count())
    }

    /// For people.
    pub fn info(&self, cx: &Cx, net: &Net) -> HostedInfo {
        let role = match &self.instance {
            None => "witness",
            Some(instance) if !instance.is_ready() => "joining",
            Some(_) if self.group.leads() => "leader",
            Some(_) if self.is_standby() => "standby",
            Some(_) => "follower",
        };
        let voters = self.group.voting_members();
        HostedInfo {
            service: self.name.clone(),
            role: role.to_owned(),
            epoch: self.group.epoch(),
            term: self.group.term(),
            asleep: self.instance.as_ref().is_some_and(Instance::is_asleep),
            sessions: self.sessions() as u32,
            events: self.events,
            gas: self.gas,
            traps: self.traps,
            members: voters.values().map(|member| member.peer.to_string()).collect(),
            standbys: self.standbys(cx, net).into_iter().map(|(_, peer)| peer.to_string()).collect(),
            standbys_wanted: self.standby_wanted as u32,
            handover: self
                .source
                .as_ref()
                .map(|source| (source.target().to_string(), source.step_name().to_owned())),
            memory_mib: self.memory_mib,
            wanted: self.wanted as u32,
            replicas: self.live_holders(cx, net) as u32,
            lag: self.group.members().keys().map(|id| self.group.lag(*id)).max().unwrap_or(0),
            unstored: self.instance.as_ref().and_then(|instance| self.saved.behind(instance.executed())),
            lost_since: self.saved.back_from.map(|at| at.0),
            for_own_calls: false,
        }
    }
}
