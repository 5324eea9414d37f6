//! New versions of a service that is on its way from one tab to the next, or gets a copy, when they are published.

mod common;

use std::collections::BTreeMap;

use overlay::id::{PackageId, PeerId, RequestId};
use overlay::io::{Answer, Command, Input, Output, Query, VolunteerPolicy};
use overlay::sandbox::SandboxCommand;
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::{Death, World};

const AUTHOR: usize = 1;
const HOST: usize = 2;
const THIRD: usize = 3;

struct Run {
    world: World<Node>,
    /// The package that each node's sandbox runs.
    runs: BTreeMap<usize, PackageId>,
    published: Vec<String>,
    /// The versions that the last search found.
    found: Vec<String>,
}

impl Run {
    /// An author and a relay.
    fn alone() -> Self {
        let world = common::world(5, 1, LinkModel::default());
        Self { world, runs: BTreeMap::new(), published: Vec::new(), found: Vec::new() }
    }

    /// A service that was handed over from its author to a second tab, which may keep so many standbys; a third one volunteers.
    fn moved(standbys: u32) -> Self {
        let world = common::world(5, 3, LinkModel { latency_ms: [10, 15], ..LinkModel::default() });
        let mut run = Self { world, ..Self::alone() };
        for node in [AUTHOR, HOST] {
            run.tell(node, 1, Command::Volunteer(Some(VolunteerPolicy::default())));
        }
        run.pass(3_000);
        run.publish(standbys, 1);
        run.pass(4_000);
        run.hand_over(AUTHOR, HOST);
        run.tell(THIRD, 1, Command::Volunteer(Some(VolunteerPolicy::default())));
        run
    }

    fn tell(&mut self, node: usize, request: u64, command: Command) {
        self.world.tell(node, Input::Command(RequestId(request), command));
    }

    fn hand_over(&mut self, from: usize, to: usize) {
        let to: PeerId = self.world.id(to);
        self.tell(from, 3, Command::Handover { service: "toy".into(), to });
    }

    fn publish(&mut self, standbys: u32, version: u32) {
        self.publish_module(standbys, version, "counter");
    }

    fn publish_module(&mut self, standbys: u32, version: u32, module: &str) {
        self.publish_manifest(r#""anyone""#, standbys, version, module);
    }

    fn publish_for(&mut self, hosts: &str, version: u32) {
        self.publish_manifest(hosts, 0, version, "counter");
    }

    fn publish_manifest(&mut self, hosts: &str, standbys: u32, version: u32, module: &str) {
        let manifest = format!(
            r#"{{"name":"toy","version":"{version}.0.0","engine":"wasm","state":"single","hosts":{hosts},
            "interface":{{"add":{{}}}},"requires":{{"memoryMiB":1}},"qos":{{"standby":{standbys}}}}}"#
        );
        let (manifest, module) = (manifest.into_bytes(), format!("toy:{module}:{version}").into_bytes());
        self.tell(AUTHOR, 2, Command::Publish { manifest, module, ui: Vec::new() });
    }

    fn pass(&mut self, ms: u64) {
        let end = self.world.now() + ms * 1_000;
        while let Some(step) = self.world.step(end) {
            let Some(node) = step.node else { continue };
            for output in step.outputs {
                match output {
                    Output::Sandbox(
                        SandboxCommand::Create { package, .. } | SandboxCommand::Upgrade { package, .. },
                    ) => {
                        self.runs.insert(node, package);
                    }
                    Output::Answer { request: RequestId(2), result } => self.published.push(match result {
                        Ok(Answer::Service(_)) => "published".into(),
                        other => format!("{other:?}"),
                    }),
                    Output::Answer { request: RequestId(4), result: Ok(Answer::Found { services, .. }) } => {
                        self.found = services.into_iter().map(|service| service.version).collect();
                    }
                    _ => {}
                }
            }
        }
    }

    /// The versions of the service that a node finds.
    fn versions(&mut self, node: usize) -> Vec<String> {
        self.tell(node, 4, Command::Find(Query { name: Some("toy".into()), ..Query::default() }));
        self.pass(3_000);
        std::mem::take(&mut self.found)
    }

    /// Who serves, and what.
    fn served(&self) -> Vec<(usize, PackageId)> {
        let serves = |node: &usize| self.world.peer(*node).is_some_and(|peer| peer.serving().count() > 0);
        [AUTHOR, HOST, THIRD].into_iter().filter(serves).map(|node| (node, self.runs[&node])).collect()
    }
}

/// A version that is published so long after a handover began reaches whoever serves in the end.
fn published_while_it_moves(standbys: u32, after_ms: u64, to: usize) {
    let mut run = Run::moved(standbys);
    run.pass(8_000);
    let before = run.served();
    assert!(before.len() == 1 && before[0].0 == HOST, "{before:?}");
    run.hand_over(HOST, to);
    run.pass(after_ms);
    run.publish(standbys, 2);
    run.pass(20_000);
    let (after, published) = (run.served(), ["published".to_owned(), "published".to_owned()]);
    assert_eq!(run.published, published, "{standbys} standbys, after {after_ms} ms");
    assert!(after.len() == 1 && after[0].0 == to, "{standbys} standbys, after {after_ms} ms: {after:?}");
    assert_ne!(after[0].1, before[0].1, "{standbys} standbys, after {after_ms} ms: the older one runs");
}

