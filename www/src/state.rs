//! The app's state: one reducer, fed by the peer's events and by what the person does.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use yew::Reducible;

pub use crate::action::Action;
use crate::api::{Peer, RingDetail};
use crate::flights::{self, Flight};
use crate::history::History;
use crate::model::{Report, ServiceInfo, Status};
pub use crate::view::View;
use crate::words::{service_name, short};

/// Lines that the time line keeps; older ones are forgotten.
const MAX_ENTRIES: usize = 200;
/// Notices on the screen at once.
const MAX_NOTICES: usize = 3;
/// Handover reports that are kept.
const MAX_REPORTS: usize = 8;
/// Rings that are shown at once; the peer lets no more in.
const MAX_RINGS: usize = 8;

/// How far joining got.
#[derive(Clone, PartialEq, Debug)]
pub enum Join {
    /// Under way.
    Joining,
    /// The peer runs; whether it is reachable says its status.
    Running,
    /// It failed, and why, in words.
    Failed(String),
}

/// A message to the person.
#[derive(Clone, PartialEq, Debug)]
pub struct Notice {
    pub id: u32,
    pub bad: bool,
    pub text: String,
}

/// A line of the time line.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub number: u32,
    /// Milliseconds since the Unix epoch.
    pub at: f64,
    pub kind: EntryKind,
    pub text: String,
}

/// What a line of the time line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    Peer,
    Service,
    Handover,
    Log,
    Error,
}

/// The catalogue as last fetched.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Catalogue {
    pub services: Vec<ServiceInfo>,
    /// Could an index be asked, so that nothing is missing.
    pub complete: bool,
    pub loading: bool,
    /// Was it ever fetched.
    pub fetched: bool,
    pub error: Option<String>,
}

/// Somebody asks this person into a conference.
#[derive(Clone, PartialEq)]
pub struct Ring {
    pub number: u64,
    pub nick: String,
    /// The end of the caller's id.
    pub short: String,
    /// `SERVICE/CONFERENCE`.
    pub conference: String,
    /// Answers it.
    pub detail: RingDetail,
}

/// Everything that more than one view shows.
#[derive(Clone, PartialEq)]
pub struct State {
    pub view: View,
    /// Views that were shown once and so stay mounted.
    pub visited: Vec<View>,
    /// The service that is open. It stays open while the person looks elsewhere, until it is closed.
    pub service: Option<String>,
    /// Does the Services view show the catalogue rather than the open service.
    pub browsing: bool,
    /// The conference that the address names, `SERVICE/CONFERENCE`.
    pub conference: Option<String>,
    /// The project that the address names.
    pub project: Option<String>,
    /// The conference of an accepted ring, to be joined at once.
    pub accepted: Option<String>,
    pub rings: Vec<Ring>,
    /// Does this tab take part in a conference.
    pub talking: bool,
    pub join: Join,
    pub peer: Option<Peer>,
    pub status: Status,
    pub catalogue: Catalogue,
    pub notices: Vec<Notice>,
    /// Newest first.
    pub entries: VecDeque<Entry>,
    /// Newest first.
    pub reports: Vec<Report>,
    /// Handovers under way, and those that just ended.
    pub flights: Vec<Flight>,
    /// What was measured.
    pub history: Rc<History>,
    /// Peers that the time line says are connected.
    seen: BTreeSet<String>,
    next: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            view: View::Services,
            visited: vec![View::Services],
            service: None,
            browsing: true,
            conference: None,
            project: None,
            accepted: None,
            rings: Vec::new(),
            talking: false,
            join: Join::Joining,
            peer: None,
            status: Status::default(),
            catalogue: Catalogue { complete: true, ..Catalogue::default() },
            notices: Vec::new(),
            entries: VecDeque::new(),
            reports: Vec::new(),
            flights: Vec::new(),
            history: Rc::default(),
            seen: BTreeSet::new(),
            next: 0,
        }
    }
}

impl Reducible for State {
    type Action = Action;

    fn reduce(self: Rc<Self>, action: Action) -> Rc<Self> {
        // A status that says nothing new must not render anything.
        if matches!(&action, Action::Status(_, status) if *status == self.status) {
            return self;
        }
        let mut state = Rc::unwrap_or_clone(self);
        state.apply(action);
        Rc::new(state)
    }
}

