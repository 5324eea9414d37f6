//! [`SandboxHost`]: packages, instances, deadlines.
//!
//! Every instance has a worker of its own. Runs that are commanded in one turn of the page's loop leave in one message.
//! Gas ends a guest that does not come back; the deadline is for what gas cannot see (a browser that lost the worker).

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use js_sys::{Array, ArrayBuffer, BigInt, Object, Reflect, Uint8Array};
use overlay::id::{InstanceId, PackageId};
use overlay::sandbox::{Limits, SandboxCommand, SandboxEvent};
use wasm_bindgen::prelude::*;
use web_sys::{MessageChannel, MessageEvent, MessagePort, Performance, Window};

use crate::codec::{self, Answer};
use crate::frame::Frame;
use crate::inspector::{Inspector, Rules, Verdict};
use crate::trial::Trials;

/// An instance that has answered nothing for so long is ended. Generous, since gas is the real limit.
const DEADLINE_MS: f64 = 10_000.0;
/// The same for the inspection of a module: the largest takes seconds on a slow phone.
const INSPECT_DEADLINE_MS: f64 = 30_000.0;
/// How often deadlines are looked at, while something is under way.
const TICK_MS: i32 = 1_000;
/// Commands that may wait in one worker; the kernel's own queues are shorter.
const MAX_WAITING: usize = 16_384;
/// Bytes of runs that may wait to leave in one message.
const MAX_BATCH: usize = 4 << 20;
/// Bytes of a page of wasm memory.
const PAGE: u64 = 65_536;
/// Prepared packages that are kept; the one unused for longest goes first.
const MAX_PACKAGES: usize = 64;

/// The sandbox of one page. Clones are the same sandbox.
#[derive(Clone)]
pub struct SandboxHost(Rc<Shared>);

struct Shared {
    base_url: String,
    window: Window,
    /// Kept: to ask the window for it costs more than the time of day itself.
    performance: Option<Performance>,
    on_event: Box<dyn Fn(SandboxEvent)>,
    state: RefCell<State>,
    /// Sends batches and reports events after the present turn; `tick` looks at deadlines.
    flush: Closure<dyn FnMut()>,
    tick: Closure<dyn FnMut()>,
}

#[derive(Default)]
struct State {
    frame: Option<Frame>,
    inspector: Option<Inspector>,
    inspecting_since: Option<f64>,
    packages: BTreeMap<PackageId, Prepared>,
    trials: Trials,
    instances: BTreeMap<InstanceId, Instance>,
    /// Ended instances whose closures may still be on the call stack.
    ended: Vec<Instance>,
    ended_inspectors: Vec<Inspector>,
    workers: u32,
    /// Events that arose within `command`, reported after it.
    events: Vec<SandboxEvent>,
    flushing: bool,
    ticking: Option<i32>,
}

struct Prepared {
    code: ArrayBuffer,
    limits: Limits,
    used: f64,
}

struct Instance {
    worker: u32,
    port: MessagePort,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    batch: Vec<u8>,
    waiting: VecDeque<Waiting>,
    /// Bytes of its memory, as its last event left it.
    memory: u64,
    /// When the worker last answered, or was last given something to do while idle.
    since: f64,
    /// The last tick found it late: a page that was asleep itself gets one more tick to read its messages.
    late: bool,
}

/// An answer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Created,
    Ran(u64),
    Snapshot(u64),
}

impl SandboxHost {
    /// A sandbox whose files lie under `base_url` (no slash at its end). Frame, workers and inspector are made when they
    /// are first needed. `on_event` is never called within [`Self::command`]. Fails without a window.
    pub fn new(base_url: &str, on_event: impl Fn(SandboxEvent) + 'static) -> Result<Self, JsValue> {
        let window = web_sys::window().ok_or("a sandbox needs a window")?;
        let shared = Rc::new_cyclic(|weak: &Weak<Shared>| {
            let call = |method: fn(&Rc<Shared>)| {
                let weak = weak.clone();
                Closure::<dyn FnMut()>::new(move || {
                    if let Some(shared) = weak.upgrade() {
                        method(&shared);
                    }
                })
            };
            Shared {
                base_url: base_url.trim_end_matches('/').to_owned(),
                performance: window.performance(),
                window,
                on_event: Box::new(on_event),
                state: RefCell::default(),
                flush: call(Shared::flush),
                tick: call(Shared::tick),
            }
        });
        Ok(SandboxHost(shared))
    }

    /// Bytes of memory of all instances, each as its last event left it; one that had none yet counts nothing.
    pub fn memory(&self) -> u64 {
        self.0.state.borrow().instances.values().map(|instance| instance.memory).sum()
    }

    /// Takes a command; its answer comes to `on_event`.
    pub fn command(&self, command: SandboxCommand) {
        self.0.command(command);
    }
}

