//! Example service: counter.
