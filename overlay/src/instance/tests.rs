//! The machine and the instance, driven with a sandbox that answers as told.

use serde_bytes::ByteBuf;

use super::budget::MAX_DEBT;
use super::machine::*;
use super::*;
use crate::id::{Hash, PeerId, SessionId};
use crate::sandbox::{Effect, EventKind};
use crate::time::Millis;
use crate::wire::{OutItem, SessionInput};

const NOW: Time = Time(5_000);
const KEY: SessionKey = (PeerId([1; 32]), SessionId(7));
const OTHER: SessionKey = (PeerId([2; 32]), SessionId(8));

fn package(n: u8) -> PackageId {
    PackageId(Hash([n; 32]))
}

fn session(key: SessionKey, seq: u64, input: SessionInput) -> Entry {
    Entry::Session { key, seq, ack: 0, input, now: NOW, seed: seq }
}

fn call(key: SessionKey, seq: u64) -> Entry {
    session(key, seq, SessionInput::Call { method: "m".into(), body: ByteBuf::from(vec![9]) })
}

fn done(reply: &[u8], effects: Vec<Effect>) -> Outcome {
    Outcome::Done { reply: reply.to_vec(), effects, gas: 1 }
}

/// Runs an entry whose only event ends in `outcome`.
fn run(machine: &mut Machine, index: u64, entry: Entry, outcome: Outcome) -> GuestEvent {
    let Next::Run(event) = machine.begin(index, entry) else { panic!("no event ran") };
    assert_eq!(machine.finish(outcome), Next::Done);
    event
}

fn opened(keys: &[SessionKey]) -> Machine {
    let mut machine = Machine::new(package(1));
    for (index, key) in keys.iter().enumerate() {
        run(&mut machine, index as u64, session(*key, 1, SessionInput::Open), done(b"", vec![]));
    }
    machine
}

#[test]
fn a_call_runs_once_and_its_reply_stays_until_it_is_acknowledged() {
    let mut machine = opened(&[KEY]);
    let event = run(&mut machine, 2, call(KEY, 2), done(b"ok", vec![]));
    assert_eq!((event.kind, event.session, event.now_ms), (EventKind::Call, 1, NOW.0));
    assert_eq!(event.input, [1, 0, b'm', 9]);
    let reply = OutItem::Reply { to: 2, result: CallResult::Ok(ByteBuf::from(b"ok".to_vec())) };
    assert_eq!(machine.session(&KEY).unwrap().outbox, [reply]);
    // H3: a repeat and a gap do nothing.
    assert_eq!(machine.begin(3, call(KEY, 2)), Next::Done);
    assert_eq!(machine.begin(4, call(KEY, 4)), Next::Done);
    assert_eq!(machine.session(&KEY).unwrap().executed, 2);
    assert_eq!(machine.begin(5, Entry::Ack { key: KEY, ack: 1 }), Next::Done);
    assert!(machine.session(&KEY).unwrap().outbox.is_empty());
    assert_eq!(machine.session(&KEY).unwrap().first(), 2);
}

#[test]
fn a_module_that_calls_in_answer_to_each_answer_comes_to_an_end() {
    let mut machine = opened(&[KEY]);
    let calls =
        || done(b"", vec![Effect::Call { request: 1, service: "other".into(), input: Vec::new() }; 3]);
    let Next::Run(_) = machine.begin(2, call(KEY, 2)) else { panic!("no event ran") };
    let answers = (0..1000).take_while(|_| machine.finish(calls()) != Next::Done).count();
    assert_eq!(answers, MAX_CALLS_PER_ENTRY as usize);
    run(&mut machine, 3, call(KEY, 3), done(b"", vec![]));
}

