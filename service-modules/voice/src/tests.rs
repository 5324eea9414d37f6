use super::*;
use service_sdk::testing::{Effect, Harness};

fn text(bytes: Result<Vec<u8>, String>) -> String {
    String::from_utf8(bytes.unwrap()).unwrap()
}

fn person(speaker: u32, nick: &str, state: [bool; 3]) -> String {
    let [muted, speaking, listening] = state;
    format!(
        r#"{{"type":"person","speaker":{speaker},"nick":"{nick}","muted":{muted},"speaking":{speaking},"listening":{listening}}}"#
    )
}

/// Bodies of messages to the room of `conference`.
fn news(voice: &mut Harness<Voice>, conference: &str) -> Vec<String> {
    let room = voice.room(conference);
    let effects = voice.take_effects().into_iter();
    effects
        .filter_map(|effect| match effect {
            Effect::Broadcast { room: to, body } if to == room => Some(String::from_utf8(body).unwrap()),
            _ => None,
        })
        .collect()
}

#[test]
fn people_join_a_conference_and_leave_it() {
    let mut voice = Harness::<Voice>::new();
    let (ann, bob) = (voice.open(1, [1; 32]), voice.open(2, [2; 32]));
    let room = voice.room("tea");
    assert_eq!(
        text(voice.call(ann, "join", "tea\n Ann ".as_bytes())),
        format!(
            r#"{{"type":"roster","conference":"tea","speaker":1,"people":[{}]}}"#,
            person(1, "Ann", [false; 3])
        )
    );
    assert!(voice.take_effects().contains(&Effect::Join { session: 1, room }));
    let both = [person(1, "Ann", [false; 3]), person(2, "Ann 2", [false; 3])];
    assert_eq!(
        text(voice.call(bob, "join", b"tea\nAnn")),
        format!(r#"{{"type":"roster","conference":"tea","speaker":2,"people":[{}]}}"#, both.join(","))
    );
    assert_eq!(news(&mut voice, "tea"), [format!(r#"{{"type":"joined","person":{}}}"#, both[1])]);
    assert_eq!(
        text(voice.query(ann, "list", b"")),
        r#"{"type":"list","conferences":[{"type":"conference","name":"tea","people":2}]}"#
    );
    voice.call(bob, "leave", b"").unwrap();
    let left = r#"{"type":"left","speaker":2,"nick":"Ann 2"}"#;
    let effects = voice.take_effects();
    assert_eq!(effects, [Effect::Broadcast { room, body: left.into() }, Effect::Leave { session: 2, room }]);
    assert_eq!(voice.query(bob, "roster", b""), Err("join a conference first".to_owned()));
    voice.close(ann);
    assert_eq!(text(voice.query(bob, "list", b"")), r#"{"type":"list","conferences":[]}"#);
}

#[test]
fn what_people_do_is_told_once() {
    let mut voice = Harness::<Voice>::new();
    let ann = voice.open(1, [1; 32]);
    voice.call(ann, "join", b"tea\nAnn").unwrap();
    voice.take_effects();
    for word in ["speaking", "speaking", "muted", "unmuted", "listening"] {
        voice.message(ann, word.as_bytes());
    }
    let states = [[false, true, false], [true, false, false], [false; 3], [false, false, true]];
    let told = states.map(|state| format!(r#"{{"type":"changed","person":{}}}"#, person(1, "Ann", state)));
    assert_eq!(news(&mut voice, "tea"), told);
}

#[test]
fn a_ninth_is_refused_in_words_and_a_conference_is_left_for_another() {
    let mut voice = Harness::<Voice>::new();
    let people: Vec<_> = (1..=9).map(|n| voice.open(n, [n as u8; 32])).collect();
    for (n, session) in people[..8].iter().enumerate() {
        voice.call(*session, "join", format!("tea\np{n}").as_bytes()).unwrap();
    }
    let full = Err("the conference “tea” is full: at most 8 people take part".to_owned());
    assert_eq!(voice.call(people[8], "join", b"tea\nlate"), full);
    voice.call(people[0], "join", b"coffee\np0").unwrap();
    voice.call(people[8], "join", b"tea\nlate").unwrap();
    // Joining again is no ninth place either.
    voice.call(people[8], "join", b"tea\nlater").unwrap();
    assert!(text(voice.query(people[8], "list", b"")).contains(r#""name":"tea","people":8"#));
}

#[test]
fn a_peer_takes_its_place_again() {
    let mut voice = Harness::<Voice>::new();
    let (before, after) = (voice.open(1, [7; 32]), voice.open(2, [7; 32]));
    voice.call(before, "join", b"tea\nAnn").unwrap();
    voice.take_effects();
    let roster = text(voice.call(after, "join", b"tea\nAnn"));
    assert!(
        roster.contains(r#""speaker":2,"people":[{"type":"person","speaker":2,"nick":"Ann","#),
        "{roster}"
    );
    let room = voice.room("tea");
    let effects = voice.take_effects();
    assert!(effects.contains(&Effect::Send { session: 1, body: br#"{"type":"replaced"}"#.to_vec() }));
    assert!(effects.contains(&Effect::Leave { session: 1, room }));
}

#[test]
fn bad_input_is_refused_by_name() {
    let mut voice = Harness::<Voice>::new();
    let ann = voice.open(1, [1; 32]);
    for (body, said) in [
        (&b"tea"[..], "a conference and a nick name, one line each"),
        (b"\nAnn", "a conference's name has 1 to 32 characters"),
        (b"tea\n", "a nick name has 1 to 32 characters"),
        (b"tea\na\nb", "a nick name has 1 to 32 characters"),
        (b"\xff\nAnn", "names must be UTF-8 text"),
    ] {
        assert_eq!(voice.call(ann, "join", body), Err(said.to_owned()));
    }
    voice.message(ann, b"speaking");
    let error = r#"{"type":"error","text":"join a conference first"}"#;
    assert_eq!(voice.take_effects(), [Effect::Send { session: 1, body: error.into() }]);
    voice.call(ann, "join", b"tea\nAnn").unwrap();
    voice.take_effects();
    voice.message(ann, b"sing");
    assert!(matches!(&voice.take_effects()[..], [Effect::Send { session: 1, .. }]));
}

#[test]
fn conferences_are_bounded() {
    let mut voice = Harness::<Voice>::new();
    for n in 0..MAX_CONFERENCES as u32 {
        let session = voice.open(n, [n as u8; 32]);
        voice.call(session, "join", format!("c{n}\nx").as_bytes()).unwrap();
    }
    let late = voice.open(1000, [200; 32]);
    assert!(voice.call(late, "join", b"one more\nx").unwrap_err().starts_with("there are 64 conferences"));
    voice.call(late, "join", b"c1\nx").unwrap();
}
