//! Who takes what: requests for a service, offers of one, places of a witness, and this node's limits (rows 18, 19).

use serde_bytes::ByteBuf;

use crate::handover::source::Purpose;
use crate::handover::target::{MAX_TARGETS, MAX_WITNESSED, MAX_WITNESSED_PER_PEER};
use crate::hosting::Hosted;
use crate::id::{PackageId, PeerId, ServiceId};
use crate::io::{Answer, Error, Lane, Output, VolunteerPolicy};
use crate::manifest::{self, Capabilities};
use crate::node::Node;
use crate::registry::{Succession, Validated};
use crate::time::Millis;
use crate::wire::{Control, Step};

/// Who asks for a service that cannot be given away at this moment is told to ask again after this time.
const WANT_AGAIN: Millis = Millis(500);

impl Node {
    pub(crate) fn on_want(&mut self, from: PeerId, service: ServiceId, id: u64) {
        let permitted = self
            .directory
            .index()
            .service(service, self.cx.now)
            .is_some_and(|record| record.hosts_permit(&from));
        if !permitted && self.hosted.contains_key(&service) {
            let reason = "the service does not permit this host".to_owned();
            return self.refuse(from, service, id, reason);
        }
        let now = self.cx.now;
        let wait = match self.hosted.get_mut(&service) {
            // It may have moved a moment ago: the record of its new host is on the way.
            None => Some(WANT_AGAIN),
            Some(hosted) if hosted.source.is_some() || !hosted.is_serving() => Some(WANT_AGAIN),
            Some(hosted) => hosted.pulled.admit(now),
        };
        if let Some(wait) = wait {
            let step = Step::Busy { retry_ms: u32::try_from(wait.0).unwrap_or(u32::MAX) };
            let message = Control::Handover { service, id, step };
            self.net.send(&mut self.cx, from, Lane::Control, &message);
            return;
        }
        self.hand_over(service, from, None);
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn on_offer(
        &mut self,
        from: PeerId,
        service: ServiceId,
        id: u64,
        record: &ByteBuf,
        (manifest, signature): (&ByteBuf, &ByteBuf),
        succession: &Succession,
        standby: bool,
    ) -> Result<(), String> {
        let wanted = self.targets.wants(&service, from);
        if self.policy.is_none() && !wanted {
            return Err("this node does not volunteer".to_owned());
        }
        if self.hosted.contains_key(&service) && !self.may_be_replaced(from, service, true) {
            return Err("this node takes part in the service already".to_owned());
        }
        if self.targets.comes_from_other(&service, from) {
            return Err("another peer hands the service over to this node".to_owned());
        }
        if self.targets.len() >= MAX_TARGETS {
            return Err("this node takes too many services at once".to_owned());
        }
        let validated = crate::registry::validate(crate::registry::service_key(service), record, self.cx.now);
        let Ok(Validated::Service(known)) = validated else {
            return Err("the service's record is not valid".to_owned());
        };
        if !known.hosts_permit(&self.cx.me) {
            return Err("the service does not permit this host".to_owned());
        }
        let serves = succession.proves(service, known.genesis.host, from);
        if !serves && !succession.is_full(service, from) {
            return Err("the offering peer was never made a host of the service".to_owned());
        }
        // Anybody can sign a full chain with keys of its own: it displaces nothing while nobody is known to lead.
        if self.hosted.contains_key(&service) && !self.may_be_replaced(from, service, serves) {
            return Err("this node takes part in the service already".to_owned());
        }
        let package = self.packages.learn(&mut self.cx, manifest, signature)?;
        if package != known.package {
            return Err("the package is not that of the service's record".to_owned());
        }
        match standby {
            true => self.check_fit(package, wanted)?,
            false => self.make_room(service, package, wanted)?,
        }
        self.directory.learn(&self.cx, &mut self.net, record);
        let (cx, net, packages) = (&mut self.cx, &mut self.net, &mut self.packages);
        self.targets.accept(cx, net, packages, service, id, from, (&known, record.to_vec()));
        Ok(())
    }

    /// Row 19: requirements against what this node has, before a byte of code is fetched. Row 18: the person's limits.
    pub(crate) fn check_fit(&self, package: PackageId, wanted: bool) -> Result<(), String> {
        self.fits(package, wanted, true)
    }

    /// Standbys give way to what somebody needs this node to serve.
    fn make_room(&mut self, service: ServiceId, package: PackageId, wanted: bool) -> Result<(), String> {
        self.fits(package, wanted, false)?;
        while self.fits(package, wanted, true).is_err() {
            let gives_way = |hosted: &&Hosted| hosted.gives_way() && hosted.service != service;
            let Some(standby) = self.hosted.values().find(gives_way).map(|hosted| hosted.service) else {
                break;
            };
            self.remove_hosted(standby, None);
        }
        Ok(())
    }

    /// Does it fit beside what is hosted here, `standbys` among it?
    fn fits(&self, package: PackageId, wanted: bool, standbys: bool) -> Result<(), String> {
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        let manifest = &known.package.manifest;
        let default = VolunteerPolicy::default();
        let policy = self.policy.as_ref().unwrap_or(&default);
        if !wanted && !policy.takes(&known.package) {
            return Err("this volunteer takes other services only".to_owned());
        }
        let coming = self.targets.coming().filter_map(|(_, id)| self.packages.get(&id));
        let coming = coming.map(|known| &known.package.manifest.requires);
        let coming = coming.map(|requires| (requires.memory_mib, requires.storage_mib, requires.up_kbps));
        let counts = |hosted: &&Hosted| standbys || !hosted.gives_way();
        let hosted = self.hosted.values().filter(counts);
        let hosted = hosted.map(|hosted| (hosted.memory_mib, hosted.storage_mib, hosted.up_kbps));
        let add = |sum: (u32, u32, u32), one: (u32, u32, u32)| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2);
        let (memory, storage, up) = coming.chain(hosted).fold((0, 0, 0), add);
        let has = Capabilities {
            memory_mib: policy.memory_mib.saturating_sub(memory),
            gas_per_second: policy.gas_per_second(),
            storage_mib: policy.storage_mib.saturating_sub(storage),
            up_kbps: Some(policy.up_kbps.saturating_sub(up)),
            latency_ms: None,
            features: Default::default(),
            mains: policy.mains,
        };
        manifest::fits(manifest, &has).map_err(|unfit| unfit.to_string())
    }

