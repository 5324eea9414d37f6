//! What a node that serves answers to peers that lie, and to others that serve as well.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;

use super::source::{At, Purpose, Source};
use crate::group::Group;
use crate::hosting::Hosted;
use crate::id::{Hash, InstanceId, PackageId, PeerId, ServiceId, SessionId};
use crate::instance::Instance;
use crate::io::{Config, Input, Lane, Output, Path, Role};
use crate::manifest::{Permit, StateKind};
use crate::node::Node;
use crate::registry::{Genesis, HostRecord, ServiceRecord, Succession, HOST_LIFETIME};
use crate::sandbox::{EventKind, Outcome, SandboxCommand, SandboxEvent};
use crate::time::{Millis, Time};
use crate::wire::{
    self, ClientBody, ClientFrame, Control, Hello, ServerBody, ServerFrame, SessionFrame, SessionInput, Step,
};

pub(crate) const NOW: Time = Time(1_000_000_000);
const SECRET: [u8; 32] = [1; 32];
const OTHER_SECRET: [u8; 32] = [2; 32];
const CONSUMER: PeerId = PeerId([3; 32]);

fn peer(secret: [u8; 32]) -> PeerId {
    PeerId(SigningKey::from_bytes(&secret).verifying_key().to_bytes())
}

pub(crate) fn other() -> PeerId {
    peer(OTHER_SECRET)
}

pub(crate) fn service() -> ServiceId {
    ServiceId::new(peer(SECRET), "counter")
}

/// A node that serves a service alone, with [`other`] as its standby, connected to it and to a consumer.
pub(crate) fn host() -> Node {
    let config = Config { secret_key: SECRET, role: Role::Tab, name: String::new(), seed: [7; 32] };
    let mut node = Node::new(config, NOW);
    for peer in [other(), CONSUMER] {
        node.handle(NOW, Input::Connected { peer, path: Path::Direct });
    }
    let group = Group::found(&mut node.cx, 1, 0, 0);
    let mut instance = Instance::new(&mut node.cx, InstanceId(1), PackageId(Hash([4; 32])), 0, None);
    instance.on_created(&mut node.cx);
    let hosted = Hosted::new(&node.cx, service(), "counter@x".to_owned(), group, Some(instance));
    node.instances.insert(InstanceId(1), service());
    node.insert_hosted(hosted);
    node.handle(NOW, Input::Wake);
    assert!(hosted_by(&mut node).group.add_learner(9, other()));
    node.dirty.insert(service());
    node.handle(NOW, Input::Wake);
    assert!(hosted_by(&mut node).is_serving() && hosted_by(&mut node).group.is_learner(9));
    while node.poll_output().is_some() {}
    node
}

pub(crate) fn hosted_by(node: &mut Node) -> &mut Hosted {
    node.hosted.get_mut(&service()).unwrap()
}

/// The service's record.
pub(crate) fn record() -> Vec<u8> {
    let record = ServiceRecord {
        name: "counter".into(),
        publisher: peer(SECRET),
        sequence: NOW.0,
        package: PackageId(Hash([4; 32])),
        version: "1.0.0".into(),
        description: String::new(),
        tags: Vec::new(),
        state: StateKind::Single,
        location: None,
        has_ui: false,
        url: None,
        hosts: Permit::Anyone,
        genesis: Genesis { host: peer(SECRET), machine_version: 1 },
        created: NOW,
        expires: NOW + Millis::secs(3600),
        withdrawn: false,
    };
    record.encode(&SECRET).unwrap()
}

/// A tab that volunteers with so much to spare greets the node, and says what it hosts.
pub(crate) fn meets(node: &mut Node, peer: PeerId, capacity: u32, hosting: &[&str]) {
    node.handle(NOW, Input::Connected { peer, path: Path::Direct });
    let hello = Hello {
        role: Role::Tab,
        name: String::new(),
        volunteer: true,
        witness: true,
        capacity,
        busy: 0,
        hosting: hosting.iter().map(ToString::to_string).collect(),
        addresses: Vec::new(),
    };
    let frame = wire::encode(&Control::Hello(hello));
    node.handle(NOW, Input::Received { peer, lane: Lane::Control, frame });
}

/// The host has offered its service to [`other`].
pub(crate) fn offers(node: &mut Node) {
    hands_over(node, At::Offer);
}

fn hands_over(node: &mut Node, at: At) {
    hosted_by(node).source = Some(Source {
        id: 5,
        purpose: Purpose::Handover,
        request: None,
        target: other(),
        target_raft: 0,
        witnesses: Vec::new(),
        witness: None,
        at,
        until: NOW + Millis::secs(30),
        seeded: BTreeSet::new(),
        image: None,
        bytes: 0,
        state_bytes: 0,
        paused_at: None,
        pause: Millis(0),
        attempts: 0,
        slack: Millis(50),
        last_warm: None,
        succession: Succession::of(other()),
    });
}

