//! The imports of module `host`. The only unsafe code of a service.
#![allow(unsafe_code)]

mod raw {
    #[link(wasm_import_module = "host")]
    extern "C" {
        pub fn broadcast(room: u32, ptr: *const u8, len: usize) -> i32;
        pub fn call(service: *const u8, service_len: usize, ptr: *const u8, len: usize) -> i32;
        pub fn close(session: u32) -> i32;
        pub fn input(ptr: *mut u8);
        pub fn join(session: u32, room: u32) -> i32;
        pub fn kv_delete(key: *const u8, key_len: usize) -> i32;
        pub fn kv_get(key: *const u8, key_len: usize, ptr: *mut u8, capacity: usize) -> i32;
        pub fn kv_next(key: *const u8, key_len: usize, ptr: *mut u8, capacity: usize) -> i32;
        pub fn kv_put(key: *const u8, key_len: usize, ptr: *const u8, len: usize) -> i32;
        pub fn leave(session: u32, room: u32) -> i32;
        pub fn log(level: i32, ptr: *const u8, len: usize);
        pub fn now() -> f64;
        pub fn peer(session: u32, ptr: *mut u8) -> i32;
        pub fn random(ptr: *mut u8, len: usize);
        pub fn reply(ptr: *const u8, len: usize) -> i32;
        pub fn send(session: u32, ptr: *const u8, len: usize) -> i32;
        pub fn timer(id: u32, ms: i32);
    }
}

// SAFETY of all functions: the host reads or writes exactly the bytes of the slices that are passed, during the call.

pub(crate) fn broadcast(room: u32, body: &[u8]) -> i32 {
    unsafe { raw::broadcast(room, body.as_ptr(), body.len()) }
}

pub(crate) fn call(service: &str, input: &[u8]) -> i32 {
    unsafe { raw::call(service.as_ptr(), service.len(), input.as_ptr(), input.len()) }
}

pub(crate) fn close(session: u32) -> i32 {
    unsafe { raw::close(session) }
}

/// `buffer` must be as long as the event's input.
pub(crate) fn input(buffer: &mut [u8]) {
    unsafe { raw::input(buffer.as_mut_ptr()) }
}

pub(crate) fn join(session: u32, room: u32) -> i32 {
    unsafe { raw::join(session, room) }
}

pub(crate) fn kv_delete(key: &[u8]) -> i32 {
    unsafe { raw::kv_delete(key.as_ptr(), key.len()) }
}

pub(crate) fn kv_get(key: &[u8], buffer: &mut [u8]) -> i32 {
    unsafe { raw::kv_get(key.as_ptr(), key.len(), buffer.as_mut_ptr(), buffer.len()) }
}

pub(crate) fn kv_next(key: &[u8], buffer: &mut [u8]) -> i32 {
    unsafe { raw::kv_next(key.as_ptr(), key.len(), buffer.as_mut_ptr(), buffer.len()) }
}

pub(crate) fn kv_put(key: &[u8], value: &[u8]) -> i32 {
    unsafe { raw::kv_put(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

pub(crate) fn leave(session: u32, room: u32) -> i32 {
    unsafe { raw::leave(session, room) }
}

pub(crate) fn log(level: i32, text: &str) {
    unsafe { raw::log(level, text.as_ptr(), text.len()) }
}

pub(crate) fn now() -> f64 {
    unsafe { raw::now() }
}

pub(crate) fn peer(session: u32, key: &mut [u8; 32]) -> i32 {
    unsafe { raw::peer(session, key.as_mut_ptr()) }
}

pub(crate) fn random(bytes: &mut [u8]) {
    unsafe { raw::random(bytes.as_mut_ptr(), bytes.len()) }
}

pub(crate) fn reply(bytes: &[u8]) -> i32 {
    unsafe { raw::reply(bytes.as_ptr(), bytes.len()) }
}

pub(crate) fn send(session: u32, body: &[u8]) -> i32 {
    unsafe { raw::send(session, body.as_ptr(), body.len()) }
}

pub(crate) fn timer(id: u32, ms: i32) {
    unsafe { raw::timer(id, ms) }
}
