//! Row 20: a stateless service is called at its host, comes to whoever calls it much and volunteers, and goes again.

mod common;

use overlay::id::{RequestId, SessionId};
use overlay::io::{Answer, Command, Event, Input, Output, VolunteerPolicy};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::World;

const HOST: usize = 1;
const CALLER: usize = 2;

struct Run {
    world: World<Node>,
    session: SessionId,
    calls: u64,
    replies: u64,
    placed: Vec<bool>,
}

impl Run {
    /// A relay, a host of a stateless service and a tab with a session; round trips take 40 to 60 ms.
    fn new(state: &str, volunteers: bool) -> Self {
        Self::far(state, volunteers, [20, 30])
    }

    fn far(state: &str, volunteers: bool, latency_ms: [u64; 2]) -> Self {
        let policy = volunteers.then(VolunteerPolicy::default);
        Self::of("toy:counter:0", state, policy, latency_ms)
    }

    fn of(module: &str, state: &str, policy: Option<VolunteerPolicy>, latency_ms: [u64; 2]) -> Self {
        let mut world = common::world(7, 2, LinkModel { latency_ms, ..LinkModel::default() });
        common::publish_module(&mut world, HOST, 1, "plain", state, module);
        let mut run = Self { world, session: SessionId(0), calls: 0, replies: 0, placed: Vec::new() };
        run.pass(4_000);
        if policy.is_some() {
            run.tell(CALLER, 2, Command::Volunteer(policy));
        }
        run.tell(CALLER, 3, Command::Open { service: "plain".to_owned(), deadline_ms: 0 });
        run.pass(4_000);
        assert_ne!(run.session, SessionId(0), "the session is open");
        run
    }

    fn tell(&mut self, node: usize, request: u64, command: Command) {
        self.world.tell(node, Input::Command(RequestId(request), command));
    }

    fn pass(&mut self, ms: u64) {
        let end = self.world.now() + ms * 1_000;
        while let Some(step) = self.world.step(end) {
            for output in step.outputs.iter().filter(|_| step.node == Some(CALLER)) {
                match output {
                    Output::Answer { request: RequestId(3), result } => match result {
                        Ok(Answer::Opened(info)) => {
                            self.session = SessionId(u128::from_str_radix(&info.id, 16).expect("an id"))
                        }
                        other => panic!("{other:?}"),
                    },
                    Output::Answer { request: RequestId(number), result } if *number >= 100 => {
                        assert!(matches!(result, Ok(Answer::Reply(_))), "call {number}: {result:?}");
                        self.replies += 1;
                    }
                    Output::Event(Event::Placed { here, .. }) => self.placed.push(*here),
                    Output::Event(Event::Closed { reason, .. }) => panic!("closed: {reason}"),
                    _ => {}
                }
            }
        }
    }

    /// Calls for so many seconds, without waiting for replies.
    fn call(&mut self, per_second: u64, seconds: u64) {
        for _ in 0..per_second * seconds {
            self.calls += 1;
            let (session, method) = (self.session, "add".to_owned());
            let call = Command::Call { session, method, body: Vec::new(), deadline_ms: 0 };
            self.tell(CALLER, 100 + self.calls, call);
            self.pass(1_000 / per_second);
        }
        self.pass(1_500);
        for _ in 0..60 {
            // What has queued up where it is slow.
            self.pass(if self.replies < self.calls { 500 } else { 0 });
        }
        assert_eq!(self.replies, self.calls, "every call is answered, once");
    }

    fn server(&self) -> String {
        let sessions = self.world.peer(CALLER).expect("it runs").status().sessions;
        let plain = sessions.into_iter().find(|session| session.service.starts_with("plain@"));
        plain.expect("the session is open").server
    }

    fn id(&self, node: usize) -> String {
        self.world.peer(node).expect("it runs").id().to_string()
    }

    fn hosting(&self) -> usize {
        self.world.peer(CALLER).expect("it runs").serving().count()
    }
}

