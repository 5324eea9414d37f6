//! A newer version of a service that runs in other tabs: whoever serves it says whether it runs there, and its publisher
//! waits for that. A version that nobody takes is not the service's: its record gives way to the one before.

use std::collections::{BTreeMap, BTreeSet};

use serde_bytes::ByteBuf;

use crate::id::{PackageId, PeerId, ServiceId};
use crate::io::{Error, Lane};
use crate::node::Node;
use crate::registry::{ServiceRecord, Validated, SERVICE_LIFETIME};
use crate::time::{Millis, Time};
use crate::wire::{Control, MAX_REASON};

/// How long those who serve may take.
const WITHIN: Millis = Millis::secs(30);
/// Answers that are kept of one version: hosts come and go meanwhile, and strangers may answer too.
const MAX_ANSWERS: usize = 16;

/// Whom a publisher waits for.
#[derive(Debug)]
pub(crate) struct Asked {
    since: Time,
    /// Who was told, and can be reached.
    waiting: BTreeSet<PeerId>,
    /// What peers answered: why they did not take it, if so.
    answers: BTreeMap<PeerId, Option<String>>,
    /// The record before.
    before: Vec<u8>,
}

/// What the answers so far come to.
enum Verdict {
    Open,
    Taken,
    Refused(String),
    Unreachable,
}

impl Node {
    /// Tells those who serve elsewhere of a newer version of a service of this node's own; they answer.
    pub(crate) fn ask_servers(&mut self, service: ServiceId, package: PackageId, record: Vec<u8>) {
        let before = self.directory.index().service_bytes(service).map(<[u8]>::to_vec).unwrap_or_default();
        let waiting = self.spread_record(service, record);
        let asked = Asked { since: self.cx.now, waiting, answers: BTreeMap::new(), before };
        if let Some(publishing) = self.publishing.get_mut(&package) {
            publishing.asked = Some(asked);
        }
        self.weigh_answers(package);
    }

    /// A record of this node's own reaches those who serve from here, or through the relays. Gives those who can be reached
    /// from here and may serve by that record.
    fn spread_record(&mut self, service: ServiceId, record: Vec<u8>) -> BTreeSet<PeerId> {
        self.directory.learn(&self.cx, &mut self.net, &record);
        let news = Control::Records(vec![ByteBuf::from(record.clone())]);
        let mut told = self.servers_elsewhere(service);
        told.retain(|host| self.net.send_or_dial(&mut self.cx, *host, Lane::Control, &news));
        // A copy here may serve next.
        self.on_service_record(service);
        self.directory.push_to_relays(&mut self.cx, &mut self.net, vec![record], None);
        told
    }

    /// Who serves, as far as is known here: a member of its group knows who leads it.
    pub(crate) fn servers_elsewhere(&self, service: ServiceId) -> BTreeSet<PeerId> {
        let group = self.hosted.get(&service).map(|hosted| &hosted.group);
        let leader = group.and_then(|group| group.leader()).map(|member| member.peer);
        self.known_hosts(service).into_iter().chain(leader).filter(|peer| *peer != self.cx.me).collect()
    }

    /// Whoever serves tells the publisher how it went.
    pub(crate) fn tell_publisher(&mut self, service: ServiceId, package: PackageId, refused: Option<&str>) {
        let Some(record) = self.directory.index().service(service, self.cx.now) else { return };
        let (publisher, refused) = (record.publisher, refused.map(shortened));
        if record.package == package && publisher != self.cx.me {
            // Whoever serves since a moment ago is a stranger to the publisher, and strangers' answers do not count.
            if let Some(records) = self.renew_record(service) {
                let news = Control::Records(records.map(ByteBuf::from).to_vec());
                self.net.send_or_dial(&mut self.cx, publisher, Lane::Control, &news);
            }
            // The relays get theirs with the next renewal.
            if let Some(hosted) = self.hosted.get_mut(&service) {
                hosted.renew_at = self.cx.now;
            }
            let answer = Control::Version { service, package, refused };
            self.net.send_or_dial(&mut self.cx, publisher, Lane::Control, &answer);
        }
    }

