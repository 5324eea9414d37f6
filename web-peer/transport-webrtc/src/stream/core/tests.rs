//! Two streams on a pair of pretended channels.
#![allow(clippy::unwrap_used)]

use futures::task::noop_waker;
use proptest::prelude::*;

use std::io::IoSlice;

use super::sending::UNHEARD;
use super::*;

const MIB: usize = 1 << 20;

/// Keeps what was sent until the test delivers it.
#[derive(Default)]
struct Wire {
    queue: RefCell<Vec<Vec<u8>>>,
    closed: Cell<bool>,
    lingers: Cell<bool>,
}

impl Channel for Rc<Wire> {
    fn send(&self, message: &[u8]) -> bool {
        assert!(message.len() <= 16 * 1024);
        self.queue.borrow_mut().push(message.to_vec());
        true
    }

    fn buffered(&self) -> usize {
        self.queue.borrow().iter().map(Vec::len).sum()
    }

    fn close(&self) {
        self.closed.set(true);
    }

    fn linger(&self) {
        self.lingers.set(true);
    }
}

struct End {
    core: Core<Rc<Wire>>,
    wire: Rc<Wire>,
}

impl End {
    fn new(receive: usize) -> End {
        let wire = Rc::new(Wire::default());
        let limits = Limits { send: 4 * MIB, receive, connection_receive: 64 * MIB };
        End { core: Core::new(wire.clone(), limits, Rc::default(), true), wire }
    }

    fn write(&mut self, data: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        let waker = noop_waker();
        self.core.poll_write(&mut Context::from_waker(&waker), &[IoSlice::new(data)]).map_err(|e| e.kind())
    }

    fn read(&mut self, len: usize) -> Poll<Result<Vec<u8>, ErrorKind>> {
        let waker = noop_waker();
        let mut buf = vec![0; len];
        let read = self.core.poll_read(&mut Context::from_waker(&waker), &mut buf);
        read.map_ok(|n| buf[..n].to_vec()).map_err(|e| e.kind())
    }

    fn close(&mut self) -> Poll<Result<(), ErrorKind>> {
        let waker = noop_waker();
        self.core.poll_close(&mut Context::from_waker(&waker)).map_err(|e| e.kind())
    }
}

/// Delivers everything in both directions until nothing is left.
fn deliver(a: &mut End, b: &mut End) {
    loop {
        let (to_b, to_a) = (a.wire.queue.take(), b.wire.queue.take());
        if to_a.is_empty() && to_b.is_empty() {
            return;
        }
        to_b.into_iter().for_each(|message| b.core.on_message(message));
        to_a.into_iter().for_each(|message| a.core.on_message(message));
    }
}

fn pair() -> (End, End) {
    (End::new(8 * MIB), End::new(8 * MIB))
}

fn frame(frame: Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out
}

#[test]
fn both_directions_end_one_after_the_other_and_the_channel_closes() {
    let (mut a, mut b) = pair();
    assert_eq!(a.write(b"ask"), Poll::Ready(Ok(3)));
    assert_eq!(a.close(), Poll::Ready(Ok(())));
    deliver(&mut a, &mut b);
    assert_eq!(b.read(10), Poll::Ready(Ok(b"ask".to_vec())));
    assert_eq!(b.read(10), Poll::Ready(Ok(vec![])));
    assert_eq!(b.write(b"answer"), Poll::Ready(Ok(6)));
    assert!(!a.wire.closed.get() && !b.wire.closed.get());
    assert_eq!(b.close(), Poll::Ready(Ok(())));
    deliver(&mut a, &mut b);
    assert!(a.wire.closed.get() && b.wire.closed.get());
    assert_eq!(a.read(10), Poll::Ready(Ok(b"answer".to_vec())));
    assert_eq!(a.read(10), Poll::Ready(Ok(vec![])));
    assert_eq!(a.write(b"x"), Poll::Ready(Err(ErrorKind::BrokenPipe)));
}

#[test]
fn a_writer_stops_at_the_readers_buffer_and_goes_on_as_it_reads() {
    let (mut a, mut b) = pair();
    // They have heard each other.
    assert!(a.write(b"hello").is_ready() && b.write(b"hello").is_ready());
    deliver(&mut a, &mut b);
    let data = vec![1; MIB];
    let mut sent = 5;
    while let Poll::Ready(Ok(n)) = a.write(&data) {
        sent += n;
        deliver(&mut a, &mut b);
    }
    assert_eq!((sent, b.core.unread.len()), (8 * MIB, 8 * MIB));
    // A byte less than a quarter is not worth a message.
    assert!(b.read(2 * MIB - 1).is_ready());
    deliver(&mut a, &mut b);
    assert_eq!(a.write(&data), Poll::Pending);
    assert!(b.read(1).is_ready());
    deliver(&mut a, &mut b);
    assert_eq!(a.write(&data), Poll::Ready(Ok(MIB)));
}

