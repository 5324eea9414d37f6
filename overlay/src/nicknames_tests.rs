//! Names and rings between whole nodes: frames are delivered at once, and one table is everybody's DHT.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::{Hash, PeerId, RequestId};
use crate::io::{
    Answer, Command, Config, DhtCommand, DhtEvent, Error, Event, Input, Lane, NickInfo, Output, Path, Role,
};
use crate::node::Node;
use crate::registry::{self, NICK_LIFETIME};
use crate::time::{Millis, Time};
use crate::wire::{self, Control};

struct World {
    now: Time,
    nodes: Vec<Node>,
    records: BTreeMap<Hash, Vec<u8>>,
    providers: BTreeMap<Hash, BTreeSet<PeerId>>,
    /// Does the DHT answer.
    dht: bool,
    answers: Vec<Result<Answer, Error>>,
    events: Vec<(usize, Event)>,
}

impl World {
    fn of(count: u8) -> Self {
        let now = Time(1_800_000_000_000);
        let node = |n: u8| {
            let config =
                Config { secret_key: [n + 1; 32], role: Role::Tab, name: String::new(), seed: [n; 32] };
            Node::new(config, now)
        };
        let nodes: Vec<Node> = (0..count).map(node).collect();
        let mut world = Self {
            now,
            nodes,
            records: BTreeMap::new(),
            providers: BTreeMap::new(),
            dht: true,
            answers: Vec::new(),
            events: Vec::new(),
        };
        for (a, b) in (0..count as usize).flat_map(|a| (0..count as usize).map(move |b| (a, b))) {
            if a != b {
                let peer = world.nodes[b].id();
                world.put(a, Input::Connected { peer, path: Path::Direct });
            }
        }
        world.events.clear();
        world
    }

    fn command(&mut self, node: usize, command: Command) {
        self.put(node, Input::Command(RequestId(1), command));
    }

    /// Everybody's clock goes on.
    fn pass(&mut self, span: Millis) {
        self.now = self.now + span;
        (0..self.nodes.len()).for_each(|node| self.put(node, Input::Wake));
    }

    fn put(&mut self, node: usize, input: Input) {
        let mut inputs = VecDeque::from([(node, input)]);
        while let Some((node, input)) = inputs.pop_front() {
            self.nodes[node].handle(self.now, input);
            while let Some(output) = self.nodes[node].poll_output() {
                let from = self.nodes[node].id();
                match output {
                    Output::Send { peer, lane, frame } => {
                        let to = self.nodes.iter().position(|other| other.id() == peer).unwrap();
                        inputs.push_back((to, Input::Received { peer: from, lane, frame }));
                    }
                    Output::Dht(command) => {
                        inputs.extend(self.dht(from, command).map(|event| (node, Input::Dht(event))));
                    }
                    Output::Answer { result, .. } => self.answers.push(result),
                    Output::Event(event) => self.events.push((node, event)),
                    _ => {}
                }
            }
        }
    }

    fn dht(&mut self, from: PeerId, command: DhtCommand) -> Option<DhtEvent> {
        match command {
            DhtCommand::Put { key, value, .. } => {
                let new = registry::validate(key, &value, self.now).unwrap();
                let old = self.records.get(&key).map(|old| registry::validate(key, old, self.now));
                if old.is_none_or(|old| old.is_err() || new.supersedes(&old.unwrap())) {
                    self.records.insert(key, value);
                }
                None
            }
            DhtCommand::Provide { key } => {
                self.providers.entry(key).or_default().insert(from);
                None
            }
            DhtCommand::Unprovide { .. } => None,
            _ if !self.dht => None,
            DhtCommand::Get { key } => {
                Some(DhtEvent::Got { key, values: self.records.get(&key).cloned().into_iter().collect() })
            }
            DhtCommand::FindProviders { key } => {
                let peers = self.providers.get(&key).into_iter().flatten().copied().collect();
                Some(DhtEvent::Providers { key, peers })
            }
        }
    }

    fn announce(&mut self, node: usize, nick: &str) {
        let nick = Some(nick.to_owned()).filter(|nick| !nick.is_empty());
        self.command(node, Command::Announce { nick, profile: format!("person {node}") });
        assert_eq!(self.answers.pop(), Some(Ok(Answer::Done)));
    }

    /// Who is found, and in how many ms.
    fn look_up(&mut self, node: usize, nick: &str) -> (Vec<NickInfo>, u64) {
        self.command(node, Command::Lookup { nick: nick.to_owned() });
        self.looked_up()
    }

    fn looked_up(&mut self) -> (Vec<NickInfo>, u64) {
        match self.answers.pop() {
            Some(Ok(Answer::Nicknames { found, took_ms })) => (found, took_ms),
            other => panic!("{other:?}"),
        }
    }

    fn ring(&mut self, from: usize, to: usize) {
        let peer = self.nodes[to].id();
        self.command(from, Command::Ring { peer, conference: "voice@x/tea".to_owned(), nick: String::new() });
    }

    /// The number of the last ring at a node.
    fn ringing(&self, node: usize) -> u64 {
        let ring = |(at, event): &(usize, Event)| match event {
            Event::Ring { ring, .. } if *at == node => Some(*ring),
            _ => None,
        };
        self.events.iter().rev().find_map(ring).unwrap()
    }
}

