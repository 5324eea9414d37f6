//! The output is the same bytes on every host and in every release of this ABI version. If this test fails, replicas of
//! different releases would disagree: that is a new ABI version, not a new hash.
#![allow(clippy::unwrap_used)]

mod support;

use instrument::{instrument, Limits};
use sha2::{Digest, Sha256};

const MODULE: &str = r#"(module
  (import "host" "input" (func $input (param i32)))
  (import "host" "reply" (func $reply (param i32 i32) (result i32)))
  (import "host" "now" (func $now (result f64)))
  (type $pair (func (param i32) (result i32 f64)))
  (memory (export "memory") 2 40)
  (table $t 4 8 funcref)
  (global $count (mut i64) (i64.const 0))
  (global $mean (mut f64) (f64.const 0))
  (global $still i32 (i32.const 7))
  (elem (i32.const 1) $pair $begin)
  (data $d "passive")
  (data (i32.const 64) "active")
  (func $begin (global.set $count (i64.const 1)) (data.drop $d))
  (start $begin)
  (func (export "_initialize"))
  (func $pair (type $pair) (local v128)
    (if (local.get 0) (then (return (i32.const 1) (call $now))))
    (local.set 1 (f32x4.add (v128.load (i32.const 0)) (f32x4.splat (f32.const 1))))
    (v128.store (i32.const 16) (local.get 1))
    (i32.const 2) (f64.copysign (call $now) (f64.const -1)))
  (func (export "handle") (param $kind i32) (param $session i32) (param $len i32) (result i32)
    (local $sum f64)
    (call $input (i32.const 1024))
    (loop $next
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (local.set $sum (f64.add (local.get $sum) (f64.load (i32.add (i32.const 1024) (local.get $len)))))
      (block $out (br_table $next $out $out (i32.and (local.get $len) (i32.const 3))))
      (br_if $next (local.get $len)))
    (global.set $mean (local.get $sum))
    (drop (call_indirect $t (type $pair) (local.get $kind) (i32.const 1)))
    (drop)
    (table.set $t (i32.const 2) (ref.func $begin))
    (memory.copy (i32.const 0) (i32.const 64) (i32.const 6))
    (memory.init $d (i32.const 6) (i32.const 0) (i32.const 7))
    (drop (memory.grow (i32.const 1)))
    (call $reply (i32.const 0) (i32.const 13))))"#;

#[test]
fn the_output_is_what_it_was() {
    let module = wat::parse_str(MODULE).unwrap();
    let output = instrument(&module, &Limits { memory_pages: 32 }).unwrap();
    wasmparser::validate(&output).unwrap();
    let hash: String = Sha256::digest(&output).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, GOLDEN);
}

const GOLDEN: &str = "88ca949df7f3939342915581be818fd58c23506a4a80a0615ed52b012861ca21";

#[test]
fn the_report_is_complete() {
    let report = instrument::inspect(&wat::parse_str(MODULE).unwrap()).unwrap();
    assert_eq!(
        report,
        instrument::ModuleReport {
            size: report.size,
            imports: ["input", "now", "reply"].map(String::from).into(),
            exports: ["_initialize", "handle", "memory"].map(String::from).into(),
            functions: 4,
            memory_min: 2,
            memory_max: Some(40),
            table_elements: 4,
            mutable_globals: 2,
            data_bytes: 13,
            largest_function: report.largest_function,
            runs_at_creation: true,
            simd: true,
            floats: true,
        }
    );
}
