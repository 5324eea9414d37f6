//! The worker that inspects and instruments modules.

use std::collections::VecDeque;

use js_sys::{Array, ArrayBuffer, Object, Reflect, Uint8Array};
use overlay::id::PackageId;
use overlay::manifest::ExampleCall;
use overlay::sandbox::Limits;
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

/// Modules that may wait at once; a tab that is asked for more at a time is not preparing, it is being flooded.
const MAX_WAITING: usize = 64;

/// What became of a module.
pub(crate) type Verdict = Result<ArrayBuffer, String>;

/// What a module is instrumented with, and the calls of its trial.
pub(crate) type Rules = (Limits, Vec<ExampleCall>);

/// Prepares modules one after the other in a worker of its own.
pub(crate) struct Inspector {
    worker: Worker,
    waiting: VecDeque<(PackageId, Rules)>,
    _closures: [Closure<dyn FnMut(MessageEvent)>; 2],
}

impl Inspector {
    /// Starts the worker. `answered` gets each verdict, `broken` is called when the worker itself failed.
    pub(crate) fn new(
        base_url: &str,
        answered: impl Fn(Verdict) + 'static,
        broken: impl Fn() + 'static,
    ) -> Result<Self, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&format!("{base_url}/sandbox/inspect-worker.js"), &options)?;
        let on_message = Closure::new(move |event: MessageEvent| {
            let field = |name: &str| Reflect::get(&event.data(), &name.into()).unwrap_or_default();
            answered(match field("code").dyn_into::<ArrayBuffer>() {
                Ok(code) => Ok(code),
                Err(_) => Err(field("refused").as_string().unwrap_or_else(|| "no reason was given".into())),
            });
        });
        let on_error = Closure::new(move |_: MessageEvent| broken());
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Inspector { worker, waiting: VecDeque::new(), _closures: [on_message, on_error] })
    }

    /// Asks for a module; `Err` is the refusal.
    pub(crate) fn prepare(&mut self, package: PackageId, module: &[u8], rules: Rules) -> Result<(), String> {
        if self.waiting.len() >= MAX_WAITING {
            return Err("too many modules wait to be inspected".into());
        }
        let bytes = Uint8Array::from(module).buffer();
        let message = Object::new();
        // Setting properties of a plain new object cannot fail.
        let _ = Reflect::set(&message, &"module".into(), &bytes);
        let _ = Reflect::set(&message, &"memoryPages".into(), &rules.0.memory_pages.into());
        self.worker
            .post_message_with_transfer(&message, &Array::of1(&bytes))
            .map_err(|_| String::from("the module could not be sent to the inspector"))?;
        self.waiting.push_back((package, rules));
        Ok(())
    }

    /// The module that the next verdict is about.
    pub(crate) fn next(&mut self) -> Option<(PackageId, Rules)> {
        self.waiting.pop_front()
    }

    /// Whether a verdict is due.
    pub(crate) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}