#[test]
fn a_stateless_service_comes_to_who_calls_it_much_and_goes_when_nobody_does() {
    let mut run = Run::new("none", true);
    run.call(20, 10);
    assert_eq!((run.server(), run.hosting()), (run.id(CALLER), 1));
    let hosting = run.world.peer(CALLER).expect("it runs").status().hosting;
    assert!(hosting[0].for_own_calls);
    run.pass(70_000);
    assert_eq!((run.server(), run.hosting()), (run.id(HOST), 0), "unused for a minute");
    run.call(1, 3);
    assert_eq!(run.placed, [true, false]);
}

#[test]
fn few_calls_are_made_where_the_service_is() {
    let mut run = Run::new("none", true);
    // One call in 40 seconds: a minute of them saves less than a copy costs.
    for _ in 0..4 {
        run.call(1, 1);
        run.pass(39_000);
    }
    assert_eq!((run.server(), run.hosting(), run.placed.len()), (run.id(HOST), 0, 0));
}

#[test]
fn nothing_comes_to_who_does_not_volunteer_and_nothing_with_state_comes() {
    for (state, volunteers) in [("none", false), ("single", true)] {
        let mut run = Run::new(state, volunteers);
        run.call(20, 10);
        assert_eq!((run.server(), run.hosting()), (run.id(HOST), 0), "{state}");
    }
}

#[test]
fn what_its_person_stops_does_not_come_back_at_once() {
    let mut run = Run::new("none", true);
    run.call(20, 10);
    run.tell(CALLER, 4, Command::Drop { service: "plain".to_owned() });
    run.pass(2_000);
    run.call(20, 20);
    assert_eq!((run.server(), run.hosting()), (run.id(HOST), 0));
}

#[test]
fn a_session_goes_to_a_far_server_and_stays_there() {
    // Round trips of 600 to 700 ms: longer than a session waits before it asks the next server that it knows.
    let mut run = Run::far("none", true, [300, 350]);
    run.call(20, 20);
    assert_eq!((run.server(), run.hosting()), (run.id(CALLER), 1));
    run.pass(80_000);
    assert_eq!((run.server(), run.hosting()), (run.id(HOST), 0), "unused for a minute");
    assert_eq!(run.placed, [true, false]);
    run.call(1, 3);
}

/// A tab whose person grants 50,000,000 gas a second, as much as a service asks for that says nothing.
fn slow() -> VolunteerPolicy {
    VolunteerPolicy { cpu: 5, ..VolunteerPolicy::default() }
}

#[test]
fn what_is_slower_here_goes_back_and_does_not_come_again() {
    // Ten calls a second burn twice of what is granted here; the host is not held to anything.
    let mut run = Run::of("toy:counter:0:10000000", "none", Some(slow()), [20, 30]);
    run.call(10, 30);
    assert_eq!(run.placed, [true, false], "it came, and went while it was used");
    run.call(10, 30);
    assert_eq!((run.server(), run.hosting(), run.placed.len()), (run.id(HOST), 0, 2));
}

#[test]
fn nothing_comes_to_a_tab_that_is_busy() {
    let mut run = Run::of("toy:counter:0", "none", Some(slow()), [20, 30]);
    common::publish_module(&mut run.world, CALLER, 4, "heavy", "single", "toy:counter:1:100000000");
    run.pass(4_000);
    run.tell(CALLER, 5, Command::Open { service: "heavy".to_owned(), deadline_ms: 0 });
    run.pass(1_000);
    let sessions = run.world.peer(CALLER).expect("it runs").status().sessions;
    let heavy = sessions.into_iter().find(|session| session.service.starts_with("heavy@")).expect("is open");
    let session = SessionId(u128::from_str_radix(&heavy.id, 16).expect("an id"));
    for number in 0..30 {
        let call = Command::Call { session, method: "add".to_owned(), body: Vec::new(), deadline_ms: 90_000 };
        run.tell(CALLER, 10 + number, call);
    }
    run.pass(5_000);
    run.call(20, 30);
    assert_eq!((run.server(), run.placed.len()), (run.id(HOST), 0));
    // It is its load that keeps the service away.
    run.pass(40_000);
    run.call(20, 15);
    assert_eq!((run.server(), run.placed.as_slice()), (run.id(CALLER), [true].as_slice()));
}
