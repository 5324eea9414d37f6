//! What hosting means for the device: whether it runs on mains power, that the tab is left awake, and that the screen stays on where its
//! person wants that. Hooks; what the browser does not know is said as such.

use js_sys::Function;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::JsValue;
use yew::prelude::*;

use crate::api::{keep_screen, stay_awake, watch_power};

/// What the browser says of the device's power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// Not asked yet; nothing is begun before the answer.
    Asking,
    /// It does not say.
    Unknown,
    Mains,
    Battery,
}

/// The device's power now.
#[hook]
pub fn use_power() -> Power {
    let power = use_state_eq(|| Power::Asking);
    {
        let power = power.clone();
        use_effect_with((), move |()| {
            let changed = Closure::<dyn Fn(JsValue)>::new(move |mains: JsValue| {
                power.set(match mains.as_bool() {
                    Some(true) => Power::Mains,
                    Some(false) => Power::Battery,
                    None => Power::Unknown,
                });
            });
            let stop = watch_power(as_function(&changed));
            move || {
                call(&stop);
                drop(changed);
            }
        });
    }
    *power
}

/// Holds a Web Lock while `hosting`, so that the browser does not put this tab to sleep.
#[hook]
pub fn use_wakefulness(hosting: bool) {
    use_effect_with(hosting, move |hosting| {
        let stop = hosting.then(stay_awake);
        move || {
            if let Some(stop) = stop {
                call(&stop);
            }
        }
    });
}

/// Keeps the screen on while `wanted`; whether it is kept on now.
#[hook]
pub fn use_screen(wanted: bool) -> bool {
    let kept = use_state_eq(|| false);
    {
        let kept = kept.clone();
        use_effect_with(wanted, move |wanted| {
            let held = wanted.then(|| {
                let kept = kept.clone();
                let changed = Closure::<dyn Fn(JsValue)>::new(move |on: JsValue| kept.set(on.is_truthy()));
                (keep_screen(as_function(&changed)), changed)
            });
            move || {
                if let Some((stop, changed)) = held {
                    call(&stop);
                    drop(changed);
                    kept.set(false);
                }
            }
        });
    }
    *kept
}

fn as_function<T: ?Sized + wasm_bindgen::closure::WasmClosure>(closure: &Closure<T>) -> &Function {
    use wasm_bindgen::JsCast;
    closure.as_ref().unchecked_ref()
}

fn call(function: &Function) {
    // It is one of ours and does not throw.
    let _ = function.call0(&JsValue::NULL);
}
