//! The JavaScript class.

use std::{cell::RefCell, rc::Rc, time::Duration};

use futures::{
    channel::{mpsc, oneshot},
    AsyncReadExt, AsyncWriteExt, SinkExt,
};
use libp2p::{identity::Keypair, Multiaddr, PeerId, Stream, StreamProtocol};
use transport_webrtc::{Config, Datagrams};
use wasm_bindgen::prelude::*;

use crate::{
    protocols::{self, Gate, ALL, ECHO, SINK, SLOW, SOURCE},
    swarm::{self, Command, Running, State},
};

/// A peer that JavaScript drives.
#[wasm_bindgen]
pub struct TestPeer {
    id: PeerId,
    commands: mpsc::Sender<Command>,
    state: Rc<RefCell<State>>,
    gate: Rc<RefCell<Gate>>,
    datagrams: Datagrams,
}

#[wasm_bindgen]
impl TestPeer {
    /// Starts a peer; `upgrade` as in `Config`, `hurry` shortens the upgrade's waits to some 100 ms.
    #[wasm_bindgen(constructor)]
    pub fn new(upgrade: bool, hurry: bool) -> Result<TestPeer, JsError> {
        let mut config = Config { upgrade, ..Config::default() };
        if hurry {
            config.close_circuit_after = Some(Duration::from_millis(300));
            config.upgrade_inbound_after = Duration::from_millis(500);
            config.signalling_timeout = Duration::from_secs(2);
        }
        let keypair = Keypair::generate_ed25519();
        let (sender, incoming) = mpsc::unbounded();
        let running = swarm::start(&keypair, config, ALL.to_vec(), sender).map_err(|e| JsError::new(&e))?;
        let gate = Rc::<RefCell<Gate>>::default();
        protocols::serve(incoming, gate.clone());
        let Running { commands, state, datagrams } = running;
        Ok(TestPeer { id: keypair.public().to_peer_id(), commands, state, gate, datagrams })
    }