#[test]
fn a_version_that_does_not_take_the_state_over_is_not_the_services() {
    let mut machine = opened(&[KEY]);
    let upgrade = |package| Entry::Upgrade { package, now: NOW };
    let end = |machine: &mut Machine, index, to, outcome| {
        assert_eq!(machine.begin(index, upgrade(to)), Next::Upgrade(to));
        let Next::Run(event) = machine.upgraded() else { panic!("the module was not told") };
        assert_eq!((event.kind, machine.finish(outcome)), (EventKind::Upgrade, Next::Done));
        (machine.package, machine.take_notes().upgrade.unwrap().refused)
    };
    let sends = vec![Effect::Send { session: 1, bytes: vec![1] }];
    let failed = Outcome::Failed { reply: b"no such form".to_vec(), effects: sends.clone(), gas: 1 };
    assert_eq!(end(&mut machine, 2, package(2), failed), (package(1), Some("no such form".into())));
    let trapped = Outcome::Trapped { reason: "unreachable".into() };
    assert_eq!(end(&mut machine, 3, package(3), trapped), (package(1), Some("unreachable".into())));
    assert!(machine.session(&KEY).unwrap().outbox.is_empty(), "it did nothing");
    assert_eq!(end(&mut machine, 4, package(4), done(b"", sends)), (package(4), None));
    assert_eq!(machine.session(&KEY).unwrap().outbox.len(), 1);
    run(&mut machine, 5, call(KEY, 2), done(b"ok", vec![]));
}

#[test]
fn a_trap_has_no_effects_but_an_answer() {
    let mut machine = opened(&[KEY]);
    run(&mut machine, 2, call(KEY, 2), Outcome::Trapped { reason: "out of gas".into() });
    let reply = OutItem::Reply { to: 2, result: CallResult::Trapped("out of gas".into()) };
    assert_eq!(machine.session(&KEY).unwrap().outbox, [reply]);
    assert_eq!(machine.take_notes().traps, 1);
}

#[test]
fn a_broadcast_reaches_the_room_and_a_closed_session_still_gets_what_came_before() {
    let mut machine = opened(&[KEY, OTHER]);
    let join = |session| Effect::Join { session, room: 5 };
    let say = Effect::Broadcast { room: 5, bytes: b"hi".to_vec() };
    run(&mut machine, 3, call(KEY, 2), done(b"", vec![join(1), join(2), say, Effect::Close { session: 2 }]));
    let other = machine.session(&OTHER).unwrap();
    assert_eq!(other.outbox.len(), 2);
    assert_eq!(other.outbox[0], OutItem::Message(ByteBuf::from(b"hi".to_vec())));
    assert!(other.is_closed() && machine.is_sound());
    assert!(machine.roommates(&KEY).is_empty());
    machine.begin(4, Entry::Ack { key: OTHER, ack: 2 });
    assert_eq!(machine.session(&OTHER), None);
}

#[test]
fn a_consumer_that_reads_nothing_is_closed_and_the_module_is_told() {
    let mut machine = opened(&[KEY]);
    let sends = (0..=MAX_OUTBOX_ITEMS).map(|_| Effect::Send { session: 1, bytes: vec![0] }).collect();
    let Next::Run(_) = machine.begin(2, call(KEY, 2)) else { panic!("no event ran") };
    let Next::Run(event) = machine.finish(done(b"", sends)) else { panic!("the module was not told") };
    assert_eq!((event.kind, event.session), (EventKind::Close, 1));
    assert_eq!(machine.finish(done(b"", vec![])), Next::Done);
    assert_eq!(machine.take_notes().gone, [(KEY, "the consumer was too slow")]);
    assert!(machine.is_sound() && machine.sessions().next().is_none());
}

#[test]
fn a_timer_fires_once_however_often_it_is_proposed() {
    let mut machine = opened(&[KEY]);
    run(&mut machine, 2, call(KEY, 2), done(b"", vec![Effect::Timer { id: 3, ms: 100 }]));
    let deadline = Time(NOW.0 + 100);
    assert_eq!(machine.next_timer(), Some((3, deadline)));
    let fire = || Entry::Timer { id: 3, deadline, now: deadline, seed: 0 };
    assert_eq!(run(&mut machine, 3, fire(), done(b"", vec![])).kind, EventKind::Timer);
    assert_eq!(machine.begin(4, fire()), Next::Done);
}

