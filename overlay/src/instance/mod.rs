//! A hosted service's state: the machine, the module in the sandbox, and the queue between log and execution.
//!
//! Execution comes after commit, never before. `queued` is raft's applied index, `executed` the second cursor that
//! gates replies, compaction and snapshots. A worker that is lost is made again from the last image and the log
//! since (`docs/protocols/handover.md`). One that has nothing to do for a while *sleeps*: its worker ends, and is made again
//! from the image when there is something to do.
//!
//! | file | holds |
//! |---|---|
//! | this one | an instance: what it is asked, what it does next, what came of it |
//! | `queries` | read-only calls that wait |
//! | `worker` | the worker: made, lost, put to sleep; images of its state |
//! | `budget` | the gas and the bytes that this node grants in a second |
//! | [`machine`] | what is replicated besides the module's memory |
//! | `image` | the state in one piece |

mod budget;
mod image;
pub mod machine;
mod queries;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::VecDeque;

use crate::cx::Cx;
use crate::id::{InstanceId, PackageId};
use crate::io::Output;
use crate::sandbox::{GuestEvent, Outcome, SandboxCommand};
use crate::time::Time;
use crate::wire::{self, CallResult};

use budget::{gas_of, Budget};
use machine::{Entry, Machine, Next, Notes, SessionKey};
use worker::SLEEP_AFTER;

pub use image::{Image, ImageError};
pub use queries::QueryJob;

/// What the instance has to say after an input.
#[derive(Debug, Default)]
pub struct Report {
    /// What the executed entries did.
    pub notes: Notes,
    /// Queries that were answered.
    pub answers: Vec<(QueryJob, CallResult)>,
    /// A snapshot that somebody asked for.
    pub image: Option<Image>,
    /// The sandbox cannot hold the service any more: stop it here.
    pub broken: Option<String>,
    /// The log replaces the module by that of this package: [`Instance::on_package`] goes on once it is prepared.
    pub needs: Option<PackageId>,
}

#[derive(Debug)]
enum Work {
    Idle,
    /// The sandbox makes the instance.
    Creating,
    /// An event of the entry at this index.
    Event(u64),
    /// The package of the entry at this index is not prepared here yet.
    Awaiting(u64, PackageId),
    /// The module is being replaced for the entry at this index.
    Upgrading(u64),
    Query(QueryJob),
    Snapshot,
}

/// One instance.
pub struct Instance {
    id: InstanceId,
    machine: Machine,
    work: Work,
    run: u64,
    executed: u64,
    queue: VecDeque<(u64, Entry, usize)>,
    queued_bytes: usize,
    queries: VecDeque<QueryJob>,
    wants_image: bool,
    /// Where a lost worker starts again, and the entries after it.
    image: Option<Image>,
    genesis: Machine,
    genesis_index: u64,
    since: Vec<(u64, Entry)>,
    since_bytes: usize,
    strikes: VecDeque<Time>,
    /// Gas that this node still grants in the current second; `None` means no limit.
    gas: Option<Budget>,
    /// Bytes that it may still send to consumers in the current second; `None` means no limit.
    output: Option<Budget>,
    report: Report,
    /// Something ran, and what it did is not sent yet: nothing else begins before that.
    unreported: bool,
    ready: bool,
    /// Its worker has ended; the image has everything.
    asleep: bool,
    /// When there was something to do.
    active_at: Time,
}

impl Instance {
    /// A fresh instance of a prepared package, or one from an image. Entries up to `executed` are in it.
    pub fn new(cx: &mut Cx, id: InstanceId, package: PackageId, executed: u64, image: Option<Image>) -> Self {
        let genesis = Machine::new(package);
        let machine = image.as_ref().map_or_else(|| genesis.clone(), |image| image.machine.clone());
        let mut instance = Self {
            id,
            machine,
            work: Work::Creating,
            run: 0,
            executed,
            queue: VecDeque::new(),
            queued_bytes: 0,
            queries: VecDeque::new(),
            wants_image: false,
            image,
            genesis,
            genesis_index: executed,
            since: Vec::new(),
            since_bytes: 0,
            strikes: VecDeque::new(),
            gas: None,
            output: None,
            report: Report::default(),
            unreported: false,
            ready: false,
            asleep: false,
            active_at: cx.now,
        };
        instance.create(cx);
        instance
    }

    /// Queues a committed payload. An unreadable one is a no-op, the same on every replica.
    pub fn enqueue(&mut self, cx: &mut Cx, index: u64, payload: &[u8]) {
        // Leaders' first entries and configurations are empty; they only move the cursor.
        let entry = match payload {
            [] => Entry::Ack { key: NOBODY, ack: 0 },
            payload => wire::decode_unbounded(payload).unwrap_or(Entry::Ack { key: NOBODY, ack: 0 }),
        };
        self.active_at = cx.now;
        self.queued_bytes += payload.len();
        self.queue.push_back((index, entry, payload.len()));
        self.advance(cx);
    }

    /// The sandbox made the instance, or replaced its module.
    pub fn on_created(&mut self, cx: &mut Cx) {
        match self.work {
            Work::Creating => {
                self.ready = true;
                self.work = Work::Idle;
            }
            Work::Upgrading(index) => {
                let next = self.machine.upgraded();
                self.follow(cx, index, next);
            }
            _ => return,
        }
        self.advance(cx);
    }