    /// The peer id.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Asks the relay at `relay` for a reservation.
    pub async fn listen(&self, relay: String) -> Result<(), JsError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Listen(addr(&format!("{relay}/p2p-circuit"))?, reply)).await?;
        answer.await?.map_err(|e| JsError::new(&e))
    }

    /// The external addresses.
    pub fn addresses(&self) -> Vec<String> {
        self.state.borrow().external.iter().map(Multiaddr::to_string).collect()
    }

    /// Resolves when the dialled connection is up.
    pub async fn dial(&self, address: String) -> Result<(), JsError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Dial(addr(&address)?, reply)).await?;
        answer.await?.map_err(|e| JsError::new(&e))
    }

    /// Closes all connections to a peer.
    pub async fn disconnect(&self, peer: String) -> Result<(), JsError> {
        self.command(Command::Disconnect(peer.parse()?)).await
    }

    /// The paths of all connections to a peer, sorted: `WebRtc`, `Relayed`, `Direct`.
    pub fn paths(&self, peer: String) -> Vec<String> {
        let state = self.state.borrow();
        let mut paths: Vec<String> = state
            .connections
            .values()
            .filter(|(id, _)| id.to_string() == peer)
            .map(|(_, path)| format!("{path:?}"))
            .collect();
        paths.sort();
        paths
    }

    /// What happened, in words.
    pub fn events(&self) -> Vec<String> {
        self.state.borrow().events.clone()
    }

    /// Sends `data` to a peer's echo protocol and returns what comes back.
    pub async fn echo(&self, peer: String, data: Vec<u8>) -> Result<Vec<u8>, JsError> {
        let mut stream = self.open(&peer, ECHO).await?;
        stream.write_all(&data).await?;
        stream.close().await?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await?;
        Ok(back)
    }

    /// One stream, `rounds` echoes of `size` bytes; microseconds of each.
    pub async fn ping_pong(&self, peer: String, size: usize, rounds: usize) -> Result<Vec<f64>, JsError> {
        let mut stream = self.open(&peer, ECHO).await?;
        let (data, mut back) = (vec![7; size], vec![0; size]);
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let start = now();
            stream.write_all(&data).await?;
            stream.flush().await?;
            stream.read_exact(&mut back).await?;
            times.push((now() - start) * 1000.0);
        }
        stream.close().await?;
        Ok(times)
    }

    /// Sends `size` bytes to a peer's sink; milliseconds until it has said that all came.
    pub async fn upload(&self, peer: String, size: u32) -> Result<f64, JsError> {
        self.fill(peer, size, SINK).await
    }

    /// As `upload`, to the sink that reads only while `set_reading(true)`.
    pub async fn upload_slow(&self, peer: String, size: u32) -> Result<f64, JsError> {
        self.fill(peer, size, SLOW).await
    }

    /// Asks a peer for `size` bytes and checks each; milliseconds.
    pub async fn download(&self, peer: String, size: u32) -> Result<f64, JsError> {
        let mut stream = self.open(&peer, SOURCE).await?;
        let start = now();
        stream.write_all(&u64::from(size).to_le_bytes()).await?;
        stream.flush().await?;
        let got = protocols::receive(&mut stream).await?;
        if got != u64::from(size) {
            return Err(JsError::new(&format!("{got} bytes came, {size} were asked for")));
        }
        stream.close().await?;
        Ok(now() - start)
    }

    /// Lets the slow sink read, or stops it.
    pub fn set_reading(&self, open: bool) {
        self.gate.borrow_mut().open = open;
    }

    /// What the slow sink has read.
    pub fn slow_read(&self) -> f64 {
        self.gate.borrow().read as f64
    }

    /// Sends a datagram of `size` bytes with a number; false if there is no way for it.
    pub fn datagram(&self, peer: String, number: u32, size: usize) -> Result<bool, JsError> {
        let mut datagram = number.to_le_bytes().to_vec();
        datagram.resize(size.max(datagram.len()), 0);
        Ok(self.datagrams.send(&peer.parse()?, &datagram))
    }

    /// The numbers of the datagrams that came, in that order.
    pub fn datagrams(&self) -> Vec<u32> {
        self.state.borrow().datagrams.clone()
    }

    /// Opens a stream of any protocol, sends `data` and reads until the peer ends or resets the stream: what came.
    pub async fn exchange(&self, peer: String, protocol: String, data: Vec<u8>) -> Result<Vec<u8>, JsError> {
        let protocol = StreamProtocol::try_from_owned(protocol)?;
        let mut stream = self.open(&peer, protocol).await?;
        let mut back = Vec::new();
        if stream.write_all(&data).await.is_ok() && stream.flush().await.is_ok() {
            let _ = stream.read_to_end(&mut back).await;
        }
        Ok(back)
    }

    async fn fill(&self, peer: String, size: u32, protocol: StreamProtocol) -> Result<f64, JsError> {
        let mut stream = self.open(&peer, protocol).await?;
        let start = now();
        protocols::send(&mut stream, u64::from(size)).await?;
        stream.close().await?;
        let mut total = [0; 8];
        stream.read_exact(&mut total).await?;
        if u64::from_le_bytes(total) != u64::from(size) {
            return Err(JsError::new(&format!("{} of {size} bytes came", u64::from_le_bytes(total))));
        }
        Ok(now() - start)
    }

    async fn open(&self, peer: &str, protocol: StreamProtocol) -> Result<Stream, JsError> {
        let peer: PeerId = peer.parse()?;
        let (reply, answer) = oneshot::channel();
        self.command(Command::Open(peer, protocol, reply)).await?;
        answer.await?.map_err(|e| JsError::new(&e))
    }

    async fn command(&self, command: Command) -> Result<(), JsError> {
        Ok(self.commands.clone().send(command).await?)
    }
}

fn addr(text: &str) -> Result<Multiaddr, JsError> {
    Ok(text.parse::<Multiaddr>()?)
}

/// Milliseconds since the page was opened.
fn now() -> f64 {
    web_sys::window()
        .and_then(|window| window.performance())
        .map_or(f64::NAN, |performance| performance.now())
}
