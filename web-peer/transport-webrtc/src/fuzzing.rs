//! What other peers send, for the fuzzer: any bytes are read or refused.

use std::{
    rc::Rc,
    task::{Context, Waker},
};

use crate::{
    datagrams::{Gate, Lossy},
    sdp,
    stream::{Channel, Core, Limits, Shared},
    wire::{varint, Frame, Signal},
    Config,
};

/// A channel that takes everything.
struct Sink;

impl Lossy for Sink {
    fn send(&self, _: &[u8]) -> bool {
        true
    }

    fn buffered(&self) -> usize {
        0
    }
}

impl Channel for Sink {
    fn send(&self, _: &[u8]) -> bool {
        true
    }

    fn buffered(&self) -> usize {
        0
    }

    fn close(&self) {}

    fn linger(&self) {}
}

/// As a frame, a signal, a length, a session description, messages of a stream and of the datagrams.
pub fn any_bytes(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        let mut out = Vec::new();
        frame.encode(&mut out);
        let (_, at) = whole(&out);
        assert_eq!(Frame::decode(&out[at..]), Ok(frame));
    }
    if let Ok(signal) = Signal::decode(bytes) {
        let mut out = Vec::new();
        signal.encode(&mut out);
        let (_, at) = whole(&out);
        assert_eq!(Signal::decode(&out[at..]), Ok(signal));
    }
    let _ = varint(bytes);
    let _ = sdp::check(&String::from_utf8_lossy(bytes), Config::default().max_sdp_len);
    stream(bytes);
    let _ = Gate::new(Sink).on_message(bytes.to_vec());
}

/// Messages of a stream, each after a byte with its length, and a reader that takes turns with them.
fn stream(mut bytes: &[u8]) {
    let config = Config::default();
    let limits = Limits {
        send: config.send_buffer,
        receive: config.receive_buffer,
        connection_receive: config.connection_receive_buffer,
    };
    let mut core = Core::new(Sink, limits, Rc::<Shared>::default(), true);
    let mut cx = Context::from_waker(Waker::noop());
    while let Some((length, rest)) = bytes.split_first() {
        let (message, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        core.on_message(message.to_vec());
        if length % 2 == 0 {
            let _ = core.poll_read(&mut cx, &mut [0; 64]);
        }
        bytes = rest;
    }
    core.on_closed();
    let _ = core.poll_read(&mut cx, &mut [0; 64]);
}

/// The length before an encoded message, which is the message's own.
fn whole(encoded: &[u8]) -> (u64, usize) {
    match varint(encoded) {
        Ok(Some((length, at))) if length as usize == encoded.len() - at => (length, at),
        other => panic!("a length of {other:?} before {} bytes", encoded.len()),
    }
}
