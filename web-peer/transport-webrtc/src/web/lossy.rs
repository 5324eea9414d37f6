//! The channel of a connection's datagrams.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use js_sys::{ArrayBuffer, Uint8Array};
use libp2p_identity::PeerId;
use send_wrapper::SendWrapper;
use wasm_bindgen::{prelude::*, JsCast};
use web_sys::{
    Event, MessageEvent, RtcDataChannel, RtcDataChannelInit, RtcDataChannelState, RtcDataChannelType,
};

use super::peer::Inner;
use crate::datagrams::{Datagrams, Gate, Link, Lossy, CHANNEL_ID};

/// Of the channel, for people who look at a connection's statistics.
const LABEL: &str = "datagrams";

/// The browser's channel.
pub(super) struct RtcLossy(RtcDataChannel);

impl Lossy for RtcLossy {
    fn send(&self, message: &[u8]) -> bool {
        self.0.ready_state() == RtcDataChannelState::Open && self.0.send_with_u8_array(message).is_ok()
    }

    fn buffered(&self) -> usize {
        self.0.buffered_amount() as usize
    }
}

/// A channel and the callbacks that feed it. Dropping it stops them.
pub(super) struct LossyChannel {
    gate: Rc<RefCell<Gate<RtcLossy>>>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_open: Closure<dyn FnMut(Event)>,
}

impl LossyChannel {
    /// Makes the channel; `None` if the browser has no room for it, and then datagrams take the streams.
    fn new(inner: &Inner, peer: PeerId, datagrams: &Datagrams) -> Option<LossyChannel> {
        let init = RtcDataChannelInit::new();
        init.set_ordered(false);
        init.set_max_retransmits(0);
        init.set_negotiated(true);
        init.set_id(CHANNEL_ID);
        let dc = match inner.pc.try_create_channel_with(LABEL, &init) {
            Ok(dc) => dc,
            Err(thrown) => {
                tracing::debug!(error = %super::bindings::error(thrown), "no channel for datagrams");
                return None;
            }
        };
        dc.set_binary_type(RtcDataChannelType::Arraybuffer);
        let gate = Rc::new(RefCell::new(Gate::new(RtcLossy(dc.clone()))));
        let (fed, datagrams) = (Rc::downgrade(&gate), datagrams.clone());
        let on_message = Closure::new(move |event: MessageEvent| {
            let (Some(gate), Ok(data)) = (fed.upgrade(), event.data().dyn_into::<ArrayBuffer>()) else {
                return;
            };
            let datagram = gate.borrow_mut().on_message(Uint8Array::new(&data).to_vec());
            if let Some(datagram) = datagram {
                datagrams.deliver(peer, datagram);
            }
        });
        dc.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let opened = Rc::downgrade(&gate);
        let on_open = Closure::new(move |_: Event| {
            if let Some(gate) = opened.upgrade() {
                gate.borrow().on_open();
            }
        });
        dc.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        Some(LossyChannel { gate, _on_message: on_message, _on_open: on_open })
    }
}

impl Drop for LossyChannel {
    fn drop(&mut self) {
        let gate = self.gate.borrow();
        let RtcLossy(dc) = gate.channel();
        dc.set_onmessage(None);
        dc.set_onopen(None);
    }
}

/// A connection that may be gone.
pub(super) struct RtcLink(SendWrapper<Weak<Inner>>);

impl RtcLink {
    pub(super) fn new(inner: &Rc<Inner>) -> RtcLink {
        RtcLink(SendWrapper::new(Rc::downgrade(inner)))
    }
}

impl Link for RtcLink {
    fn open(&self, peer: PeerId, datagrams: &Datagrams) {
        let Some(inner) = self.0.upgrade() else { return };
        let mut lossy = inner.lossy.borrow_mut();
        if lossy.is_none() && !inner.is_failed() {
            *lossy = LossyChannel::new(&inner, peer, datagrams);
        }
    }

    fn identified(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.allow_all_streams();
        }
    }

    fn send(&self, datagram: &[u8]) -> bool {
        let Some(inner) = self.0.upgrade().filter(|inner| !inner.is_failed()) else { return false };
        let lossy = inner.lossy.borrow();
        let sent = lossy.as_ref().is_some_and(|lossy| lossy.gate.borrow().send(datagram));
        sent
    }

    fn is_closed(&self) -> bool {
        self.0.upgrade().is_none_or(|inner| inner.is_failed())
    }
}
