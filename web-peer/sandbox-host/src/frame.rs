//! The opaque-origin frame and its workers.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{HtmlIFrameElement, MessageEvent, MessagePort, Window};

/// The hidden frame; made when the first instance is.
pub(crate) struct Frame {
    element: HtmlIFrameElement,
    window: Window,
    requests: Rc<RefCell<Requests>>,
    listener: Closure<dyn FnMut(MessageEvent)>,
}

/// What was asked of the frame before it had loaded, in order; at most one `create` an instance.
struct Requests {
    ready: bool,
    waiting: Vec<(Object, Option<MessagePort>)>,
}

impl Frame {
    /// Adds the frame to the page. `lost` is told the number of a worker that failed.
    pub(crate) fn new(base_url: &str, lost: impl Fn(u32) + 'static) -> Result<Self, JsValue> {
        let window = web_sys::window().ok_or("a sandbox needs a window")?;
        let document = window.document().ok_or("a sandbox needs a document")?;
        let element: HtmlIFrameElement = document.create_element("iframe")?.unchecked_into();
        element.set_attribute("sandbox", "allow-scripts")?;
        element.set_attribute("aria-hidden", "true")?;
        element.set_attribute("tabindex", "-1")?;
        element.set_hidden(true);
        element.set_src(&format!("{base_url}/sandbox/frame.html"));
        let requests = Rc::new(RefCell::new(Requests { ready: false, waiting: Vec::new() }));
        let listener = Closure::new({
            let (element, requests) = (element.clone(), requests.clone());
            move |event: MessageEvent| {
                let Some(content) = element.content_window() else { return };
                if !event.source().is_some_and(|source| Object::is(&source, &content)) {
                    return;
                }
                let field = |name: &str| Reflect::get(&event.data(), &name.into()).unwrap_or_default();
                if field("ready").is_truthy() {
                    let waiting = {
                        let mut requests = requests.borrow_mut();
                        requests.ready = true;
                        std::mem::take(&mut requests.waiting)
                    };
                    waiting.iter().for_each(|(message, port)| post(&content, message, port.as_ref()));
                } else if let Some(worker) = field("lost").as_f64() {
                    lost(worker as u32);
                }
            }
        });
        window.add_event_listener_with_callback("message", listener.as_ref().unchecked_ref())?;
        document.document_element().ok_or("a sandbox needs a document")?.append_child(&element)?;
        Ok(Frame { element, window, requests, listener })
    }

    /// Starts a worker that gets `port`.
    pub(crate) fn create(&self, worker: u32, port: MessagePort) {
        self.ask("create", worker, Some(port));
    }

    /// Ends a worker, even one that never answers.
    pub(crate) fn stop(&self, worker: u32) {
        self.ask("stop", worker, None);
    }

    fn ask(&self, what: &str, worker: u32, port: Option<MessagePort>) {
        let message = Object::new();
        // Setting a property of a plain new object cannot fail.
        let _ = Reflect::set(&message, &what.into(), &worker.into());
        let mut requests = self.requests.borrow_mut();
        match self.element.content_window().filter(|_| requests.ready) {
            Some(content) => post(&content, &message, port.as_ref()),
            None => requests.waiting.push((message, port)),
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let listener = self.listener.as_ref().unchecked_ref();
        let _ = self.window.remove_event_listener_with_callback("message", listener);
        self.element.remove();
    }
}

/// The frame's origin is opaque, so the target can only be `*`; what is posted is no secret from our own frame.
fn post(content: &Window, message: &Object, port: Option<&MessagePort>) {
    let transfer: Array = port.into_iter().collect();
    // Fails only for a port that was transferred before, which `create` makes anew each time.
    let _ = content.post_message_with_transfer(message, "*", &transfer);
}
