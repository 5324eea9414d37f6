//! Generated modules and arbitrary bytes: no panic, and what comes out is valid.
#![allow(clippy::unwrap_used)]

mod support;

use arbitrary::Unstructured;
use instrument::{instrument, Limits};
use proptest::prelude::*;
use wasm_smith::{Config, InstructionKinds, Module};

/// Valid modules with all features of the ABI and the exports that it wants.
fn config() -> Config {
    Config {
        exports: Some(wat::parse_str(EXPORTS).unwrap()),
        allowed_instructions: InstructionKinds::all(),
        max_imports: 0,
        max_memories: 1,
        min_memories: 1,
        simd_enabled: true,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        multi_value_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        memory64_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        shared_everything_threads_enabled: false,
        extended_const_enabled: true,
        max_memory32_bytes: 1 << 20,
        max_table_elements: 1_000,
        ..Config::default()
    }
}

const EXPORTS: &str = r#"(module (memory (export "memory") 1)
    (func (export "handle") (param i32 i32 i32) (result i32) (unreachable)))"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn generated_modules_stay_valid(seed in proptest::collection::vec(any::<u8>(), 200..6_000)) {
        let Ok(module) = Module::new(config(), &mut Unstructured::new(&seed)) else { return Ok(()) };
        let bytes = module.to_bytes();
        if let Ok(instrumented) = instrument(&bytes, &Limits { memory_pages: 64 }) {
            wasmparser::validate(&instrumented).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&instrumented, &instrument(&bytes, &Limits { memory_pages: 64 }).unwrap());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = instrument(&bytes, &Limits { memory_pages: 64 });
        let framed = [b"\0asm\x01\0\0\0", bytes.as_slice()].concat();
        let _ = instrument(&framed, &Limits { memory_pages: 64 });
    }
}
