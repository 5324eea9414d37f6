//! What the node does for the services that it takes part in: instances, handovers, upgrades.

use std::collections::BTreeSet;

use crate::commands::Publishing;
use crate::group::Group;
use crate::handover::source::{Purpose, Verdict};
use crate::handover::target::Seed;
use crate::hosting::{pass_on, Happened, Hosted, Incoming};
use crate::id::{BlobId, InstanceId, PackageId, PeerId, ServiceId};
use crate::instance::Instance;
use crate::io::{Error, Event, Lane, Output, VolunteerPolicy};
use crate::node::{Moved, Node};
use crate::session::server::post;
use crate::session::NOT_PERMITTED;
use crate::standby::Ended;
use crate::time::Millis;
use crate::wire::{ClientFrame, Control, ServerBody, ServerFrame, Step};

/// Gas that one core executes in a second, roughly (guess, from the instrumenter's measurements).
pub(crate) const GAS_PER_CORE: u64 = 1_000_000_000;
const BYTES_PER_KBIT: u64 = 125;
/// Without any way out nothing would ever be answered: bytes that a service may send in a second at least.
const LEAST_OUTPUT: u64 = 1000;
/// How long a former host tells stragglers where the service went (docs/protocols/handover.md).
const FORWARD_FOR: Millis = Millis::secs(30);
/// How long a former host passes on late datagrams.
const LATE_FOR: Millis = Millis::secs(2);
/// A member that hears of no leader for this long is not wanted any more, or alone: it gives up.
const LEADERLESS: Millis = Millis::secs(60);
/// The same for a replica that holds state.
const ORPHANED: Millis = Millis::secs(600);