#[test]
fn everybody_who_claims_a_nick_name_is_found() {
    let mut world = World::of(4);
    world.announce(0, "Ann");
    world.announce(1, "ann");
    world.announce(2, "Bob");
    let (found, _) = world.look_up(3, " ANN ");
    let mut expected: Vec<NickInfo> = [(0, "Ann"), (1, "ann")]
        .map(|(node, nick)| NickInfo {
            nick: nick.to_owned(),
            peer: world.nodes[node].id().to_string(),
            short: world.nodes[node].id().short(),
            profile: format!("person {node}"),
            announced: world.now.0,
        })
        .into();
    expected.sort_by_key(|info| world.nodes.iter().map(Node::id).find(|id| id.to_string() == info.peer));
    assert_eq!(found, expected);
    assert_eq!(world.look_up(3, "nobody").0, []);
    // Another name takes the place of the first.
    world.announce(0, "Ada");
    assert_eq!(world.look_up(3, "ann").0.len(), 1);
    world.announce(1, "");
    assert_eq!(world.look_up(3, "ann").0, []);
}

#[test]
fn a_name_lives_as_long_as_its_peer() {
    let mut world = World::of(2);
    world.announce(0, "Ann");
    for _ in 0..4 {
        world.pass(Millis(NICK_LIFETIME.0 / 2));
        assert_eq!(world.look_up(1, "ann").0.len(), 1, "it is renewed");
    }
    world.command(0, Command::Leave);
    world.answers.clear();
    assert_eq!(world.look_up(1, "ann").0, []);
}

#[test]
fn a_look_up_ends_without_an_answer_and_bad_names_are_refused() {
    let mut world = World::of(2);
    world.dht = false;
    world.command(0, Command::Lookup { nick: "ann".to_owned() });
    assert_eq!(world.answers, []);
    world.pass(Millis::secs(8));
    assert_eq!(world.looked_up(), (Vec::new(), 8_000));
    for nick in ["", " ", "a\nb", &"n".repeat(33)] {
        world.command(0, Command::Lookup { nick: nick.to_owned() });
        assert!(matches!(world.answers.pop(), Some(Err(Error::Refused(_)))), "{nick:?}");
        world.command(0, Command::Announce { nick: Some(nick.to_owned()), profile: String::new() });
        assert!(matches!(world.answers.pop(), Some(Err(Error::Refused(_)))), "{nick:?}");
    }
}

#[test]
fn a_ring_is_accepted_or_declined() {
    let mut world = World::of(2);
    world.announce(0, "Ann");
    for accept in [true, false] {
        world.ring(0, 1);
        let ring = world.ringing(1);
        let (from, short) = (world.nodes[0].id().to_string(), world.nodes[0].id().short());
        let (nick, conference) = ("Ann".to_owned(), "voice@x/tea".to_owned());
        assert_eq!(world.events, [(1, Event::Ring { ring, from, short, nick, conference })]);
        world.command(1, Command::PickUp { ring, accept });
        assert_eq!(world.answers, [Ok(Answer::Done), Ok(Answer::Rung { accepted: accept })]);
        world.command(1, Command::PickUp { ring, accept });
        assert!(matches!(world.answers.pop(), Some(Err(Error::NotFound(_)))), "it is over");
        world.answers.clear();
        world.events.clear();
    }
}

#[test]
fn a_ring_ends_when_nobody_answers_or_the_caller_is_gone() {
    let mut world = World::of(2);
    world.ring(0, 1);
    let ring = world.ringing(1);
    world.pass(Millis::secs(30));
    assert_eq!(world.answers.pop(), Some(Err(Error::Deadline("nobody answered".to_owned()))));
    assert!(world.events.contains(&(1, Event::RingOver { ring })));
    world.ring(0, 1);
    let (ring, caller) = (world.ringing(1), world.nodes[0].id());
    world.put(1, Input::Disconnected { peer: caller });
    assert!(world.events.contains(&(1, Event::RingOver { ring })));
}

#[test]
fn rings_of_one_peer_are_few() {
    let mut world = World::of(2);
    world.ring(0, 1);
    world.ring(0, 1);
    let busy = Err(Error::Overloaded("the line is busy".to_owned(), Millis::secs(15)));
    assert_eq!(world.answers, std::slice::from_ref(&busy), "one at a time");
    for _ in 0..5 {
        let ring = world.ringing(1);
        world.command(1, Command::PickUp { ring, accept: false });
        world.ring(0, 1);
    }
    let ring = world.ringing(1);
    world.command(1, Command::PickUp { ring, accept: false });
    world.answers.clear();
    world.ring(0, 1);
    assert_eq!(world.answers, [busy], "six in a minute");
    world.pass(Millis::secs(60));
    world.ring(0, 1);
    assert!(world.ringing(1) > ring);
}

#[test]
fn an_answer_of_somebody_else_counts_for_nothing() {
    let mut world = World::of(3);
    world.ring(0, 1);
    let stranger = world.nodes[2].id();
    for id in 0..3 {
        let answer = Control::PickUp { id, answer: wire::Pickup::Accepted };
        world.put(0, Input::Received { peer: stranger, lane: Lane::Control, frame: wire::encode(&answer) });
        let over = Control::RingOver { id };
        world.put(1, Input::Received { peer: stranger, lane: Lane::Control, frame: wire::encode(&over) });
    }
    assert_eq!(world.answers, []);
    let ring = world.ringing(1);
    world.command(1, Command::PickUp { ring, accept: true });
    assert_eq!(world.answers, [Ok(Answer::Done), Ok(Answer::Rung { accepted: true })]);
    let me = world.nodes[0].id();
    world.command(0, Command::Ring { peer: me, conference: "x".to_owned(), nick: String::new() });
    assert!(matches!(world.answers.pop(), Some(Err(Error::Refused(_)))));
}