fn heard(node: &mut Node, peer: PeerId, lane: Lane) -> Vec<Vec<u8>> {
    let sent = std::iter::from_fn(|| node.poll_output());
    let heard = sent.filter_map(|output| match output {
        Output::Send { peer: to, lane: on, frame } if (to, on) == (peer, lane) => Some(frame),
        _ => None,
    });
    heard.collect()
}

#[test]
fn a_sealed_log_confirms_no_reads() {
    let ask = wire::encode(&Control::AskIndex { service: service(), token: 1 });
    let mut node = host();
    node.handle(NOW, Input::Received { peer: other(), lane: Lane::Control, frame: ask.clone() });
    assert_eq!(heard(&mut node, other(), Lane::Control).len(), 1);
    hands_over(&mut node, At::Confirm);
    node.handle(NOW, Input::Received { peer: other(), lane: Lane::Control, frame: ask });
    assert!(heard(&mut node, other(), Lane::Control).is_empty(), "the target may serve already");
}

#[test]
fn what_is_passed_on_acknowledges_nothing_for_its_consumer() {
    let mut node = host();
    let hosted = hosted_by(&mut node);
    hosted.server.on_state_lost();
    hosted.before = Some((other(), NOW + Millis::secs(2)));
    let body = ClientBody::Datagram { seq: 1, body: ByteBuf::new() };
    let frame = ClientFrame { service: service(), session: SessionId(1), ack: u64::MAX, body };
    node.on_late_frame(other(), CONSUMER, frame);
    let gone = |frame: &Vec<u8>| {
        let frame = SessionFrame::decode(Lane::Session, frame);
        matches!(frame, Ok(SessionFrame::Server(ServerFrame { body: ServerBody::Gone { .. }, .. })))
    };
    assert!(!heard(&mut node, CONSUMER, Lane::Session).iter().any(gone), "nobody else ends its session");
}

#[test]
fn nobody_joins_under_the_id_of_a_member() {
    for id in [9, 0] {
        let mut node = host();
        let own = hosted_by(&mut node).group.id();
        let raft_id = if id == 0 { own } else { id };
        hands_over(&mut node, At::Offer);
        node.on_handover_step(other(), service(), 5, Step::Ready { raft_id });
        assert!(hosted_by(&mut node).source.is_none());
    }
}

#[test]
fn a_standby_that_took_over_outranks_its_host_that_comes_back_from_disk() {
    let mut node = host();
    let (epoch, term) = (hosted_by(&mut node).group.epoch(), hosted_by(&mut node).group.term());
    let disk = Group::found(&mut node.cx, epoch + 1, 1, term);
    let hosted = node.hosted.get_mut(&service()).unwrap();
    hosted.found_next_epoch(&mut node.cx, Vec::new());
    assert!((hosted.group.epoch(), hosted.group.term()) > (disk.epoch(), disk.term()));
}

#[test]
fn of_two_hosts_in_one_epoch_the_one_in_the_lower_term_gives_way() {
    for (ahead, stays) in [(0, true), (1, false)] {
        let mut node = host();
        let (epoch, term) = (hosted_by(&mut node).group.epoch(), hosted_by(&mut node).group.term());
        let rival = HostRecord {
            service: service(),
            epoch,
            term: term - 1 + 2 * ahead,
            host: other(),
            succession: Succession::of(peer(SECRET)).extended(service(), other(), &SECRET),
            members: Vec::new(),
            addresses: Vec::new(),
            sequence: NOW.0,
            created: NOW,
            expires: NOW + HOST_LIFETIME,
        };
        for record in [record(), rival.encode(&OTHER_SECRET).unwrap()] {
            assert!(node.directory.learn(&node.cx, &mut node.net, &record));
        }
        node.give_way();
        assert_eq!(node.hosted.contains_key(&service()), stays);
    }
}

#[test]
fn a_page_that_ends_while_a_copy_is_on_its_way_is_followed_by_its_standby_all_the_same() {
    for (at, follows) in [(At::Offer, true), (At::Seed, true), (At::Confirm, false)] {
        let mut node = host();
        hands_over(&mut node, at);
        node.vanish();
        let ends = |frame: &Vec<u8>| {
            let control = wire::decode::<Control>(frame);
            matches!(control, Ok(Control::Handover { step: Step::TakeOver { .. }, .. }))
        };
        assert_eq!(heard(&mut node, other(), Lane::Control).iter().any(ends), follows, "{at:?}");
        assert_eq!(node.hosted.contains_key(&service()), !follows);
    }
}

