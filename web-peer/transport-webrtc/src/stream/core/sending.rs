//! What a stream sends: data as far as the peer accepts it, credits, flags.

use std::{
    io::{self, ErrorKind, IoSlice},
    task::{Context, Poll},
};

use super::{register, wake, Core};
use crate::stream::Channel;
use crate::wire::{Flag, Frame, FRAME_OVERHEAD};

/// Most data in one frame, so that the whole frame stays within the specification's 16 KiB.
const MAX_DATA: usize = 16 * 1024 - FRAME_OVERHEAD;
/// What may be sent to a peer that has not sent anything yet. Smaller than the smallest receive buffer.
pub(super) const UNHEARD: u64 = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Unheard,
    UpTo(u64),
    NoLimit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fin {
    Unsent,
    Sent,
    Acknowledged,
}

impl<C: Channel> Core<C> {
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.writable() {
            return Poll::Ready(Err(error));
        }
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = self.room().min(total);
        if room == 0 {
            register(&mut self.writer, cx);
            return Poll::Pending;
        }
        let mut written = 0;
        while written < room {
            let len = (room - written).min(MAX_DATA);
            if !self.send_data(bufs, written, len) {
                self.fail(ErrorKind::ConnectionReset);
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            written += len;
        }
        self.sent += written as u64;
        Poll::Ready(Ok(written))
    }

    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fin != Fin::Unsent || self.write_stopped {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = self.writable() {
            return Poll::Ready(Err(error));
        }
        if !self.open {
            register(&mut self.writer, cx);
            return Poll::Pending;
        }
        self.fin = Fin::Sent;
        self.send_flag(Flag::Fin);
        Poll::Ready(Ok(()))
    }

    pub(super) fn on_credit(&mut self, credit: u64) {
        let before = match self.allowed {
            Allowed::UpTo(before) => before,
            _ => 0,
        };
        // Never less than before, whatever the order in which messages are handled.
        self.allowed = Allowed::UpTo(credit.max(before));
        wake(&mut self.writer);
    }

    fn writable(&self) -> io::Result<()> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        if self.closed {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if self.write_stopped || self.fin != Fin::Unsent {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// Bytes that may be sent now.
    fn room(&self) -> usize {
        if !self.open {
            return 0;
        }
        let limit = match self.allowed {
            Allowed::Unheard => UNHEARD.saturating_sub(self.sent),
            Allowed::UpTo(limit) => limit.saturating_sub(self.sent),
            Allowed::NoLimit => u64::MAX,
        };
        if limit == 0 {
            return 0;
        }
        let room = self.limits.send.saturating_sub(self.channel.buffered());
        usize::try_from(limit).map_or(room, |limit| limit.min(room))
    }

    /// The credit that goes with the first frame.
    fn first_credit(&mut self) -> Option<u64> {
        if self.granted > 0 {
            return None;
        }
        self.granted = self.consumed + self.limits.receive as u64;
        Some(self.granted)
    }

    pub(super) fn send_flag(&mut self, flag: Flag) {
        let credit = self.first_credit();
        self.send(Frame { flag: Some(flag), credit, data: None });
    }

    pub(super) fn send(&self, frame: Frame<'_>) -> bool {
        if !self.open || self.closed || self.closing {
            return false;
        }
        let mut scratch = self.shared.scratch.borrow_mut();
        scratch.clear();
        frame.encode(&mut scratch);
        self.channel.send(&scratch)
    }

    /// Sends `len` bytes of `bufs` from `skip` on as one frame.
    fn send_data(&mut self, bufs: &[IoSlice<'_>], skip: usize, len: usize) -> bool {
        let credit = self.first_credit();
        let mut skip = skip;
        let mut rest = bufs;
        while let [first, tail @ ..] = rest {
            if skip < first.len() {
                break;
            }
            skip -= first.len();
            rest = tail;
        }
        match rest.first() {
            Some(first) if first.len() - skip >= len => {
                self.send(Frame { data: Some(&first[skip..skip + len]), credit, flag: None })
            }
            _ => {
                let joined: Vec<u8> =
                    rest.iter().flat_map(|buf| buf.iter().copied()).skip(skip).take(len).collect();
                self.send(Frame { data: Some(&joined), credit, flag: None })
            }
        }
    }
}