#[test]
fn a_skipped_entry_is_not_executed() {
    let mut machine = opened(&[KEY]);
    machine.begin(2, Entry::Skip { index: 3 });
    assert_eq!(machine.begin(3, call(KEY, 2)), Next::Done);
    assert_eq!(machine.session(&KEY).unwrap().executed, 1);
}

#[test]
fn unsound_states_are_refused() {
    let machine = opened(&[KEY, OTHER]);
    let bytes = postcard::to_allocvec(&machine).unwrap();
    // Flipping any byte gives another sound state, an unsound one or no state, and never a panic.
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x11;
        let _ = postcard::from_bytes::<Machine>(&bytes).map(|machine| machine.is_sound());
    }
}

/// Commands to the sandbox since the last call.
fn commands(cx: &mut Cx) -> Vec<SandboxCommand> {
    let mut commands = Vec::new();
    while let Some(output) = cx.poll() {
        if let Output::Sandbox(command) = output {
            commands.push(command);
        }
    }
    commands
}

fn start() -> (Cx, Instance) {
    let mut cx = Cx::new(PeerId([3; 32]), [0; 32], NOW);
    let mut instance = Instance::new(&mut cx, InstanceId(1), package(1), 0, None);
    instance.on_created(&mut cx);
    commands(&mut cx);
    (cx, instance)
}

#[test]
fn entries_run_one_at_a_time_in_order() {
    let (mut cx, mut instance) = start();
    instance.enqueue(&mut cx, 1, &[]);
    instance.enqueue(&mut cx, 2, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    instance.enqueue(&mut cx, 3, &wire::encode(&call(KEY, 2)));
    let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("one event at a time") };
    assert_eq!((instance.executed(), instance.backlog()), (1, 1));
    instance.on_ran(&mut cx, run, done(b"", vec![]));
    instance.go_on(&mut cx);
    let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("the next event") };
    assert_eq!(instance.executed(), 2);
    // Of another run: ignored.
    instance.on_ran(&mut cx, run + 7, done(b"", vec![]));
    instance.go_on(&mut cx);
    assert_eq!(instance.executed(), 2);
    instance.on_ran(&mut cx, run, done(b"", vec![]));
    instance.go_on(&mut cx);
    assert_eq!(instance.executed(), 3);
    assert!(instance.take_report().notes.touched.contains(&KEY));
}

#[test]
fn a_lost_worker_is_made_again_from_the_image_and_the_log_since() {
    let (mut cx, mut instance) = start();
    instance.enqueue(&mut cx, 1, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    instance.on_ran(&mut cx, 1, done(b"", vec![]));
    instance.go_on(&mut cx);
    instance.take_image(&mut cx);
    instance.on_snapshot(&mut cx, 2, b"memory".to_vec());
    assert_eq!(instance.take_report().image.unwrap().index, 1);
    instance.enqueue(&mut cx, 2, &wire::encode(&call(KEY, 2)));
    instance.on_ran(&mut cx, 3, done(b"", vec![]));
    instance.go_on(&mut cx);
    instance.enqueue(&mut cx, 3, &wire::encode(&call(KEY, 3)));
    commands(&mut cx);

    instance.on_failed(&mut cx, "the worker is gone".into());
    let restore = Some(b"memory".to_vec());
    let create = SandboxCommand::Create { instance: InstanceId(1), package: package(1), restore };
    assert_eq!(commands(&mut cx), [create]);
    assert_eq!((instance.executed(), instance.is_ready()), (1, false));
    instance.on_created(&mut cx);
    for executed in [2, 3] {
        let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("the log since") };
        instance.on_ran(&mut cx, run, done(b"", vec![]));
        instance.go_on(&mut cx);
        assert_eq!(instance.executed(), executed);
    }
    instance.on_failed(&mut cx, "again".into());
    instance.on_created(&mut cx);
    instance.on_failed(&mut cx, "and again".into());
    assert_eq!(instance.take_report().broken.as_deref(), Some("and again"));
}

