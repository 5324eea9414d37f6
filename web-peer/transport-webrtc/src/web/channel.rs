//! Data channels as streams.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::{prelude::*, JsCast};
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

use super::{peer::Inner, Stream};
use crate::stream::{Channel, Core, DataStream};

/// A data channel in the hands of a stream.
pub struct RtcChannel {
    dc: RtcDataChannel,
    key: u64,
    connection: Weak<Inner>,
}

impl Channel for RtcChannel {
    fn send(&self, message: &[u8]) -> bool {
        self.dc.send_with_u8_array(message).is_ok()
    }

    fn buffered(&self) -> usize {
        self.dc.buffered_amount() as usize
    }

    fn close(&self) {
        self.dc.close();
    }

    fn linger(&self) {
        if let Some(connection) = self.connection.upgrade() {
            connection.linger(self.key);
        }
    }
}

/// A stream's state and the callbacks that feed it, for as long as its channel is not closed.
pub(super) struct Entry {
    pub(super) core: Rc<RefCell<Core<RtcChannel>>>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_event: Closure<dyn FnMut(Event)>,
}

impl Entry {
    /// Wraps a channel. Must run in the task in which the channel appeared, or messages are lost.
    pub(super) fn new(connection: &Rc<Inner>, key: u64, dc: RtcDataChannel) -> (Entry, Stream) {
        dc.set_binary_type(RtcDataChannelType::Arraybuffer);
        dc.set_buffered_amount_low_threshold((connection.limits.send / 2) as u32);
        let open = dc.ready_state() == RtcDataChannelState::Open;
        let channel = RtcChannel { dc: dc.clone(), key, connection: Rc::downgrade(connection) };
        let core = Core::new(channel, connection.limits, connection.shared.clone(), open);
        let core = Rc::new(RefCell::new(core));

        let on_message = on_message(Rc::downgrade(&core));
        dc.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let on_event = on_event(Rc::downgrade(&core), Rc::downgrade(connection), key);
        let handler = Some(on_event.as_ref().unchecked_ref());
        dc.set_onopen(handler);
        dc.set_onbufferedamountlow(handler);
        dc.set_onclose(handler);

        let stream = DataStream::new(core.clone());
        (Entry { core, _on_message: on_message, _on_event: on_event }, stream)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let core = self.core.borrow();
        let dc = &core.channel().dc;
        dc.set_onmessage(None);
        dc.set_onopen(None);
        dc.set_onbufferedamountlow(None);
        dc.set_onclose(None);
    }
}

fn on_message(core: Weak<RefCell<Core<RtcChannel>>>) -> Closure<dyn FnMut(MessageEvent)> {
    Closure::new(move |event: MessageEvent| {
        let Some(core) = core.upgrade() else { return };
        let data = event.data();
        match data.dyn_ref::<ArrayBuffer>() {
            Some(data) => core.borrow_mut().on_message(Uint8Array::new(data).to_vec()),
            // Text, which nobody who speaks the protocol sends.
            None => core.borrow_mut().abandon(),
        }
    })
}

fn on_event(
    core: Weak<RefCell<Core<RtcChannel>>>,
    connection: Weak<Inner>,
    key: u64,
) -> Closure<dyn FnMut(Event)> {
    Closure::new(move |event: Event| {
        let Some(core) = core.upgrade() else { return };
        match event.type_().as_str() {
            "open" => core.borrow_mut().on_open(),
            "bufferedamountlow" => core.borrow_mut().on_writable(),
            _ => {
                core.borrow_mut().on_closed();
                if let Some(connection) = connection.upgrade() {
                    connection.forget(key);
                }
            }
        }
    })
}
