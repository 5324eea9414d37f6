//! Voice conferences: who takes part in which one, and so who hears whom. The voice itself travels as datagrams, which
//! the host forwards within a conference without entering this module.
//!
//! A session takes part in at most one conference, and a peer in each conference at most once: a page that was reloaded
//! takes the place that it had. All bodies are UTF-8.
//!
//! | method | body | reply |
//! |---|---|---|
//! | `join` | the conference's name, a line break, a nick name; each of 1 to 32 characters | the conference, as of `roster` |
//! | `leave` | empty | empty |
//! | `roster` (read-only) | empty | `{"type":"roster","conference":NAME,"speaker":MINE,"people":[PERSON]}` |
//! | `list` (read-only) | empty | `{"type":"list","conferences":[{"type":"conference","name":NAME,"people":COUNT}]}` |
//!
//! PERSON is `{"type":"person","speaker":NUMBER,"nick":NICK,"muted":BOOL,"speaking":BOOL,"listening":BOOL}`. The speaker's
//! number stands in every frame of voice. A nick name that somebody has already gets a number behind it.
//!
//! Messages to the service are single words about whoever sends them: `muted`, `unmuted`, `speaking`, `silent`, `listening`
//! (it has no microphone). Messages from the service: `{"type":"joined","person":PERSON}` ·
//! `{"type":"changed","person":PERSON}` · `{"type":"left","speaker":NUMBER,"nick":NICK}` ·
//! `{"type":"replaced"}` to a session whose place another session of the same peer took · `{"type":"error","text":TEXT}`.

use std::collections::BTreeMap;

use service_sdk::json::Object;
use service_sdk::{export_service, Cx, Error, Level, Service, SessionId};

/// The most people in a conference.
const MAX_PEOPLE: usize = 8;
/// The most conferences at a time.
const MAX_CONFERENCES: usize = 64;
/// The longest name of a person or conference, in characters.
const MAX_NAME: usize = 32;

/// The state of all conferences.
#[derive(Debug, Default)]
pub struct Voice {
    people: BTreeMap<SessionId, Person>,
}

#[derive(Debug)]
struct Person {
    conference: String,
    nick: String,
    peer: [u8; 32],
    muted: bool,
    speaking: bool,
    listening: bool,
}

impl Service for Voice {
    fn message(&mut self, cx: &mut Cx, session: SessionId, body: &[u8]) {
        let Some(person) = self.people.get_mut(&session) else {
            return refuse(cx, session, "join a conference first");
        };
        let before = (person.muted, person.speaking, person.listening);
        match body {
            b"muted" => (person.muted, person.speaking) = (true, false),
            b"unmuted" => (person.muted, person.listening) = (false, false),
            b"speaking" => (person.muted, person.speaking) = (false, true),
            b"silent" => person.speaking = false,
            b"listening" => (person.listening, person.speaking) = (true, false),
            _ => return refuse(cx, session, "a message is muted, unmuted, speaking, silent or listening"),
        }
        if before != (person.muted, person.speaking, person.listening) {
            let event = Object::new("changed").value("person", &person.json(session));
            note(cx.broadcast(&person.conference, event.end().as_bytes()));
        }
    }

    fn close(&mut self, cx: &mut Cx, session: SessionId) {
        self.depart(cx, session);
    }

    fn call(&mut self, cx: &mut Cx, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "join" => {
                let (conference, nick) = split(body)?;
                self.join(cx, session, conference, nick)?;
                self.roster(session)
            }
            "leave" => {
                if let Some(conference) = self.depart(cx, session) {
                    note(cx.leave(session, &conference));
                }
                Ok(Vec::new())
            }
            _ => self.query(cx, session, method, body),
        }
    }

    fn query(&self, _: &mut Cx, session: SessionId, method: &str, _: &[u8]) -> Result<Vec<u8>, Error> {
        match method {
            "roster" => self.roster(session),
            "list" => Ok(self.list()),
            _ => Err(Error::unknown_method(method)),
        }
    }

    /// Memory is fresh after an upgrade: whoever is still connected joins anew when it next asks for the roster.
    fn upgrade(&mut self, cx: &mut Cx) {
        cx.log(Level::Info, "upgraded; everybody joins anew");
    }
}

