//! [`SandboxHost`]: packages, instances, deadlines.
//!
//! Every instance has a worker of its own. Runs that are commanded in one turn of the page's loop leave in one message.
//! Gas ends a guest that does not come back; the deadline is for what gas cannot see (a browser that lost the worker).
//!
//! | file | does |
//! |---|---|
//! | this one | commands in, events out, once a turn; looks at deadlines |
//! | `packages` | modules that are inspected, tried and kept |
//! | `instances` | the worker of each instance: what it is told, what it answers |

mod instances;
mod packages;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use js_sys::{Array, BigInt, Object, Reflect};
use overlay::id::{InstanceId, PackageId};
use overlay::sandbox::{SandboxCommand, SandboxEvent};
use wasm_bindgen::prelude::*;
use web_sys::{Performance, Window};

use crate::codec;
use crate::frame::Frame;
use crate::inspector::Inspector;
use crate::trial::Trials;
use instances::{Instance, Waiting};
use packages::Prepared;

/// An instance that has answered nothing for so long is ended. Generous, since gas is the real limit.
const DEADLINE_MS: f64 = 10_000.0;
/// The same for the inspection of a module: the largest takes seconds on a slow phone.
const INSPECT_DEADLINE_MS: f64 = 30_000.0;
/// How often deadlines are looked at, while something is under way.
const TICK_MS: i32 = 1_000;
/// Bytes of runs that may wait to leave in one message.
const MAX_BATCH: usize = 4 << 20;

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
    fn is_busy(&self) -> bool {
        self.inspecting_since.is_some()
            || self.instances.values().any(|instance| !instance.waiting.is_empty())
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
