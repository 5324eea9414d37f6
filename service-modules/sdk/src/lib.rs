//! Write Tabfarm services in Rust.