impl State {
    fn apply(&mut self, action: Action) {
        match action {
            Action::Show(view, service) => {
                self.view = view;
                if !self.visited.contains(&view) {
                    self.visited.push(view);
                }
                if view == View::Services {
                    self.browsing = service.is_none();
                    self.service = service.or(self.service.take());
                } else if view == View::Voice {
                    self.conference = service.or(self.conference.take());
                } else if view == View::Ide {
                    self.project = service.or(self.project.take());
                }
            }
            Action::CloseService => self.service = None,
            Action::Peer { at, id, connected } => {
                let news = if connected { self.seen.insert(id.clone()) } else { self.seen.remove(&id) };
                if news {
                    let name =
                        self.status.peers.iter().find(|peer| peer.id == id).map(|peer| peer.name.clone());
                    let name =
                        name.filter(|name| !name.is_empty()).map(|name| name + " ").unwrap_or_default();
                    let what = if connected { "connected" } else { "disconnected" };
                    self.apply(Action::Note(at, EntryKind::Peer, format!("{name}{} {what}", short(&id))));
                }
            }
            Action::Joined(peer) => {
                self.peer = Some(peer);
                self.join = Join::Running;
            }
            Action::JoinFailed(why) => self.join = Join::Failed(why),
            Action::Status(at, status) => {
                self.tell_hosting(at, &status);
                self.status = status;
            }
            Action::Sample { at, me, calls } => {
                flights::forget(&mut self.flights, at);
                let history = Rc::make_mut(&mut self.history);
                history.take(at, &me, &self.status, &self.catalogue.services, &calls);
            }
            Action::Flight(mut flight) => {
                if flight.from.is_empty() {
                    let session =
                        self.status.sessions.iter().find(|session| session.service == flight.service);
                    flight.from = session.map(|session| session.server.clone()).unwrap_or_default();
                }
                if flight.from != flight.to {
                    let number = self.number();
                    flights::step(&mut self.flights, number, flight);
                }
            }
            Action::Searching => self.catalogue.loading = true,
            Action::Found(services, complete) => {
                self.catalogue = Catalogue { services, complete, loading: false, fetched: true, error: None };
            }
            Action::SearchFailed(why) => {
                self.catalogue.loading = false;
                self.catalogue.fetched = true;
                self.catalogue.error = Some(why);
            }
            Action::Note(at, kind, text) => {
                let number = self.number();
                self.entries.push_front(Entry { number, at, kind, text });
                self.entries.truncate(MAX_ENTRIES);
            }
            Action::Tell { bad, text } => {
                let id = self.number();
                self.notices.retain(|notice| notice.text != text);
                self.notices.push(Notice { id, bad, text });
                let surplus = self.notices.len().saturating_sub(MAX_NOTICES);
                self.notices.drain(..surplus);
            }
            Action::Dismiss(id) => self.notices.retain(|notice| notice.id != id),
            Action::Ringing(ring) => {
                self.rings.push(ring);
                self.rings.truncate(MAX_RINGS);
            }
            Action::RingOver(number) => self.rings.retain(|ring| ring.number != number),
            Action::Accepted(conference) => self.accepted = Some(conference),
            Action::AcceptedTaken => self.accepted = None,
            Action::Talking(talking) => self.talking = talking,
            Action::Reported(report) => {
                self.reports.insert(0, report);
                self.reports.truncate(MAX_REPORTS);
            }
        }
    }

    /// What runs here since the last status, and what does not any more.
    fn tell_hosting(&mut self, at: f64, status: &Status) {
        let ids = |status: &Status| -> Vec<(String, bool)> {
            // Who is still taking over has nothing yet.
            let holding = status.hosting.iter().filter(|hosted| hosted.role != "joining");
            holding.map(|hosted| (hosted.service.clone(), hosted.role == "leader")).collect()
        };
        let (before, now) = (ids(&self.status), ids(status));
        let has = |list: &[(String, bool)], id: &str| list.iter().any(|(each, _)| each == id);
        let came = now.iter().filter(|each| !before.contains(each)).map(|(id, leads)| {
            let what = if *leads { "is served by this tab" } else { "has a copy in this tab" };
            format!("{} {what}", service_name(id))
        });
        let went = before.iter().filter(|(id, _)| !has(&now, id));
        let went = went.map(|(id, _)| format!("{} does not run in this tab any more", service_name(id)));
        for line in came.chain(went).collect::<Vec<_>>() {
            self.apply(Action::Note(at, EntryKind::Service, line));
        }
    }

    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hosted;

    fn after(actions: impl IntoIterator<Item = Action>) -> Rc<State> {
        actions.into_iter().fold(Rc::new(State::default()), Reducible::reduce)
    }

    #[test]
    fn the_time_line_and_the_notices_are_bounded() {
        let notes = (0..500).map(|n| Action::Note(0.0, EntryKind::Peer, n.to_string()));
        let notices = (0..10).map(|n| Action::tell(n.to_string()));
        let state = after(notes.chain(notices));
        assert_eq!(state.entries.len(), MAX_ENTRIES);
        assert_eq!(state.entries[0].text, "499");
        let told: Vec<_> = state.notices.iter().map(|notice| notice.text.as_str()).collect();
        assert_eq!(told, ["7", "8", "9"]);
    }

    #[test]
    fn an_open_service_stays_open_until_it_is_closed() {
        let state =
            after([Action::Show(View::Services, Some("chat".into())), Action::Show(View::Network, None)]);
        assert_eq!(
            (state.view, state.service.as_deref(), state.browsing),
            (View::Network, Some("chat"), false)
        );
        let state = state.reduce(Action::Show(View::Services, None));
        assert_eq!((state.service.as_deref(), state.browsing), (Some("chat"), true));
        assert_eq!(state.reduce(Action::CloseService).service, None);
    }

    #[test]
    fn the_time_line_tells_what_begins_and_ends_to_run_here() {
        let hosting = |role: &str| Status {
            hosting: vec![Hosted { service: "kv@1".into(), role: role.into(), ..Hosted::default() }],
            ..Status::default()
        };
        let state = after([
            Action::Status(1.0, hosting("follower")),
            Action::Status(2.0, hosting("leader")),
            Action::Status(3.0, hosting("leader")),
            Action::Status(4.0, Status::default()),
        ]);
        let told: Vec<_> = state.entries.iter().map(|entry| (entry.at, entry.text.as_str())).collect();
        assert_eq!(
            told,
            [
                (4.0, "kv does not run in this tab any more"),
                (2.0, "kv is served by this tab"),
                (1.0, "kv has a copy in this tab")
            ]
        );
    }

    #[test]
    fn the_time_line_tells_each_coming_and_going_once() {
        let peer = |connected| Action::Peer { at: 0.0, id: "12D3KooWabcdef".into(), connected };
        let state = after([peer(true), peer(true), peer(false), peer(false), peer(true)]);
        let told: Vec<_> = state.entries.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!(told, ["abcdef connected", "abcdef disconnected", "abcdef connected"]);
    }
}