    /// The publisher named a version: one that runs here, or was taken back, is not tried again.
    pub(crate) fn answer_publisher(&mut self, service: ServiceId, package: PackageId) {
        let Some(hosted) = self.hosted.get(&service).filter(|hosted| hosted.is_serving()) else { return };
        let runs = hosted.instance.as_ref().map(|instance| instance.machine().package);
        if hosted.unwanted == Some(package) {
            self.tell_publisher(service, package, Some("it did not take the state over before"));
        } else if runs == Some(package) && hosted.package == runs {
            self.tell_publisher(service, package, None);
        }
    }

    /// Somebody says whether a version runs there.
    pub(crate) fn on_version(&mut self, from: PeerId, package: PackageId, refused: Option<String>) {
        let Some(service) = self.publishing.get(&package).map(|publishing| publishing.service) else {
            return;
        };
        let servers = self.servers_elsewhere(service);
        let asked = self.publishing.get_mut(&package).and_then(|publishing| publishing.asked.as_mut());
        if let Some(asked) = asked {
            let counts = |peer: &PeerId| asked.waiting.contains(peer) || servers.contains(peer);
            // Strangers' answers make room for one that counts.
            if asked.answers.len() >= MAX_ANSWERS && counts(&from) {
                asked.answers.retain(|peer, _| counts(peer));
            }
            if asked.answers.len() < MAX_ANSWERS || counts(&from) {
                asked.answers.insert(from, refused);
            }
            self.weigh_answers(package);
        }
    }

    /// Whom nobody reaches is not waited for.
    pub(crate) fn on_unreachable_server(&mut self, peer: PeerId) {
        let mut lost = Vec::new();
        for (package, publishing) in &mut self.publishing {
            if publishing.asked.as_mut().is_some_and(|asked| asked.waiting.remove(&peer)) {
                lost.push(*package);
            }
        }
        lost.into_iter().for_each(|package| self.weigh_answers(package));
    }

    /// Who serves changed, or time went by: what was answered may count now, or is not waited for any more.
    pub(crate) fn keep_asking(&mut self) {
        let asked = self.publishing.iter().filter(|(_, publishing)| publishing.asked.is_some());
        for package in asked.map(|(package, _)| *package).collect::<Vec<_>>() {
            self.weigh_answers(package);
        }
    }

    fn weigh_answers(&mut self, package: PackageId) {
        let Some(publishing) = self.publishing.get(&package) else { return };
        let Some(asked) = &publishing.asked else { return };
        let service = publishing.service;
        let late = self.cx.now.since(asked.since) >= WITHIN;
        // What comes here, or may, is still to be tried here.
        let copy = self.hosted.get(&service).filter(|hosted| hosted.instance.is_some());
        let is_open_here = copy.is_some_and(|hosted| hosted.package != Some(package) || hosted.is_serving());
        let verdict = match verdict(asked, &self.servers_elsewhere(service), late) {
            Verdict::Unreachable if is_open_here => Verdict::Open,
            verdict => verdict,
        };
        match verdict {
            Verdict::Taken | Verdict::Unreachable => self.on_published(service),
            Verdict::Refused(reason) => {
                self.take_version_back(package, &reason);
            }
            Verdict::Open if late => {
                if let Some(publishing) = self.publishing.remove(&package) {
                    let unknown =
                        "those who serve it have not said whether the new version runs; it may run yet"
                            .to_owned();
                    self.answer(publishing.request, Err(Error::UnknownOutcome(unknown)));
                }
            }
            Verdict::Open => {}
        }
    }

    /// Nobody who serves takes a version: the record before is valid again. False if nobody was asked.
    pub(crate) fn take_version_back(&mut self, package: PackageId, reason: &str) -> bool {
        let asked = self.publishing.get_mut(&package).and_then(|publishing| publishing.asked.take());
        let Some(asked) = asked else { return false };
        let Some(publishing) = self.publishing.remove(&package) else { return false };
        let service = publishing.service;
        if let Ok(Validated::Service(before)) = Validated::decode(&asked.before) {
            let now = self.cx.now;
            let known = self.directory.index().service(service, now).map_or(0, |record| record.sequence);
            let (sequence, expires) = ((known + 1).max(now.0), now + SERVICE_LIFETIME);
            let record = ServiceRecord { sequence, created: now, expires, ..before };
            if let Ok(record) = record.encode(&self.secret) {
                self.spread_record(service, record);
            }
        }
        let words =
            format!("those who serve it did not take the new version ({reason}); the one before goes on");
        self.answer(publishing.request, Err(Error::InvalidPackage(words)));
        true
    }
}

