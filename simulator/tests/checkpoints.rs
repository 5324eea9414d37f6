//! Tabs that are reloaded, and what they find on their disk.

use std::collections::BTreeMap;

use overlay::id::{PeerId, RequestId};
use overlay::io::{Command, Config, Event, Input, Output, Role, VolunteerPolicy};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::{Death, World};

const RELAY: usize = 0;
const PUBLISHER: usize = 1;
const VOLUNTEER: usize = 2;

/// A relay and two volunteers, and what each keeps on its disk.
struct Tabs {
    world: World<Node>,
    disks: [BTreeMap<String, Vec<u8>>; 3],
    seconds: u64,
    restored: Vec<usize>,
    errors: Vec<String>,
}

impl Tabs {
    fn new() -> Self {
        let mut tabs = Self {
            world: World::new(1, LinkModel::default()),
            disks: Default::default(),
            seconds: 0,
            restored: Vec::new(),
            errors: Vec::new(),
        };
        for node in [RELAY, PUBLISHER, VOLUNTEER] {
            let peer = tabs.node(node);
            tabs.world.add(peer, node == RELAY);
        }
        tabs.volunteer(VOLUNTEER);
        tabs.pass(2);
        tabs
    }

    fn node(&self, node: usize) -> Node {
        let role = if node == RELAY { Role::Relay } else { Role::Tab };
        let (secret_key, seed) = ([node as u8 + 1; 32], [self.seconds as u8 + 7 * node as u8; 32]);
        Node::new(Config { secret_key, role, name: String::new(), seed }, self.world.time())
    }

    fn tell(&mut self, node: usize, command: Command) {
        self.world.tell(node, Input::Command(RequestId(self.seconds), command));
    }

    fn volunteer(&mut self, node: usize) {
        let policy = VolunteerPolicy { cpu: 50, memory_mib: 1024, storage_mib: 1024, services: Vec::new() };
        self.tell(node, Command::Volunteer(Some(policy)));
    }

    fn publish(&mut self, version: &str, module: &str) {
        let manifest = format!(
            r#"{{"name":"toy","version":"{version}","engine":"wasm","state":"single","interface":{{"add":{{}}}}}}"#
        );
        let (manifest, module) = (manifest.into_bytes(), module.as_bytes().to_vec());
        self.tell(PUBLISHER, Command::Publish { manifest, module, ui: Vec::new() });
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        while let Some(step) = self.world.step(self.seconds * 1_000_000) {
            let Some(node) = step.node else { continue };
            for output in step.outputs {
                match output {
                    Output::Store { key, value: Some(value) } => {
                        self.disks[node].insert(key, value);
                    }
                    Output::Store { key, value: None } => {
                        self.disks[node].remove(&key);
                    }
                    Output::Event(Event::Restored { .. }) => self.restored.push(node),
                    Output::Event(Event::Error { message, .. }) => self.errors.push(message),
                    Output::Answer { result: Err(error), .. } => self.errors.push(error.to_string()),
                    _ => {}
                }
            }
        }
    }

    fn reload(&mut self, node: usize) {
        self.world.kill(node, Death::Closed);
        self.pass(1);
        let peer = self.node(node);
        self.world.revive(node, peer);
        self.volunteer(node);
        let stored = self.disks[node].clone().into_iter().collect();
        self.tell(node, Command::Recall(stored));
        self.pass(15);
    }

    fn hosts(&self, node: usize) -> bool {
        self.world.peer(node).is_some_and(|peer| peer.serving().next().is_some())
    }

    fn hand_over(&mut self, to: PeerId) {
        self.tell(PUBLISHER, Command::Handover { service: "toy".into(), to });
        self.pass(8);
    }
}

#[test]
fn a_service_comes_back_with_its_tab() {
    let mut tabs = Tabs::new();
    tabs.publish("1.0.0", "toy:counter:20000");
    tabs.pass(8);
    tabs.reload(PUBLISHER);
    assert_eq!((tabs.restored.clone(), tabs.hosts(PUBLISHER)), (vec![PUBLISHER], true), "{:?}", tabs.errors);
}

#[test]
fn a_service_comes_back_in_its_newer_version() {
    let mut tabs = Tabs::new();
    tabs.publish("1.0.0", "toy:counter:20000");
    tabs.pass(8);
    tabs.publish("2.0.0", "toy:counter:30000");
    tabs.pass(12);
    let packages = tabs.disks[PUBLISHER].keys().filter(|key| key.starts_with("package/")).count();
    assert_eq!(packages, 1, "the older package is forgotten");
    tabs.reload(PUBLISHER);
    assert_eq!((tabs.restored.clone(), tabs.hosts(PUBLISHER)), (vec![PUBLISHER], true), "{:?}", tabs.errors);
}

/// The record of the host before is alive for up to 90 s.
#[test]
fn the_record_of_a_former_host_is_no_reason_to_forget() {
    let mut tabs = Tabs::new();
    tabs.publish("1.0.0", "toy:counter:20000");
    tabs.pass(8);
    tabs.hand_over(tabs.world.id(VOLUNTEER));
    assert!(tabs.hosts(VOLUNTEER) && tabs.disks[PUBLISHER].is_empty(), "{:?}", tabs.errors);
    tabs.reload(VOLUNTEER);
    assert_eq!((tabs.restored.clone(), tabs.hosts(VOLUNTEER)), (vec![VOLUNTEER], true), "{:?}", tabs.errors);
}