impl Shared {
    fn command(self: &Rc<Self>, command: SandboxCommand) {
        let shared = self;
        let mut state = shared.state.borrow_mut();
        match command {
            SandboxCommand::Prepare { package, module, limits, examples } => {
                if let Err(reason) = shared.prepare(&mut state, package, &module, (limits, examples)) {
                    state.events.push(SandboxEvent::Refused { package, reason });
                }
            }
            SandboxCommand::Create { instance, package, restore } => {
                if let Err(reason) = shared.create(&mut state, instance, package, restore) {
                    shared.fail(&mut state, instance, reason);
                }
            }
            SandboxCommand::Run { instance, run, event } => {
                let queued = shared.instance(&mut state, instance, Waiting::Ran(run)).map(|instance| {
                    codec::write_run(run, &event, &mut instance.batch);
                    instance.batch.len()
                });
                match queued {
                    Ok(length) if length > MAX_BATCH => shared.send_batch(&mut state, instance),
                    Ok(_) => {}
                    Err(reason) => shared.fail(&mut state, instance, reason),
                }
            }
            SandboxCommand::Snapshot { instance, run } => {
                let message = object(&[("snapshot", BigInt::from(run).into())]);
                shared.post(&mut state, instance, Waiting::Snapshot(run), &message, &Array::new());
            }
            SandboxCommand::Upgrade { instance, package } => {
                match state.start_message("upgrade", package, None) {
                    Ok((message, transfer)) => {
                        shared.post(&mut state, instance, Waiting::Created, &message, &transfer);
                    }
                    Err(reason) => shared.fail(&mut state, instance, reason),
                }
            }
            SandboxCommand::Release { package } => {
                state.packages.remove(&package);
            }
            SandboxCommand::Stop { instance } => state.end(instance),
        }
        shared.schedule(&mut state);
    }

    /// Hands an event to the kernel, or to the trial that it belongs to.
    fn emit(self: &Rc<Self>, event: SandboxEvent) {
        let handled = self.state.borrow_mut().trials.handle(event);
        match handled {
            Ok(next) => {
                next.commands.into_iter().for_each(|command| self.command(command));
                if let Some(verdict) = next.verdict {
                    if let SandboxEvent::Refused { package, .. } = &verdict {
                        self.state.borrow_mut().packages.remove(package);
                    }
                    (self.on_event)(verdict);
                }
            }
            Err(event) => (self.on_event)(event),
        }
    }

    fn prepare(
        self: &Rc<Self>,
        state: &mut State,
        package: PackageId,
        module: &[u8],
        rules: Rules,
    ) -> Result<(), String> {
        if module.len() > service_abi::limits::MAX_MODULE {
            return Err(format!(
                "the module has {} bytes, more than {}",
                module.len(),
                service_abi::limits::MAX_MODULE
            ));
        }
        if state.inspector.is_none() {
            let (answered, broken) = (Rc::downgrade(self), Rc::downgrade(self));
            let inspector = Inspector::new(
                &self.base_url,
                move |verdict| upgrade(&answered, |shared| shared.inspected(verdict)),
                move || {
                    upgrade(&broken, |shared| shared.inspector_failed("the inspector could not be loaded"))
                },
            );
            state.inspector = Some(inspector.map_err(|_| "the inspector could not be started")?);
        }
        state.inspecting_since.get_or_insert(self.now());
        match &mut state.inspector {
            Some(inspector) => inspector.prepare(package, module, rules),
            None => Err("the inspector could not be started".into()),
        }
    }

    fn inspected(self: &Rc<Self>, verdict: Verdict) {
        let trial = {
            let mut state = self.state.borrow_mut();
            let Some(inspector) = &mut state.inspector else { return };
            let Some((package, (limits, examples))) = inspector.next() else { return };
            state.inspecting_since = inspector.is_busy().then(|| self.now());
            match verdict {
                Ok(code) => {
                    state.keep(package, Prepared { code, limits, used: self.now() });
                    Ok(state.trials.begin(package, examples))
                }
                Err(reason) => Err(SandboxEvent::Refused { package, reason }),
            }
        };
        match trial {
            Ok(commands) => commands.into_iter().for_each(|command| self.command(command)),
            Err(refused) => (self.on_event)(refused),
        }
    }

