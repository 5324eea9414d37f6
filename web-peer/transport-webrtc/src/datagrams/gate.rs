//! What one channel says.
//!
//! A message is a tag and, with [`DATA`], a datagram. Nothing says that the other end has made its channel but what comes
//! over it: so each end says [`HELLO`] until it has heard something, and answers it with [`HEARD`].

use super::MAX_LEN;

/// Is there anybody?
const HELLO: u8 = 0;
/// The answer to [`HELLO`].
const HEARD: u8 = 1;
/// A datagram follows.
const DATA: u8 = 2;

/// Bytes that may wait in the channel; datagrams that come on top are lost. A tenth of a second at 5 Mbit/s: what is
/// older is of no use to a voice.
const MAX_BUFFERED: usize = 64 * 1024;

/// What is needed of a channel.
pub trait Lossy {
    /// Queues a message, if the channel is open.
    fn send(&self, message: &[u8]) -> bool;
    /// Bytes that are queued and not sent yet.
    fn buffered(&self) -> usize;
}

/// A channel, and whether the other end has it too.
pub(crate) struct Gate<C> {
    channel: C,
    heard: bool,
}

impl<C: Lossy> Gate<C> {
    pub(crate) fn new(channel: C) -> Gate<C> {
        Gate { channel, heard: false }
    }

    #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
    pub(crate) fn channel(&self) -> &C {
        &self.channel
    }

    pub(crate) fn on_open(&self) {
        self.say(&[HELLO]);
    }

    /// Sends a datagram, or loses it because too much waits; false if the other end is not known to hear.
    pub(crate) fn send(&self, datagram: &[u8]) -> bool {
        if !self.heard {
            self.say(&[HELLO]);
            return false;
        }
        let mut message = Vec::with_capacity(1 + datagram.len());
        message.push(DATA);
        message.extend_from_slice(datagram);
        self.say(&message)
    }

    /// A message came; gives the datagram in it.
    pub(crate) fn on_message(&mut self, mut message: Vec<u8>) -> Option<Vec<u8>> {
        let tag = *message.first().filter(|_| message.len() <= 1 + MAX_LEN)?;
        if tag > DATA {
            return None;
        }
        self.heard = true;
        match tag {
            HELLO => {
                self.say(&[HEARD]);
                None
            }
            DATA => {
                message.remove(0);
                Some(message)
            }
            _ => None,
        }
    }

    /// True also if the message is lost.
    fn say(&self, message: &[u8]) -> bool {
        self.channel.buffered() + message.len() > MAX_BUFFERED || self.channel.send(message)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[derive(Default)]
    struct Wire {
        closed: Cell<bool>,
        waits: Cell<usize>,
        sent: RefCell<Vec<Vec<u8>>>,
    }

    impl Lossy for Wire {
        fn send(&self, message: &[u8]) -> bool {
            if !self.closed.get() {
                self.sent.borrow_mut().push(message.to_vec());
            }
            !self.closed.get()
        }

        fn buffered(&self) -> usize {
            self.waits.get()
        }
    }

    fn sent(gate: &Gate<Wire>) -> Vec<Vec<u8>> {
        gate.channel.sent.take()
    }

    /// Carries what `from` has said to `to`.
    fn carry(from: &Gate<Wire>, to: &mut Gate<Wire>) -> Vec<Vec<u8>> {
        sent(from).into_iter().filter_map(|message| to.on_message(message)).collect()
    }

    #[test]
    fn nothing_is_entrusted_to_a_channel_before_the_other_end_has_it() {
        let (mut first, mut second) = (Gate::new(Wire::default()), Gate::new(Wire::default()));
        first.on_open();
        // The other end has no channel yet: this greeting is lost.
        sent(&first);
        assert!(!first.send(&[7]), "nothing was heard");
        sent(&first);
        second.on_open();
        assert_eq!(carry(&second, &mut first), Vec::<Vec<u8>>::new());
        assert!(first.send(&[8]), "a greeting shows that the other end hears");
        assert_eq!(carry(&first, &mut second), [vec![8]]);
        assert!(second.send(&[9]));
        assert_eq!(carry(&second, &mut first), [vec![9]]);
    }

    #[test]
    fn a_lost_answer_is_asked_for_again() {
        let (mut first, mut second) = (Gate::new(Wire::default()), Gate::new(Wire::default()));
        first.on_open();
        carry(&first, &mut second);
        sent(&second);
        assert!(!first.send(&[1]));
        carry(&first, &mut second);
        carry(&second, &mut first);
        assert!(first.send(&[2]));
    }

    #[test]
    fn what_would_wait_too_long_is_lost_and_a_closed_channel_takes_nothing() {
        let mut gate = Gate::new(Wire::default());
        gate.on_message(vec![HEARD]);
        gate.channel.waits.set(MAX_BUFFERED - 1);
        assert!(gate.send(&[1]));
        assert_eq!(sent(&gate), Vec::<Vec<u8>>::new());
        gate.channel.waits.set(MAX_BUFFERED - 2);
        assert!(gate.send(&[1]));
        assert_eq!(sent(&gate), [vec![DATA, 1]]);
        gate.channel.closed.set(true);
        assert!(!gate.send(&[1]));
    }

    #[test]
    fn messages_of_no_known_kind_are_dropped() {
        let mut gate = Gate::new(Wire::default());
        for message in [vec![], vec![3, 1], vec![DATA; 2 + MAX_LEN]] {
            assert_eq!(gate.on_message(message), None);
        }
        assert!(!gate.send(&[1]), "nothing was heard");
        assert_eq!(gate.on_message(vec![DATA]), Some(vec![]));
    }
}
