//! Groups of several among few tabs, and strangers who want to be part of them.

use overlay::id::{PeerId, RequestId, ServiceId};
use overlay::io::{Command, Config, Input, Lane, Role, VolunteerPolicy};
use overlay::wire::{self, Control, LogStart, Member, Members, Step};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::{Death, World};

const RELAY: usize = 0;
const PUBLISHER: usize = 1;

/// A relay and volunteers; the first publishes.
struct Tabs {
    world: World<Node>,
    tabs: usize,
    seconds: u64,
}

impl Tabs {
    fn new(tabs: usize, state: &str) -> Self {
        let mut world = World::new(1, LinkModel::default());
        for node in 0..=tabs {
            let role = if node == RELAY { Role::Relay } else { Role::Tab };
            let (secret_key, seed) = ([node as u8 + 1; 32], [node as u8 + 7; 32]);
            let config = Config { secret_key, role, name: String::new(), seed };
            let peer = Node::new(config, world.time());
            world.add(peer, node == RELAY);
            let policy =
                VolunteerPolicy { memory_mib: 1024, storage_mib: 1024, ..VolunteerPolicy::default() };
            if node != RELAY {
                world.tell(node, Input::Command(RequestId(1), Command::Volunteer(Some(policy))));
            }
        }
        let mut tabs = Self { world, tabs, seconds: 0 };
        tabs.pass(2);
        let manifest = format!(
            r#"{{"name":"toy","version":"1.0.0","engine":"wasm","state":"{state}","interface":{{"add":{{}}}}}}"#
        );
        let (manifest, module) = (manifest.into_bytes(), b"toy:counter:20000".to_vec());
        let publish = Command::Publish { manifest, module, ui: Vec::new() };
        tabs.world.tell(PUBLISHER, Input::Command(RequestId(2), publish));
        tabs.pass(12);
        tabs
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        while self.world.step(self.seconds * 1_000_000).is_some() {}
    }

    fn service(&self) -> ServiceId {
        ServiceId::new(self.world.id(PUBLISHER), "toy")
    }

    /// The tabs that have the service, with what they are and how many replicas they see.
    fn roles(&self) -> Vec<(usize, String, u32)> {
        let tabs = (1..=self.tabs).filter_map(|node| Some((node, self.world.peer(node)?)));
        tabs.flat_map(|(node, peer)| {
            let hosting = peer.status().hosting.into_iter();
            hosting.map(move |info| (node, info.role, info.replicas))
        })
        .collect()
    }

    fn leader(&self) -> Option<(usize, u32)> {
        let leads = self.roles().into_iter().find(|(_, role, _)| role == "leader");
        leads.map(|(node, _, replicas)| (node, replicas))
    }

    fn hear(&mut self, node: usize, from: PeerId, step: Step) {
        let frame = wire::encode(&Control::Handover { service: self.service(), id: 77, step });
        self.world.tell(node, Input::Received { peer: from, lane: Lane::Control, frame });
    }
}

#[test]
fn a_group_of_five_is_reached() {
    let tabs = Tabs::new(7, "replicated-5");
    assert_eq!(tabs.leader(), Some((PUBLISHER, 5)), "{:?}", tabs.roles());
}

/// Relays are gone, no further tab is there: who holds the state is not asked for a vote in its place.
#[test]
fn two_replicas_that_are_left_alone_go_on() {
    let mut tabs = Tabs::new(3, "replicated-3");
    assert_eq!(tabs.leader(), Some((PUBLISHER, 3)), "{:?}", tabs.roles());
    tabs.world.kill(RELAY, Death::Closed);
    tabs.pass(2);
    tabs.world.kill(PUBLISHER, Death::Closed);
    tabs.pass(40);
    assert_eq!(tabs.leader().map(|(_, replicas)| replicas), Some(2), "{:?}", tabs.roles());
}

/// The last replica waits for the others; a stranger asks it for a vote.
#[test]
fn the_last_replica_gives_its_state_for_no_strangers_vote() {
    let mut tabs = Tabs::new(4, "replicated-3");
    let members: Vec<usize> = tabs.roles().into_iter().map(|(node, ..)| node).collect();
    let stranger = (1..=4).find(|node| !members.contains(node)).expect("one has no part in it");
    for node in &members[..2] {
        tabs.world.kill(*node, Death::Closed);
    }
    tabs.pass(10);
    let (last, stranger) = (members[2], tabs.world.id(stranger));
    let before = tabs.roles();
    assert_eq!(before.len(), 1, "{before:?}");
    let ids = Members::from([(5, Member { peer: stranger, witness: false })]);
    let start = LogStart { epoch: 1, index: 9, term: 2, members: ids, learners: Vec::new() };
    tabs.hear(last, stranger, Step::AskWitness { name: "toy".into() });
    tabs.hear(last, stranger, Step::SeedWitness { start });
    tabs.pass(1);
    assert_eq!(tabs.roles(), before, "its state is still there");
}

/// The members know each other and the publisher, whether or not a record of the host reached them.
#[test]
fn members_get_a_newer_package_from_each_other() {
    let mut tabs = Tabs::new(3, "replicated-3");
    let manifest =
        br#"{"name":"toy","version":"2.0.0","engine":"wasm","state":"replicated-3","interface":{"add":{}}}"#;
    let (manifest, module) = (manifest.to_vec(), b"toy:counter:30000".to_vec());
    let publish = Command::Publish { manifest, module, ui: Vec::new() };
    tabs.world.tell(PUBLISHER, Input::Command(RequestId(3), publish));
    tabs.pass(3);
    tabs.world.kill(PUBLISHER, Death::Closed);
    tabs.pass(40);
    assert!(tabs.leader().is_some(), "{:?}", tabs.roles());
}