#[test]
fn a_version_that_is_published_during_a_handover_reaches_who_serves_then() {
    for after_ms in (0..500).step_by(20) {
        published_while_it_moves(0, after_ms, THIRD);
    }
}

#[test]
fn a_version_that_is_published_while_a_copy_is_made_is_taken_when_that_is_done() {
    for after_ms in (0..1_000).step_by(40) {
        let mut run = Run::moved(1);
        run.pass(200);
        while run.served().iter().all(|(node, _)| *node != HOST) {
            run.pass(10);
        }
        let before = run.served()[0];
        run.pass(after_ms);
        run.publish(1, 2);
        run.pass(20_000);
        let after = run.served();
        assert_eq!(run.published, ["published", "published"], "after {after_ms} ms");
        assert!(after.len() == 1 && after[0].0 == HOST, "after {after_ms} ms: {after:?}");
        assert_ne!(after[0].1, before.1, "after {after_ms} ms: the older one runs");
    }
}

#[test]
fn who_holds_a_copy_publishes_through_who_serves() {
    for standbys in [1, 2] {
        let mut run = Run::moved(standbys);
        run.pass(10_000);
        let copies = run.world.peer(AUTHOR).expect("it runs").status().hosting;
        assert_eq!(copies.first().map(|copy| copy.role.as_str()), Some("standby"));
        let before = run.served()[0];
        run.publish(standbys, 2);
        run.pass(10_000);
        assert_eq!(run.published, ["published", "published"]);
        let after = run.served();
        assert!(after.len() == 1 && after[0].0 == HOST && after[0].1 != before.1, "{after:?}");
        assert_eq!(run.runs[&AUTHOR], after[0].1, "the copy goes along");
    }
}

#[test]
fn a_version_that_those_who_serve_take_back_is_told_to_its_publisher_and_is_not_the_service_s() {
    for standbys in [0, 1] {
        let mut run = Run::moved(standbys);
        run.pass(8_000);
        let before = run.served();
        run.publish_module(standbys, 2, "sour");
        run.pass(5_000);
        let refused = &run.published[1];
        assert!(
            refused.contains("did not take the new version") && refused.contains("unreachable"),
            "{refused}"
        );
        for node in [AUTHOR, HOST] {
            assert_eq!(run.versions(node), ["1.0.0"], "{standbys} standbys, node {node}");
        }
        run.pass(5_000);
        assert_eq!(run.served().len(), 1);
        assert_eq!(run.served()[0].0, before[0].0);
        // What is sound is taken afterwards.
        run.publish(standbys, 3);
        run.pass(5_000);
        assert_eq!(run.published.len(), 3);
        assert_eq!(run.published[2], "published");
        for node in [AUTHOR, HOST] {
            assert_eq!(run.versions(node), ["3.0.0"], "{standbys} standbys, node {node}");
        }
    }
}

#[test]
fn a_publisher_does_not_wait_for_a_host_that_is_gone() {
    let mut run = Run::moved(0);
    run.pass(8_000);
    run.world.kill(HOST, Death::Closed);
    run.publish(0, 2);
    run.pass(20_000);
    assert_eq!(run.published, ["published", "published"]);
}

#[test]
fn nor_for_one_that_it_tried_to_reach_a_moment_ago() {
    let mut run = Run::moved(0);
    run.pass(8_000);
    run.world.kill(HOST, Death::Closed);
    run.publish(0, 2);
    while run.published.len() < 2 {
        run.pass(100);
    }
    run.publish(0, 3);
    run.pass(5_000);
    assert_eq!(run.published, ["published", "published", "published"]);
}

#[test]
fn nor_for_one_that_the_new_version_does_not_permit() {
    let mut run = Run::moved(0);
    run.pass(8_000);
    let only = run.world.id(THIRD).to_string();
    run.publish_for(&format!(r#"["{only}"]"#), 2);
    run.pass(5_000);
    assert_eq!(run.published, ["published", "published"]);
}

#[test]
fn a_version_that_is_published_while_its_service_comes_to_its_publisher_is_told_when_that_takes_it_back() {
    for after_ms in (0..500).step_by(20) {
        let mut run = Run::moved(0);
        run.pass(8_000);
        run.hand_over(HOST, AUTHOR);
        run.pass(after_ms);
        run.publish_module(0, 2, "sour");
        run.pass(20_000);
        let served = run.served();
        assert!(served.len() == 1 && served[0].0 == AUTHOR, "after {after_ms} ms: {served:?}");
        assert_eq!(run.published.len(), 2, "after {after_ms} ms");
        // It may be too early: then nothing was published, and that is said.
        let told = ["unreachable", "publish again"].iter().any(|words| run.published[1].contains(words));
        assert!(told, "after {after_ms} ms: {:?}", run.published);
        for node in [AUTHOR, HOST] {
            assert_eq!(run.versions(node), ["1.0.0"], "after {after_ms} ms, node {node}");
        }
    }
}

#[test]
fn a_version_that_its_publisher_s_own_tab_takes_back_is_told_as_well() {
    let mut run = Run::alone();
    run.publish(0, 1);
    run.pass(4_000);
    run.publish_module(0, 2, "sour");
    run.pass(4_000);
    assert_eq!(run.published.len(), 2);
    assert!(run.published[1].contains("did not take the state over (unreachable)"), "{:?}", run.published);
    assert_eq!(run.versions(AUTHOR), ["1.0.0"]);
}
