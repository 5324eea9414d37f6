//! The state of one stream, without a browser.
//!
//! **Back-pressure.** A browser delivers messages whether or not somebody reads them, and the specification has no flow
//! control. So each side says in protobuf field 3, which others skip, up to which byte it accepts data: first with the
//! first frame that it sends, later whenever a quarter of its buffer has been read. A sender that has been told keeps to
//! it. Before it has heard anything at all it sends [`sending::UNHEARD`] bytes; a peer whose first frame has no field 3 does
//! not know credits and is sent to without limit, as the specification has it.
//!
//! Here is the stream's life and what it receives, in `sending` what it sends.

mod sending;

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{
    receive::{Partial, Unread},
    Channel,
};
use crate::wire::{Flag, Frame};
use sending::{Allowed, Fin};

/// Smallest receive buffer.
const MIN_RECEIVE: usize = 512 * 1024;

/// Bounds of one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) send: usize,
    pub(crate) receive: usize,
    pub(crate) connection_receive: usize,
}

/// What the streams of one connection share.
#[derive(Default)]
pub(crate) struct Shared {
    unread: Cell<usize>,
    scratch: RefCell<Vec<u8>>,
}

/// A stream's state.
pub(crate) struct Core<C: Channel> {
    channel: C,
    limits: Limits,
    shared: Rc<Shared>,
    open: bool,
    closed: bool,
    /// Our end of the channel was told to close; nothing is sent any more.
    closing: bool,
    failed: Option<ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,

    partial: Partial,
    unread: Unread,
    received: u64,
    consumed: u64,
    /// Up to which byte we have said that we accept data; 0 as long as we have said nothing.
    granted: u64,
    remote_fin: bool,
    read_stopped: bool,

    sent: u64,
    allowed: Allowed,
    fin: Fin,
    write_stopped: bool,
}

impl<C: Channel> Core<C> {
    pub(crate) fn new(channel: C, limits: Limits, shared: Rc<Shared>, open: bool) -> Core<C> {
        let limits = Limits { receive: limits.receive.max(MIN_RECEIVE), ..limits };
        Core {
            channel,
            limits,
            shared,
            open,
            closed: false,
            closing: false,
            failed: None,
            reader: None,
            writer: None,
            partial: Partial::default(),
            unread: Unread::default(),
            received: 0,
            consumed: 0,
            granted: 0,
            remote_fin: false,
            read_stopped: false,
            sent: 0,
            allowed: Allowed::Unheard,
            fin: Fin::Unsent,
            write_stopped: false,
        }
    }

    pub(crate) fn channel(&self) -> &C {
        &self.channel
    }

    /// The channel opened.
    pub(crate) fn on_open(&mut self) {
        self.open = true;
        wake(&mut self.writer);
    }

    /// The channel has room again.
    pub(crate) fn on_writable(&mut self) {
        wake(&mut self.writer);
    }

    /// The channel is closed, by whomever.
    pub(crate) fn on_closed(&mut self) {
        self.closed = true;
        self.wake_both();
    }

    /// A message came.
    pub(crate) fn on_message(&mut self, message: Vec<u8>) {
        if self.failed.is_some() || self.closed {
            return;
        }
        match self.partial.frames(message) {
            Ok(frames) => {
                for received in frames {
                    if let Some(credit) = received.frame.credit {
                        self.on_credit(credit);
                    } else if self.allowed == Allowed::Unheard {
                        self.allowed = Allowed::NoLimit;
                        wake(&mut self.writer);
                    }
                    if let Some((bytes, at, end)) = received.data {
                        self.on_data(bytes, at, end);
                    }
                    if let Some(flag) = received.frame.flag {
                        self.on_flag(flag);
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "reset a stream");
                self.fail(ErrorKind::InvalidData);
            }
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.unread.len() > 0 {
            let n = self.unread.read(buf);
            self.shared.unread.set(self.shared.unread.get() - n);
            self.consumed += n as u64;
            self.grant();
            return Poll::Ready(Ok(n));
        }
        if let Some(kind) = self.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if self.remote_fin || buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.closed {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        register(&mut self.reader, cx);
        Poll::Pending
    }

    /// Nobody holds the stream any more.
    pub(crate) fn on_dropped(&mut self) {
        (self.reader, self.writer) = (None, None);
        self.discard_unread();
        self.read_stopped = true;
        if self.fin == Fin::Unsent {
            self.fail(ErrorKind::BrokenPipe);
        } else if !self.remote_fin {
            self.send_flag(Flag::StopSending);
        }
        if !self.closed {
            self.channel.linger();
        }
    }

    /// Gives up: the peer had its time, or the connection is gone.
    pub(crate) fn abandon(&mut self) {
        self.failed.get_or_insert(ErrorKind::ConnectionReset);
        self.close_channel();
        self.wake_both();
    }

    fn on_data(&mut self, bytes: Vec<u8>, at: usize, end: usize) {
        let len = end - at;
        self.received += len as u64;
        if self.read_stopped || self.remote_fin {
            self.consumed += len as u64;
            self.grant();
            return;
        }
        let held = self.shared.unread.get() + len;
        if self.unread.len() + len > self.limits.receive || held > self.limits.connection_receive {
            tracing::debug!("a peer sends more than a stream holds: reset");
            self.fail(ErrorKind::OutOfMemory);
            return;
        }
        self.shared.unread.set(held);
        self.unread.push(bytes, at, end);
        wake(&mut self.reader);
    }

    fn on_flag(&mut self, flag: Flag) {
        match flag {
            Flag::Fin => {
                self.send_flag(Flag::FinAck);
                self.remote_fin = true;
                wake(&mut self.reader);
                self.close_if_done();
            }
            Flag::FinAck if self.fin == Fin::Sent => {
                self.fin = Fin::Acknowledged;
                self.close_if_done();
            }
            Flag::FinAck => {}
            Flag::StopSending => {
                self.write_stopped = true;
                wake(&mut self.writer);
            }
            Flag::Reset => {
                self.discard_unread();
                self.failed.get_or_insert(ErrorKind::ConnectionReset);
                self.close_channel();
                self.wake_both();
            }
        }
    }

    /// Both directions have ended and the peer knows: nothing can be lost by closing.
    fn close_if_done(&mut self) {
        if self.fin == Fin::Acknowledged && self.remote_fin {
            self.close_channel();
        }
    }

    fn fail(&mut self, kind: ErrorKind) {
        if self.failed.is_none() {
            self.failed = Some(kind);
            self.send_flag(Flag::Reset);
            self.discard_unread();
            self.close_channel();
            self.wake_both();
        }
    }

    /// Lets the peer send on, once a quarter of the buffer has been read.
    fn grant(&mut self) {
        let next = self.consumed + self.limits.receive as u64;
        let worth_it = next >= self.granted + self.limits.receive as u64 / 4;
        if worth_it && self.granted > 0 && matches!(self.allowed, Allowed::UpTo(_)) && !self.remote_fin {
            self.granted = next;
            self.send(Frame { credit: Some(next), ..Frame::default() });
        }
    }

    fn discard_unread(&mut self) {
        self.shared.unread.set(self.shared.unread.get() - self.unread.len());
        self.consumed += self.unread.len() as u64;
        self.unread.clear();
    }

    fn close_channel(&mut self) {
        if !self.closing && !self.closed {
            self.closing = true;
            self.channel.close();
        }
    }

    fn wake_both(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

impl<C: Channel> Drop for Core<C> {
    fn drop(&mut self) {
        self.discard_unread();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn register(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *waker = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests;
