//! The node's alarm. The page's own timers are slowed to one a second, later one a minute, while it is hidden; a
//! worker's are not. So the page lets a worker count, and rings.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use overlay_libp2p::driver::Alarm;
use send_wrapper::SendWrapper;

/// Rung by the page.
#[derive(Default)]
pub(crate) struct Bell(RefCell<State>);

#[derive(Default)]
struct State {
    rung: bool,
    waker: Option<Waker>,
}

impl Bell {
    /// The time has come.
    pub fn ring(&self) {
        let waker = {
            let mut state = self.0.borrow_mut();
            state.rung = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An alarm that asks the page to ring the bell.
pub(crate) struct PageAlarm {
    bell: SendWrapper<Rc<Bell>>,
    ask: SendWrapper<Box<dyn Fn(Duration)>>,
}

impl PageAlarm {
    /// `ask` makes the page ring `bell` after a while, replacing what it was asked before.
    pub fn new(bell: Rc<Bell>, ask: impl Fn(Duration) + 'static) -> Self {
        Self { bell: SendWrapper::new(bell), ask: SendWrapper::new(Box::new(ask)) }
    }
}

impl Alarm for PageAlarm {
    fn set(&mut self, delay: Duration) {
        self.bell.0.borrow_mut().rung = false;
        (self.ask)(delay);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.bell.0.borrow_mut();
        if std::mem::take(&mut state.rung) {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