#[test]
fn what_ran_is_reported_before_the_next_begins() {
    let (mut cx, mut instance) = start();
    for (index, entry) in [(1, session(KEY, 1, SessionInput::Open)), (2, call(KEY, 2)), (3, call(KEY, 3))] {
        instance.enqueue(&mut cx, index, &wire::encode(&entry));
    }
    for executed in [1, 2] {
        let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("one at a time") };
        instance.on_ran(&mut cx, run, done(b"reply", vec![]));
        assert_eq!((instance.executed(), commands(&mut cx)), (executed, vec![]));
        assert!(instance.take_report().notes.touched.contains(&KEY));
        instance.go_on(&mut cx);
    }
}

#[test]
fn gas_above_the_share_delays_and_does_not_change() {
    let (mut cx, mut instance) = start();
    instance.limit(NOW, Some(1000), None);
    instance.enqueue(&mut cx, 1, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    let expensive = Outcome::Done { reply: vec![], effects: vec![], gas: 1500 };
    instance.on_ran(&mut cx, 1, expensive);
    instance.go_on(&mut cx);
    commands(&mut cx);
    instance.enqueue(&mut cx, 2, &wire::encode(&call(KEY, 2)));
    assert_eq!(commands(&mut cx), []);
    let due = instance.timeout().expect("it waits");
    assert_eq!(due, Time(NOW.0 + 501));
    cx.now = due;
    instance.handle_timeout(&mut cx);
    assert_eq!(commands(&mut cx).len(), 1);
    assert_eq!(instance.timeout(), None);
}

#[test]
fn bytes_above_the_share_delay_and_what_may_be_lost_is_not_sent() {
    let (mut cx, mut instance) = start();
    instance.limit(NOW, None, Some(1000));
    instance.enqueue(&mut cx, 1, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    instance.on_ran(&mut cx, 1, done(b"", vec![]));
    instance.go_on(&mut cx);
    instance.sent(1500);
    commands(&mut cx);
    instance.enqueue(&mut cx, 2, &wire::encode(&call(KEY, 2)));
    assert_eq!((commands(&mut cx), instance.may_send(NOW)), (vec![], false));
    let due = instance.timeout().expect("it waits");
    assert_eq!(due, Time(NOW.0 + 501));
    cx.now = due;
    instance.handle_timeout(&mut cx);
    assert_eq!(commands(&mut cx).len(), 1);
    assert!(instance.may_send(due));
}

#[test]
fn who_has_nothing_to_do_sleeps_and_is_woken_by_work() {
    let (mut cx, mut instance) = start();
    instance.enqueue(&mut cx, 1, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    instance.on_ran(&mut cx, 1, done(b"", vec![]));
    instance.go_on(&mut cx);
    commands(&mut cx);
    assert_eq!(instance.timeout(), Some(NOW + SLEEP_AFTER));
    cx.now = NOW + SLEEP_AFTER;
    instance.handle_timeout(&mut cx);
    let [SandboxCommand::Snapshot { run, .. }] = commands(&mut cx)[..] else {
        panic!("the state is kept first")
    };
    // A call that comes meanwhile runs, and is not slept over.
    instance.enqueue(&mut cx, 2, &wire::encode(&call(KEY, 2)));
    instance.on_snapshot(&mut cx, run, b"memory".to_vec());
    let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("the call") };
    instance.on_ran(&mut cx, run, done(b"", vec![]));
    instance.go_on(&mut cx);
    assert_eq!(instance.timeout(), Some(NOW + SLEEP_AFTER + SLEEP_AFTER));

    cx.now = cx.now + SLEEP_AFTER;
    instance.handle_timeout(&mut cx);
    let [SandboxCommand::Snapshot { run, .. }] = commands(&mut cx)[..] else {
        panic!("the state is kept first")
    };
    instance.on_snapshot(&mut cx, run, b"later".to_vec());
    assert_eq!(commands(&mut cx), [SandboxCommand::Stop { instance: InstanceId(1) }]);
    assert!(instance.is_asleep() && instance.is_ready() && instance.timeout().is_none());
    instance.on_failed(&mut cx, "the worker is gone".into());
    instance.handle_timeout(&mut cx);
    assert_eq!(commands(&mut cx), []);

    instance.enqueue(&mut cx, 3, &wire::encode(&call(KEY, 3)));
    let restore = Some(b"later".to_vec());
    let create = SandboxCommand::Create { instance: InstanceId(1), package: package(1), restore };
    assert_eq!(commands(&mut cx), [create]);
    instance.on_created(&mut cx);
    let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("the call that woke it") };
    instance.on_ran(&mut cx, run, done(b"", vec![]));
    instance.go_on(&mut cx);
    assert_eq!((instance.executed(), instance.is_asleep()), (3, false));
    assert_eq!(instance.machine().session(&KEY).unwrap().executed, 3);
}

#[test]
fn a_sleeper_whose_worker_cannot_be_made_is_tried_again_from_its_image() {
    let (mut cx, mut instance) = start();
    cx.now = NOW + SLEEP_AFTER;
    instance.handle_timeout(&mut cx);
    assert!(instance.is_asleep(), "nothing was executed: it can begin anew");
    commands(&mut cx);
    instance.enqueue(&mut cx, 1, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    instance.on_failed(&mut cx, "no memory".into());
    let create = SandboxCommand::Create { instance: InstanceId(1), package: package(1), restore: None };
    assert_eq!(commands(&mut cx), [create.clone(), create]);
    instance.on_created(&mut cx);
    let [SandboxCommand::Run { run, .. }] = commands(&mut cx)[..] else { panic!("the entry") };
    instance.on_ran(&mut cx, run, done(b"", vec![]));
    instance.go_on(&mut cx);
    assert_eq!(instance.executed(), 1);
}

#[test]
fn a_sleeper_is_woken_for_an_image() {
    let (mut cx, mut instance) = start();
    cx.now = NOW + SLEEP_AFTER;
    instance.handle_timeout(&mut cx);
    commands(&mut cx);
    instance.take_image(&mut cx);
    instance.on_created(&mut cx);
    let commands = commands(&mut cx);
    assert!(
        matches!(commands[..], [SandboxCommand::Create { .. }, SandboxCommand::Snapshot { .. }]),
        "{commands:?}"
    );
}

#[test]
fn what_begins_behind_what_ran_is_said_at_once() {
    let (mut cx, mut instance) = start();
    let open = session(KEY, 1, SessionInput::Open);
    let upgrade = Entry::Upgrade { package: package(2), now: NOW };
    for (index, entry) in [(1, open), (2, call(KEY, 2)), (3, upgrade)] {
        instance.enqueue(&mut cx, index, &wire::encode(&entry));
    }
    for (run, says) in [(1, false), (2, true)] {
        instance.on_ran(&mut cx, run, done(b"", vec![]));
        assert_eq!(instance.take_report().needs, None);
        assert_eq!(instance.go_on(&mut cx), says);
    }
    assert_eq!(instance.take_report().needs, Some(package(2)), "nothing else may ever come to say it");
    assert!(!instance.go_on(&mut cx));

    let (mut cx, mut instance) = start();
    instance.enqueue(&mut cx, 1, &wire::encode(&session(KEY, 1, SessionInput::Open)));
    assert!(instance.query(&mut cx, QueryJob::new(OTHER, 9, "m".into(), vec![])));
    instance.on_ran(&mut cx, 1, done(b"", vec![]));
    instance.take_report();
    assert!(instance.go_on(&mut cx));
    assert_eq!(instance.take_report().answers.len(), 1);
}

#[test]
fn what_was_sent_is_not_forgotten_with_a_new_share_and_no_debt_lasts() {
    let (mut cx, mut instance) = start();
    instance.limit(NOW, None, Some(1000));
    instance.sent(3000);
    instance.limit(NOW, None, Some(500));
    assert!(!instance.may_send(NOW + Millis(3_900)));
    assert!(instance.may_send(NOW + Millis(4_100)));
    instance.sent(usize::MAX);
    instance.sent(usize::MAX);
    cx.now = NOW + Millis(4_100) + MAX_DEBT;
    assert!(!instance.may_send(cx.now));
    assert!(instance.may_send(cx.now + Millis(10)));
}
