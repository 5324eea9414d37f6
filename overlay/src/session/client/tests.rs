//! A session against servers that answer as told.

use super::servers::{GIVE_UP_AFTER, MAX_UNHEARD};
use super::*;
use crate::id::Hash;
use crate::wire::{CallResult, OutItem, ServerBody, ServerFrame};

const NOW: Time = Time(1_000);
const S: PeerId = PeerId([1; 32]);
const T: PeerId = PeerId([2; 32]);
const STRANGER: PeerId = PeerId([3; 32]);
const REQUEST: RequestId = RequestId(1);

fn service() -> ServiceId {
    ServiceId(Hash([5; 32]))
}

fn frame(term: u64, ack: u64, body: ServerBody) -> ServerFrame {
    ServerFrame { service: service(), session: SessionId(9), epoch: 1, term, ack, body }
}

fn message(term: u64, seq: u64) -> ServerFrame {
    frame(term, 1, ServerBody::Out { seq, item: OutItem::Message(ByteBuf::from(vec![seq as u8])) })
}

fn session(stateless: bool) -> (ClientSession, Vec<Action>) {
    let mut out = Vec::new();
    let deadline = NOW + Millis(5_000);
    let hosts = vec![S];
    let id = SessionId(9);
    let session =
        ClientSession::open(NOW, id, service(), "s@p".into(), stateless, hosts, REQUEST, deadline, &mut out);
    (session, out)
}

fn open(stateless: bool) -> ClientSession {
    let (mut session, mut out) = session(stateless);
    session.handle_frame(NOW, S, frame(3, 1, ServerBody::Ack), &mut out);
    assert!(out.contains(&Action::Opened(REQUEST)));
    session
}

fn input(seq: u64, input: SessionInput) -> ClientBody {
    ClientBody::Input { seq, input }
}

fn call(session: &mut ClientSession, request: u64) -> Vec<Action> {
    let mut out = Vec::new();
    session.call(NOW, RequestId(request), NOW + Millis(30_000), "m".into(), vec![], &mut out);
    out
}

fn call_input() -> SessionInput {
    SessionInput::Call { method: "m".into(), body: ByteBuf::new() }
}

#[test]
fn items_arrive_once_and_in_order() {
    let mut session = open(false);
    let mut out = Vec::new();
    for seq in [1, 2, 2, 1, 4] {
        session.handle_frame(NOW, S, message(3, seq), &mut out);
    }
    let event = |n| Action::Event(Event::Message { session: SessionId(9).to_string(), body: vec![n] });
    assert_eq!(out, [event(1), event(2), Action::Send(S, ClientBody::Resume { next: 2 })]);
}

#[test]
fn frames_of_a_lower_authority_are_dropped() {
    let mut session = open(false);
    let mut out = Vec::new();
    session.handle_frame(NOW, S, message(2, 1), &mut out);
    assert_eq!(out, []);
    assert!(session.hears(S) && !session.hears(STRANGER));
}

#[test]
fn everything_unacknowledged_follows_to_the_new_server() {
    let mut session = open(false);
    assert_eq!(call(&mut session, 2), [Action::Send(S, input(2, call_input()))]);
    call(&mut session, 3);
    let mut out = Vec::new();
    session.handle_frame(NOW, S, frame(3, 2, ServerBody::Prepare { next: T }), &mut out);
    assert_eq!(std::mem::take(&mut out), [Action::Connect(T)]);
    // The reply to the first call came with the old server, the second is still under way.
    let result = CallResult::Ok(ByteBuf::from(vec![7]));
    let reply = ServerBody::Out { seq: 1, item: OutItem::Reply { to: 2, result } };
    session.handle_frame(NOW, S, frame(3, 2, reply.clone()), &mut out);
    assert_eq!(std::mem::take(&mut out), [Action::Answer(RequestId(2), Ok(Answer::Reply(vec![7])))]);
    session.handle_frame(NOW, T, frame(4, 2, ServerBody::Moved { to: Some(T) }), &mut out);
    let resend = [
        Action::Send(T, ClientBody::Resume { next: 3 }),
        Action::Send(T, input(3, call_input())),
        Action::Moved,
    ];
    assert_eq!(std::mem::take(&mut out), resend);
    assert_eq!(session.authority(), (T, 1, 4));
    // H4: what the old server still sends counts no more.
    session.handle_frame(NOW, S, frame(3, 3, reply), &mut out);
    assert_eq!(out, []);
}

