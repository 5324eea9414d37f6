//! Everything that can happen to the app's state: what the peer tells, what the person does, what the time brings.

use crate::api::Peer;
use crate::flights::Flight;
use crate::model::{Calls, Report, ServiceInfo, Status};
use crate::state::{EntryKind, Ring};
use crate::view::View;

/// What happened.
pub enum Action {
    /// The address says what to show.
    Show(View, Option<String>),
    /// The person is done with the open service.
    CloseService,
    /// A peer came, went or changed, at this time.
    Peer { at: f64, id: String, connected: bool },
    /// The peer runs.
    Joined(Peer),
    /// It does not.
    JoinFailed(String),
    /// The peer's state at this time.
    Status(f64, Status),
    /// It is time for a sample; what this tab called until now, and the peer's id.
    Sample { at: f64, me: String, calls: Vec<Calls> },
    /// A step of a handover, or, with an empty `from`, a session that follows its service.
    Flight(Flight),
    /// The catalogue is being fetched.
    Searching,
    /// It came.
    Found(Vec<ServiceInfo>, bool),
    /// It did not.
    SearchFailed(String),
    /// Something for the time line, at this time.
    Note(f64, EntryKind, String),
    /// Tell the person.
    Tell { bad: bool, text: String },
    /// The person read it, or its time is over.
    Dismiss(u32),
    /// A handover is complete.
    Reported(Report),
    /// Somebody rings.
    Ringing(Ring),
    /// It does not ring any more.
    RingOver(u64),
    /// The person accepted a ring; join this conference.
    Accepted(String),
    /// It is being joined.
    AcceptedTaken,
    /// This tab takes part in a conference, or not any more.
    Talking(bool),
}

impl Action {
    /// Good or neutral news.
    pub fn tell(text: impl Into<String>) -> Self {
        Action::Tell { bad: false, text: text.into() }
    }

    /// Bad news.
    pub fn warn(text: impl Into<String>) -> Self {
        Action::Tell { bad: true, text: text.into() }
    }
}
