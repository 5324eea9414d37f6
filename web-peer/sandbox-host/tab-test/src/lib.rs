//! The sandbox alone, driven from JavaScript: for tests and benchmarks in tabs. It adds nothing to the kernel's commands
//! and events but their JavaScript form.

#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![warn(missing_docs)]

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Object, Reflect, Uint8Array};
use overlay::id::{Hash, InstanceId, PackageId, PeerId};
use overlay::sandbox::{EventKind, GuestEvent, Limits, SandboxCommand, SandboxEvent};
use sandbox_host::SandboxHost;
use wasm_bindgen::prelude::*;

/// One sandbox. Packages and instances are numbers.
#[wasm_bindgen]
pub struct Sandbox(SandboxHost, Rc<RefCell<Option<Series>>>);

/// Calls one after the other, for their time.
struct Series {
    instance: u32,
    left: u32,
    input: Vec<u8>,
    done: Function,
}

#[wasm_bindgen]
impl Sandbox {
    /// `on_event` gets `{ type, package | instance, run?, outcome?, state?, reason? }`.
    #[wasm_bindgen(constructor)]
    pub fn new(base_url: &str, on_event: Function) -> Result<Sandbox, JsValue> {
        let series = Rc::new(RefCell::new(None));
        let own = Rc::new(RefCell::new(None::<SandboxHost>));
        let (running, host) = (series.clone(), own.clone());
        let report = move |event| {
            if let (SandboxEvent::Ran { .. }, Some(host)) = (&event, &*host.borrow()) {
                if next_call(&running, host) {
                    return;
                }
            }
            // An exception of the test's own callback shows up in its page.
            let _ = on_event.call1(&JsValue::NULL, &to_js(event));
        };
        let host = SandboxHost::new(base_url, report)?;
        *own.borrow_mut() = Some(host.clone());
        Ok(Sandbox(host, series))
    }

    /// Runs `calls` calls one after the other, then calls `done`.
    pub fn series(&self, instance: u32, calls: u32, input: Vec<u8>, done: Function) {
        *self.1.borrow_mut() = Some(Series { instance, left: calls, input, done });
        next_call(&self.1, &self.0);
    }

    /// [`SandboxCommand::Prepare`].
    pub fn prepare(&self, package: u8, module: Vec<u8>, memory_pages: u32, gas: f64, output: u32, kv: f64) {
        let limits = Limits {
            memory_pages,
            gas_per_event: gas as u64,
            stack_depth: overlay::manifest::STACK_DEPTH,
            output_bytes: output,
            kv_bytes: kv as u64,
        };
        self.0.command(SandboxCommand::Prepare {
            package: id(package),
            module,
            limits,
            examples: Vec::new(),
        });
    }

    /// [`SandboxCommand::Create`].
    pub fn create(&self, instance: u32, package: u8, restore: Option<Vec<u8>>) {
        let instance = InstanceId(instance.into());
        self.0.command(SandboxCommand::Create { instance, package: id(package), restore });
    }

    /// [`SandboxCommand::Run`]; the consumer's key is `[session; 32]`, the time 1,700,000,000,000 + `run` ms.
    pub fn run(&self, instance: u32, run: u32, kind: u8, session: u32, input: Vec<u8>) {
        let event = GuestEvent {
            kind: kind_of(kind),
            session,
            now_ms: 1_700_000_000_000 + u64::from(run),
            seed: u64::from(run).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            consumer: Some(PeerId([session as u8; 32])),
            input,
        };
        self.0.command(SandboxCommand::Run { instance: InstanceId(instance.into()), run: run.into(), event });
    }

    /// [`SandboxCommand::Snapshot`].
    pub fn snapshot(&self, instance: u32, run: u32) {
        self.0.command(SandboxCommand::Snapshot { instance: InstanceId(instance.into()), run: run.into() });
    }

    /// [`SandboxCommand::Upgrade`].
    pub fn upgrade(&self, instance: u32, package: u8) {
        self.0
            .command(SandboxCommand::Upgrade { instance: InstanceId(instance.into()), package: id(package) });
    }

    /// [`SandboxCommand::Stop`].
    pub fn stop(&self, instance: u32) {
        self.0.command(SandboxCommand::Stop { instance: InstanceId(instance.into()) });
    }
}

/// Starts the next call of the series; false if there is none.
fn next_call(series: &RefCell<Option<Series>>, host: &SandboxHost) -> bool {
    let mut current = series.borrow_mut();
    let Some(each) = current.as_mut() else { return false };
    if each.left == 0 {
        let done = each.done.clone();
        *current = None;
        drop(current);
        // As above.
        let _ = done.call0(&JsValue::NULL);
        return true;
    }
    each.left -= 1;
    let event = GuestEvent {
        kind: EventKind::Call,
        session: 1,
        now_ms: 1_700_000_000_000,
        seed: u64::from(each.left),
        consumer: Some(PeerId([1; 32])),
        input: each.input.clone(),
    };
    let instance = InstanceId(each.instance.into());
    host.command(SandboxCommand::Run { instance, run: each.left.into(), event });
    true
}

fn id(package: u8) -> PackageId {
    PackageId(Hash([package; 32]))
}

fn kind_of(kind: u8) -> EventKind {
    match kind {
        0 => EventKind::Open,
        1 => EventKind::Message,
        2 => EventKind::Close,
        3 => EventKind::Call,
        4 => EventKind::Query,
        5 => EventKind::Timer,
        6 => EventKind::Reply,
        _ => EventKind::Upgrade,
    }
}

fn to_js(event: SandboxEvent) -> JsValue {
    let object = Object::new();
    let set = |name: &str, value: JsValue| {
        // Setting a property of a plain new object cannot fail.
        let _ = Reflect::set(&object, &name.into(), &value);
    };
    let number = |instance: InstanceId| JsValue::from(instance.0 as f64);
    match event {
        SandboxEvent::Prepared { package } => {
            set("type", "prepared".into());
            set("package", package.0 .0[0].into());
        }
        SandboxEvent::Refused { package, reason } => {
            set("type", "refused".into());
            set("package", package.0 .0[0].into());
            set("reason", reason.into());
        }
        SandboxEvent::Created { instance } => {
            set("type", "created".into());
            set("instance", number(instance));
        }
        SandboxEvent::Ran { instance, run, outcome } => {
            set("type", "ran".into());
            set("instance", number(instance));
            set("run", (run as f64).into());
            set("outcome", serde_wasm_bindgen::to_value(&outcome).unwrap_or_default());
        }
        SandboxEvent::Snapshot { instance, run, state } => {
            set("type", "snapshot".into());
            set("instance", number(instance));
            set("run", (run as f64).into());
            set("state", Uint8Array::from(state.as_slice()).into());
        }
        SandboxEvent::Failed { instance, reason } => {
            set("type", "failed".into());
            set("instance", number(instance));
            set("reason", reason.into());
        }
    }
    object.into()
}