#[test]
fn a_lost_server_is_looked_for_and_then_given_up() {
    let mut session = open(false);
    call(&mut session, 2);
    let mut out = Vec::new();
    session.on_unreachable(NOW, S, &mut out);
    assert_eq!(out, [Action::Lookup, Action::Send(S, ClientBody::Resume { next: 2 })]);
    session.on_hosts(&[T]);
    let mut now = NOW;
    let mut asked = Vec::new();
    for _ in 0..4 {
        now = session.timeout().unwrap();
        out.clear();
        session.handle_timeout(now, &mut out);
        asked.extend(out.iter().filter_map(|action| match action {
            Action::Send(peer, ClientBody::Resume { .. }) => Some(*peer),
            _ => None,
        }));
    }
    assert!(asked.contains(&S) && asked.contains(&T));
    out.clear();
    session.handle_timeout(now + GIVE_UP_AFTER, &mut out);
    assert!(matches!(
        &out[0],
        Action::Answer(RequestId(2), Err(Error::Deadline(_) | Error::UnknownOutcome(_)))
    ));
    assert_eq!(out.last(), Some(&Action::Ended));
}

#[test]
fn a_stateless_service_begins_anew_and_says_what_it_does_not_know() {
    let mut session = open(true);
    call(&mut session, 2);
    let before = session.wire_id();
    let mut out = Vec::new();
    session.on_unreachable(NOW, S, &mut out);
    assert!(matches!(out[0], Action::Answer(RequestId(2), Err(Error::UnknownOutcome(_)))));
    assert_ne!(session.wire_id(), before);
    assert!(out.contains(&Action::Send(S, input(1, SessionInput::Open))));
}

#[test]
fn calls_end_at_their_deadline() {
    let mut session = open(false);
    call(&mut session, 2);
    let mut out = Vec::new();
    session.handle_timeout(NOW + Millis(30_000), &mut out);
    assert!(matches!(out[0], Action::Answer(RequestId(2), Err(Error::Deadline(_)))));
}

#[test]
fn a_full_session_says_so() {
    let mut session = open(false);
    for request in 0..MAX_UNACKED as u64 {
        assert_eq!(call(&mut session, 10 + request).len(), 1);
    }
    let refused = call(&mut session, 5);
    assert!(matches!(&refused[..], [Action::Answer(RequestId(5), Err(Error::Overloaded(..)))]));
}

#[test]
fn nobody_answering_is_no_server() {
    let (mut session, mut out) = session(false);
    out.clear();
    session.handle_timeout(NOW + Millis(5_000), &mut out);
    assert_eq!(out, [Action::Answer(REQUEST, Err(Error::NoServer("s@p".into()))), Action::Ended]);
}

#[test]
fn nobody_else_serves_in_an_authority_that_is_known() {
    let mut session = open(false);
    session.on_hosts(&[STRANGER]);
    let mut out = Vec::new();
    session.handle_frame(NOW, STRANGER, message(3, 1), &mut out);
    assert_eq!(out, []);
    assert_eq!(session.authority(), (S, 1, 3));
}

#[test]
fn a_stateless_service_that_refuses_to_open_is_not_asked_for_ever() {
    let mut session = open(true);
    let mut out = Vec::new();
    session.handle_frame(NOW, S, frame(3, 1, ServerBody::Gone { reason: "full".into() }), &mut out);
    assert_eq!(out, [Action::Send(S, input(1, SessionInput::Open))]);
    out.clear();
    session.handle_frame(NOW, S, frame(3, 0, ServerBody::Gone { reason: "full".into() }), &mut out);
    assert_eq!(out.last(), Some(&Action::Ended));
}

