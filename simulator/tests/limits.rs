//! Row 18: what a service sends is held to what its host's person grants; nothing is lost by that.

mod common;

use overlay::id::{RequestId, SessionId};
use overlay::io::{Answer, Command, Input, Output, VolunteerPolicy};
use simulator::link::LinkModel;

const HOST: usize = 1;
const CALLER: usize = 2;
const CALLS: u64 = 120;

/// Bytes that the host sent to the caller, and replies that came, in each of the first 60 seconds of as many calls at once.
fn replies_by_second(up_kbps: u32) -> Vec<(usize, usize)> {
    let mut world = common::world(3, 2, LinkModel::default());
    let policy = VolunteerPolicy { up_kbps, ..VolunteerPolicy::default() };
    world.tell(HOST, Input::Command(RequestId(1), Command::Volunteer(Some(policy))));
    common::publish(&mut world, HOST, 2, "talker", "single", 0);
    let until = world.now() + 2_000_000;
    while world.step(until).is_some() {}
    let open = Command::Open { service: "talker".to_owned(), deadline_ms: 0 };
    world.tell(CALLER, Input::Command(RequestId(3), open));
    let mut session = None;
    let until = world.now() + 2_000_000;
    while let Some(step) = world.step(until) {
        for output in &step.outputs {
            if let Output::Answer { request: RequestId(3), result } = output {
                let Ok(Answer::Opened(info)) = result else { panic!("{result:?}") };
                session = Some(SessionId(u128::from_str_radix(&info.id, 16).expect("an id")));
            }
        }
    }
    let session = session.expect("the session is open");
    for number in 0..CALLS {
        let (method, body) = ("add".to_owned(), Vec::new());
        let call = Command::Call { session, method, body, deadline_ms: 60_000 };
        world.tell(CALLER, Input::Command(RequestId(100 + number), call));
    }
    let begin = world.now();
    let mut seconds = vec![(0, 0); 60];
    while let Some(step) = world.step(begin + 60_000_000) {
        let second = ((step.at - begin) / 1_000_000) as usize;
        for output in &step.outputs {
            match output {
                Output::Send { lane: overlay::io::Lane::Session, frame, .. } if step.node == Some(HOST) => {
                    seconds[second.min(59)].0 += frame.len();
                }
                Output::Answer { request, result } if request.0 >= 100 => {
                    assert!(matches!(result, Ok(Answer::Reply(_))), "{result:?}");
                    seconds[second.min(59)].1 += 1;
                }
                _ => {}
            }
        }
    }
    seconds
}

#[test]
fn what_a_service_sends_is_held_to_its_share() {
    let free = replies_by_second(2_000);
    assert_eq!(free[0].1 + free[1].1, CALLS as usize, "two seconds are enough");
    let slow = replies_by_second(8);
    let (bytes, replies): (Vec<usize>, Vec<usize>) = slow.iter().copied().unzip();
    assert_eq!(replies.iter().sum::<usize>(), CALLS as usize, "late, and all of them");
    // 8 kbit/s are 1,000 bytes a second; a second's worth may be saved up, and one event goes over.
    for (second, window) in bytes.windows(5).enumerate() {
        let sent: usize = window.iter().sum();
        assert!(sent <= 6_200, "{sent} bytes in 5 seconds from {second}: {bytes:?}");
    }
    assert!(replies.iter().filter(|replies| **replies > 0).count() >= 5, "{replies:?}");
}
