//! The HTTP server: an accept loop with limits, and the routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{watch, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use crate::{api, node, web};

/// Connections at a time; more wait in the system's backlog.
const MAX_CONNECTIONS: usize = 2_048;
/// A request's head must come within this time.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEADER: usize = 16 * 1024;
/// A pause after the system refused a connection, which it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` and serves.
    pub async fn start(address: SocketAddr, node: node::Handle, files: web::Files) -> anyhow::Result<Server> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot serve HTTP on {address}"))?;
        let address = listener.local_addr()?;
        let router = api::routes(node).merge(web::routes(files));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, router, stopped));
        Ok(Server { address, stop, task })
    }

    /// Accepts nothing more, answers what is under way, and ends.
    pub async fn stop(self) {
        // Without a receiver it has ended already.
        let _ = self.stop.send(true);
        // An error means that it panicked: nothing is left to wait for.
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            // The semaphore is never closed.
            let permit = room.clone().acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        tokio::select! {
            (permit, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let connection = serve(stream, router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Only a hint to the system.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        // Without a timer hyper's time-out does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MAX_HEADER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // However a client's connection ends, it concerns that client alone.
        _ = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