    /// Refuses what waits; the next module gets a new inspector.
    fn inspector_failed(&self, reason: &str) {
        let mut refused = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            state.inspecting_since = None;
            if let Some(mut inspector) = state.inspector.take() {
                refused.extend(std::iter::from_fn(|| inspector.next()));
                state.ended_inspectors.push(inspector);
            }
        }
        for (package, _) in refused {
            (self.on_event)(SandboxEvent::Refused { package, reason: reason.to_owned() });
        }
    }

    fn create(
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
    fn instance<'a>(
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
    fn post(&self, state: &mut State, id: InstanceId, waiting: Waiting, message: &Object, transfer: &Array) {
        self.send_batch(state, id);
        let posted = self.instance(state, id, waiting).and_then(|instance| {
            let posted = instance.port.post_message_with_transferable(message, transfer);
            posted.map_err(|_| "the command could not be sent to the worker".into())
        });
        if let Err(reason) = posted {
            self.fail(state, id, reason);
        }
    }

    fn send_batch(&self, state: &mut State, id: InstanceId) {
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
    fn fail(&self, state: &mut State, instance: InstanceId, reason: String) {
        state.end(instance);
        state.events.push(SandboxEvent::Failed { instance, reason });
    }

    /// Sees to it that `flush` and `tick` come when they are needed.
    fn schedule(&self, state: &mut State) {
        let work = !state.events.is_empty()
            || !state.ended.is_empty()
            || !state.ended_inspectors.is_empty()
            || state.instances.values().any(|instance| !instance.batch.is_empty());
        if work && !state.flushing {
            state.flushing = true;
            self.window.queue_microtask(self.flush.as_ref().unchecked_ref());
        }
        if state.is_busy() && state.ticking.is_none() {
            let tick = self.tick.as_ref().unchecked_ref();
            state.ticking =
                self.window.set_interval_with_callback_and_timeout_and_arguments_0(tick, TICK_MS).ok();
        }
    }

    fn flush(self: &Rc<Self>) {
        let events = {
            let mut state = self.state.borrow_mut();
            state.flushing = false;
            let ids: Vec<_> = state.instances.keys().copied().collect();
            ids.into_iter().for_each(|id| self.send_batch(&mut state, id));
            state.ended.clear();
            state.ended_inspectors.clear();
            std::mem::take(&mut state.events)
        };
        events.into_iter().for_each(|event| self.emit(event));
    }

    fn tick(self: &Rc<Self>) {
        let now = self.now();
        let mut state = self.state.borrow_mut();
        let mut late = Vec::new();
        for (id, instance) in &mut state.instances {
            if !instance.waiting.is_empty() && now - instance.since > DEADLINE_MS {
                match instance.late {
                    true => late.push(*id),
                    false => instance.late = true,
                }
            }
        }
        for id in late {
            self.fail(&mut state, id, "the worker did not answer in time and was ended".into());
        }
        let inspector_late = state.inspecting_since.is_some_and(|since| now - since > INSPECT_DEADLINE_MS);
        if !state.is_busy() {
            if let Some(interval) = state.ticking.take() {
                self.window.clear_interval_with_handle(interval);
            }
        }
        self.schedule(&mut state);
        drop(state);
        if inspector_late {
            self.inspector_failed("the inspection took too long");
        }
    }

    fn now(&self) -> f64 {
        self.performance.as_ref().map_or(0.0, Performance::now)
    }
}

/// A sandbox that is no longer used leaves nothing behind that would call into it.
impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if let Some(interval) = state.ticking.take() {
            self.window.clear_interval_with_handle(interval);
        }
        if state.flushing {
            // A microtask cannot be taken back: it finds nobody, once.
            std::mem::replace(&mut self.flush, Closure::new(|| {})).forget();
        }
    }
}

impl State {
    fn keep(&mut self, package: PackageId, prepared: Prepared) {
        self.packages.insert(package, prepared);
        if self.packages.len() > MAX_PACKAGES {
            let oldest =
                self.packages.iter().min_by(|(_, a), (_, b)| a.used.total_cmp(&b.used)).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.packages.remove(&oldest));
        }
    }

    /// The message that starts a module, and what it transfers.
    fn start_message(
        &self,
        command: &str,
        package: PackageId,
        restore: Option<&[u8]>,
    ) -> Result<(Object, Array), String> {
        let prepared = self.packages.get(&package).ok_or("the package is not prepared")?;
        let limits = &prepared.limits;
        let restore = restore.map(|state| Uint8Array::from(state).buffer());
        let values = object(&[
            ("code", prepared.code.clone().into()),
            ("restore", restore.clone().map_or(JsValue::NULL, JsValue::from)),
            ("gas", (limits.gas_per_event as f64).into()),
            ("depth", limits.stack_depth.min(i32::MAX as u32).into()),
            ("outputBytes", limits.output_bytes.into()),
            ("kvBytes", (limits.kv_bytes as f64).into()),
            ("memoryPages", limits.memory_pages.into()),
        ]);
        Ok((object(&[(command, values.into())]), restore.iter().collect()))
    }

    fn end(&mut self, id: InstanceId) {
        if let Some(instance) = self.instances.remove(&id) {
            instance.hush();
            if let Some(frame) = &self.frame {
                frame.stop(instance.worker);
            }
            self.ended.push(instance);
        }
    }

    fn is_busy(&self) -> bool {
        self.inspecting_since.is_some()
            || self.instances.values().any(|instance| !instance.waiting.is_empty())
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

fn upgrade(weak: &Weak<Shared>, then: impl FnOnce(&Rc<Shared>)) {
    if let Some(shared) = weak.upgrade() {
        then(&shared);
    }
}

fn object(fields: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a property of a plain new object cannot fail.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object
}
