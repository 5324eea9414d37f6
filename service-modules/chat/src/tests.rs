use super::*;
use service_sdk::testing::{Effect, Harness};

fn text(bytes: Result<Vec<u8>, String>) -> String {
    String::from_utf8(bytes.unwrap()).unwrap()
}

fn broadcasts(effects: Vec<Effect>) -> Vec<(u32, String)> {
    let broadcast = |effect| match effect {
        Effect::Broadcast { room, body } => Some((room, String::from_utf8(body).unwrap())),
        _ => None,
    };
    effects.into_iter().filter_map(broadcast).collect()
}

#[test]
fn people_talk_in_a_room() {
    let mut chat = Harness::<Chat>::new();
    let (ann, bob) = (chat.open(1, [1; 32]), chat.open(2, [2; 32]));
    assert_eq!(text(chat.call(ann, "name", " Ann ".as_bytes())), "Ann");
    assert_eq!(chat.call(bob, "name", b"Ann"), Err("this name is taken".to_owned()));
    chat.take_effects();
    chat.set_now(1_700_000_000_000);
    chat.message(ann, "hä \"x\"".as_bytes());
    let lobby = chat.room(LOBBY);
    let said = r#"{"type":"say","from":"Ann","text":"hä \"x\"","at":1700000000000}"#;
    assert_eq!(chat.take_effects(), [Effect::Broadcast { room: lobby, body: said.into() }]);
    assert_eq!(
        text(chat.query(bob, "state", b"")),
        format!(
            r#"{{"type":"state","name":"guest-2","room":"lobby","people":["Ann","guest-2"],"history":[{said}]}}"#
        )
    );
}

#[test]
fn rooms_are_apart() {
    let mut chat = Harness::<Chat>::new();
    let (ann, bob) = (chat.open(1, [1; 32]), chat.open(2, [2; 32]));
    chat.take_effects();
    let state = text(chat.call(ann, "room", "kitchen".as_bytes()));
    assert_eq!(
        state,
        r#"{"type":"state","name":"guest-1","room":"kitchen","people":["guest-1"],"history":[]}"#
    );
    let (lobby, kitchen) = (chat.room(LOBBY), chat.room("kitchen"));
    assert_eq!(
        chat.take_effects(),
        [
            Effect::Leave { session: 1, room: lobby },
            Effect::Broadcast {
                room: lobby,
                body: br#"{"type":"leave","name":"guest-1","room":"lobby"}"#.to_vec()
            },
            Effect::Join { session: 1, room: kitchen },
            Effect::Broadcast {
                room: kitchen,
                body: br#"{"type":"join","name":"guest-1","room":"kitchen"}"#.to_vec()
            },
        ]
    );
    chat.close(bob);
    assert_eq!(
        broadcasts(chat.take_effects()),
        [(lobby, r#"{"type":"leave","name":"guest-2","room":"lobby"}"#.to_owned())]
    );
}

#[test]
fn bad_input_is_refused_by_name() {
    let mut chat = Harness::<Chat>::new();
    let ann = chat.open(1, [1; 32]);
    for name in [&b""[..], b"  ", &[b'n'; 33], b"a\nb"] {
        assert_eq!(chat.call(ann, "name", name), Err("a name has 1 to 32 characters".to_owned()));
    }
    assert_eq!(chat.call(ann, "room", b"\xff"), Err("a name must be UTF-8 text".to_owned()));
    assert_eq!(chat.call(ann, "nope", b""), Err("unknown method \"nope\"".to_owned()));
    chat.take_effects();
    chat.message(ann, &[b'x'; MAX_TEXT + 1]);
    let error = r#"{"type":"error","text":"a message has 1 to 2000 characters"}"#;
    assert_eq!(chat.take_effects(), [Effect::Send { session: 1, body: error.into() }]);
    chat.upgrade();
    assert!(chat.query(ann, "state", b"").unwrap_err().starts_with("reconnect"));
}

#[test]
fn empty_rooms_are_forgotten_and_memory_is_bounded() {
    let mut chat = Harness::<Chat>::new();
    let ann = chat.open(1, [1; 32]);
    for n in 0..3 * MAX_ROOMS {
        chat.set_now(n as u64);
        chat.call(ann, "room", n.to_string().as_bytes()).unwrap();
    }
    assert_eq!(chat.service.rooms.len(), MAX_ROOMS);
    assert!(chat.service.rooms.contains_key(&(3 * MAX_ROOMS - 1).to_string()));
}
