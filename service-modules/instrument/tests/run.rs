//! What instrumented modules do: gas, stack depth, memory, NaNs, state.
#![allow(clippy::unwrap_used)]

mod support;

use support::{service, End, Run};

const MUCH: i64 = 1_000_000_000;
const DEEP: i32 = 40_000;

#[test]
fn an_endless_loop_runs_out_of_gas() {
    let mut run = Run::new(&service("", "(loop $l (br $l)) (unreachable)"), 1);
    let (end, gas) = run.handle([0; 3], 1_000_000, DEEP);
    assert_eq!(end, End::OutOfGas);
    assert!((1_000_000..1_000_100).contains(&gas), "{gas}");
    // The next event starts with a budget of its own.
    assert_eq!(run.handle([0; 3], 500, DEEP).0, End::OutOfGas);
}

#[test]
fn every_instruction_is_paid() {
    let straight = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(100) + "(i32.const 0)";
    let (end, gas) = Run::new(&service("", &straight), 1).handle([0; 3], MUCH, DEEP);
    assert_eq!(end, End::Returned(0));
    assert_eq!(gas, 402);
    // Recursion without loops pays at function entries.
    let recursion = "(func $f (param i32) (if (local.get 0) (then
        (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1))))))";
    let (end, _) = Run::new(&service(recursion, "(call $f (i32.const 30)) (i32.const 0)"), 1)
        .handle([0; 3], 1_000_000, DEEP);
    assert_eq!(end, End::OutOfGas);
}

#[test]
fn an_untaken_large_arm_is_not_paid() {
    let large = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(1_000);
    let body = format!("(if (local.get $kind) (then {large})) (i32.const 0)");
    let mut run = Run::new(&service("", &body), 1);
    let (untaken, taken) = (run.handle([0, 0, 0], MUCH, DEEP).1, run.handle([1, 0, 0], MUCH, DEEP).1);
    assert!(untaken < 20, "{untaken}");
    assert_eq!(taken, untaken + 4_000);
}

#[test]
fn bulk_operations_are_paid_by_length() {
    let operations = [
        "(memory.fill (i32.const 0) (i32.const 7) (local.get $len))",
        "(memory.copy (i32.const 0) (i32.const 8) (local.get $len))",
        "(memory.init $d (i32.const 0) (i32.const 0) (local.get $len))",
    ];
    let data = format!("(data $d \"{}\")", "x".repeat(4_096));
    for operation in operations {
        let mut run = Run::new(&service(&data, &format!("{operation} (i32.const 0)")), 1);
        let (small, large) = (run.handle([0, 0, 0], MUCH, DEEP), run.handle([0, 0, 4_096], MUCH, DEEP));
        assert_eq!((&small.0, &large.0), (&End::Returned(0), &End::Returned(0)), "{operation}");
        assert_eq!(large.1 - small.1, 4_096 / 8, "{operation}");
    }
    let table = "(table $t 4 funcref)";
    let grow = "(drop (table.grow $t (ref.null func) (local.get $len))) (i32.const 0)";
    let mut run = Run::new(&service(table, grow), 1);
    assert_eq!(run.handle([0, 0, 1_000], MUCH, DEEP).1 - run.handle([0, 0, 0], MUCH, DEEP).1, 4_000);
    // A length that the memory does not have costs its gas before it traps.
    let mut run =
        Run::new(&service("", "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1)) (i32.const 0)"), 1);
    assert_eq!(run.handle([0; 3], 1_000_000, DEEP).0, End::OutOfGas);
    assert_eq!(run.handle([0; 3], MUCH, DEEP).0, End::Trapped);
}

#[test]
fn recursion_stops_at_the_stack_limit() {
    let recursion = "(func $f (result i32) (i32.add (call $f) (i32.const 1)))";
    let mut run = Run::new(&service(recursion, "(call $f)"), 1);
    assert_eq!(run.handle([0; 3], MUCH, DEEP).0, End::TooDeep);
    // Large frames reach it sooner.
    let locals = "(local i64)".repeat(1_000);
    let large = format!(
        "(func $f (param i32) (result i32) {locals} (if (result i32) (local.get 0)
        (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 0))))"
    );
    let mut run = Run::new(&service(&large, "(call $f (local.get $len))"), 1);
    assert_eq!(run.handle([0, 0, 35], MUCH, DEEP).0, End::Returned(0));
    assert_eq!(run.handle([0, 0, 45], MUCH, DEEP).0, End::TooDeep);
}

