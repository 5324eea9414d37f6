//! libFuzzer's side: runs the target that `TABFARM_FUZZ` names. `cargo xtask fuzz` builds and starts it.
#![no_main]
// The macro exports a function that libFuzzer calls.
#![allow(unsafe_code)]

use std::sync::LazyLock;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("TABFARM_FUZZ").unwrap_or_default();
    match fuzz::target(&name) {
        Some(target) => target.run,
        None => panic!("TABFARM_FUZZ names no target: {name:?}"),
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| RUN(data));