    pub(crate) fn on_ask_witness(&mut self, from: PeerId, service: ServiceId, id: u64, name: String) {
        let witnessed = || self.hosted.values().filter(|hosted| hosted.group.is_witness());
        let of_peer = witnessed().filter(|hosted| hosted.succession.holder() == from).count();
        let promised = self.targets.is_promised_to_other(&service, from);
        if promised
            || !self.may_become_witness(from, service)
            || witnessed().count() + self.targets.promised() >= MAX_WITNESSED
            || of_peer + self.targets.promised_to(from) >= MAX_WITNESSED_PER_PEER
        {
            return self.refuse(from, service, id, "this node cannot be a witness now".to_owned());
        }
        self.targets.promise(&mut self.cx, &mut self.net, service, id, from, name);
    }

    /// Only a member that holds state, in this authority or a later one, releases others.
    pub(crate) fn is_released(&self, from: PeerId, service: ServiceId, authority: (u64, u64)) -> bool {
        self.hosted.get(&service).is_some_and(|hosted| {
            let group = &hosted.group;
            group.has_state_voter(from)
                && from != self.cx.me
                && authority >= (group.epoch(), group.term())
                && hosted.source.is_none()
        })
    }

    /// May what this node has of a service give way to what `from` seeds anew: its leader, or, while nobody is known to
    /// lead, a member that holds state, or who is `proven` to be a host?
    pub(crate) fn may_be_replaced(&self, from: PeerId, service: ServiceId, proven: bool) -> bool {
        self.hosted.get(&service).is_some_and(|hosted| {
            let asks = match hosted.group.leader() {
                // Nobody counts on a copy without a vote: a host may make it anew.
                Some(leader) => leader.peer == from || proven && hosted.is_spare(),
                None => proven || hosted.group.has_state_voter(from),
            };
            !hosted.group.leads() && hosted.is_one_of_several() && asks
        })
    }

    /// A vote is given by who has no part in the service, or only another vote: state never gives way to a vote, whoever
    /// asks.
    pub(crate) fn may_become_witness(&self, from: PeerId, service: ServiceId) -> bool {
        self.hosted
            .get(&service)
            .is_none_or(|hosted| hosted.instance.is_none() && self.may_be_replaced(from, service, false))
    }

    /// A replica that joins gives way to a handover that a person wants; a group that is being changed comes first.
    pub(crate) fn hands_over_later(
        &mut self,
        service: ServiceId,
        to: PeerId,
        request: Option<crate::id::RequestId>,
    ) -> bool {
        let Some(hosted) = self.hosted.get_mut(&service) else { return false };
        if hosted.source.as_ref().is_some_and(|source| source.purpose() != Purpose::Handover) {
            let (cx, net, packages) = (&mut self.cx, &mut self.net, &mut self.packages);
            hosted.abort_handover(cx, net, packages, "a handover comes first");
        }
        let changing = hosted.group.is_joint() || hosted.group.is_changing();
        changing && hosted.source.is_none() && self.hand_over_later(service, to, request)
    }

    pub(crate) fn refuse(&mut self, to: PeerId, service: ServiceId, id: u64, reason: String) {
        let reason = reason.chars().take(400).collect();
        let message = Control::Handover { service, id, step: Step::Refuse { reason } };
        self.net.send(&mut self.cx, to, Lane::Control, &message);
    }

    pub(crate) fn finish_wanted(&mut self, service: ServiceId) {
        for request in self.targets.take_wanted(&service).into_iter().flat_map(|wanted| wanted.requests) {
            self.cx.put(Output::Answer { request, result: Ok(Answer::Done) });
        }
    }

    pub(crate) fn fail_wanted(&mut self, service: ServiceId, from: PeerId, reason: &str) {
        if self.targets.wants(&service, from) {
            for request in self.targets.take_wanted(&service).into_iter().flat_map(|w| w.requests) {
                let result = Err(Error::Refused(reason.to_owned()));
                self.cx.put(Output::Answer { request, result });
            }
        }
    }

    /// The host cannot give the service away at this moment: ask again, whoever serves then.
    pub(crate) fn want_later(&mut self, service: ServiceId, from: PeerId, retry_ms: u32) {
        if self.targets.wants(&service, from) {
            if let Some(wanted) = self.targets.take_wanted(&service) {
                let wait = Millis(u64::from(retry_ms).clamp(100, 60_000));
                self.host_later(wait, wanted);
            }
        }
    }
}
