//! A tab that leaves tells what became of each service that it served.

mod common;

use overlay::id::RequestId;
use overlay::io::{Answer, Command, Event, Input, LeftInfo, Output, VolunteerPolicy};
use overlay::Node;
use simulator::link::LinkModel;
use simulator::world::World;

const HOST: usize = 1;
const SMALL: usize = 2;
const ROOMY: usize = 3;

/// What `leave` answered, after how many ms, and whether a state was stored on the way there.
struct Left {
    services: Vec<LeftInfo>,
    after_ms: u64,
    stored: bool,
    aborted: Vec<String>,
}

/// A world whose first tab serves a counter; tabs volunteer with so many MiB of memory.
fn hosted(volunteers: &[(usize, u32)]) -> World<Node> {
    let mut world = common::world(11, 3, LinkModel::default());
    for (node, memory_mib) in volunteers {
        let policy = VolunteerPolicy { memory_mib: *memory_mib, ..VolunteerPolicy::default() };
        world.tell(*node, Input::Command(RequestId(1), Command::Volunteer(Some(policy))));
    }
    pass(&mut world, 3_000);
    common::publish(&mut world, HOST, 2, "plain", "single", 0);
    pass(&mut world, 6_000);
    world
}

fn pass(world: &mut World<Node>, ms: u64) {
    let end = world.now() + ms * 1_000;
    while world.step(end).is_some() {}
}

fn leave(world: &mut World<Node>) -> Left {
    world.tell(HOST, Input::Command(RequestId(9), Command::Leave));
    let (begin, mut stored, mut aborted) = (world.now(), false, Vec::new());
    while let Some(step) = world.step(begin + 20_000_000) {
        for output in step.outputs {
            match output {
                Output::Store { key, value: Some(_), .. } => stored |= key.starts_with("state/"),
                Output::Event(Event::Handover { step, reason, .. }) if step == "aborted" => {
                    aborted.push(reason)
                }
                Output::Answer { request: RequestId(9), result } => {
                    let Ok(Answer::Left(services)) = result else { panic!("{result:?}") };
                    return Left { services, after_ms: (step.at - begin) / 1_000, stored, aborted };
                }
                _ => {}
            }
        }
    }
    panic!("leave is not answered")
}

fn serving(world: &World<Node>) -> Vec<usize> {
    (HOST..=ROOMY).filter(|node| world.peer(*node).is_some_and(|peer| peer.serving().count() > 0)).collect()
}

#[test]
fn who_leaves_says_who_took_over() {
    let mut world = hosted(&[(ROOMY, 64)]);
    let left = leave(&mut world);
    let (service, to) = (format!("plain@{}", world.id(HOST)), Some(world.id(ROOMY).to_string()));
    assert_eq!(left.services, [LeftInfo { service, to, reason: None, stored: false }]);
    assert_eq!(serving(&world), [ROOMY]);
}

#[test]
fn who_refuses_is_followed_by_the_next_at_once() {
    let mut refused = Vec::new();
    // One of the two is asked first.
    for (small, roomy) in [(SMALL, ROOMY), (ROOMY, SMALL)] {
        let mut world = hosted(&[(small, 0), (roomy, 64)]);
        let left = leave(&mut world);
        assert_eq!(left.services[0].to, Some(world.id(roomy).to_string()));
        assert!(left.after_ms < 5_000, "{} ms", left.after_ms);
        refused.extend(left.aborted);
    }
    assert_eq!(refused, ["the target refused: it needs 1 MiB of memory, 0 MiB are left"]);
}

#[test]
fn what_nobody_takes_is_stored_first_and_its_reason_said() {
    for (volunteers, reason) in [
        (vec![], "no tab that may take it is connected"),
        (vec![(SMALL, 0)], "the target refused: it needs 1 MiB of memory, 0 MiB are left"),
    ] {
        let mut world = hosted(&volunteers);
        // Something that no checkpoint holds.
        let open = Command::Open { service: "plain".to_owned(), deadline_ms: 0 };
        world.tell(ROOMY, Input::Command(RequestId(3), open));
        pass(&mut world, 300);
        let left = leave(&mut world);
        assert!(left.stored && left.after_ms < 2_000, "stored: {}, {} ms", left.stored, left.after_ms);
        let (service, reason) = (format!("plain@{}", world.id(HOST)), Some(reason.to_owned()));
        assert_eq!(left.services, [LeftInfo { service, to: None, reason, stored: true }]);
    }
}

#[test]
fn who_serves_nothing_leaves_at_once() {
    let mut world = common::world(11, 1, LinkModel::default());
    let left = leave(&mut world);
    assert_eq!((left.services, left.after_ms), (vec![], 0));
}
