//! Tabs that are reloaded, and what they find on their disk.

use std::collections::BTreeMap;

use overlay::id::{PeerId, RequestId, SessionId};
use overlay::io::{Answer, Command, Config, Error, Event, Input, Output, Role, VolunteerPolicy};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::sandbox::CounterReply;
use simulator::world::{Death, World};

const RELAY: usize = 0;
const PUBLISHER: usize = 1;
const VOLUNTEER: usize = 2;
const CONSUMER: usize = 9;

/// A relay and volunteers, and what each keeps on its disk.
struct Tabs {
    world: World<Node>,
    disks: Vec<BTreeMap<String, Vec<u8>>>,
    seconds: u64,
    restored: Vec<usize>,
    errors: Vec<String>,
    /// What the consumer's commands came to.
    answers: Vec<Result<Answer, Error>>,
}

impl Tabs {
    fn new() -> Self {
        Self::with(2)
    }

    /// So many tabs; the first one publishes, the others volunteer.
    fn with(count: usize) -> Self {
        let mut tabs = Self {
            world: World::new(1, LinkModel::default()),
            disks: vec![BTreeMap::new(); count + 1],
            seconds: 0,
            restored: Vec::new(),
            errors: Vec::new(),
            answers: Vec::new(),
        };
        for node in 0..=count {
            let peer = tabs.node(node);
            tabs.world.add(peer, node == RELAY);
        }
        (VOLUNTEER..=count).for_each(|node| tabs.volunteer(node));
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
        let policy = VolunteerPolicy { memory_mib: 1024, storage_mib: 1024, ..VolunteerPolicy::default() };
        self.tell(node, Command::Volunteer(Some(policy)));
    }

    fn publish(&mut self, version: &str, module: &str) {
        self.publish_as("single", version, module);
    }

    fn publish_as(&mut self, state: &str, version: &str, module: &str) {
        self.publish_with(&format!(r#""state":"{state}""#), version, module);
    }

    fn publish_with(&mut self, state: &str, version: &str, module: &str) {
        let manifest = format!(
            r#"{{"name":"toy","version":"{version}","engine":"wasm",{state},"interface":{{"add":{{}}}},
            "qos":{{"standby":0}}}}"#
        );
        let (manifest, module) = (manifest.into_bytes(), module.as_bytes().to_vec());
        self.tell(PUBLISHER, Command::Publish { manifest, module, ui: Vec::new() });
    }

    fn pass(&mut self, seconds: u64) {
        self.seconds += seconds;
        while self.step().is_some() {}
    }

    /// One event before the end of the time that passes.
    fn step(&mut self) -> Option<()> {
        let step = self.world.step(self.seconds * 1_000_000)?;
        if let Some(node) = step.node {
            for output in step.outputs {
                match output {
                    Output::Store { key, value: Some(value), .. } => {
                        self.disks[node].insert(key, value);
                    }
                    Output::Store { key, value: None, .. } => {
                        self.disks[node].remove(&key);
                    }
                    Output::Event(Event::Restored { .. }) => self.restored.push(node),
                    Output::Event(Event::Error { message, .. }) => self.errors.push(message),
                    Output::Answer { result, .. } if node == CONSUMER => self.answers.push(result),
                    Output::Answer { result: Err(error), .. } => self.errors.push(error.to_string()),
                    _ => {}
                }
            }
        }
        Some(())
    }

    fn reload(&mut self, node: usize) {
        self.world.kill(node, Death::Closed);
        self.pass(1);
        self.start(node);
        self.pass(15);
    }

    fn start(&mut self, node: usize) {
        let peer = self.node(node);
        self.world.revive(node, peer);
        self.volunteer(node);
        let stored = self.disks[node].clone().into_iter().collect();
        self.tell(node, Command::Recall(stored));
    }