#[test]
fn datagrams_that_a_change_of_server_overtook_are_heard_and_change_nothing() {
    let mut session = open(false);
    let mut out = Vec::new();
    session.handle_frame(NOW, S, frame(4, 1, ServerBody::Moved { to: Some(T) }), &mut out);
    assert_eq!(session.authority(), (T, 1, 4));
    out.clear();
    let datagram = |seq| ServerBody::Datagram { from: 2, seq, body: ByteBuf::new() };
    for (term, seq) in [(3, 1), (4, 2), (3, 1)] {
        session.handle_frame(NOW, S, frame(term, 1, datagram(seq)), &mut out);
    }
    let session_id = session.id.to_string();
    let heard = || Action::Event(Event::Datagram { session: session_id.clone(), body: Vec::new() });
    assert_eq!(out, [heard(), heard()]);
    assert_eq!(session.authority(), (T, 1, 4));
}

#[test]
fn a_datagram_that_may_be_lost_takes_no_acknowledgement_from_the_ordered_frames() {
    let mut session = open(false);
    session.handle_frame(NOW, S, message(3, 1), &mut Vec::new());
    let due = session.timeout();
    let frame = session.frame(ClientBody::Datagram { seq: 1, body: ByteBuf::new() });
    assert_eq!((frame.ack, session.timeout()), (1, due));
    session.frame(ClientBody::Ack);
    assert_eq!(session.timeout(), None);
}

#[test]
fn datagrams_that_are_not_permitted_are_refused_until_it_is_worth_asking_again() {
    let mut session = open(false);
    let send = |session: &mut ClientSession, now| {
        let mut out = Vec::new();
        session.datagram(now, REQUEST, vec![7], &mut out);
        out
    };
    let sent = |seq| {
        let body = ClientBody::Datagram { seq, body: ByteBuf::from(vec![7]) };
        vec![Action::Answer(REQUEST, Ok(Answer::Done)), Action::Send(S, body)]
    };
    assert_eq!(send(&mut session, NOW), sent(1));
    let mut out = Vec::new();
    for _ in 0..3 {
        session.handle_frame(NOW, S, frame(3, 1, ServerBody::NoDatagrams), &mut out);
    }
    let (session_id, message) = (session.id.to_string(), NO_DATAGRAMS.to_owned());
    let code = "not-permitted".to_owned();
    let told = Event::SessionError { session: session_id, code, message: message.clone() };
    assert_eq!(out, [Action::Event(told)]);
    let refused = vec![Action::Answer(REQUEST, Err(Error::NotPermitted(message)))];
    assert_eq!(send(&mut session, NOW + Millis(4_999)), refused);
    assert_eq!(send(&mut session, NOW + ASK_AGAIN), sent(2));
}

#[test]
fn who_serves_in_another_epoch_numbers_the_senders_of_datagrams_anew() {
    let mut session = open(false);
    let mut out = Vec::new();
    let datagram = |seq| ServerBody::Datagram { from: 2, seq, body: ByteBuf::new() };
    let heard = |out: &mut Vec<Action>| {
        std::mem::take(out).iter().filter(|a| matches!(a, Action::Event(Event::Datagram { .. }))).count()
    };
    session.handle_frame(NOW, S, frame(3, 1, datagram(5000)), &mut out);
    assert_eq!(heard(&mut out), 1);
    session.handle_frame(NOW, S, frame(4, 1, datagram(7)), &mut out);
    assert_eq!(heard(&mut out), 0, "late: the sender is the same in a later term");
    session.handle_frame(NOW, S, ServerFrame { epoch: 2, ..frame(1, 1, datagram(7)) }, &mut out);
    assert_eq!(heard(&mut out), 1, "another sender");
}

#[test]
fn a_server_that_is_connected_and_says_nothing_is_left() {
    let mut session = open(false);
    let mut out = Vec::new();
    session.on_hosts(&[T]);
    call(&mut session, 2);
    for second in 1..=u64::from(MAX_UNHEARD) {
        session.handle_timeout(NOW + Millis::secs(second), &mut out);
        assert!(out.contains(&Action::Send(S, input(2, call_input()))), "it is asked again: {out:?}");
        out.clear();
    }
    let at = NOW + Millis::secs(4);
    session.handle_timeout(at, &mut out);
    session.handle_timeout(at + SEEK_EVERY, &mut out);
    assert!(out.contains(&Action::Send(T, ClientBody::Resume { next: 2 })), "others are asked: {out:?}");
    out.clear();
    session.handle_frame(at, T, frame(4, 1, ServerBody::Ack), &mut out);
    assert!(out.contains(&Action::Send(T, input(2, call_input()))) && session.authority() == (T, 1, 4));
}

