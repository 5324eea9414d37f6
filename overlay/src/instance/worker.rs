//! The worker that runs the module: made, lost, ended while there is nothing to do; images of its state.

use super::{Image, Instance, Work};
use crate::cx::Cx;
use crate::io::Output;
use crate::sandbox::SandboxCommand;
use crate::time::Millis;

/// Entries executed since the last image before a new one is taken.
const IMAGE_EVERY_ENTRIES: usize = 2048;
/// Bytes of entries since the last image before a new one is taken.
const IMAGE_EVERY_BYTES: usize = 4 * 1024 * 1024;
/// Losses of the worker within [`STRIKE_WINDOW`] after which the service is stopped here.
const MAX_STRIKES: usize = 3;
const STRIKE_WINDOW: Millis = Millis::secs(60);
/// An instance that has had nothing to do for this long sleeps.
pub(super) const SLEEP_AFTER: Millis = Millis::secs(60);

impl Instance {
    /// Takes an image at the next boundary between entries; it comes in a [`Report`].
    pub fn take_image(&mut self, cx: &mut Cx) {
        self.wants_image = true;
        self.advance(cx);
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

    /// Bytes of the uncompressed state, as it was last saved.
    pub fn image_bytes(&self) -> u64 {
        self.image.as_ref().map_or(0, |image| image.module.len() as u64)
    }

    /// Makes the sandbox forget the instance.
    pub fn stop(&self, cx: &mut Cx) {
        cx.put(Output::Sandbox(SandboxCommand::Stop { instance: self.id }));
    }

    pub(super) fn create(&mut self, cx: &mut Cx) {
        let restore = self.image.as_ref().map(|image| image.module.clone());
        let package = self.machine.package;
        cx.put(Output::Sandbox(SandboxCommand::Create { instance: self.id, package, restore }));
    }

    pub(super) fn snapshot(&mut self, cx: &mut Cx) {
        self.run += 1;
        self.work = Work::Snapshot;
        cx.put(Output::Sandbox(SandboxCommand::Snapshot { instance: self.id, run: self.run }));
    }

    pub(super) fn is_image_due(&self) -> bool {
        self.since.len() >= IMAGE_EVERY_ENTRIES || self.since_bytes >= IMAGE_EVERY_BYTES
    }
}
