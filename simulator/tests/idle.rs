//! P15: what services cost that nobody uses; as many as a tab takes (60 packages).

mod common;

use overlay::id::RequestId;
use overlay::io::{Command, Input, Output, VolunteerPolicy};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::World;

const HOST: usize = 1;
const TABS: usize = 4;

/// A relay, a tab that publishes `single` services and `replicated` ones, and volunteers that take replicas.
fn world(single: usize, replicated: usize) -> World<Node> {
    let mut world = common::world(1, TABS, LinkModel::default());
    for node in HOST..=TABS {
        let policy =
            VolunteerPolicy { cpu: 100, memory_mib: 4096, storage_mib: 0, ..VolunteerPolicy::default() };
        world.tell(node, Input::Command(RequestId(0), Command::Volunteer(Some(policy))));
    }
    while world.step(2_000_000).is_some() {}
    for n in 0..single + replicated {
        let state = if n < single { "single" } else { "replicated-3" };
        common::publish(&mut world, HOST, n as u64 + 1, &format!("idle-{n}"), state, n);
        let until = world.now() + 50_000;
        while world.step(until).is_some() {}
    }
    world
}

/// Frames and requests to the DHT that the host sends in a second, over `seconds`.
fn messages_per_second(world: &mut World<Node>, seconds: u64) -> f64 {
    let end = world.now() + seconds * 1_000_000;
    let mut messages = 0;
    while let Some(step) = world.step(end) {
        let sent = |output: &&Output| matches!(output, Output::Send { .. } | Output::Dht(_));
        if step.node == Some(HOST) {
            messages += step.outputs.iter().filter(sent).count();
        }
    }
    messages as f64 / seconds as f64
}

#[test]
fn services_that_nobody_uses_send_few_messages() {
    let mut world = world(36, 24);
    messages_per_second(&mut world, 90);
    let host = world.peer(HOST).expect("it runs");
    assert_eq!(host.serving().count(), 60);
    let resting = host.groups().filter(|(_, group)| group.is_resting()).count();
    assert_eq!(resting, 24, "groups of three rest");
    let rate = messages_per_second(&mut world, 120);
    assert!(rate <= 20.0, "{rate} messages a second");
    for tab in HOST..=TABS {
        let hosting = world.peer(tab).expect("it runs").status().hosting;
        assert!(hosting.iter().all(|hosted| hosted.asleep), "none has a worker");
    }
    println!("{rate:.1} messages a second");
}