#[test]
fn sessions_that_were_never_opened_take_no_places() {
    let mut node = host();
    let datagram = ClientBody::Datagram { seq: 1, body: ByteBuf::new() };
    let (method, body) = ("get".to_owned(), ByteBuf::new());
    let query = ClientBody::Query { id: 1, method, body, reading: None };
    for (n, body) in [ClientBody::Ack, datagram, query].into_iter().enumerate() {
        let frame = ClientFrame { service: service(), session: SessionId(n as u128), ack: 0, body };
        node.on_client_frame(CONSUMER, frame);
    }
    node.handle(NOW, Input::Wake);
    assert_eq!(hosted_by(&mut node).server.attached(), 0);
    let answered = |frame: &Vec<u8>| {
        let frame = SessionFrame::decode(Lane::Session, frame);
        matches!(frame, Ok(SessionFrame::Server(ServerFrame { body: ServerBody::Answer { .. }, .. })))
    };
    assert!(heard(&mut node, CONSUMER, Lane::Session).iter().any(answered), "it is told that there is none");
}

/// Lets the sandbox answer whatever runs: each event replies with so many bytes.
fn runs(node: &mut Node, reply: usize) -> Vec<Output> {
    let mut others = Vec::new();
    while let Some(output) = node.poll_output() {
        let Output::Sandbox(SandboxCommand::Run { instance, run, event }) = output else {
            others.push(output);
            continue;
        };
        let reply = if event.kind == EventKind::Call { vec![0; reply] } else { Vec::new() };
        let outcome = Outcome::Done { reply, effects: Vec::new(), gas: 1 };
        let now = node.cx.now;
        node.handle(now, Input::Sandbox(SandboxEvent::Ran { instance, run, outcome }));
    }
    others
}

/// Bytes of an outbox that were sent to the consumer.
fn items(outputs: &[Output]) -> usize {
    let items = outputs.iter().filter_map(|output| match output {
        Output::Send { peer: CONSUMER, lane: Lane::Session, frame } => Some(frame),
        _ => None,
    });
    let is_item = |frame: &&Vec<u8>| {
        let frame = SessionFrame::decode(Lane::Session, frame);
        matches!(frame, Ok(SessionFrame::Server(ServerFrame { body: ServerBody::Out { .. }, .. })))
    };
    items.filter(is_item).map(Vec::len).sum()
}

#[test]
fn who_asks_for_an_outbox_again_and_again_gets_it_now_and_then() {
    const REPLY: usize = 200_000;
    let mut node = host();
    let mut says = |after: u64, body: ClientBody| {
        let frame = ClientFrame { service: service(), session: SessionId(1), ack: 0, body };
        let frame = wire::encode(&SessionFrame::Client(frame));
        let now = node.cx.now + Millis(after);
        node.handle(now, Input::Received { peer: CONSUMER, lane: Lane::Session, frame });
        items(&runs(&mut node, REPLY))
    };
    says(0, ClientBody::Input { seq: 1, input: SessionInput::Open });
    for seq in 2..=5 {
        let input = SessionInput::Call { method: "m".to_owned(), body: ByteBuf::new() };
        assert!(says(0, ClientBody::Input { seq, input }) > REPLY);
    }
    let resume = || ClientBody::Resume { next: 6 };
    assert!(says(1, resume()) > 4 * REPLY, "a lost connection costs nobody its replies");
    assert!(says(1, resume()) > 4 * REPLY, "nor does the next one");
    let later: usize = (0..1_000).map(|_| says(100, resume())).sum();
    // 32 KiB a second, for 100 seconds; and one outbox goes over.
    assert!(later > 4 * REPLY, "it comes in the end: {later}");
    assert!(later < 100 * 33 * 1024 + 4 * REPLY, "{later}");
    assert_eq!(hosted_by(&mut node).server.attached(), 1);
}

#[test]
fn an_outbox_that_waits_is_sent_without_being_asked_for_once_more() {
    let mut node = host();
    let mut at = |after: u64, body: Option<ClientBody>| {
        let now = node.cx.now + Millis(after);
        let frame = |body| ClientFrame { service: service(), session: SessionId(1), ack: 0, body };
        let frame = body.map(|body| wire::encode(&SessionFrame::Client(frame(body))));
        let input = frame.map(|frame| Input::Received { peer: CONSUMER, lane: Lane::Session, frame });
        node.handle(now, input.unwrap_or(Input::Wake));
        let bytes = items(&runs(&mut node, 250_000));
        (bytes, node.poll_timeout().unwrap().since(node.cx.now))
    };
    at(0, Some(ClientBody::Input { seq: 1, input: SessionInput::Open }));
    for seq in 2..=5 {
        let input = SessionInput::Call { method: "m".to_owned(), body: ByteBuf::new() };
        at(0, Some(ClientBody::Input { seq, input }));
    }
    let resume = || Some(ClientBody::Resume { next: 6 });
    let sent: Vec<usize> = (0..3).map(|_| at(1, resume()).0).collect();
    assert!(sent[0] > 1_000_000 && sent[1] == sent[0] && sent[2] == 0, "{sent:?}");
    let mut waited = 0;
    while at(100, None).0 == 0 {
        waited += 100;
        assert!(waited < 60_000, "it never comes");
    }
    assert!(waited > 10_000, "{waited} ms");
}
