//! Modules that are inspected, tried and kept, for the instances that run them.

use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Object, Uint8Array};
use overlay::id::PackageId;
use overlay::sandbox::{Limits, SandboxEvent};
use wasm_bindgen::prelude::*;

use super::{object, upgrade, Shared, State};
use crate::inspector::{Inspector, Rules, Verdict};

/// Prepared packages that are kept; the one unused for longest goes first.
const MAX_PACKAGES: usize = 64;

pub(super) struct Prepared {
    pub(super) code: ArrayBuffer,
    pub(super) limits: Limits,
    pub(super) used: f64,
}

impl Shared {
    pub(super) fn prepare(
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
    pub(super) fn inspector_failed(&self, reason: &str) {
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
    pub(super) fn start_message(
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
}
