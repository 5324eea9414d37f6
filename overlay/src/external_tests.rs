//! A publisher, a relay and a consumer, connected as a star: what runs elsewhere is found, opened, kept and withdrawn.

use std::collections::VecDeque;

use super::*;
use crate::io::{Command, Config, Event, Input, Path, Query, VolunteerPolicy};
use crate::node::Node;

const NOW: Time = Time(1_800_000_000_000);
const WEATHER: &str = r#"{ "name": "weather", "version": "1.0.0", "description": "how it is out there", "tags": ["sky"],
    "engine": "url", "url": "https://api.example.org/v1/", "state": "none",
    "interface": { "now": { "readOnly": true, "reply": {} }, "report": { "body": { "type": "string" } } } }"#;

/// Nodes, the first of which is a relay, and the time.
struct World {
    nodes: Vec<Node>,
    linked: Vec<(usize, usize)>,
    now: Time,
    answers: Vec<(usize, RequestId, Result<Answer, Error>)>,
    stored: Vec<(usize, String, Option<Vec<u8>>)>,
    events: Vec<(usize, Event)>,
}

impl World {
    fn new(tabs: u8) -> Self {
        let node = |n: u8| {
            let role = if n == 0 { Role::Relay } else { Role::Tab };
            Node::new(Config { secret_key: [n + 1; 32], role, name: String::new(), seed: [n; 32] }, NOW)
        };
        let nodes = (0..=tabs).map(node).collect();
        let (answers, stored, events) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { nodes, linked: Vec::new(), now: NOW, answers, stored, events };
        (1..=usize::from(tabs)).for_each(|tab| world.link(tab, 0));
        world
    }

    fn link(&mut self, one: usize, other: usize) {
        self.linked.push((one, other));
        for (at, peer) in [(one, other), (other, one)] {
            let peer = self.nodes[peer].id();
            self.give(at, Input::Connected { peer, path: Path::Direct });
        }
    }

    fn unlink(&mut self, tab: usize) {
        self.linked.retain(|(one, other)| *one != tab && *other != tab);
        for other in (0..self.nodes.len()).filter(|other| *other != tab) {
            for (at, peer) in [(tab, other), (other, tab)] {
                let peer = self.nodes[peer].id();
                self.give(at, Input::Disconnected { peer });
            }
        }
    }

    /// One input, and all that follows from it at once.
    fn give(&mut self, at: usize, input: Input) {
        let mut inputs = VecDeque::from([(at, input)]);
        while let Some((at, input)) = inputs.pop_front() {
            self.nodes[at].handle(self.now, input);
            while let Some(output) = self.nodes[at].poll_output() {
                match output {
                    Output::Send { peer, lane, frame } => {
                        let to = self.nodes.iter().position(|node| node.id() == peer).unwrap();
                        if self.linked.contains(&(at, to)) || self.linked.contains(&(to, at)) {
                            inputs
                                .push_back((to, Input::Received { peer: self.nodes[at].id(), lane, frame }));
                        }
                    }
                    Output::Dial { peer, .. } => inputs.push_back((at, Input::DialFailed { peer })),
                    Output::Answer { request, result } => self.answers.push((at, request, result)),
                    Output::Store { key, value, .. } => self.stored.push((at, key, value)),
                    Output::Event(event) => self.events.push((at, event)),
                    Output::Dht(_) | Output::Sandbox(_) | Output::Hangup { .. } => {}
                }
            }
        }
    }

    /// What comes of a command within a minute.
    fn ask(&mut self, at: usize, command: Command) -> Result<Answer, Error> {
        let request = RequestId(self.now.0);
        self.give(at, Input::Command(request, command));
        for _ in 0..240 {
            let found = self.answers.iter().position(|(by, id, _)| (*by, *id) == (at, request));
            if let Some(found) = found {
                self.pass(1);
                return self.answers.swap_remove(found).2;
            }
            self.pass(250);
        }
        panic!("no answer");
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Millis(ms);
        (0..self.nodes.len()).for_each(|at| self.give(at, Input::Wake));
    }

    fn publish(&mut self, at: usize, manifest: &str) -> Result<Answer, Error> {
        self.ask(at, Command::Publish { manifest: manifest.into(), module: Vec::new(), ui: Vec::new() })
    }