#[test]
fn every_way_out_gives_the_depth_back() {
    let callee = "(func $leaf) (func $f (param i32) (result i32 i32)
        (call $leaf)
        (block $a (block $b (block $c (br_table $a $b $c (local.get 0))) (return (i32.const 1) (i32.const 2)))
            (br 1 (i32.const 3) (i32.const 4)))
        (i32.const 5) (i32.const 6))";
    let body = "(drop (i32.mul (call $f (local.get $len)))) (i32.const 0)";
    let mut run = Run::new(&service(callee, body), 1);
    for way in 0..4 {
        assert_eq!(run.handle([0, 0, way], MUCH, DEEP).0, End::Returned(0), "{way}");
    }
}

#[test]
fn memory_grows_to_the_limit_and_no_further() {
    let mut run = Run::new(&service("", "(memory.grow (local.get $len))"), 3);
    assert_eq!(run.handle([0, 0, 2], MUCH, DEEP).0, End::Returned(1));
    assert_eq!(run.handle([0, 0, 1], MUCH, DEEP).0, End::Returned(-1));
    assert_eq!(run.handle([0, 0, -1], i64::MAX / 2, DEEP).0, End::Returned(-1));
    assert_eq!(run.memory().len(), 3 * 65_536);
    assert_eq!(run.global("$oom").i32(), Some(0));
}

#[test]
fn nans_are_canonical_wherever_bits_are_seen() {
    // Stores, reinterprets, copysign, globals, vectors; each writes 8 bytes of NaN made from an odd payload.
    let nan64 = "(f64.reinterpret_i64 (i64.const 0xfff8dead00000000))";
    let nan32 = "(f32.reinterpret_i32 (i32.const 0xffc0dead))";
    let bodies = [
        (format!("(f64.store (i32.const 0) {nan64})"), 0x7ff8_0000_0000_0000),
        (format!("(i64.store (i32.const 0) (i64.reinterpret_f64 {nan64}))"), 0x7ff8_0000_0000_0000),
        (format!("(f32.store (i32.const 0) {nan32})"), 0x7fc0_0000),
        (format!("(i32.store (i32.const 0) (i32.reinterpret_f32 {nan32}))"), 0x7fc0_0000),
        (format!("(f64.store (i32.const 0) (f64.copysign (f64.const 1) {nan64}))"), 1f64.to_bits()),
        (format!("(global.set $g {nan64}) (i64.store (i32.const 0) (i64.reinterpret_f64 (global.get $g)))"), 0x7ff8 << 48),
        (format!("(v128.store (i32.const 0) (f64x2.splat {nan64}))"), 0x7ff8 << 48),
        (
            "(v128.store (i32.const 0) (f64x2.add (v128.const i64x2 0xfff8dead00000000 0) (v128.const i64x2 0 0)))".into(),
            0x7ff8 << 48,
        ),
        (
            "(v128.store (i32.const 0) (f32x4.sqrt (v128.const f32x4 -1 4 0 0)))".into(),
            u64::from(2f32.to_bits()) << 32 | 0x7fc0_0000,
        ),
    ];
    for (body, wanted) in bodies {
        let mut run =
            Run::new(&service("(global $g (mut f64) (f64.const 0))", &format!("{body} (i32.const 0)")), 1);
        assert_eq!(run.handle([0; 3], MUCH, DEEP).0, End::Returned(0), "{body}");
        let bits = u64::from_le_bytes(run.memory()[..8].try_into().unwrap());
        assert_eq!(bits, wanted, "{body}");
    }
    // Numbers stay what they are.
    let numbers =
        "(f64.store (i32.const 0) (f64.const -0.5)) (f32.store (i32.const 8) (f32.const inf)) (i32.const 0)";
    let mut run = Run::new(&service("", numbers), 1);
    run.handle([0; 3], MUCH, DEEP);
    assert_eq!(run.memory()[..8], (-0.5f64).to_le_bytes());
    assert_eq!(run.memory()[8..12], f32::INFINITY.to_le_bytes());
}

#[test]
fn the_state_is_exported_and_start_does_not_run_by_itself() {
    let definitions = r#"(global $a i32 (i32.const 1)) (global $b (mut i32) (i32.const 2))
        (table $still 1 funcref) (table $moving 1 funcref)
        (func $begin (global.set $b (i32.const 9))) (start $begin) (elem declare func $begin)"#;
    let body = "(table.set $moving (i32.const 0) (ref.func $begin)) (i32.const 0)";
    let run = Run::new(&service(definitions, body), 1);
    let has: Vec<_> =
        ["$g0", "$g1", "$t0", "$t1", "$f0", "$f1", "$start"].map(|name| run.export(name).is_some()).into();
    assert_eq!(has, [false, true, false, true, true, true, true]);
    assert_eq!(run.global("$g1").i32(), Some(2));
}

#[test]
fn segments_are_never_dropped() {
    let body = "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 2)) (i32.const 0)";
    let mut run = Run::new(&service("(data $d \"hi\")", body), 1);
    assert_eq!(run.handle([0; 3], MUCH, DEEP).0, End::Returned(0));
    assert_eq!(&run.memory()[..2], b"hi");
}