/// Only who was told, or serves now, counts; one that took it is enough, since others follow.
fn verdict(asked: &Asked, servers: &BTreeSet<PeerId>, late: bool) -> Verdict {
    let counts = |peer: &PeerId| asked.waiting.contains(peer) || servers.contains(peer);
    let answers = || asked.answers.iter().filter(|(peer, _)| counts(peer));
    if answers().any(|(_, refused)| refused.is_none()) {
        return Verdict::Taken;
    }
    let silent = asked.waiting.iter().any(|peer| !asked.answers.contains_key(peer));
    match answers().find_map(|(_, refused)| refused.clone()) {
        Some(reason) if late || !silent => Verdict::Refused(reason),
        None if asked.waiting.is_empty() => Verdict::Unreachable,
        _ => Verdict::Open,
    }
}

/// At most [`MAX_REASON`] bytes of a reason.
fn shortened(reason: &str) -> String {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Publishing;
    use crate::handover::hostile_tests::{host, other, record, service};
    use crate::id::{Hash, RequestId};
    use crate::io::{Input, Output};
    use crate::node::Moved;

    const SUCCESSOR: PeerId = PeerId([7; 32]);

    #[test]
    fn strangers_answers_are_bounded_and_keep_nobody_who_serves_from_being_heard() {
        let mut node = host();
        node.remove_hosted(service(), None);
        let package = PackageId(Hash([5; 32]));
        let waiting = BTreeSet::from([PeerId([8; 32])]);
        let asked = Asked { since: node.cx.now, waiting, answers: BTreeMap::new(), before: Vec::new() };
        let publishing = Publishing {
            request: RequestId(1),
            service: service(),
            name: "counter@x".to_owned(),
            record: Vec::new(),
            epoch: 1,
            proposed: None,
            asked: Some(asked),
        };
        node.publishing.insert(package, publishing);
        for stranger in 100..200 {
            node.on_version(PeerId([stranger; 32]), package, Some("no".to_owned()));
        }
        let asked = node.publishing.get(&package).and_then(|publishing| publishing.asked.as_ref());
        assert_eq!(asked.map(|asked| asked.answers.len()), Some(MAX_ANSWERS));
        // Who was asked handed the service over meanwhile.
        let until = node.cx.now + Millis::secs(30);
        let moved = Moved { to: SUCCESSOR, authority: (1, 2), until, late_until: until };
        node.moved.insert(service(), moved);
        node.on_version(SUCCESSOR, package, None);
        let answered = std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
            Output::Answer { request: RequestId(1), result } => Some(result.is_ok()),
            _ => None,
        });
        assert_eq!(answered, Some(true));
    }

    #[test]
    fn a_publisher_that_names_a_version_many_times_is_answered_once() {
        let mut node = host();
        let Ok(Validated::Service(known)) = Validated::decode(&record()) else {
            panic!("a service's record")
        };
        let record = ServiceRecord { publisher: other(), ..known };
        let (theirs, package) = (record.service(), record.package);
        let record = record.encode(&[2; 32]).unwrap();
        let mut hosted = node.hosted.remove(&service()).unwrap();
        (hosted.service, hosted.package) = (theirs, Some(package));
        node.hosted.insert(theirs, hosted);
        let frame = crate::wire::encode(&Control::Records(vec![ByteBuf::from(record); 48]));
        node.handle(node.cx.now, Input::Received { peer: other(), lane: Lane::Control, frame });
        let answers = std::iter::from_fn(|| node.poll_output()).filter(|output| {
            let Output::Send { peer, lane: Lane::Control, frame } = output else { return false };
            let message: Result<Control, _> = crate::wire::decode(frame);
            *peer == other() && message == Ok(Control::Version { service: theirs, package, refused: None })
        });
        assert_eq!(answers.count(), 1);
    }
}