    /// The members of the service's group as the one tab among `nodes` sees them that serves it.
    fn served_by(&self, nodes: &[usize]) -> Vec<(usize, usize)> {
        let serving = |node: &usize| {
            let peer = self.world.peer(*node)?;
            let (service, ..) = peer.serving().next()?;
            let group = peer.groups().find(|(id, _)| *id == service)?;
            Some((*node, group.1.voters().len()))
        };
        nodes.iter().filter_map(serving).collect()
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

const ALL: [usize; 4] = [1, 2, 3, 4];

/// Three replicas among four tabs, with something on each disk; the replicas.
fn replicated() -> (Tabs, Vec<usize>) {
    let mut tabs = Tabs::with(4);
    tabs.publish_as("replicated-3", "1.0.0", "toy:counter:20000");
    tabs.pass(25);
    assert_eq!(tabs.served_by(&ALL), [(PUBLISHER, 3)], "{:?}", tabs.errors);
    let replicas: Vec<usize> = ALL.into_iter().filter(|node| !tabs.disks[*node].is_empty()).collect();
    assert_eq!(replicas.len(), 3, "each replica keeps a checkpoint");
    (tabs, replicas)
}

#[test]
fn a_replicated_service_comes_back_when_a_majority_of_its_tabs_does() {
    let (mut tabs, replicas) = replicated();
    replicas.iter().for_each(|node| tabs.world.kill(*node, Death::Closed));
    tabs.pass(5);
    tabs.start(replicas[1]);
    tabs.pass(40);
    assert_eq!(tabs.served_by(&ALL), [], "one of three waits: the others may live elsewhere");
    assert_eq!(tabs.world.peer(replicas[1]).unwrap().status().waiting.len(), 1);
    tabs.start(replicas[2]);
    tabs.pass(40);
    let served = tabs.served_by(&ALL);
    assert!(served.len() == 1 && served[0].1 == 3, "{served:?} {:?}", tabs.errors);
    assert_eq!(tabs.restored.len(), 1);
    // The third one finds that the service is served, and forgets its copy.
    tabs.start(replicas[0]);
    tabs.pass(30);
    assert_eq!(tabs.served_by(&ALL).len(), 1);
    assert_eq!(tabs.world.peer(replicas[0]).unwrap().status().waiting.len(), 0);
}

#[test]
fn a_replica_that_lives_goes_on_once_the_others_are_known_to_be_gone() {
    let (mut tabs, replicas) = replicated();
    let lives = replicas[2];
    replicas[..2].iter().for_each(|node| tabs.world.kill(*node, Death::Closed));
    tabs.pass(20);
    assert_eq!(tabs.served_by(&ALL), [], "no majority, and no word of the others");
    replicas[..2].iter().for_each(|node| tabs.start(*node));
    tabs.pass(40);
    assert_eq!(tabs.served_by(&ALL), [(lives, 3)], "{:?}", tabs.errors);
    assert_eq!(tabs.restored, [lives]);
}

#[test]
fn a_reloaded_replica_joins_anew_while_the_others_serve() {
    let (mut tabs, replicas) = replicated();
    tabs.reload(replicas[1]);
    tabs.pass(15);
    assert_eq!(tabs.served_by(&ALL), [(PUBLISHER, 3)], "{:?}", tabs.errors);
    assert!(tabs.restored.is_empty());
}

#[test]
fn the_publisher_may_go_on_alone() {
    let (mut tabs, replicas) = replicated();
    replicas.iter().for_each(|node| tabs.world.kill(*node, Death::Closed));
    tabs.pass(2);
    tabs.start(PUBLISHER);
    tabs.pass(30);
    assert_eq!(tabs.served_by(&ALL), []);
    tabs.tell(PUBLISHER, Command::Recover { service: "toy".into() });
    tabs.pass(5);
    assert_eq!(tabs.served_by(&ALL).len(), 1, "{:?}", tabs.errors);
    assert_eq!(tabs.restored, [PUBLISHER]);
}

/// The only host dies in the moment in which a call is answered, and comes back: what its session's next call gives.
fn after_a_crash(state: &str) -> Result<Answer, Error> {
    let mut tabs = Tabs::with(CONSUMER);
    tabs.publish_with(state, "1.0.0", "toy:counter:20000");
    tabs.pass(8);
    tabs.tell(CONSUMER, Command::Open { service: "toy".into(), deadline_ms: 0 });
    tabs.pass(2);
    let opened = tabs.answers.iter().find_map(|answer| match answer {
        Ok(Answer::Opened(session)) => u128::from_str_radix(&session.id, 16).ok(),
        _ => None,
    });
    let Some(session) = opened.map(SessionId) else { panic!("no session: {:?}", tabs.answers) };
    let body = 1_u64.to_le_bytes().to_vec();
    let call = || Command::Call { session, method: "add".into(), body: body.clone(), deadline_ms: 20_000 };
    for _ in 0..10 {
        let answers = tabs.answers.len();
        tabs.tell(CONSUMER, call());
        tabs.seconds += 1;
        while tabs.answers.len() == answers {
            assert!(tabs.step().is_some(), "a call is not answered: {:?}", tabs.errors);
        }
    }
    tabs.world.kill(PUBLISHER, Death::Silent);
    tabs.pass(1);
    tabs.start(PUBLISHER);
    tabs.pass(20);
    tabs.tell(CONSUMER, call());
    tabs.pass(25);
    tabs.answers.pop().unwrap_or(Ok(Answer::Done))
}

#[test]
fn what_a_durable_service_acknowledged_is_on_disk() {
    let next = after_a_crash(r#""state":"single","durable":true"#);
    let Ok(Answer::Reply(reply)) = next else { panic!("{next:?}") };
    let reply: CounterReply = postcard::from_bytes(&reply).unwrap();
    assert_eq!((reply.session, reply.total), (11, 11));
    // What this test can see: without, the last calls are lost, and the session with them.
    let next = after_a_crash(r#""state":"single""#);
    assert!(matches!(next, Err(Error::Disconnected(_))), "{next:?}");
}
