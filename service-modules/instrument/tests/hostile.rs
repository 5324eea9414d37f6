//! Modules that are refused, each by name; and bytes that are no modules.
#![allow(clippy::unwrap_used)]

mod support;

use instrument::{inspect, instrument, Limits, Refused};
use support::service;

const HANDLE: &str = r#"(func (export "handle") (param i32 i32 i32) (result i32) (i32.const 0))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;

fn refusal(text: &str) -> String {
    let module = wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    match inspect(&module) {
        Ok(report) => panic!("{text} was let in: {report:?}"),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn foreign_imports_and_exports_are_refused_by_name() {
    let cases = [
        (r#"(import "env" "abort" (func))"#, "the module imports env.abort, which no host offers"),
        (r#"(import "host" "fetch" (func))"#, "the module imports host.fetch, which no host offers"),
        (r#"(import "host" "memory" (memory 1))"#, "the module imports host.memory, which no host offers"),
        (r#"(import "host" "g" (global i32))"#, "the module imports host.g, which no host offers"),
        (r#"(import "host" "t" (table 1 funcref))"#, "the module imports host.t, which no host offers"),
        (
            r#"(import "host" "now" (func (result i64)))"#,
            "the module imports host.now with a wrong signature",
        ),
        (
            r#"(import "host" "reply" (func (param i32)))"#,
            "the module imports host.reply with a wrong signature",
        ),
        (r#"(func (export "$gas"))"#, "the export \"$gas\" begins with '$', which is reserved for hosts"),
    ];
    for (text, wanted) in cases {
        assert_eq!(refusal(&format!("(module {text} {HANDLE} (memory (export \"m\") 1))")), wanted);
    }
}

#[test]
fn missing_exports_are_named() {
    let handle = "the module must export handle: a function (kind: i32, session: i32, len: i32) -> i32";
    assert_eq!(refusal(&format!("(module {MEMORY})")), handle);
    assert_eq!(refusal(&format!(r#"(module {MEMORY} (func (export "handle")))"#)), handle);
    assert_eq!(
        refusal(&format!(r#"(module {MEMORY} (global (export "handle") i32 (i32.const 0)))"#)),
        handle
    );
    let memory = "the module must export memory: its one linear memory";
    assert_eq!(refusal(&format!("(module {HANDLE} (memory 1))")), memory);
    assert_eq!(refusal(&format!("(module {HANDLE})")), memory);
    let initialize = r#"(func (export "_initialize") (param i32))"#;
    assert!(refusal(&format!("(module {MEMORY} {HANDLE} {initialize})"))
        .starts_with("the module must export _init"));
}

#[test]
fn what_would_make_replicas_differ_is_refused() {
    let cases = [
        r#"(memory (export "memory") 1 1 shared)"#,
        r#"(memory (export "memory") i64 1)"#,
        r#"(memory (export "memory") 1) (memory 1)"#,
        "(memory (export \"memory\") 1) (func (drop (i32.atomic.load (i32.const 0))))",
        "(memory (export \"memory\") 1) (tag)",
        "(memory (export \"memory\") 1) (type (struct))",
        "(memory (export \"memory\") 1) (func $f (return_call $f))",
        "(memory (export \"memory\") 1) (func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0)))",
        "(memory (export \"memory\") 1) (global (mut v128) (v128.const i64x2 0 0))",
        "(memory (export \"memory\") 1) (global (mut funcref) (ref.null func))",
        "(memory (export \"memory\") 1) (table 1 externref)",
    ];
    for text in cases {
        let refusal = refusal(&format!("(module {text} {HANDLE})"));
        assert!(refusal.contains("not valid") || refusal.contains("does not allow"), "{text}: {refusal}");
    }
}

#[test]
fn bombs_are_refused_before_they_are_compiled() {
    let locals = format!("(func {})", "(local i32)".repeat(6_000));
    assert!(refusal(&format!("(module {MEMORY} {HANDLE} {locals})")).contains("locals of a function: 6000"));
    let tables = "(table 60000 funcref)".repeat(2);
    assert!(refusal(&format!("(module {MEMORY} {HANDLE} {tables})")).contains("table elements: 120000"));
    let long = format!("(func {})", "(drop (i64.const 0x7fffffffffffffff))".repeat(60_000));
    assert!(refusal(&format!("(module {MEMORY} {HANDLE} {long})")).contains("function bodies"));
    assert_eq!(
        inspect(&vec![0; 100 << 20]).unwrap_err(),
        Refused::TooLarge { size: 100 << 20, limit: 16 << 20 }
    );
    let large = wat::parse_str(format!(r#"(module (memory (export "memory") 300) {HANDLE})"#)).unwrap();
    let refused = instrument(&large, &Limits { memory_pages: 256 }).unwrap_err();
    assert_eq!(refused, Refused::Memory { pages: 300, limit: 256 });
    // A locals vector that claims 2^32 - 1 entries in ten bytes.
    let mut module = service("", "(i32.const 0)");
    let body = module.windows(4).position(|bytes| bytes == [0x00, 0x41, 0x00, 0x0b]).unwrap();
    module.splice(body..=body, [1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f]);
    assert!(inspect(&module).is_err());
}

#[test]
fn no_flipped_byte_or_cut_panics_and_the_result_is_valid() {
    let module = service(
        r#"(import "host" "reply" (func $reply (param i32 i32) (result i32))) (global $g (mut f64) (f64.const 1))
           (table 2 funcref) (elem (i32.const 0) $f) (data (i32.const 8) "data") (func $f (param f64) (result f64)
             (global.set $g (f64.add (local.get 0) (global.get $g))) (global.get $g))"#,
        "(drop (call $reply (i32.const 8) (i32.const 4))) (drop (call $f (f64.const 2))) (i32.const 0)",
    );
    let limits = Limits { memory_pages: 16 };
    for index in 0..module.len() {
        let _ = instrument(&module[..index], &limits);
        for bit in 0..8 {
            let mut flipped = module.clone();
            flipped[index] ^= 1 << bit;
            if let Ok(instrumented) = instrument(&flipped, &limits) {
                wasmparser::validate(&instrumented).unwrap();
            }
        }
    }
}
