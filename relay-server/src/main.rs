//! A native node.
fn main() {}