impl Node {
    pub(crate) fn on_client_frame(&mut self, from: PeerId, frame: ClientFrame) {
        let service = frame.service;
        if let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.instance.is_some()) {
            let known = hosted.package.and_then(|package| self.packages.get(&package));
            if !known.is_none_or(|known| known.package.permits_access(&from)) {
                let authority = (hosted.group.epoch(), hosted.group.term());
                let body = ServerBody::Gone { reason: NOT_PERMITTED.to_owned() };
                post(&mut self.cx, &mut self.net, service, (from, frame.session), authority, 0, body);
                return;
            }
            let permitted = known.is_none_or(|known| known.package.manifest.permissions.datagrams);
            if frame.is_datagram() && !permitted && hosted.group.leads() {
                let authority = (hosted.group.epoch(), hosted.group.term());
                let key = (from, frame.session);
                post(&mut self.cx, &mut self.net, service, key, authority, 0, ServerBody::NoDatagrams);
                return;
            }
            hosted.handle_client(&mut self.cx, &mut self.net, from, frame);
            self.dirty.insert(service);
            return;
        }
        let (to, authority) = match self.moved.get(&service) {
            Some(moved) if self.cx.now < moved.late_until && frame.is_datagram() => {
                pass_on(&mut self.cx, &mut self.net, moved.to, from, &frame);
                return;
            }
            Some(moved) => (Some(moved.to), moved.authority),
            None => (None, (0, 0)),
        };
        let body = ServerBody::Moved { to };
        post(&mut self.cx, &mut self.net, service, (from, frame.session), authority, 0, body);
    }

    /// A datagram that its consumer sent to who served before (docs/protocols/handover.md).
    pub(crate) fn on_late_frame(&mut self, from: PeerId, consumer: PeerId, frame: ClientFrame) {
        let now = self.cx.now;
        let Some(hosted) = self.hosted.get(&frame.service) else { return };
        if frame.is_datagram() && hosted.group.leads() && hosted.takes_late_from(now, from) {
            // Only the consumer itself says what it has.
            self.on_client_frame(consumer, ClientFrame { ack: 0, ..frame });
        }
    }

    pub(crate) fn on_server_frame(&mut self, from: PeerId, frame: ServerFrame) {
        let session =
            self.sessions.values().find(|s| s.wire_id() == frame.session && s.service == frame.service);
        let Some(session) = session.filter(|session| session.hears(from)) else { return };
        let id = session.id;
        self.with_session(id, |session, now, out| session.handle_frame(now, from, frame, out));
    }

    /// Moves a service along and does what follows from it.
    pub(crate) fn pump(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        for happened in hosted.pump(&mut self.cx, &mut self.net) {
            let Some(hosted) = self.hosted.get_mut(&service) else { return };
            match happened {
                Happened::Serving => {
                    hosted.on_handover_serving(&mut self.cx, &mut self.net, &mut self.packages);
                    self.on_serving(service);
                }
                Happened::Image(image) => {
                    self.store_checkpoint(service, &image);
                    self.go_on_leaving();
                    let Some(hosted) = self.hosted.get_mut(&service) else { return };
                    let verdict =
                        hosted.on_handover_image(&mut self.cx, &mut self.net, &mut self.packages, &image);
                    self.on_verdict(service, verdict);
                }
                Happened::Configured => {
                    hosted.on_handover_configured(&mut self.cx, &mut self.packages);
                    self.on_configured(service);
                }
                Happened::Led(leader) => {
                    let waits = hosted.newer;
                    self.pass_newer_on(service, waits, leader);
                    let Some(hosted) = self.hosted.get_mut(&service) else { return };
                    let verdict = hosted.on_handover_led(&mut self.cx, &mut self.packages, leader);
                    self.on_verdict(service, verdict);
                    self.on_authority_changed(service);
                }
                Happened::Needs(package) => self.get_package(service, package),
                Happened::Upgraded(upgraded) => self.on_upgraded(service, &upgraded),
                Happened::Broken(reason) => self.on_broken(service, reason),
            }
        }
        self.heed_newer(service);
    }

    /// Makes a service of a prepared package here, from nothing.
    pub(crate) fn found(
        &mut self,
        package: PackageId,
        record: Vec<u8>,
        epoch: u64,
    ) -> Result<ServiceId, String> {
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        let (service, name) = (known.package.service(), known.package.full_name());
        if self.hosted.contains_key(&service) {
            return Err("this node takes part in the service already".to_owned());
        }
        let manifest = known.package.manifest.clone();
        let wanted = known.package.manifest.state.voters().max(1);
        let id = self.new_instance(service);
        let instance = Instance::new(&mut self.cx, id, package, 0, None);
        let group = Group::found(&mut self.cx, epoch, 0, 0);
        let mut hosted = Hosted::new(&self.cx, service, name, group, Some(instance));
        hosted.record = record;
        hosted.runs(package, &manifest);
        hosted.wanted = wanted;
        self.insert_hosted(hosted);
        Ok(service)
    }

    pub(crate) fn on_verdict(&mut self, service: ServiceId, verdict: Verdict) {
        match verdict {
            Verdict::On => {}
            Verdict::Aborted => {
                self.dirty.insert(service);
                self.on_configured(service);
                self.on_authority_changed(service);
                self.go_on_leaving();
            }
            Verdict::Out { to, authority } => self.remove_hosted(service, Some((to, authority))),
            Verdict::Done => {
                self.dirty.insert(service);
                self.go_on_leaving();
            }
            Verdict::Resume(epoch) => {
                let Some(hosted) = self.hosted.get_mut(&service) else { return };
                let Some(instance) = &hosted.instance else { return };
                // The log goes on in a new epoch, from what is executed.
                let (index, term) = (instance.executed(), hosted.group.term());
                hosted.restart(Group::found(&mut self.cx, epoch, index, term));
                self.dirty.insert(service);
                self.go_on_leaving();
            }
        }
    }

    pub(crate) fn on_handover_step(&mut self, from: PeerId, service: ServiceId, id: u64, step: Step) {
        match &step {
            Step::Want => return self.on_want(from, service, id),
            Step::Offer { record, manifest, signature, succession, standby } => {
                let signed = (manifest, signature);
                let offered = self.on_offer(from, service, id, record, signed, succession, *standby);
                if let Err(reason) = offered {
                    self.refuse(from, service, id, reason);
                }
                return;
            }
            Step::AskWitness { name } => return self.on_ask_witness(from, service, id, name.clone()),
            Step::Seed { image, image_bytes, start, sealed, succession, replica } => {
                let (cx, net, packages) = (&mut self.cx, &mut self.net, &mut self.packages);
                let image = (*image, *image_bytes);
                let seed = Seed {
                    start: start.clone(),
                    sealed: *sealed,
                    succession: succession.clone(),
                    replica: *replica,
                };
                return self.targets.on_seed(cx, net, packages, service, from, id, image, seed);
            }
            Step::AskWarm => {
                let hosted = self.hosted.get_mut(&service);
                if let Some(hosted) = hosted.filter(|hosted| hosted.is_led_by(from)) {
                    hosted.incoming = Some(Incoming { id, source: from, replica: false });
                    hosted.forget_warm();
                    self.dirty.insert(service);
                }
                return;
            }
            Step::TakeOver { index, tail } => {
                if let Some(hosted) = self.hosted.get_mut(&service) {
                    hosted.on_take_over(from, id, Ended { index: *index, tail: tail.clone() });
                    self.dirty.insert(service);
                }
                return;
            }
            Step::SeedWitness { start } => {
                if !self.may_become_witness(from, service) {
                    return;
                }
                let hosted =
                    self.targets.on_seed_witness(&mut self.cx, &mut self.net, service, from, id, start);
                if let Some(hosted) = hosted {
                    self.remove_hosted(service, None);
                    self.insert_hosted(hosted);
                }
                return;
            }
            Step::Refuse { reason } => {
                self.targets.on_refuse(&service, from, id);
                self.fail_wanted(service, from, reason);
            }
            Step::Busy { retry_ms } => return self.want_later(service, from, *retry_ms),
            Step::Release { epoch, term } if self.is_released(from, service, (*epoch, *term)) => {
                return self.remove_hosted(service, Some((from, (*epoch, *term))));
            }
            _ => {}
        }
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        // A refusal alone takes no member out: the group may need its vote until it is released.
        if matches!(step, Step::Refuse { .. }) {
            hosted.forget_incoming(from, id);
        }
        let verdict = hosted.on_source_step(&mut self.cx, &mut self.net, &mut self.packages, from, id, &step);
        self.dirty.insert(service);
        self.on_verdict(service, verdict);
    }

    pub(crate) fn on_blob(&mut self, blob: BlobId, result: Result<Vec<u8>, String>) {
        self.packages.on_blob(&mut self.cx, blob, &result);
        self.on_package_blob(blob, &result);
        let arrival = self.targets.on_blob(&mut self.cx, &mut self.net, &self.packages, blob, &result);
        if let Some((service, arrival)) = arrival {
            // It may have been founded here since the offer: what serves is never replaced by what a peer sent.
            let (source, id) = arrival.handover();
            if self.hosted.contains_key(&service) && !self.may_be_replaced(source, service, true) {
                let reason = "this node takes part in the service already".to_owned();
                return self.refuse(source, service, id, reason);
            }
            self.remove_hosted(service, None);
            let id = self.new_instance(service);
            let hosted = arrival.start(&mut self.cx, &self.packages, service, id);
            self.insert_hosted(hosted);
        }
    }

    /// Sets the volunteer policy; gas and bandwidth hold at once, the others for what comes.
    pub(crate) fn set_policy(&mut self, policy: Option<VolunteerPolicy>) {
        self.policy = policy;
        self.apply_limits();
        self.cx.signal(crate::cx::Signal::HelloChanged);
        self.cx.event(Event::Status);
    }

    /// Members that nobody leads any more. A replica with state waits longer: the others may come back.
    pub(crate) fn drop_leaderless(&mut self) {
        let now = self.cx.now;
        let lost = |hosted: &Hosted| {
            let patience = if hosted.wanted > 1 && hosted.instance.is_some() { ORPHANED } else { LEADERLESS };
            hosted.group.leaderless_for(now) >= patience
        };
        let lost: Vec<ServiceId> =
            self.hosted.iter().filter(|(_, hosted)| lost(hosted)).map(|(service, _)| *service).collect();
        for service in lost {
            self.on_broken(service, "no majority of its group could be reached in time".to_owned());
        }
    }

    /// Forgets a service; `to` is told to whoever still asks here.
    pub(crate) fn remove_hosted(&mut self, service: ServiceId, to: Option<(PeerId, (u64, u64))>) {
        let Some(mut hosted) = self.hosted.remove(&service) else { return };
        if hosted.source.is_some() {
            hosted.abort_handover(
                &mut self.cx,
                &mut self.net,
                &mut self.packages,
                "the service stopped here",
            );
        }
        if let Some(instance) = &hosted.instance {
            instance.stop(&mut self.cx);
            self.instances.remove(&instance.id());
        }
        self.forget_checkpoint(&hosted);
        if let Some((to, authority)) = to {
            self.pass_newer_on(service, hosted.newer, to);
            // The release may come before this node hears who leads: what waited for that goes on now.
            for (consumer, frame) in hosted.server.take_held() {
                pass_on(&mut self.cx, &mut self.net, to, consumer, &frame);
            }
            let (until, late_until) = (self.cx.now + FORWARD_FOR, self.cx.now + LATE_FOR);
            self.moved.insert(service, Moved { to, authority, until, late_until });
        }
        self.cx.event(Event::Hosting { service: hosted.name });
        self.cx.signal(crate::cx::Signal::HelloChanged);
        self.apply_limits();
        self.sessions_leave_here(service);
        self.go_on_leaving();
    }

    pub(crate) fn insert_hosted(&mut self, hosted: Hosted) {
        let (service, name) = (hosted.service, hosted.name.clone());
        self.moved.remove(&service);
        self.hosted.insert(service, hosted);
        self.dirty.insert(service);
        self.apply_limits();
        self.cx.event(Event::Hosting { service: name });
    }

    pub(crate) fn new_instance(&mut self, service: ServiceId) -> InstanceId {
        self.next_instance += 1;
        let id = InstanceId(self.next_instance);
        self.instances.insert(id, service);
        id
    }

    pub(crate) fn on_serving(&mut self, service: ServiceId) {
        self.on_configured(service);
        self.on_authority_changed(service);
        // What was founded here serves. A newer version is published once it has taken the state over.
        let instance = self.hosted.get(&service).and_then(|hosted| hosted.instance.as_ref());
        let runs = instance.map(|instance| instance.machine().package);
        let waits = |p: &Publishing| p.proposed.is_some() || p.asked.is_some();
        if self.publishing.iter().any(|(id, p)| p.service == service && runs == Some(*id) && !waits(p)) {
            self.on_published(service);
        }
        self.finish_wanted(service);
    }

    /// This node serves a group at rest: whoever else was a member is released.
    pub(crate) fn on_configured(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let rests = !hosted.group.is_joint() && !hosted.group.is_changing();
        if !hosted.is_serving() || !rests || hosted.wanted == 1 && hosted.group.voters().len() > 1 {
            return;
        }
        hosted.former.extend(hosted.incoming.map(|incoming| incoming.source));
        let before = hosted.incoming.map(|incoming| (incoming.source, self.cx.now + LATE_FOR));
        hosted.before = before.or(hosted.before);
        let members: BTreeSet<PeerId> = hosted.group.members().values().map(|member| member.peer).collect();
        let gone = hosted.former.difference(&members).copied().collect::<Vec<_>>();
        hosted.former = members;
        hosted.former.remove(&self.cx.me);
        hosted.release_others(&mut self.cx, &mut self.net, gone);
        hosted.announce_replicas(&mut self.cx, &mut self.net);
        if let Some(incoming) = hosted.incoming.take() {
            self.cx.event(Event::Handover {
                service: hosted.name.clone(),
                from: incoming.source.to_string(),
                to: self.cx.me.to_string(),
                step: "done".to_owned(),
                reason: String::new(),
            });
            // The host before forgets its checkpoint now.
            self.keep_checkpoints();
        }
    }

    pub(crate) fn on_authority_changed(&mut self, service: ServiceId) {
        if let Some(hosted) = self.hosted.get(&service) {
            self.cx.event(Event::Hosting { service: hosted.name.clone() });
        }
        self.cx.signal(crate::cx::Signal::HelloChanged);
        self.renew_records();
    }

    pub(crate) fn on_broken(&mut self, service: ServiceId, reason: String) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let name = hosted.name.clone();
        if let Some(incoming) = hosted.incoming {
            let step = Step::Refuse { reason: reason.chars().take(400).collect() };
            let message = Control::Handover { service, id: incoming.id, step };
            self.net.send(&mut self.cx, incoming.source, Lane::Control, &message);
        }
        // What is on disk stays: a fault of this host's is no end of the service.
        hosted.saved = Default::default();
        self.remove_hosted(service, None);
        if !self.fail_publish(service, &reason) {
            let message = format!("{name} stopped here: {reason}");
            self.cx.event(Event::Error { code: "trapped".to_owned(), message });
        }
    }

    /// Begins a handover; its refusal is the command's answer.
    pub(crate) fn hand_over(
        &mut self,
        service: ServiceId,
        to: PeerId,
        request: Option<crate::id::RequestId>,
    ) {
        let id = self.cx.random_id();
        if self.hands_over_later(service, to, request) {
            return;
        }
        if let Some(hosted) = self.hosted.get_mut(&service) {
            let chain = hosted.succession.extended(service, to, &self.secret);
            let (cx, net, packages) = (&mut self.cx, &mut self.net, &self.packages);
            hosted.start_source(cx, net, packages, id, chain, request, Purpose::Handover);
            self.dirty.insert(service);
        } else if let Some(request) = request {
            let result = Err(Error::Refused("the service is not served here".to_owned()));
            self.cx.put(Output::Answer { request, result });
        }
    }

    /// What a person grants of the processor and of the way out is divided among what runs here.
    pub(crate) fn apply_limits(&mut self) {
        let running = self.hosted.values_mut().filter(|hosted| hosted.instance.is_some());
        let mut running: Vec<&mut Hosted> = running.collect();
        let policy = self.policy.as_ref();
        let gas = policy.map(|policy| policy.gas_per_second() / running.len().max(1) as u64);
        let asked: Vec<u32> = running.iter().map(|hosted| hosted.up_kbps).collect();
        let outputs = policy.map(|policy| output_shares(policy.up_kbps, &asked));
        for (at, hosted) in running.iter_mut().enumerate() {
            let output = outputs.as_ref().and_then(|outputs| outputs.get(at).copied());
            hosted.instance.iter_mut().for_each(|instance| instance.limit(self.cx.now, gas, output));
        }
    }
}

