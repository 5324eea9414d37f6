//! Example service: kv.