impl Voice {
    fn join(&mut self, cx: &mut Cx, session: SessionId, conference: &str, nick: &str) -> Result<(), Error> {
        let peer = cx.peer(session)?;
        let same = |(other, person): (&SessionId, &Person)| {
            (*other != session && person.peer == peer && person.conference == conference).then_some(*other)
        };
        let earlier = self.people.iter().find_map(same);
        let stays = |(other, person): &(&SessionId, &Person)| {
            **other != session && Some(**other) != earlier && person.conference == conference
        };
        if self.people.iter().filter(stays).count() >= MAX_PEOPLE {
            return Err(format!(
                "the conference “{conference}” is full: at most {MAX_PEOPLE} people take part"
            )
            .into());
        }
        let known = self.people.values().any(|person| person.conference == conference);
        if !known && self.conferences().len() >= MAX_CONFERENCES {
            return Err(format!(
                "there are {MAX_CONFERENCES} conferences already; join one of them, or start one elsewhere"
            )
            .into());
        }
        if let Some(earlier) = earlier {
            self.depart(cx, earlier);
            note(cx.send(earlier, Object::new("replaced").end().as_bytes()));
            note(cx.leave(earlier, conference));
        }
        if let Some(before) = self.depart(cx, session) {
            note(cx.leave(session, &before));
        }
        let person = Person {
            conference: conference.to_owned(),
            nick: self.free_nick(conference, nick),
            peer,
            muted: false,
            speaking: false,
            listening: false,
        };
        let event = Object::new("joined").value("person", &person.json(session)).end();
        note(cx.broadcast(conference, event.as_bytes()));
        cx.join(session, conference)?;
        self.people.insert(session, person);
        Ok(())
    }

    /// Takes somebody out of its conference and tells the others; the conference's name.
    fn depart(&mut self, cx: &mut Cx, session: SessionId) -> Option<String> {
        let person = self.people.remove(&session)?;
        let event = Object::new("left").number("speaker", session.0.into()).text("nick", &person.nick).end();
        note(cx.broadcast(&person.conference, event.as_bytes()));
        Some(person.conference)
    }

    /// The nick name, with a number behind it if somebody has it.
    fn free_nick(&self, conference: &str, nick: &str) -> String {
        let taken = |wanted: &str| {
            self.people.values().any(|person| person.conference == conference && person.nick == wanted)
        };
        let numbered = (2..).map(|n| format!("{nick} {n}"));
        std::iter::once(nick.to_owned()).chain(numbered).find(|wanted| !taken(wanted)).unwrap_or_default()
    }

    fn roster(&self, session: SessionId) -> Result<Vec<u8>, Error> {
        let me = self.people.get(&session).ok_or("join a conference first")?;
        let here = self.people.iter().filter(|(_, person)| person.conference == me.conference);
        let people = here.map(|(session, person)| person.json(*session)).collect();
        let roster =
            Object::new("roster").text("conference", &me.conference).number("speaker", session.0.into());
        Ok(roster.array("people", people).end().into_bytes())
    }

    fn list(&self) -> Vec<u8> {
        let entry = |(name, people): (&str, u64)| {
            Object::new("conference").text("name", name).number("people", people).end()
        };
        let conferences = self.conferences().into_iter().map(entry).collect();
        Object::new("list").array("conferences", conferences).end().into_bytes()
    }

    /// The conferences and how many people each has.
    fn conferences(&self) -> BTreeMap<&str, u64> {
        let mut found = BTreeMap::new();
        for person in self.people.values() {
            *found.entry(person.conference.as_str()).or_default() += 1;
        }
        found
    }
}

impl Person {
    fn json(&self, session: SessionId) -> String {
        let person = Object::new("person").number("speaker", session.0.into()).text("nick", &self.nick);
        let person = person.flag("muted", self.muted).flag("speaking", self.speaking);
        person.flag("listening", self.listening).end()
    }
}

fn refuse(cx: &mut Cx, session: SessionId, why: &str) {
    note(cx.send(session, Object::new("error").text("text", why).end().as_bytes()));
}

/// News that are lost because an event's output is full are found in the next roster.
fn note(_: Result<(), service_sdk::Code>) {}

/// A conference and a nick name, one line each.
fn split(body: &[u8]) -> Result<(&str, &str), Error> {
    let text = std::str::from_utf8(body).map_err(|_| "names must be UTF-8 text")?;
    let (conference, nick) = text.split_once('\n').ok_or("a conference and a nick name, one line each")?;
    Ok((name(conference, "a conference's name")?, name(nick, "a nick name")?))
}

fn name<'a>(text: &'a str, what: &str) -> Result<&'a str, Error> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(format!("{what} has 1 to {MAX_NAME} characters").into());
    }
    Ok(text)
}

export_service!(Voice);

#[cfg(test)]
mod tests;
