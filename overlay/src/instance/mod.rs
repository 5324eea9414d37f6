//! A hosted service's state: the machine, the module in the sandbox, and the queue between log and execution.
//!
//! Execution comes after commit, never before. `queued` is raft's applied index, `executed` the second cursor that
//! gates replies, compaction and snapshots. A worker that is lost is made again from the last image and the log
//! since (`docs/protocols/handover.md`). One that has nothing to do for a while *sleeps*: its worker ends, and is made again
//! from the image when there is something to do.

mod image;
pub mod machine;

use std::collections::VecDeque;

use crate::cx::Cx;
use crate::id::{InstanceId, PackageId};
use crate::io::{Output, MAX_BODY};
use crate::sandbox::{GuestEvent, Outcome, SandboxCommand};
use crate::time::{Millis, Time};
use crate::wire::{self, CallResult};
use serde_bytes::ByteBuf;

pub use image::{Image, ImageError};
use machine::{Entry, Machine, Next, Notes, SessionKey};

/// Queries that wait for the sandbox; further ones are refused as overload.
const MAX_QUERIES: usize = 256;
/// Entries executed since the last image before a new one is taken.
const IMAGE_EVERY_ENTRIES: usize = 2048;
/// Bytes of entries since the last image before a new one is taken.
const IMAGE_EVERY_BYTES: usize = 4 * 1024 * 1024;
/// Losses of the worker within [`STRIKE_WINDOW`] after which the service is stopped here.
const MAX_STRIKES: usize = 3;
const STRIKE_WINDOW: Millis = Millis::secs(60);
/// An instance that has had nothing to do for this long sleeps.
const SLEEP_AFTER: Millis = Millis::secs(60);
/// Bytes above the share count up to what takes this long to earn: no consumer silences a service for longer by asking for
/// the same again and again.
const MAX_DEBT: Millis = Millis::secs(60);

/// A query that waits.
#[derive(Clone, Debug)]
pub struct QueryJob {
    /// Who asks.
    pub key: SessionKey,
    /// Echoed.
    pub id: u64,
    /// The method.
    pub method: String,
    /// The body.
    pub body: Vec<u8>,
    /// It reads everything that was acknowledged until then.
    pub as_of: Time,
    /// Index of the last entry that it read.
    pub index: u64,
}

impl QueryJob {
    /// Of a consumer.
    pub fn new(key: SessionKey, id: u64, method: String, body: Vec<u8>) -> Self {
        Self { key, id, method, body, as_of: Time(0), index: 0 }
    }
}

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

#[derive(Debug)]
struct Budget {
    per_second: u64,
    left: i128,
    at: Time,
}

impl Budget {
    /// A new share. What was used above the one before counts.
    fn new(per_second: u64, before: Option<&mut Self>, now: Time) -> Self {
        let left = before.map(|before| {
            before.has_some(now);
            before.left
        });
        Self { per_second, left: left.unwrap_or(i128::MAX).min(per_second.into()), at: now }
    }

    /// Earns what the time since the last look is worth; is anything left?
    fn has_some(&mut self, now: Time) -> bool {
        let per_second = i128::from(self.per_second);
        let earned = per_second * i128::from(now.since(self.at).0) / 1000;
        self.left = (self.left + earned).min(per_second);
        self.at = now;
        self.left > 0
    }

    /// When something is left again.
    fn refilled_at(&self) -> Option<Time> {
        let missing = self.left.unsigned_abs() * 1000 / u128::from(self.per_second.max(1)) + 1;
        let wait = Millis(u64::try_from(missing).unwrap_or(1000).clamp(1, 1000));
        (self.left <= 0).then_some(self.at + wait)
    }
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

    /// Limits the gas that this node spends on the service, and the bytes that it sends to its consumers, per second.
    /// Later, never other outcomes.
    pub fn limit(&mut self, now: Time, gas: Option<u64>, output: Option<u64>) {
        self.gas = gas.map(|per_second| Budget::new(per_second, self.gas.as_mut(), now));
        self.output = output.map(|per_second| Budget::new(per_second, self.output.as_mut(), now));
    }

