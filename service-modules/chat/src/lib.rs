//! Example service: a chat with names, rooms and history. All bodies are UTF-8.
//!
//! A session starts as `guest-N` in room `lobby`. What it sends as a message (text, at most 2,000 characters) goes to
//! everybody in its room, itself included. Messages from the service are JSON:
//! `{"type":"say","from":NAME,"text":TEXT,"at":MS}` · `{"type":"join"|"leave","name":NAME,"room":ROOM}` ·
//! `{"type":"name","from":OLD,"to":NEW}` · `{"type":"error","text":TEXT}`.
//!
//! | method | body | reply |
//! |---|---|---|
//! | `name` | a name of 1 to 32 characters, unique among the open sessions | the name |
//! | `room` | a room's name of 1 to 32 characters | JSON as of `state` |
//! | `state` (read-only) | empty | `{"name", "room", "people": [names], "history": [the last lines of the room]}` |

mod room;

use std::collections::BTreeMap;

use service_sdk::json::{self, Object};
use service_sdk::{export_service, Cx, Error, Level, Service, SessionId};

use room::Room;

/// Where sessions start.
const LOBBY: &str = "lobby";
/// The longest name of a person or room, in characters.
const MAX_NAME: usize = 32;
/// The longest line, in characters.
const MAX_TEXT: usize = 2_000;
/// The most rooms; the emptiest oldest ones are forgotten with their history.
const MAX_ROOMS: usize = 64;

/// The state of the chat.
#[derive(Debug, Default)]
pub struct Chat {
    people: BTreeMap<SessionId, Person>,
    rooms: BTreeMap<String, Room>,
    guests: u32,
}

#[derive(Debug)]
struct Person {
    name: String,
    room: String,
}

impl Service for Chat {
    fn open(&mut self, cx: &mut Cx, session: SessionId) {
        self.guests += 1;
        let name = format!("guest-{}", self.guests);
        self.people.insert(session, Person { name, room: String::new() });
        self.enter(cx, session, LOBBY);
    }

    fn message(&mut self, cx: &mut Cx, session: SessionId, body: &[u8]) {
        let Some(person) = self.people.get(&session) else { return };
        let text = match line(body) {
            Ok(text) => text,
            Err(error) => {
                return note(cx.send(session, Object::new("error").text("text", &error.0).end().as_bytes()))
            }
        };
        let said =
            Object::new("say").text("from", &person.name).text("text", text).number("at", cx.now()).end();
        note(cx.broadcast(&person.room, said.as_bytes()));
        if let Some(room) = self.rooms.get_mut(&person.room) {
            room.remember(said);
        }
    }

    fn close(&mut self, cx: &mut Cx, session: SessionId) {
        if let Some(person) = self.people.remove(&session) {
            announce(cx, "leave", &person);
        }
    }

    fn call(&mut self, cx: &mut Cx, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "name" => self.rename(cx, session, name(body)?).map(String::into_bytes),
            "room" => {
                let room = name(body)?;
                self.person(session)?;
                self.leave(cx, session);
                self.enter(cx, session, room);
                self.state(session)
            }
            _ => self.query(cx, session, method, body),
        }
    }

    fn query(&self, _: &mut Cx, session: SessionId, method: &str, _: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "state" => self.state(session),
            _ => Err(Error::unknown_method(method)),
        }
    }

    /// Memory is fresh after an upgrade: whoever is still connected is asked to come in anew.
    fn upgrade(&mut self, cx: &mut Cx) {
        cx.log(Level::Info, "upgraded; history and names start anew");
    }
}

impl Chat {
    fn person(&self, session: SessionId) -> Result<&Person, Error> {
        self.people.get(&session).ok_or_else(|| "reconnect: the chat was replaced by a newer version".into())
    }

    fn rename(&mut self, cx: &mut Cx, session: SessionId, name: &str) -> Result<String, Error> {
        self.person(session)?;
        if self.people.iter().any(|(&other, person)| other != session && person.name == name) {
            return Err("this name is taken".into());
        }
        if let Some(person) = self.people.get_mut(&session) {
            let old = std::mem::replace(&mut person.name, name.to_owned());
            let event = Object::new("name").text("from", &old).text("to", name).end();
            note(cx.broadcast(&person.room, event.as_bytes()));
        }
        Ok(name.to_owned())
    }

    fn enter(&mut self, cx: &mut Cx, session: SessionId, room: &str) {
        let Some(person) = self.people.get_mut(&session) else { return };
        person.room = room.to_owned();
        note(cx.join(session, room));
        announce(cx, "join", person);
        self.rooms.entry(room.to_owned()).or_default().last_used = cx.now();
        if self.rooms.len() > MAX_ROOMS {
            self.forget_a_room();
        }
    }

    fn leave(&mut self, cx: &mut Cx, session: SessionId) {
        if let Some(person) = self.people.get(&session) {
            note(cx.leave(session, &person.room));
            announce(cx, "leave", person);
        }
    }

    /// Forgets the history of the empty room that was entered longest ago.
    fn forget_a_room(&mut self) {
        let empty = |room: &str| self.people.values().all(|person| person.room != room);
        let oldest = self.rooms.iter().filter(|(name, _)| empty(name)).min_by_key(|(_, room)| room.last_used);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.rooms.remove(&name);
        }
    }

    fn state(&self, session: SessionId) -> Result<Vec<u8>, Error> {
        let person = self.person(session)?;
        let here = self.people.values().filter(|other| other.room == person.room);
        let people: Vec<_> = here.map(|other| json::string(&other.name)).collect();
        let history = self.rooms.get(&person.room).map(Room::history).unwrap_or_default();
        let state = Object::new("state").text("name", &person.name).text("room", &person.room);
        Ok(state.array("people", people).array("history", history).end().into_bytes())
    }
}

fn announce(cx: &mut Cx, what: &str, person: &Person) {
    let event = Object::new(what).text("name", &person.name).text("room", &person.room).end();
    note(cx.broadcast(&person.room, event.as_bytes()));
}

/// A lost line of chat is not worth failing an event for: the output limit is the only cause, and the sender sees that
/// nothing came back.
fn note(_: Result<(), service_sdk::Code>) {}

fn name(body: &[u8]) -> Result<&str, Error> {
    let name = std::str::from_utf8(body).map_err(|_| "a name must be UTF-8 text")?.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {MAX_NAME} characters").into());
    }
    Ok(name)
}

fn line(body: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(body).map_err(|_| "a message must be UTF-8 text")?.trim();
    if text.is_empty() || text.chars().count() > MAX_TEXT {
        return Err(format!("a message has 1 to {MAX_TEXT} characters").into());
    }
    Ok(text)
}

export_service!(Chat);

#[cfg(test)]
mod tests;
