//! The host functions. A module may import these, with these signatures, and nothing else. It may leave out a result
//! that it does not look at.
//!
//! Pointers and lengths are byte offsets into the exported memory, taken as unsigned; one that reaches outside traps
//! the event. Functions with a result return 0 or more on success and a negative [`crate::Code`] else.

/// The value types of host functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 32-bit integer.
    I32,
    /// 64-bit float.
    F64,
}

/// A host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name in module `host`.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [Type],
    /// Its result, if any.
    pub result: Option<Type>,
}

const fn import(name: &'static str, params: &'static [Type], result: Option<Type>) -> Import {
    Import { name, params, result }
}

const I: Type = Type::I32;

/// All host functions, in alphabetical order.
pub const IMPORTS: &[Import] = &[
    // broadcast(room, ptr, len): sends to each session that is in the room.
    import("broadcast", &[I, I, I], Some(I)),
    // call(service_ptr, service_len, ptr, len) -> request: calls another service; input as of `Kind::Call`. The
    // answer arrives as an event of `Kind::Reply`. Requests are numbered from 1.
    import("call", &[I, I, I, I], Some(I)),
    // close(session): closes a session; it takes no more sends at once, and no close event follows.
    import("close", &[I], Some(I)),
    // input(ptr): copies the event's input, `len` bytes of `handle`, to ptr.
    import("input", &[I], None),
    // join(session, room), leave(session, room).
    import("join", &[I, I], Some(I)),
    // kv_delete(key, key_len): 0, or `NotFound`.
    import("kv_delete", &[I, I], Some(I)),
    // kv_get(key, key_len, ptr, capacity) -> the value's whole length; copies at most `capacity` bytes of it.
    import("kv_get", &[I, I, I, I], Some(I)),
    // kv_next(key, key_len, ptr, capacity) -> the whole length of the first key that is greater than `key` in byte
    // order, or `NotFound`; copies at most `capacity` bytes of it. The empty key comes before all keys.
    import("kv_next", &[I, I, I, I], Some(I)),
    // kv_put(key, key_len, ptr, len). Keys have 1 to `MAX_KEY` bytes.
    import("kv_put", &[I, I, I, I], Some(I)),
    import("leave", &[I, I], Some(I)),
    // log(level, ptr, len): 0 error, 1 warning, 2 information, 3 debug; UTF-8, cut at `MAX_LOG` bytes.
    import("log", &[I, I, I], None),
    // now() -> ms since the Unix epoch, the same during the whole event.
    import("now", &[], Some(Type::F64)),
    // peer(session, ptr): writes the 32-byte ed25519 key of the session's consumer.
    import("peer", &[I, I], Some(I)),
    // random(ptr, len): fills with pseudo-random bytes that follow from the event's seed; no source of secrets, since
    // each replica can compute them.
    import("random", &[I, I], None),
    // reply(ptr, len): the answer to the event; the last one counts. One that exceeds the output limit fails the event
    // with the text "the reply is too large", unless a smaller one follows.
    import("reply", &[I, I], Some(I)),
    // send(session, ptr, len).
    import("send", &[I, I, I], Some(I)),
    // timer(id, ms): fires an event of `Kind::Timer` in ms milliseconds; a negative ms cancels it.
    import("timer", &[I, I], None),
];

/// The host function of this name.
pub fn find(name: &str) -> Option<&'static Import> {
    IMPORTS.iter().find(|import| import.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_without_repeats() {
        assert!(IMPORTS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(find("now").map(|import| import.result), Some(Some(Type::F64)));
        assert_eq!(find("fetch"), None);
    }
}
