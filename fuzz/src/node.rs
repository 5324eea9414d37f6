//! A whole node: whatever connected peers say on whatever lane, in whatever order, and whatever its disk gives back.

use overlay::id::{PeerId, RequestId};
use overlay::io::{Command, Config, Input, Lane, Output, Path, Role, MAX_FRAME};
use overlay::time::{Millis, Time};
use overlay::wire::WIRE_VERSION;
use overlay::Node;

use crate::script::Script;

const START: Time = Time(1_700_000_000_000);
/// Steps of one script, so that a long one ends.
const MAX_STEPS: usize = 64;

/// Who holds this secret key.
pub(crate) fn peer_of(secret_key: [u8; 32]) -> PeerId {
    node(secret_key, Role::Tab).id()
}

fn node(secret_key: [u8; 32], role: Role) -> Node {
    Node::new(Config { secret_key, role, name: "fuzzed".into(), seed: [7; 32] }, START)
}

/// Runs a script against a node.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let role = if script.pick(2) == 0 { Role::Tab } else { Role::Relay };
    let mut node = node([7; 32], role);
    let mut now = START;
    for n in 0..MAX_STEPS {
        if script.is_over() {
            break;
        }
        let peer = PeerId([1 + script.byte() % 3; 32]);
        let input = match script.pick(16) {
            0 => Input::Connected { peer, path: Path::Direct },
            1 => Input::Disconnected { peer },
            2 => Input::DialFailed { peer },
            3 => Input::Rtt { peer, micros: u64::from(script.byte()) },
            4 => {
                now = now + Millis(u64::from(script.byte()) * 100);
                Input::Wake
            }
            5 => {
                let length = script.pick(256);
                let stored =
                    (String::from_utf8_lossy(script.bytes(8)).into_owned(), script.bytes(length).to_vec());
                Input::Command(RequestId(n as u64), Command::Recall(vec![stored]))
            }
            lane => {
                let length = 2 * script.pick(256);
                let frame = [&[WIRE_VERSION], script.bytes(length)].concat();
                Input::Received { peer, lane: Lane::ALL[lane % Lane::ALL.len()], frame }
            }
        };
        node.handle(now, input);
        while let Some(output) = node.poll_output() {
            if let Output::Send { frame, .. } = output {
                assert!(frame.len() <= MAX_FRAME);
            }
        }
        let _ = (node.status(), node.poll_timeout());
    }
}

/// Peers that greet, ask, and say what the seeds of `wire` and `transfer` hold.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let said = |lane: u8, frame: &[u8]| {
        let mut script = vec![0, 0, 0, 0, lane, (frame.len() as u8).div_ceil(2)];
        script.extend(frame);
        script.resize(script.len() + frame.len() % 2, 0);
        script
    };
    let wire = crate::target("wire").map(|target| (target.seeds)()).unwrap_or_default();
    // The lanes' numbers are taken modulo five: 10 is control, 6 session, 7 group, 9 datagram.
    wire.iter().flat_map(|frame| [10, 6, 7, 9].map(|lane| said(lane, frame))).collect()
}
