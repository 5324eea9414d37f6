//! What the driver wants of its platform, and what it hands to it.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::Multiaddr;
use overlay::id::RequestId;
use overlay::io::{Answer, Error, Event, Input, Output, Status};
use overlay::sandbox::SandboxCommand;
use overlay::time::{Millis, Time};
use web_time::{Instant, SystemTime};

/// The kernel as the driver sees it: [`overlay::Node`], or something simple in a test of the driver.
pub trait Kernel {
    /// Takes one input; the outputs are drained before the next.
    fn handle(&mut self, now: Time, input: Input);
    /// The next output.
    fn poll_output(&mut self) -> Option<Output>;
    /// When to wake it next.
    fn poll_timeout(&self) -> Option<Time>;
    /// Its state at a glance.
    fn status(&self) -> Status;
}

impl Kernel for overlay::Node {
    fn handle(&mut self, now: Time, input: Input) {
        overlay::Node::handle(self, now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        overlay::Node::poll_output(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        overlay::Node::poll_timeout(self)
    }

    fn status(&self) -> Status {
        overlay::Node::status(self)
    }
}

/// One alarm of the platform: hidden tabs need one that the browser does not throttle.
pub trait Alarm {
    /// Replaces the alarm by one after `delay`.
    fn set(&mut self, delay: Duration);
    /// Ready once after each `set`.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// What the driver hands to its platform.
#[derive(Debug)]
pub enum Outgoing<E> {
    /// The answer to a command.
    Answer(RequestId, Result<Answer, Error>),
    /// Something happened.
    Event(Event),
    /// Work for the sandbox; what it reports goes to [`super::Driver::handle_sandbox`].
    Sandbox(SandboxCommand),
    /// A value to keep on disk for later runs, or (`None`) to forget. When it is to be flushed, its end goes to
    /// [`super::Driver::handle_stored`].
    Store {
        /// Its key.
        key: String,
        /// The value.
        value: Option<Vec<u8>>,
        /// Somebody waits until it is on the medium.
        flush: bool,
    },
    /// An event of the platform's own protocols.
    Platform(E),
    /// The node listens on this address now.
    Listening(Multiaddr),
}

/// Wall time at the start plus a monotonic clock: milliseconds since the Unix epoch that never go backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Time,
    origin: Instant,
}

impl Clock {
    /// Reads the wall clock, once.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Time(since_epoch.as_millis() as u64), origin: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        self.start + Millis(self.origin.elapsed().as_millis() as u64)
    }
}

/// An alarm by `futures-timer`: native threads, or `setTimeout`.
#[derive(Default)]
pub struct TimerAlarm(Option<futures_timer::Delay>);

impl Alarm for TimerAlarm {
    fn set(&mut self, delay: Duration) {
        self.0 = Some(futures_timer::Delay::new(delay));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(delay) = &mut self.0 else { return Poll::Pending };
        let poll = futures::FutureExt::poll_unpin(delay, cx);
        if poll.is_ready() {
            self.0 = None;
        }
        poll
    }
}
