//! `RTCPeerConnection`: events, the handshake's calls, and its channels.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{future::BoxFuture, FutureExt};
use js_sys::Reflect;
use send_wrapper::SendWrapper;
use wasm_bindgen::{prelude::*, JsCast};
use wasm_bindgen_futures::{spawn_local, JsFuture};
use web_sys::{
    Event, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcIceCandidateInit, RtcIceServer,
    RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::{
    bindings::{error, Pc},
    channel::Entry,
    lossy::LossyChannel,
    Connection, Stream,
};
use crate::{
    datagrams::UNIDENTIFIED_STREAMS,
    rtc::{Rtc, RtcEvent},
    stream::{Limits, Shared},
    Config, IceServer, RtcError,
};

/// Events that wait for the handshake: candidates beyond this are dropped, as the peer would refuse them anyway.
const MAX_EVENTS: usize = 128;
/// The label of the dialler's first channel.
const INIT: &str = "init";
/// The last event of a page that is being closed.
const PAGE_HIDE: &str = "pagehide";

type Callback = Closure<dyn FnMut(Event)>;

/// A peer connection until it is usable.
pub struct Peer(SendWrapper<Rc<Inner>>);

/// A peer connection. Dropping it closes it, and with it every stream.
pub(super) struct Inner {
    pub(super) pc: Pc,
    pub(super) limits: Limits,
    pub(super) linger: Duration,
    pub(super) shared: Rc<Shared>,
    max_streams: usize,
    /// Streams that are opened here wait beyond this.
    max_opened: Cell<usize>,
    events: RefCell<VecDeque<RtcEvent>>,
    failed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    pub(super) init: RefCell<Option<RtcDataChannel>>,
    /// The channel for datagrams, once the peer has announced it too.
    pub(super) lossy: RefCell<Option<LossyChannel>>,
    next_key: Cell<u64>,
    streams: RefCell<BTreeMap<u64, Entry>>,
    inbound: RefCell<VecDeque<Stream>>,
    lingering: RefCell<Vec<u64>>,
    callbacks: RefCell<Vec<Callback>>,
    on_page_hide: RefCell<Option<Callback>>,
}

impl Peer {
    pub(super) fn new(config: &Config) -> Result<Peer, RtcError> {
        let rtc_config = RtcConfiguration::new();
        rtc_config.set_ice_servers(&config.ice_servers.iter().map(ice_server).collect::<js_sys::Array>());
        let pc = web_sys::RtcPeerConnection::new_with_configuration(&rtc_config).map_err(error)?;
        let inner = Rc::new(Inner {
            pc: pc.unchecked_into(),
            limits: Limits {
                send: config.send_buffer,
                receive: config.receive_buffer,
                connection_receive: config.connection_receive_buffer,
            },
            linger: config.linger,
            shared: Rc::default(),
            max_streams: config.max_streams,
            max_opened: Cell::new(config.max_streams.min(UNIDENTIFIED_STREAMS)),
            events: RefCell::default(),
            failed: Cell::new(false),
            waker: RefCell::default(),
            init: RefCell::default(),
            lossy: RefCell::default(),
            next_key: Cell::new(0),
            streams: RefCell::default(),
            inbound: RefCell::default(),
            lingering: RefCell::default(),
            callbacks: RefCell::default(),
            on_page_hide: RefCell::default(),
        });
        inner.listen();
        inner.close_with_page();
        Ok(Peer(SendWrapper::new(inner)))
    }
}

impl Rtc for Peer {
    type Connection = Connection;

    fn offer(&mut self) -> BoxFuture<'static, Result<String, RtcError>> {
        let inner = (*self.0).clone();
        SendWrapper::new(async move {
            inner.create_init()?;
            inner.set_due_description().await
        })
        .boxed()
    }

    fn accept(&mut self, answer: String) -> BoxFuture<'static, Result<(), RtcError>> {
        let inner = (*self.0).clone();
        SendWrapper::new(async move { inner.set_remote(RtcSdpType::Answer, &answer).await }).boxed()
    }

    fn answer(&mut self, offer: String) -> BoxFuture<'static, Result<String, RtcError>> {
        let inner = (*self.0).clone();
        SendWrapper::new(async move {
            inner.set_remote(RtcSdpType::Offer, &offer).await?;
            inner.set_due_description().await
        })
        .boxed()
    }

    fn add_candidate(&mut self, json: &str) {
        let Ok(parsed) = js_sys::JSON::parse(json) else { return };
        if !parsed.is_object() {
            // `null` and `""` say that there are no more: nothing to do.
            return;
        }
        let init: RtcIceCandidateInit = parsed.unchecked_into();
        let added = self.0.pc.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&init));
        spawn_local(async move {
            if let Err(thrown) = JsFuture::from(added).await {
                tracing::debug!(error = %error(thrown), "dropped a candidate");
            }
        });
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<RtcEvent> {
        match self.0.events.borrow_mut().pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                *self.0.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn into_connection(self, goodbye: BoxFuture<'static, ()>) -> Connection {
        Connection::new(self.0.take(), goodbye)
    }
}