    /// An event or query ran. The next begins with [`Instance::go_on`], once what this one did is sent: whoever waits for it
    /// does not wait for all that came after it, too.
    pub fn on_ran(&mut self, cx: &mut Cx, run: u64, outcome: Outcome) {
        if run != self.run {
            return;
        }
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Event(index) => {
                let gas = gas_of(&outcome);
                let next = self.machine.finish(outcome);
                self.spend(gas);
                self.unreported = next == Next::Done;
                self.follow(cx, index, next);
            }
            Work::Query(job) => self.answer(job, outcome),
            other => self.work = other,
        }
        self.advance(cx);
    }

    /// What ran is reported: the next may begin. True if that has something to report at once: entries that were executed
    /// without the module, a package that the next one needs, a query that was refused.
    pub fn go_on(&mut self, cx: &mut Cx) -> bool {
        self.unreported = false;
        let before = self.executed;
        self.advance(cx);
        self.executed != before || self.report.needs.is_some() || !self.report.answers.is_empty()
    }

    /// A package that the log needs is prepared, or cannot be.
    pub fn on_package(&mut self, cx: &mut Cx, package: PackageId, result: &Result<(), String>) {
        let Work::Awaiting(index, awaited) = self.work else { return };
        if awaited != package {
            return;
        }
        match result {
            Ok(()) => {
                self.work = Work::Upgrading(index);
                cx.put(Output::Sandbox(SandboxCommand::Upgrade { instance: self.id, package }));
            }
            Err(reason) => {
                self.report.broken = Some(format!("its new version cannot be had here: {reason}"));
            }
        }
    }

    /// Goes on when the limits of a new second allow it, or goes to sleep.
    pub fn handle_timeout(&mut self, cx: &mut Cx) {
        self.advance(cx);
    }

    /// When [`Instance::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let sleeps = (!self.asleep && self.is_idle()).then(|| self.active_at + SLEEP_AFTER);
        self.refill().or(sleeps)
    }

    /// What happened since the last call.
    pub fn take_report(&mut self) -> Report {
        let mut report = std::mem::take(&mut self.report);
        if !matches!(self.work, Work::Event(_) | Work::Upgrading(_) | Work::Awaiting(..)) {
            report.notes = self.machine.take_notes();
        }
        report
    }

    /// This instance's id in the sandbox.
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// Its worker has ended until there is something to do.
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Is the module running, or asleep.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Index of the last executed entry.
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// Committed entries that wait.
    pub fn backlog(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of the committed entries that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The machine, as of [`Instance::executed`] and perhaps an entry under way.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The packages that it runs or may go back to.
    pub fn packages(&self) -> impl Iterator<Item = PackageId> + '_ {
        let upgrade = |entry: &Entry| match entry {
            Entry::Upgrade { package, .. } => Some(*package),
            _ => None,
        };
        let image = self.image.as_ref().map(|image| image.machine.package);
        let queued = self.queue.iter().filter_map(move |(_, entry, _)| upgrade(entry));
        let since = self.since.iter().filter_map(move |(_, entry)| upgrade(entry));
        [self.machine.package, self.genesis.package].into_iter().chain(image).chain(queued).chain(since)
    }

    fn advance(&mut self, cx: &mut Cx) {
        if self.asleep && (self.wants_image || !self.has_nothing_to_do()) {
            self.asleep = false;
            self.work = Work::Creating;
            self.create(cx);
        }
        self.work_off(cx);
        if self.is_idle() && !self.asleep && cx.now.since(self.active_at) >= SLEEP_AFTER {
            if self.since.is_empty() {
                self.asleep = true;
                self.stop(cx);
            } else {
                self.snapshot(cx);
            }
        }
    }

    fn has_nothing_to_do(&self) -> bool {
        self.queue.is_empty() && self.queries.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.ready && matches!(self.work, Work::Idle) && self.has_nothing_to_do() && !self.wants_image
    }

    fn work_off(&mut self, cx: &mut Cx) {
        while self.ready && matches!(self.work, Work::Idle) && !self.unreported {
            if self.wants_image || self.is_image_due() {
                self.snapshot(cx);
            } else if !self.is_within_limits(cx.now) {
                return;
            } else if self.run % 8 == 7 && !self.queries.is_empty() || self.queue.is_empty() {
                // Queries take turns with entries, so that neither starves.
                let Some(mut job) = self.queries.pop_front() else { return };
                job.index = self.executed;
                match self.machine.query(job.key, &job.method, &job.body, self.executed) {
                    Some(event) => {
                        self.work = Work::Query(job);
                        self.start(cx, event);
                    }
                    None => {
                        let result = CallResult::Trapped("no such session".to_owned());
                        self.report.answers.push((job, result));
                    }
                }
            } else if let Some((index, entry, bytes)) = self.queue.pop_front() {
                self.queued_bytes -= bytes;
                self.since.push((index, entry.clone()));
                self.since_bytes += bytes;
                let next = self.machine.begin(index, entry);
                self.follow(cx, index, next);
            }
        }
    }

    fn follow(&mut self, cx: &mut Cx, index: u64, next: Next) {
        match next {
            Next::Run(event) => {
                self.work = Work::Event(index);
                self.start(cx, event);
            }
            Next::Upgrade(package) => {
                self.work = Work::Awaiting(index, package);
                self.report.needs = Some(package);
            }
            Next::Done => {
                self.work = Work::Idle;
                self.executed = index;
            }
        }
    }

    fn start(&mut self, cx: &mut Cx, event: GuestEvent) {
        self.run += 1;
        cx.put(Output::Sandbox(SandboxCommand::Run { instance: self.id, run: self.run, event }));
    }
}

const NOBODY: SessionKey = (crate::id::PeerId([0; 32]), crate::id::SessionId(0));