#[test]
fn until_the_peer_is_heard_little_is_sent() {
    let (mut a, _) = pair();
    assert_eq!(a.write(&vec![0; MIB]), Poll::Ready(Ok(UNHEARD as usize)));
    assert_eq!(a.write(b"x"), Poll::Pending);
    // A peer without credits lifts the limit with its first frame; only the channel's buffer is left.
    a.core.on_message(frame(Frame { data: Some(b"y"), ..Frame::default() }));
    a.wire.queue.take();
    assert_eq!(a.write(&vec![0; 10 * MIB]), Poll::Ready(Ok(4 * MIB)));
}

#[test]
fn a_peer_without_credits_that_overruns_the_buffer_is_reset() {
    let mut a = End::new(MIB);
    let data = frame(Frame { data: Some(&[0; 16_000]), ..Frame::default() });
    for _ in 0..100 {
        a.core.on_message(data.clone());
    }
    assert_eq!(a.read(10), Poll::Ready(Err(ErrorKind::OutOfMemory)));
    assert_eq!(a.core.shared.unread.get(), 0);
    assert!(a.wire.closed.get());
}

#[test]
fn dropping_resets_what_was_not_closed_and_waits_for_what_was() {
    let (mut a, mut b) = pair();
    assert!(a.write(b"x").is_ready());
    a.core.on_dropped();
    deliver(&mut a, &mut b);
    assert_eq!(b.read(1), Poll::Ready(Err(ErrorKind::ConnectionReset)));

    let (mut a, mut b) = pair();
    assert!(a.write(b"x").is_ready() && a.close().is_ready());
    a.core.on_dropped();
    assert!(a.wire.lingers.get() && !a.wire.closed.get());
    deliver(&mut a, &mut b);
    assert_eq!(b.read(1), Poll::Ready(Ok(b"x".to_vec())));
    // The reader is gone: no use to write.
    assert_eq!(b.write(b"y"), Poll::Ready(Err(ErrorKind::BrokenPipe)));
    assert!(b.close().is_ready());
}

#[test]
fn a_channel_that_closes_without_fin_is_an_error_and_with_it_an_end() {
    let (mut a, _) = pair();
    a.core.on_closed();
    assert_eq!(a.read(1), Poll::Ready(Err(ErrorKind::ConnectionReset)));
    assert_eq!(a.write(b"x"), Poll::Ready(Err(ErrorKind::ConnectionReset)));
    let (mut a, _) = pair();
    a.core.on_message(frame(Frame { data: Some(b"z"), flag: Some(Flag::Fin), credit: None }));
    a.core.on_closed();
    assert_eq!(a.read(9), Poll::Ready(Ok(b"z".to_vec())));
    assert_eq!(a.read(9), Poll::Ready(Ok(vec![])));
}

#[test]
fn nothing_is_sent_before_the_channel_is_open() {
    let wire = Rc::new(Wire::default());
    let limits = Limits { send: MIB, receive: MIB, connection_receive: MIB };
    let mut a = End { core: Core::new(wire.clone(), limits, Rc::default(), false), wire };
    assert_eq!(a.write(b"x"), Poll::Pending);
    assert_eq!(a.close(), Poll::Pending);
    a.core.on_open();
    assert_eq!(a.write(b"x"), Poll::Ready(Ok(1)));
}

proptest! {
    /// Whatever is written in whatever pieces, with either side reading when it likes, arrives once and in order.
    #[test]
    fn all_arrives_in_order(steps in prop::collection::vec((0u8..4, 1usize..40_000), 1..40)) {
        let (mut a, mut b) = pair();
        let (mut sent, mut got) = (0usize, 0usize);
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    let data: Vec<u8> = (sent..sent + n).map(|i| i as u8).collect();
                    if let Poll::Ready(written) = a.write(&data) {
                        sent += written.unwrap();
                    }
                }
                2 => deliver(&mut a, &mut b),
                _ => {
                    if let Poll::Ready(data) = b.read(n) {
                        for byte in data.unwrap() {
                            prop_assert_eq!(byte, got as u8);
                            got += 1;
                        }
                    }
                }
            }
        }
        prop_assert!(a.close().is_ready());
        deliver(&mut a, &mut b);
        while let Poll::Ready(Ok(data)) = b.read(100_000) {
            if data.is_empty() {
                break;
            }
            got += data.len();
        }
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn noise_never_panics(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..50)) {
        let (mut a, _) = pair();
        for message in messages {
            a.core.on_message(message);
            let _ = a.read(7);
            let _ = a.write(b"x");
        }
        a.core.on_dropped();
    }
}
