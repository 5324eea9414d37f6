//! A world of one relay and some tabs, without a scenario. Each test takes what it needs of it.

#![allow(dead_code)]

use overlay::id::RequestId;
use overlay::io::{Command, Config, Input, Role};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::World;

/// Node 0 is a relay, nodes 1 to `tabs` are tabs that have joined.
pub fn world(seed: u64, tabs: usize, model: LinkModel) -> World<Node> {
    let mut world = World::new(seed, model);
    for node in 0..=tabs {
        let role = if node == 0 { Role::Relay } else { Role::Tab };
        let (secret_key, seed) = ([node as u8 + 1; 32], [node as u8 + 9; 32]);
        let config = Config { secret_key, role, name: String::new(), seed };
        world.add(Node::new(config, world.time()), node == 0);
    }
    while world.step(2_000_000).is_some() {}
    world
}

/// Publishes a toy counter; `ballast` makes packages differ.
pub fn publish(world: &mut World<Node>, node: usize, request: u64, name: &str, state: &str, ballast: usize) {
    publish_module(world, node, request, name, state, &format!("toy:counter:{ballast}"));
}

/// Publishes a toy module.
pub fn publish_module(
    world: &mut World<Node>,
    node: usize,
    request: u64,
    name: &str,
    state: &str,
    module: &str,
) {
    let manifest = format!(
        r#"{{"name":"{name}","version":"1.0.0","engine":"wasm","state":"{state}","interface":{{"add":{{}}}},
        "requires":{{"memoryMiB":1}},"qos":{{"standby":0}}}}"#
    );
    let (manifest, module) = (manifest.into_bytes(), module.as_bytes().to_vec());
    let publish = Command::Publish { manifest, module, ui: Vec::new() };
    world.tell(node, Input::Command(RequestId(request), publish));
}