impl Inner {
    /// Opens a channel for a stream, or `None` while there are too many.
    pub(super) fn open_stream(self: &Rc<Self>, cx: &Context<'_>) -> Option<Result<Stream, RtcError>> {
        if self.streams.borrow().len() >= self.max_opened.get() {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            return None;
        }
        Some(self.pc.try_create_data_channel("").map(|dc| self.wrap(dc)).map_err(error))
    }

    /// The peer has said what it speaks, and the channel for datagrams has its id if there is to be one.
    pub(super) fn allow_all_streams(&self) {
        self.max_opened.set(self.max_streams);
        self.wake();
    }

    /// The next stream that the peer has opened, or an error once the connection is gone.
    pub(super) fn poll_inbound(&self, cx: &Context<'_>) -> Poll<Result<Stream, RtcError>> {
        if let Some(stream) = self.inbound.borrow_mut().pop_front() {
            return Poll::Ready(Ok(stream));
        }
        self.poll_failed(cx).map(Err)
    }

    /// Whether the connection is gone.
    pub(super) fn is_failed(&self) -> bool {
        self.failed.get()
    }

    /// Ready once the connection is gone.
    pub(super) fn poll_failed(&self, cx: &Context<'_>) -> Poll<RtcError> {
        if self.failed.get() {
            return Poll::Ready(RtcError("the connection is closed".to_owned()));
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Streams that were dropped before their channels are closed, since the last call.
    pub(super) fn take_lingering(&self) -> Vec<u64> {
        std::mem::take(&mut *self.lingering.borrow_mut())
    }

    /// A stream was dropped; its channel has yet to close.
    pub(super) fn linger(&self, key: u64) {
        self.lingering.borrow_mut().push(key);
        self.wake();
    }

    /// Closes a stream's channel if that has not happened.
    pub(super) fn abandon(&self, key: u64) {
        let core = self.streams.borrow().get(&key).map(|entry| entry.core.clone());
        if let Some(core) = core {
            core.borrow_mut().abandon();
        }
    }

    /// A stream's channel is closed.
    pub(super) fn forget(&self, key: u64) {
        let entry = self.streams.borrow_mut().remove(&key);
        drop(entry);
        self.wake();
    }

    /// Closes the connection and tells every stream, which the browser does not.
    pub(super) fn close(&self) {
        self.failed.set(true);
        self.pc.close();
        self.inbound.borrow_mut().clear();
        self.lossy.borrow_mut().take();
        let streams = std::mem::take(&mut *self.streams.borrow_mut());
        for entry in streams.into_values() {
            entry.core.borrow_mut().on_closed();
        }
        self.wake();
    }

    fn wrap(self: &Rc<Self>, dc: RtcDataChannel) -> Stream {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        let (entry, stream) = Entry::new(self, key, dc);
        self.streams.borrow_mut().insert(key, entry);
        stream
    }

    fn create_init(self: &Rc<Self>) -> Result<(), RtcError> {
        let dc = self.pc.try_create_data_channel(INIT).map_err(error)?;
        let weak = Rc::downgrade(self);
        let opened = Closure::new(move |_: Event| {
            let Some(inner) = weak.upgrade() else { return };
            // js-libp2p closes `init` as listener, and may do so before it opens here. That it was closed over a
            // connection that is up says as much as that it opened.
            if inner.pc.connection_state() == RtcPeerConnectionState::Connected || is_open(&inner) {
                inner.push(RtcEvent::InitOpen);
            }
            inner.wake();
        });
        dc.set_onopen(Some(opened.as_ref().unchecked_ref()));
        dc.set_onclose(Some(opened.as_ref().unchecked_ref()));
        self.callbacks.borrow_mut().push(opened);
        *self.init.borrow_mut() = Some(dc);
        Ok(())
    }

    async fn set_due_description(&self) -> Result<String, RtcError> {
        JsFuture::from(self.pc.set_due_description().map_err(error)?).await.map_err(error)?;
        let description =
            self.pc.local_description().ok_or_else(|| RtcError("no local description".to_owned()))?;
        Ok(description.sdp())
    }

    async fn set_remote(&self, kind: RtcSdpType, sdp: &str) -> Result<(), RtcError> {
        let description = RtcSessionDescriptionInit::new(kind);
        description.set_sdp(sdp);
        JsFuture::from(self.pc.set_remote_description(&description)).await.map_err(error)?;
        Ok(())
    }

    fn listen(self: &Rc<Self>) {
        self.on_event(
            |inner, event: RtcPeerConnectionIceEvent| {
                // `null` and an empty candidate end the gathering.
                if let Some(candidate) =
                    event.candidate().filter(|candidate| !candidate.candidate().is_empty())
                {
                    if let Ok(json) = js_sys::JSON::stringify(&candidate.to_json()) {
                        inner.push(RtcEvent::Candidate(json.into()));
                    }
                }
            },
            |pc, f| pc.set_onicecandidate(f),
        );
        self.on_event(
            |inner, _: Event| match inner.pc.connection_state() {
                RtcPeerConnectionState::Connected => {
                    inner.watch_sctp();
                    inner.push(RtcEvent::Connected);
                }
                RtcPeerConnectionState::Failed | RtcPeerConnectionState::Closed => inner.on_gone(),
                _ => {}
            },
            |pc, f| pc.set_onconnectionstatechange(f),
        );
        self.on_event(
            |inner, event: RtcDataChannelEvent| {
                let dc = event.channel();
                if dc.label() == INIT {
                    // Its dialler closes it.
                    return;
                }
                if inner.streams.borrow().len() >= inner.max_streams {
                    tracing::debug!("the peer opens too many streams: closed one");
                    dc.close();
                    return;
                }
                let stream = inner.wrap(dc);
                inner.inbound.borrow_mut().push_back(stream);
                inner.wake();
            },
            |pc, f| pc.set_ondatachannel(f),
        );
    }

    /// A peer that closes its end ends the SCTP association; the connection's state says so much later, or never.
    fn watch_sctp(self: &Rc<Self>) {
        let Ok(sctp) = Reflect::get(&self.pc, &"sctp".into()) else { return };
        if !sctp.is_object() {
            return;
        }
        let (weak, watched) = (Rc::downgrade(self), sctp.clone());
        let callback = Closure::new(move |_: Event| {
            let state = Reflect::get(&watched, &"state".into()).ok().and_then(|state| state.as_string());
            if let (Some("closed"), Some(inner)) = (state.as_deref(), weak.upgrade()) {
                inner.on_gone();
            }
        });
        // Frozen objects do not exist here; if the browser refuses, the connection's own state has to do.
        let _ = Reflect::set(&sctp, &"onstatechange".into(), callback.as_ref());
        self.callbacks.borrow_mut().push(callback);
    }

    /// A page that goes away says so, or its peers would wait for ICE to time out.
    fn close_with_page(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let callback = Closure::new(move |_: Event| {
            if let Some(inner) = weak.upgrade() {
                inner.close();
            }
        });
        if let Some(window) = web_sys::window() {
            let _ = window.add_event_listener_with_callback(PAGE_HIDE, callback.as_ref().unchecked_ref());
        }
        *self.on_page_hide.borrow_mut() = Some(callback);
    }

    fn on_gone(&self) {
        self.push(RtcEvent::Failed("the connection is closed".to_owned()));
        self.failed.set(true);
        self.wake();
    }

    fn on_event<E: JsCast + 'static>(
        self: &Rc<Self>,
        handle: impl Fn(&Rc<Inner>, E) + 'static,
        set: impl Fn(&Pc, Option<&js_sys::Function>),
    ) {
        let weak: Weak<Inner> = Rc::downgrade(self);
        let callback = Closure::new(move |event: Event| {
            if let Some(inner) = weak.upgrade() {
                handle(&inner, event.unchecked_into());
            }
        });
        set(&self.pc, Some(callback.as_ref().unchecked_ref()));
        self.callbacks.borrow_mut().push(callback);
    }

    fn push(&self, event: RtcEvent) {
        let mut events = self.events.borrow_mut();
        if events.len() < MAX_EVENTS || !matches!(event, RtcEvent::Candidate(_)) {
            events.push_back(event);
        }
        drop(events);
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pc.set_onicecandidate(None);
        self.pc.set_onconnectionstatechange(None);
        self.pc.set_ondatachannel(None);
        if let Some(dc) = self.init.borrow().as_ref() {
            dc.set_onopen(None);
            dc.set_onclose(None);
        }
        if let (Some(window), Some(callback)) = (web_sys::window(), self.on_page_hide.borrow().as_ref()) {
            let _ = window.remove_event_listener_with_callback(PAGE_HIDE, callback.as_ref().unchecked_ref());
        }
        self.close();
    }
}

fn is_open(inner: &Inner) -> bool {
    let open = web_sys::RtcDataChannelState::Open;
    inner.init.borrow().as_ref().is_some_and(|dc| dc.ready_state() == open)
}

fn ice_server(server: &IceServer) -> RtcIceServer {
    let out = RtcIceServer::new();
    out.set_urls(&server.urls.iter().map(JsValue::from).collect::<js_sys::Array>());
    if let Some(username) = &server.username {
        out.set_username(username);
    }
    if let Some(credential) = &server.credential {
        out.set_credential(credential);
    }
    out
}