/// Bytes per second that each service may send: what its manifest asks for in kbit/s and an equal part of the rest; where a
/// person grants less than what runs was promised, all have less.
fn output_shares(granted: u32, asked: &[u32]) -> Vec<u64> {
    let (granted, running) = (u64::from(granted), asked.len().max(1) as u64);
    let sum: u64 = asked.iter().map(|kbps| u64::from(*kbps)).sum();
    let rest = granted.saturating_sub(sum) / running;
    let own = |kbps: u32| u64::from(kbps) * granted.min(sum) / sum.max(1);
    asked.iter().map(|kbps| ((own(*kbps) + rest) * BYTES_PER_KBIT).max(LEAST_OUTPUT)).collect()
}

#[cfg(test)]
mod tests {
    use super::output_shares;

    #[test]
    fn what_is_promised_comes_first_and_nobody_has_more_than_is_granted() {
        assert_eq!(output_shares(2000, &[0]), [250_000]);
        assert_eq!(output_shares(2000, &[1000, 0]), [187_500, 62_500], "an equal part of what is left");
        assert_eq!(output_shares(500, &[1000, 1000, 0]), [31_250, 31_250, 1000], "less than was promised");
        assert_eq!(output_shares(0, &[0, 8]), [1000, 1000], "without any way out nothing would be answered");
        assert_eq!(output_shares(2000, &[]), [] as [u64; 0]);
    }
}
