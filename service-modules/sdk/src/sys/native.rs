//! The host functions on other targets: they act on the host of [`crate::testing`] that runs on this thread.

use service_abi::{limits, Code};

use crate::testing::{with_host, Effect};

pub(crate) fn broadcast(room: u32, body: &[u8]) -> i32 {
    with_host(|host| host.put_out(body.len(), Effect::Broadcast { room, body: body.to_vec() }))
}

pub(crate) fn call(service: &str, input: &[u8]) -> i32 {
    with_host(|host| {
        if service.len() > limits::MAX_SERVICE {
            return Code::Invalid as i32;
        }
        let request = host.requests + 1;
        let effect = Effect::Call { request, service: service.to_owned(), input: input.to_vec() };
        match host.put_out(input.len(), effect) {
            0 => {
                host.requests = request;
                request as i32
            }
            code => code,
        }
    })
}

pub(crate) fn close(session: u32) -> i32 {
    with_host(|host| match host.sessions.remove(&session) {
        Some(_) => host.put_out(0, Effect::Close { session }),
        None => Code::NoSession as i32,
    })
}

pub(crate) fn input(buffer: &mut [u8]) {
    with_host(|host| buffer.copy_from_slice(&host.input));
}

pub(crate) fn join(session: u32, room: u32) -> i32 {
    with_host(|host| host.for_session(session, 0, Effect::Join { session, room }))
}

pub(crate) fn kv_delete(key: &[u8]) -> i32 {
    with_host(|host| host.kv.remove(key).map_or(Code::NotFound as i32, |_| 0))
}

pub(crate) fn kv_get(key: &[u8], buffer: &mut [u8]) -> i32 {
    with_host(|host| match host.kv.get(key) {
        Some(value) => copy(value, buffer),
        None => Code::NotFound as i32,
    })
}

pub(crate) fn kv_next(key: &[u8], buffer: &mut [u8]) -> i32 {
    with_host(|host| match host.kv.keys().find(|other| other.as_slice() > key) {
        Some(next) => copy(next, buffer),
        None => Code::NotFound as i32,
    })
}

pub(crate) fn kv_put(key: &[u8], value: &[u8]) -> i32 {
    with_host(|host| {
        if key.is_empty() || key.len() > limits::MAX_KEY {
            return Code::Invalid as i32;
        }
        let cost = |key: &[u8], value: &[u8]| key.len() + value.len() + limits::KV_ENTRY;
        let others = host.kv.iter().filter(|(other, _)| other.as_slice() != key);
        let used: usize = others.map(|(key, value)| cost(key, value)).sum();
        if used + cost(key, value) > host.kv_limit {
            return Code::StorageLimit as i32;
        }
        host.kv.insert(key.to_vec(), value.to_vec());
        0
    })
}

pub(crate) fn leave(session: u32, room: u32) -> i32 {
    with_host(|host| host.for_session(session, 0, Effect::Leave { session, room }))
}

pub(crate) fn log(level: i32, text: &str) {
    with_host(|host| host.put_out(text.len(), Effect::Log { level, text: text.to_owned() }));
}

pub(crate) fn now() -> f64 {
    with_host(|host| host.now_ms as f64)
}

pub(crate) fn peer(session: u32, key: &mut [u8; 32]) -> i32 {
    with_host(|host| match host.sessions.get(&session) {
        Some(consumer) => {
            *key = *consumer;
            0
        }
        None => Code::NoSession as i32,
    })
}

pub(crate) fn random(bytes: &mut [u8]) {
    with_host(|host| bytes.fill_with(|| host.random_byte()));
}

pub(crate) fn reply(bytes: &[u8]) -> i32 {
    with_host(|host| {
        host.reply_too_large = host.put + bytes.len() > host.output_limit;
        if host.reply_too_large {
            host.reply = b"the reply is too large".to_vec();
            return Code::OutputLimit as i32;
        }
        host.reply = bytes.to_vec();
        0
    })
}

pub(crate) fn send(session: u32, body: &[u8]) -> i32 {
    with_host(|host| host.for_session(session, body.len(), Effect::Send { session, body: body.to_vec() }))
}

pub(crate) fn timer(id: u32, ms: i32) {
    with_host(|host| host.put_out(0, Effect::Timer { id, ms }));
}

fn copy(bytes: &[u8], buffer: &mut [u8]) -> i32 {
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    bytes.len() as i32
}