    /// So many bytes were sent to consumers.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(output) = &mut self.output {
            let most = i128::from(output.per_second) * i128::from(MAX_DEBT.0) / 1000;
            output.left = (output.left - bytes as i128).max(-most);
        }
    }

    /// May it send what can as well be lost?
    pub fn may_send(&mut self, now: Time) -> bool {
        self.output.as_mut().is_none_or(|output| output.has_some(now))
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

    /// Runs a read-only call when its turn comes. False when too many wait.
    pub fn query(&mut self, cx: &mut Cx, job: QueryJob) -> bool {
        if self.queries.len() >= MAX_QUERIES {
            return false;
        }
        self.active_at = cx.now;
        self.queries.push_back(job);
        self.advance(cx);
        true
    }

    /// Takes an image at the next boundary between entries; it comes in a [`Report`].
    pub fn take_image(&mut self, cx: &mut Cx) {
        self.wants_image = true;
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
            Work::Query(job) => {
                let gas = gas_of(&outcome);
                self.machine.note_gas(gas);
                self.spend(gas);
                let result = match outcome {
                    Outcome::Done { reply, .. } | Outcome::Failed { reply, .. } if reply.len() > MAX_BODY => {
                        CallResult::Trapped(format!(
                            "the reply has {} bytes, more than {MAX_BODY}",
                            reply.len()
                        ))
                    }
                    Outcome::Done { reply, .. } => CallResult::Ok(ByteBuf::from(reply)),
                    Outcome::Failed { reply, .. } => CallResult::Failed(ByteBuf::from(reply)),
                    Outcome::Trapped { reason } => CallResult::Trapped(reason),
                };
                self.unreported = true;
                self.report.answers.push((job, result));
            }
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

    /// A snapshot was taken.
    pub fn on_snapshot(&mut self, cx: &mut Cx, run: u64, module: Vec<u8>) {
        if run != self.run || !matches!(self.work, Work::Snapshot) {
            return;
        }
        self.work = Work::Idle;
        let image = Image { index: self.executed, machine: self.machine.clone(), module };
        if self.wants_image {
            self.wants_image = false;
            self.report.image = Some(image.clone());
        }
        self.image = Some(image);
        self.since.clear();
        self.since_bytes = 0;
        self.advance(cx);
    }

    /// The worker is lost: make it again from the last image and the entries since.
    pub fn on_failed(&mut self, cx: &mut Cx, reason: String) {
        if self.asleep {
            return;
        }
        self.strikes.push_back(cx.now);
        self.strikes.retain(|at| cx.now.since(*at) < STRIKE_WINDOW);
        if self.strikes.len() >= MAX_STRIKES || !self.ready {
            self.report.broken = Some(reason);
            self.work = Work::Creating;
            self.ready = false;
            return;
        }
        if let Work::Event(index) | Work::Upgrading(index) | Work::Awaiting(index, _) = self.work {
            // The entry under way is in `since` already: it begins again from the restored state.
            debug_assert_eq!(self.since.last().map(|(last, _)| *last), Some(index));
        }
        let base = self.image.as_ref();
        self.machine = base.map_or_else(|| self.genesis.clone(), |image| image.machine.clone());
        self.executed = base.map_or(self.genesis_index, |image| image.index);
        for (index, entry) in std::mem::take(&mut self.since).into_iter().rev() {
            self.queue.push_front((index, entry, 0));
        }
        self.since_bytes = 0;
        self.ready = false;
        self.work = Work::Creating;
        self.create(cx);
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

    /// When the gas, and the bytes, of a new second are there for what waits.
    fn refill(&self) -> Option<Time> {
        let waits = matches!(self.work, Work::Idle) && !self.has_nothing_to_do();
        let budgets = [&self.gas, &self.output].into_iter().flatten().filter(|_| waits);
        budgets.filter_map(Budget::refilled_at).max()
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

    /// Bytes of the uncompressed state, as it was last saved.
    pub fn image_bytes(&self) -> u64 {
        self.image.as_ref().map_or(0, |image| image.module.len() as u64)
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

    /// Makes the sandbox forget the instance.
    pub fn stop(&self, cx: &mut Cx) {
        cx.put(Output::Sandbox(SandboxCommand::Stop { instance: self.id }));
    }

    fn create(&mut self, cx: &mut Cx) {
        let restore = self.image.as_ref().map(|image| image.module.clone());
        let package = self.machine.package;
        cx.put(Output::Sandbox(SandboxCommand::Create { instance: self.id, package, restore }));
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

    fn snapshot(&mut self, cx: &mut Cx) {
        self.run += 1;
        self.work = Work::Snapshot;
        cx.put(Output::Sandbox(SandboxCommand::Snapshot { instance: self.id, run: self.run }));
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

    fn is_image_due(&self) -> bool {
        self.since.len() >= IMAGE_EVERY_ENTRIES || self.since_bytes >= IMAGE_EVERY_BYTES
    }

    fn is_within_limits(&mut self, now: Time) -> bool {
        let mut budgets = [&mut self.gas, &mut self.output].into_iter().flatten();
        budgets.all(|budget| budget.has_some(now))
    }

    fn spend(&mut self, gas: u64) {
        if let Some(budget) = &mut self.gas {
            budget.left -= i128::from(gas);
        }
    }
}

const NOBODY: SessionKey = (crate::id::PeerId([0; 32]), crate::id::SessionId(0));

fn gas_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Done { gas, .. } | Outcome::Failed { gas, .. } => *gas,
        // A trap does not say how much it burnt: all of it, so that no module gets around a person's limit by trapping.
        Outcome::Trapped { .. } => crate::manifest::GAS_PER_EVENT,
    }
}

#[cfg(test)]
mod tests;