fn answer(term: u64, id: u64) -> ServerFrame {
    let result = CallResult::Ok(ByteBuf::from(vec![7]));
    frame(term, 1, ServerBody::Answer { id, result, index: 5, age_ms: 3 })
}

/// A session that reads at T, a replica.
fn reading() -> (ClientSession, Vec<Action>) {
    let mut session = open(false);
    let mut out = Vec::new();
    session.handle_frame(NOW, S, frame(3, 1, ServerBody::Prepare { next: T }), &mut out);
    out.clear();
    let (request, deadline, call) = (RequestId(8), NOW + Millis(30_000), ("m".to_owned(), vec![]));
    session.query(NOW, request, deadline, call, Some(Millis(0)), Some(T), &mut out);
    assert!(matches!(&out[..], [Action::Send(T, ClientBody::Query { reading: Some(_), .. })]), "{out:?}");
    out.clear();
    (session, out)
}

#[test]
fn a_replica_answers_reads_and_becomes_no_server() {
    let (mut session, mut out) = reading();
    session.handle_frame(NOW, T, answer(4, 1), &mut out);
    assert_eq!(out, [], "of another authority");
    session.handle_frame(NOW, T, answer(3, 1), &mut out);
    let read = Answer::Read { body: vec![7], server: T.to_string(), age_ms: 3 };
    assert_eq!(out, [Action::Answer(RequestId(8), Ok(read))]);
    assert_eq!(session.authority(), (S, 1, 3));
}

#[test]
fn what_a_replica_does_not_answer_the_server_is_asked() {
    let (mut session, mut out) = reading();
    session.handle_timeout(NOW + Millis(499), &mut out);
    assert!(!out.iter().any(|action| matches!(action, Action::Send(S, ClientBody::Query { .. }))));
    session.handle_timeout(NOW + Millis(500), &mut out);
    assert!(out.iter().any(|action| matches!(action, Action::Send(S, ClientBody::Query { .. }))), "{out:?}");
    assert_eq!(session.readers().count(), 0, "and it is asked no more");
}

#[test]
fn datagrams_wait_a_moment_for_the_next_server() {
    let mut session = open(false);
    let mut out = Vec::new();
    session.on_unreachable(NOW, S, &mut out);
    for n in 0..2 * MAX_HELD as u64 {
        session.datagram(NOW + Millis(n), REQUEST, vec![n as u8], &mut out);
    }
    assert!(!out.iter().any(|action| matches!(action, Action::Send(_, ClientBody::Datagram { .. }))));
    out.clear();
    // The seventeenth was sent at NOW + 16.
    let now = NOW + Millis(16 + 4) + HOLD_FOR;
    session.handle_frame(now, S, frame(4, 1, ServerBody::Moved { to: Some(T) }), &mut out);
    let sent: Vec<_> = out
        .iter()
        .filter_map(|action| match action {
            Action::Send(to, ClientBody::Datagram { seq, body }) => Some((*to, *seq, body[0])),
            _ => None,
        })
        .collect();
    assert_eq!(sent, (21..32).map(|n| (T, n + 1, n as u8)).collect::<Vec<_>>(), "the newest, in order");
    out.clear();
    session.datagram(now, REQUEST, vec![7], &mut out);
    assert!(matches!(out.last(), Some(Action::Send(_, ClientBody::Datagram { seq: 33, .. }))), "{out:?}");
}

fn moving() -> ClientSession {
    let mut session = open(true);
    call(&mut session, 2);
    let mut out = Vec::new();
    session.move_to(NOW, T, &mut out);
    assert!(out.is_empty(), "a call is under way");
    session
}