    fn open(&mut self, at: usize, service: &str) -> Result<Answer, Error> {
        self.ask(at, Command::Open { service: service.into(), deadline_ms: 0 })
    }

    fn names(&mut self, at: usize) -> Vec<(String, Option<String>, Vec<String>)> {
        match self.ask(at, Command::Find(Query::default())) {
            Ok(Answer::Found { services, .. }) => {
                services.into_iter().map(|service| (service.name, service.url, service.hosts)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn opened(world: &World, publisher: usize) -> Answer {
    let method = |read_only, json_body| ExternalMethod { read_only, json_body };
    Answer::External(ExternalInfo {
        service: format!("weather@{}", world.nodes[publisher].id()),
        url: "https://api.example.org/v1/".into(),
        origin: "https://api.example.org".into(),
        loopback: false,
        methods: [("now".into(), method(true, false)), ("report".into(), method(false, true))].into(),
    })
}

#[test]
fn what_runs_elsewhere_is_found_and_opened_also_without_its_publisher() {
    let mut world = World::new(2);
    let name = format!("weather@{}", world.nodes[1].id());
    assert_eq!(world.publish(1, WEATHER), Ok(Answer::Service(name.clone())));
    assert_eq!(world.names(2), [("weather".into(), Some("https://api.example.org/v1/".into()), vec![])]);
    let expected = opened(&world, 1);
    assert_eq!(world.open(2, "weather"), Ok(expected.clone()));
    // A tab that never met the publisher.
    world.unlink(1);
    let mut late = World::new(1);
    late.nodes.push(std::mem::replace(&mut world.nodes[0], Node::new(config(9), NOW)));
    late.nodes.swap(0, 2);
    late.nodes.truncate(2);
    late.linked.clear();
    late.now = world.now;
    late.link(1, 0);
    assert_eq!(late.open(1, &name), Ok(expected));
    match late.ask(1, Command::Package { service: "weather".into(), files: true }) {
        Ok(Answer::Package { manifest, ui }) => {
            assert!(String::from_utf8(manifest).unwrap().contains("https://api.example.org/v1/"));
            assert!(ui.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

fn config(n: u8) -> Config {
    Config { secret_key: [n; 32], role: Role::Tab, name: String::new(), seed: [n; 32] }
}

#[test]
fn nobody_hosts_what_runs_elsewhere() {
    let mut world = World::new(2);
    world.publish(1, WEATHER).unwrap();
    world.ask(2, Command::Volunteer(Some(VolunteerPolicy::default()))).unwrap();
    let words = "weather runs at https://api.example.org, outside of all tabs: no tab can host it";
    let refused = Err(Error::NotPermitted(words.to_owned()));
    let service = || "weather".to_owned();
    let to = world.nodes[2].id();
    assert_eq!(world.ask(2, Command::Host { service: service() }), refused);
    assert_eq!(world.ask(1, Command::Host { service: service() }), refused);
    assert_eq!(world.ask(1, Command::Handover { service: service(), to }), refused);
    assert_eq!(world.ask(2, Command::Drop { service: service() }), refused, "it is another's");
    assert!(world.nodes.iter().all(|node| node.hosted.is_empty()));
}

#[test]
fn a_newer_version_names_another_address_and_a_withdrawn_one_is_gone() {
    let mut world = World::new(2);
    world.publish(1, WEATHER).unwrap();
    world.open(2, "weather").unwrap();
    world.publish(1, &WEATHER.replace("/v1/", "/v2").replace("1.0.0", "2.0.0")).unwrap();
    match world.open(2, "weather") {
        Ok(Answer::External(info)) => assert_eq!(info.url, "https://api.example.org/v2"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.ask(1, Command::Drop { service: "weather".into() }), Ok(Answer::Done));
    assert_eq!(world.names(1), []);
    assert_eq!(world.names(2), []);
    assert_eq!(world.open(2, "weather"), Err(Error::NotFound("weather".into())));
    let last = world.stored.last().unwrap();
    assert_eq!((last.0, last.2.is_none()), (1, true), "nothing comes back after a reload");
    world.publish(1, WEATHER).unwrap();
    assert_eq!(world.names(2).len(), 1);
}

#[test]
fn a_reloaded_tab_announces_again_what_it_registered() {
    let mut world = World::new(1);
    world.publish(1, WEATHER).unwrap();
    let (_, key, value) = world.stored.pop().unwrap();
    // Another relay, which knows nothing; the same tab, a week later.
    let mut next = World::new(1);
    next.now = NOW + Millis::secs(7 * 24 * 3600);
    next.unlink(1);
    assert_eq!(next.ask(1, Command::Recall(vec![(key.clone(), value.clone().unwrap())])), Ok(Answer::Done));
    next.link(1, 0);
    assert_eq!(next.names(0).len(), 1);
    let expected = opened(&next, 1);
    next.pass(5_000);
    let package = next.nodes[1].external.own.values().next().unwrap().package;
    assert!(next.nodes[0].packages.get(&package).is_some());
    assert_eq!(next.open(1, "weather"), Ok(expected));
    // Signed anew in time: three weeks later it lives on for a month.
    let later = NOW + Millis::secs(21 * 24 * 3600);
    next.now = later;
    next.pass(PUT_EVERY.0);
    let own = next.nodes[1].external.own.values().next().unwrap();
    assert!(own.record.expires.since(later) > SIGN_AGAIN);
    // Another's store, and what is none, are refused.
    let mut stranger = World::new(2);
    for value in [value.unwrap(), b"nonsense".to_vec()] {
        stranger.ask(2, Command::Recall(vec![(key.clone(), value)])).unwrap();
    }
    let refused = |(at, event): &(usize, Event)| *at == 2 && matches!(event, Event::Error { .. });
    assert_eq!(stranger.events.iter().filter(|event| refused(event)).count(), 2);
    assert!(stranger.nodes[2].external.own.is_empty());
}

#[test]
fn a_relay_keeps_manifests_of_what_runs_elsewhere_and_of_nothing_else() {
    let mut world = World::new(1);
    world.publish(1, WEATHER).unwrap();
    let package = world.nodes[1].external.own.values().next().unwrap().package;
    assert!(world.nodes[0].packages.get(&package).is_some());
    assert!(
        world.nodes[0].external.wanted.is_empty() || {
            world.pass(5_000);
            world.nodes[0].external.wanted.is_empty()
        }
    );
    // Whose publisher is away it asks for a while, and no longer.
    let record = ServiceRecord {
        sequence: world.now.0 + 1,
        package: PackageId(crate::id::Hash([5; 32])),
        ..world.nodes[1].external.own.values().next().unwrap().record.clone()
    };
    let secret = world.nodes[1].secret;
    world.unlink(1);
    world.link(1, 0);
    let frame = wire::encode(&Control::Records(vec![ByteBuf::from(record.encode(&secret).unwrap())]));
    let peer = world.nodes[1].id();
    world.give(0, Input::Received { peer, lane: Lane::Control, frame });
    assert_eq!(world.nodes[0].external.wanted.len(), 1);
    (0..TRIES + 1).for_each(|_| world.pass(5_000));
    assert!(world.nodes[0].external.wanted.is_empty());
}

#[test]
fn a_manifest_that_names_another_address_than_its_record_opens_nothing() {
    let mut world = World::new(2);
    world.publish(1, WEATHER).unwrap();
    let secret = world.nodes[1].secret;
    let own = world.nodes[1].external.own.values().next().unwrap();
    let record = ServiceRecord {
        sequence: world.now.0 + 1,
        url: Some("https://bank.example.org".into()),
        ..own.record.clone()
    };
    let frame = wire::encode(&Control::Records(vec![ByteBuf::from(record.encode(&secret).unwrap())]));
    let peer = world.nodes[1].id();
    world.give(0, Input::Received { peer, lane: Lane::Control, frame });
    assert!(matches!(world.open(2, "weather"), Err(Error::Refused(_))));
}

#[test]
fn what_ran_in_tabs_stops_there_when_it_runs_elsewhere() {
    let mut node = crate::handover::hostile_tests::host();
    let service = crate::handover::hostile_tests::service();
    assert!(node.hosted.contains_key(&service));
    let manifest = WEATHER.replace("weather", "counter");
    let command = Command::Publish { manifest: manifest.into(), module: Vec::new(), ui: Vec::new() };
    node.handle(NOW, Input::Command(RequestId(1), command));
    let mut now = NOW;
    for _ in 0..60 {
        now = now + Millis(250);
        node.handle(now, Input::Wake);
    }
    assert!(!node.hosted.contains_key(&service));
    assert!(node.external.own.contains_key(&service));
}
