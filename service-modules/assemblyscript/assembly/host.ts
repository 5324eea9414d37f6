// The host functions of ABI 1, raw. Pointers are byte offsets into memory; a negative result is an error code.

// @ts-ignore: decorator
@external("host", "input") export declare function input(ptr: usize): void;
// @ts-ignore: decorator
@external("host", "reply") export declare function reply(ptr: usize, length: i32): i32;
// @ts-ignore: decorator
@external("host", "send") export declare function send(session: u32, ptr: usize, length: i32): i32;
// @ts-ignore: decorator
@external("host", "broadcast") export declare function broadcast(room: u32, ptr: usize, length: i32): i32;
// @ts-ignore: decorator
@external("host", "join") export declare function join(session: u32, room: u32): i32;
// @ts-ignore: decorator
@external("host", "leave") export declare function leave(session: u32, room: u32): i32;
// @ts-ignore: decorator
@external("host", "close") export declare function close(session: u32): i32;
// @ts-ignore: decorator
@external("host", "peer") export declare function peer(session: u32, ptr: usize): i32;
// @ts-ignore: decorator
@external("host", "now") export declare function now(): f64;
// @ts-ignore: decorator
@external("host", "random") export declare function random(ptr: usize, length: i32): void;
// @ts-ignore: decorator
@external("host", "timer") export declare function timer(id: u32, ms: i32): void;
// @ts-ignore: decorator
@external("host", "log") export declare function log(level: i32, ptr: usize, length: i32): void;
// @ts-ignore: decorator
@external("host", "call") export declare function call(service: usize, serviceLength: i32, ptr: usize, length: i32): i32;
// @ts-ignore: decorator
@external("host", "kv_get") export declare function kv_get(key: usize, keyLength: i32, ptr: usize, capacity: i32): i32;
// @ts-ignore: decorator
@external("host", "kv_put") export declare function kv_put(key: usize, keyLength: i32, ptr: usize, length: i32): i32;
// @ts-ignore: decorator
@external("host", "kv_delete") export declare function kv_delete(key: usize, keyLength: i32): i32;
// @ts-ignore: decorator
@external("host", "kv_next") export declare function kv_next(key: usize, keyLength: i32, ptr: usize, capacity: i32): i32;
