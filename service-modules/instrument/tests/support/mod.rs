//! Runs instrumented modules in an interpreter, with a host that offers every import and does nothing.
#![allow(dead_code, clippy::unwrap_used)]

use instrument::{instrument, Limits};
use wasmi::{Config, Engine, Extern, Instance, Linker, Module, Store, Val};

/// A module around `body` of `handle`, with a memory of one page.
pub fn service(definitions: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {definitions}
             (memory (export "memory") 1)
             (func (export "handle") (param $kind i32) (param $session i32) (param $len i32) (result i32) {body}))"#
    );
    wat::parse_str(text).unwrap()
}

/// An instrumented module, running.
pub struct Run {
    store: Store<()>,
    instance: Instance,
}

/// How `handle` ended.
#[derive(Debug, PartialEq)]
pub enum End {
    Returned(i32),
    OutOfGas,
    TooDeep,
    Trapped,
}

impl Run {
    pub fn new(module: &[u8], memory_pages: u32) -> Run {
        let bytes = instrument(module, &Limits { memory_pages }).unwrap();
        // The module's own limit must be the one that is met.
        let mut config = Config::default();
        config.set_max_recursion_depth(100_000);
        config.set_max_stack_height(64 << 20);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, &bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        for import in module.imports() {
            let ty = import.ty().func().unwrap().clone();
            let results = ty.clone();
            linker
                .func_new("host", import.name(), ty, move |_, _, out| {
                    out.iter_mut()
                        .zip(results.results())
                        .for_each(|(out, ty)| *out = Val::default_for_ty(*ty));
                    Ok(())
                })
                .unwrap();
        }
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        Run { store, instance }
    }

    /// Calls an export with budgets; the result and the gas burnt.
    pub fn handle(&mut self, args: [i32; 3], gas: i64, depth: i32) -> (End, i64) {
        self.set("$gas", Val::I64(gas));
        self.set("$depth", Val::I32(depth));
        let function = self.instance.get_func(&self.store, "handle").unwrap();
        let mut results = [Val::I32(0)];
        let end = match function.call(&mut self.store, &args.map(Val::I32), &mut results) {
            Ok(()) => End::Returned(results[0].i32().unwrap()),
            Err(_) if self.global("$gas").i64().unwrap() < 0 => End::OutOfGas,
            Err(_) if self.global("$depth").i32().unwrap() < 0 => End::TooDeep,
            Err(_) => End::Trapped,
        };
        if end == End::Returned(0) {
            assert_eq!(self.global("$depth").i32(), Some(depth), "depth is given back");
        }
        (end, gas - self.global("$gas").i64().unwrap())
    }

    pub fn global(&self, name: &str) -> Val {
        self.instance.get_global(&self.store, name).unwrap().get(&self.store)
    }

    pub fn set(&mut self, name: &str, value: Val) {
        self.instance.get_global(&self.store, name).unwrap().set(&mut self.store, value).unwrap();
    }

    pub fn memory(&self) -> &[u8] {
        self.instance.get_memory(&self.store, "memory").unwrap().data(&self.store)
    }

    pub fn export(&self, name: &str) -> Option<Extern> {
        self.instance.get_export(&self.store, name)
    }
}
