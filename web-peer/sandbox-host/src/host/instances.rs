//! The worker of each instance: what it is told, what it answers.

use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use overlay::id::{InstanceId, PackageId};
use overlay::sandbox::SandboxEvent;
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, MessageEvent, MessagePort};

use super::{upgrade, Shared, State};
use crate::codec::{self, Answer};
use crate::frame::Frame;

/// Commands that may wait in one worker; the kernel's own queues are shorter.
const MAX_WAITING: usize = 16_384;
/// Bytes of a page of wasm memory.
const PAGE: u64 = 65_536;

pub(super) struct Instance {
    pub(super) worker: u32,
    pub(super) port: MessagePort,
    pub(super) _on_message: Closure<dyn FnMut(MessageEvent)>,
    pub(super) batch: Vec<u8>,
    pub(super) waiting: VecDeque<Waiting>,
    /// Bytes of its memory, as its last event left it.
    pub(super) memory: u64,
    /// When the worker last answered, or was last given something to do while idle.
    pub(super) since: f64,
    /// The last tick found it late: a page that was asleep itself gets one more tick to read its messages.
    pub(super) late: bool,
}

/// An answer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Created,
    Ran(u64),
    Snapshot(u64),
}

impl Shared {
    pub(super) fn create(
        self: &Rc<Self>,
        state: &mut State,
        id: InstanceId,
        package: PackageId,
        restore: Option<Vec<u8>>,
    ) -> Result<(), String> {
        if state.instances.contains_key(&id) {
            return Err("the instance exists already".into());
        }
        if let Some(prepared) = state.packages.get_mut(&package) {
            prepared.used = self.now();
        }
        let (message, transfer) = state.start_message("create", package, restore.as_deref())?;
        if state.frame.is_none() {
            let weak = Rc::downgrade(self);
            let lost = move |worker| upgrade(&weak, |shared| shared.worker_lost(worker));
            let frame =
                Frame::new(&self.base_url, lost).map_err(|_| "the sandbox's frame could not be made")?;
            state.frame = Some(frame);
        }
        let channel = MessageChannel::new().map_err(|_| "no message channel could be made")?;
        let port = channel.port1();
        let weak = Rc::downgrade(self);
        let on_message = Closure::new(move |event: MessageEvent| {
            upgrade(&weak, |shared| shared.received(id, event.data()));
        });
        port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        state.workers = state.workers.wrapping_add(1);
        let instance = Instance {
            worker: state.workers,
            port,
            _on_message: on_message,
            batch: Vec::new(),
            waiting: VecDeque::new(),
            memory: 0,
            since: self.now(),
            late: false,
        };
        if let Some(frame) = &state.frame {
            frame.create(instance.worker, channel.port2());
        }
        state.instances.insert(id, instance);
        self.post(state, id, Waiting::Created, &message, &transfer);
        Ok(())
    }

    /// The instance, with one more answer due.
    pub(super) fn instance<'a>(
        &self,
        state: &'a mut State,
        id: InstanceId,
        waiting: Waiting,
    ) -> Result<&'a mut Instance, String> {
        let instance = state.instances.get_mut(&id).ok_or("there is no such instance")?;
        if instance.waiting.len() >= MAX_WAITING {
            return Err("too many commands wait".into());
        }
        if instance.waiting.is_empty() {
            (instance.since, instance.late) = (self.now(), false);
        }
        instance.waiting.push_back(waiting);
        Ok(instance)
    }

    /// Posts one of the rarer commands, after the runs before it.
    pub(super) fn post(
        &self,
        state: &mut State,
        id: InstanceId,
        waiting: Waiting,
        message: &Object,
        transfer: &Array,
    ) {
        self.send_batch(state, id);
        let posted = self.instance(state, id, waiting).and_then(|instance| {
            let posted = instance.port.post_message_with_transferable(message, transfer);
            posted.map_err(|_| "the command could not be sent to the worker".into())
        });
        if let Err(reason) = posted {
            self.fail(state, id, reason);
        }
    }

    pub(super) fn send_batch(&self, state: &mut State, id: InstanceId) {
        let Some(instance) = state.instances.get_mut(&id).filter(|instance| !instance.batch.is_empty())
        else {
            return;
        };
        let bytes = Uint8Array::from(instance.batch.as_slice()).buffer();
        instance.batch.clear();
        if instance.port.post_message(&bytes).is_err() {
            self.fail(state, id, "the command could not be sent to the worker".into());
        }
    }

    fn received(self: &Rc<Self>, id: InstanceId, data: JsValue) {
        let mut events = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            let Some(instance) = state.instances.get_mut(&id) else { return };
            (instance.since, instance.late) = (self.now(), false);
            if let Err(reason) = instance.read(id, data, &mut events) {
                state.end(id);
                events.push(SandboxEvent::Failed { instance: id, reason });
            }
            self.schedule(&mut state);
        }
        events.into_iter().for_each(|event| self.emit(event));
    }

    fn worker_lost(&self, worker: u32) {
        let mut state = self.state.borrow_mut();
        let found = state.instances.iter().find(|(_, instance)| instance.worker == worker).map(|(id, _)| *id);
        if let Some(id) = found {
            self.fail(&mut state, id, "the worker could not be started".into());
            self.schedule(&mut state);
        }
    }

    /// Ends an instance and reports why after this turn.
    pub(super) fn fail(&self, state: &mut State, instance: InstanceId, reason: String) {
        state.end(instance);
        state.events.push(SandboxEvent::Failed { instance, reason });
    }
}

impl State {
    pub(super) fn end(&mut self, id: InstanceId) {
        if let Some(instance) = self.instances.remove(&id) {
            instance.hush();
            if let Some(frame) = &self.frame {
                frame.stop(instance.worker);
            }
            self.ended.push(instance);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.hush();
    }
}

impl Instance {
    /// Hears nothing more from its worker.
    fn hush(&self) {
        self.port.set_onmessage(None);
        self.port.close();
    }

    /// Reads a message of the worker; `Err` says why the instance is gone.
    fn read(&mut self, id: InstanceId, data: JsValue, events: &mut Vec<SandboxEvent>) -> Result<(), String> {
        let unexpected = || String::from("the worker answered what it was not asked");
        if data.has_type::<ArrayBuffer>() {
            let bytes = Uint8Array::new(&data).to_vec();
            let mut rest = bytes.as_slice();
            while let Some(answer) = codec::read_answer(&mut rest) {
                let Answer { run, outcome, pages } = answer.map_err(|_| unexpected())?;
                self.expect(Waiting::Ran(run)).ok_or_else(unexpected)?;
                self.memory = u64::from(pages) * PAGE;
                events.push(SandboxEvent::Ran { instance: id, run, outcome });
            }
            return Ok(());
        }
        let field = |name: &str| Reflect::get(&data, &name.into()).unwrap_or_default();
        if let Some(reason) = field("failed").as_string() {
            return Err(reason);
        }
        if field("created").is_truthy() {
            self.expect(Waiting::Created).ok_or_else(unexpected)?;
            events.push(SandboxEvent::Created { instance: id });
            return Ok(());
        }
        let state = field("state").dyn_into::<ArrayBuffer>().map_err(|_| unexpected())?;
        match self.waiting.pop_front() {
            Some(Waiting::Snapshot(run)) => {
                let state = Uint8Array::new(&state).to_vec();
                events.push(SandboxEvent::Snapshot { instance: id, run, state });
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    fn expect(&mut self, answer: Waiting) -> Option<()> {
        (self.waiting.pop_front()? == answer).then_some(())
    }
}
