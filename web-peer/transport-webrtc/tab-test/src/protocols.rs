//! Protocols for both ends of a test.

use std::{cell::RefCell, rc::Rc};

use futures::{channel::mpsc, AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{Stream, StreamProtocol};
use wasm_bindgen_futures::spawn_local;

/// Sends back what comes.
pub(crate) const ECHO: StreamProtocol = StreamProtocol::new("/tab-test/echo/1");
/// Reads to the end, then sends the number of bytes as a little-endian `u64`.
pub(crate) const SINK: StreamProtocol = StreamProtocol::new("/tab-test/sink/1");
/// As `SINK`, but reads only while it is let; see [`Gate`].
pub(crate) const SLOW: StreamProtocol = StreamProtocol::new("/tab-test/slow/1");
/// Reads a little-endian `u64` and sends that many bytes.
pub(crate) const SOURCE: StreamProtocol = StreamProtocol::new("/tab-test/source/1");

/// Size of reads and writes.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Whether the slow sink may read, and what it has read.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) open: bool,
    pub(crate) read: u64,
}

/// All of them.
pub(crate) const ALL: [StreamProtocol; 4] = [ECHO, SINK, SLOW, SOURCE];

/// Serves streams as they come.
pub(crate) fn serve(
    mut incoming: mpsc::UnboundedReceiver<(StreamProtocol, Stream)>,
    gate: Rc<RefCell<Gate>>,
) {
    spawn_local(async move {
        while let Some((protocol, stream)) = incoming.next().await {
            let gate = gate.clone();
            spawn_local(async move {
                let served = match protocol {
                    p if p == ECHO => echo(stream).await,
                    p if p == SINK => sink(stream).await,
                    p if p == SOURCE => source(stream).await,
                    _ => slow(stream, gate).await,
                };
                // A stream that breaks is the other end's to report.
                drop(served);
            });
        }
    });
}

async fn echo(mut stream: Stream) -> std::io::Result<()> {
    let mut buf = vec![0; CHUNK];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.close().await,
            n => stream.write_all(&buf[..n]).await?,
        }
        stream.flush().await?;
    }
}

async fn sink(mut stream: Stream) -> std::io::Result<()> {
    let (mut buf, mut total) = (vec![0; CHUNK], 0u64);
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            n => total += n as u64,
        }
    }
    stream.write_all(&total.to_le_bytes()).await?;
    stream.close().await
}

async fn slow(mut stream: Stream, gate: Rc<RefCell<Gate>>) -> std::io::Result<()> {
    let mut buf = vec![0; CHUNK];
    loop {
        if !gate.borrow().open {
            futures_timer::Delay::new(std::time::Duration::from_millis(5)).await;
            continue;
        }
        match stream.read(&mut buf).await? {
            0 => break,
            n => gate.borrow_mut().read += n as u64,
        }
    }
    let total = gate.borrow().read;
    stream.write_all(&total.to_le_bytes()).await?;
    stream.close().await
}

async fn source(mut stream: Stream) -> std::io::Result<()> {
    let mut size = [0; 8];
    stream.read_exact(&mut size).await?;
    send(&mut stream, u64::from_le_bytes(size)).await?;
    stream.close().await
}

/// Sends `size` bytes.
pub(crate) async fn send(stream: &mut Stream, size: u64) -> std::io::Result<()> {
    let chunk: Vec<u8> = (0..CHUNK).map(|i| i as u8).collect();
    let mut left = size;
    while left > 0 {
        let n = left.min(CHUNK as u64) as usize;
        stream.write_all(&chunk[..n]).await?;
        left -= n as u64;
    }
    stream.flush().await
}

/// Reads to the end; the number of bytes, or an error if one of them is not what [`send`] sends.
pub(crate) async fn receive(stream: &mut Stream) -> std::io::Result<u64> {
    let (mut buf, mut total) = (vec![0; CHUNK], 0u64);
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(total);
        }
        if (0..n).any(|i| buf[i] != (total + i as u64) as u8) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        total += n as u64;
    }
}