fn replied(session: &mut ClientSession) -> Vec<Action> {
    let mut out = Vec::new();
    let result = CallResult::Ok(ByteBuf::new());
    let reply = ServerBody::Out { seq: 1, item: OutItem::Reply { to: 2, result } };
    session.handle_frame(NOW, S, frame(3, 2, reply), &mut out);
    out
}

#[test]
fn a_message_does_not_overtake_a_call_that_waits_for_a_move() {
    let mut session = moving();
    assert!(call(&mut session, 3).is_empty());
    let mut out = Vec::new();
    session.message(NOW, RequestId(4), vec![1], &mut out);
    let message = SessionInput::Message(ByteBuf::from(vec![1]));
    let sent = |body| Action::Send(S, body);
    assert_eq!(out[..2], [sent(input(3, call_input())), sent(input(4, message))]);
    assert!(!session.may_move());
}

#[test]
fn what_was_admitted_for_a_move_goes_along() {
    let mut session = moving();
    // The call is executed, and its reply still to come.
    session.handle_frame(NOW, S, frame(3, 2, ServerBody::Ack), &mut Vec::new());
    for request in 0..MAX_UNACKED as u64 {
        assert!(call(&mut session, 10 + request).is_empty());
    }
    let refused = call(&mut session, 5);
    assert!(matches!(&refused[..], [Action::Answer(RequestId(5), Err(Error::Overloaded(..)))]));
    let refused = |action: &&Action| matches!(action, Action::Answer(_, Err(_)));
    assert_eq!(replied(&mut session).iter().find(refused), None);
    assert_eq!(session.authority().0, T);
}

#[test]
fn a_session_that_moves_takes_what_waits_along_and_closes_what_it_leaves() {
    let mut session = moving();
    assert!(call(&mut session, 3).is_empty());
    let before = session.wire_id();
    let out = replied(&mut session);
    assert!(out.contains(&Action::SendAs(S, before, 3, SessionInput::Close)));
    assert!(out.contains(&Action::Send(T, input(1, SessionInput::Open))));
    assert!(!out.contains(&Action::Send(S, input(3, call_input()))), "it was never sent there");
    let mut out = Vec::new();
    session.handle_frame(NOW, T, frame(1, 1, ServerBody::Ack), &mut out);
    assert!(out.contains(&Action::Send(T, input(2, call_input()))));
}

#[test]
fn who_answers_too_late_gets_no_calls_of_a_stateless_session_and_keeps_nothing_of_it() {
    let mut session = moving();
    replied(&mut session);
    let mut out = Vec::new();
    // Nobody answers in time: the others are asked, too, and both answer in the end.
    for n in 1..=20 {
        session.handle_timeout(NOW + Millis(250 * n), &mut out);
    }
    assert!(out.contains(&Action::Send(S, input(1, SessionInput::Open))));
    let wire = session.wire_id();
    out.clear();
    let ack = |epoch| ServerFrame { epoch, session: wire, ..frame(1, 1, ServerBody::Ack) };
    session.handle_frame(NOW, S, ack(1), &mut out);
    assert!(out.contains(&Action::SendAs(T, wire, 2, SessionInput::Close)), "{out:?}");
    call(&mut session, 3);
    session.handle_frame(NOW, S, ServerFrame { ack: 2, ..ack(1) }, &mut out);
    for late in [ack(7), ServerFrame { body: ServerBody::Gone { reason: "closed".into() }, ..ack(8) }] {
        out.clear();
        session.handle_frame(NOW, T, late, &mut out);
        assert_eq!((&out[..], session.authority()), (&[][..], (S, 1, 1)));
    }
}

#[test]
fn a_call_that_takes_long_keeps_the_session_where_it_is_and_holds_nothing_up() {
    let mut session = moving();
    assert!(call(&mut session, 3).is_empty());
    let due = session.timeout().expect("it does not wait for ever");
    let mut out = Vec::new();
    session.handle_timeout(due, &mut out);
    session.handle_timeout(NOW + Millis(2_000), &mut out);
    assert!(out.contains(&Action::Send(S, input(3, call_input()))));
    assert!(session.may_move() && session.authority().0 == S);
}
