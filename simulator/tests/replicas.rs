//! Groups of several among few tabs.

use overlay::id::RequestId;
use overlay::io::{Command, Config, Input, Role, VolunteerPolicy};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::World;

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
                VolunteerPolicy { cpu: 50, memory_mib: 1024, storage_mib: 1024, services: Vec::new() };
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
}

#[test]
fn a_group_of_five_is_reached() {
    let tabs = Tabs::new(7, "replicated-5");
    assert_eq!(tabs.leader(), Some((PUBLISHER, 5)), "{:?}", tabs.roles());
}
