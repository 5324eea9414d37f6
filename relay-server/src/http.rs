//! The HTTP server: an accept loop with limits, and the routes.
//!
//! What a client can hold, and for how long: a connection that asks nothing, or not all of its request, for
//! [`Limits::head`]; an answer that it does not read for [`Limits::stall`]; one that it reads slowly for
//! [`Limits::answer`]. Of what the app's files are made is shared by all who ask for them; a client's own share are
//! buffers of some tens of kilobytes. How many connections there are is bounded, in total and per address; who has to
//! go when there are more is decided in `connections`.

mod activity;
mod bodies;
mod connections;
mod door;
mod heads;
mod paced;
mod watched;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::{header, HeaderValue, Method, StatusCode};
use axum::response::IntoResponse;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{service_fn, Service};
use hyper::Request;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{watch, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::server::TlsStream;

use self::bodies::{Answer, Bodies};
pub use self::connections::Counts;
pub(crate) use self::connections::{network, Connections, Seat};
use self::door::{Door, Stream};
use self::paced::{Pace, Paced};
use self::watched::Watched;
use crate::gateway::{self, Client, Gateway};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::tls::Tls;
use crate::{api, node, trust, web};

/// Bytes of a request's head.
const MAX_HEADER: usize = 16 * 1024;
/// Bytes of an answer that the system takes over before the client asks for more.
const MAX_UNSENT: u32 = 128 * 1024;
/// Connections that have lost their places and are being closed; beyond that nobody is accepted.
const MAX_CLOSING: usize = 128;
/// Connections that the system holds until they are accepted. One that finds no room tries again after a second.
const BACKLOG: u32 = 4_096;
/// A pause after the system refused a connection, which it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For a client that finds everybody else being answered.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\n\
    content-type: application/problem+json\r\ncontent-length: 105\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Busy\",\"status\":503,\"detail\":\"too many connections; try again in a moment\"}";

/// What clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections of one address at a time.
    pub per_address: usize,
    /// From the end of an answer, or the start of a connection, until a request's head is there.
    pub head: Duration,
    /// Without one byte of an answer being read.
    pub stall: Duration,
    /// From the first byte of an answer that had to wait until all are read.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // At some 25 KiB each: 45 MiB.
            connections: 1_792,
            // A school has one address, and a tab keeps up to six connections for some seconds.
            per_address: 1_024,
            head: Duration::from_secs(10),
            stall: Duration::from_secs(15),
            // The app's first view over 16 kbit/s.
            answer: Duration::from_secs(300),
        }
    }
}

/// What is served beside the app.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// What one client may use of others' services.
    pub limits: gateway::Limits,
    /// `SERVICE.DOMAIN` is the origin of a service's own page.
    pub domain: Option<String>,
}

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Connections,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` and serves.
    pub async fn start(
        address: SocketAddr,
        limits: Limits,
        services: Services,
        tls: Option<&Tls>,
        node: node::Handle,
        files: web::Files,
    ) -> anyhow::Result<Server> {
        let listener = listen(address).with_context(|| {
            format!("cannot serve HTTP on {address}; --http ADDRESS:PORT chooses another place")
        })?;
        let address = listener.local_addr()?;
        let connections = Connections::new(limits.connections, limits.per_address);
        let counted = connections.clone();
        let authority = tls.and_then(|tls| tls.authority.as_ref());
        let (stop, stopped) = watch::channel(false);
        let metrics = Metrics::default();
        let gateway = Gateway::new(node.clone(), services.limits, metrics.clone(), stopped.clone());
        let app = api::routes(node, metrics, move || counted.counts())
            .merge(gateway.routes())
            .merge(trust::routes(authority))
            .merge(web::routes(files));
        let app = gateway::ui::by_host(app, gateway, services.domain);
        let door = match tls {
            None => Door::plain(app),
            Some(tls) => Door::secure(tls.http()?, app, trust::plain(authority)),
        };
        let task = tokio::spawn(accept(listener, limits, connections.clone(), door, stopped));
        Ok(Server { address, connections, stop, task })
    }

    /// Who is connected.
    pub fn counts(&self) -> Counts {
        self.connections.counts()
    }

    /// Accepts nothing more, answers what is under way, and ends.
    pub async fn stop(self) {
        // Without a receiver it has ended already.
        let _ = self.stop.send(true);
        // An error means that it panicked: nothing is left to wait for.
        let _ = self.task.await;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A relay that is started again finds its port although old connections are not forgotten yet.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    listener: TcpListener,
    limits: Limits,
    connections: Connections,
    door: Door,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(limits.connections + MAX_CLOSING));
    let bodies = Bodies::new(connections.clone());
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let next = async {
            // The semaphore is never closed.
            let permit = room.clone().acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        tokio::select! {
            (permit, accepted) = next => match accepted {
                Ok((stream, client)) => match connections.admit(client.ip()) {
                    Some(seat) => {
                        let place = (Client(client.ip()), seat);
                        let limits = (limits, bodies.clone());
                        let connection = serve(stream, place, limits, door.clone(), stop.clone());
                        tasks.spawn(async move {
                            connection.await;
                            drop(permit);
                        });
                    }
                    // What the system does not take at once is not worth waiting for.
                    None => drop(stream.try_write(BUSY)),
                },
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    (client, seat): (Client, Seat),
    (limits, bodies): (Limits, Bodies),
    door: Door,
    mut stop: watch::Receiver<bool>,
) {
    // Only hints to the system.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
    let pace = Pace { stall: limits.stall, answer: limits.answer };
    let begun = async {
        let entered = async {
            let (stream, router) = door.enter(stream, pace, &seat.activity).await?;
            Some(match stream {
                Stream::Plain(stream) => {
                    (Begun::Plain(Watched::begin(stream, MAX_HEADER).await.ok()?), router)
                }
                Stream::Secure(stream) => {
                    (Begun::Secure(Watched::begin(stream, MAX_HEADER).await.ok()?), router)
                }
            })
        };
        // On the heap, so that it is gone when it is over: most connections of a flood never get beyond it.
        let entered = Box::pin(tokio::time::timeout(limits.head, entered));
        tokio::select! {
            entered = entered => entered.ok()?,
            () = seat.evicted() => None,
            _ = stop.changed() => None,
        }
    };
    let Some((stream, router)) = begun.await else { return };
    let (seat, limits) = ((client, &seat), (limits, bodies));
    match stream {
        Begun::Plain(stream) => Box::pin(converse(stream, seat, limits, router, stop)).await,
        Begun::Secure(stream) => Box::pin(converse(stream, seat, limits, router, stop)).await,
    }
}

/// A connection whose first request's head is there.
enum Begun {
    Plain(Watched<Paced<TcpStream>>),
    Secure(Watched<Box<TlsStream<Paced<TcpStream>>>>),
}

/// Answers what is asked over `stream`.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: Watched<S>,
    (client, seat): (Client, &Seat),
    (limits, bodies): (Limits, Bodies),
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let activity = seat.activity.clone();
    let (ambiguous, seats) = (stream.ambiguous(), seat.connections().clone());
    let count = AtomicU64::new(0);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client);
        let answering = activity.answer();
        let (head, body) = request.into_parts();
        let (body, held) = bodies.count(body, &activity);
        let request = Request::from_parts(head, body);
        // What comes after chunks is not followed in `heads`, and what comes after CONNECT is meant for somebody else.
        let is_last =
            request.headers().contains_key(header::TRANSFER_ENCODING) || request.method() == Method::CONNECT;
        let connections = seats.clone();
        let response = match ambiguous.is(count.fetch_add(1, Ordering::Relaxed)) {
            true => Err(Problem::bad_request("a request has a length or chunks, not both")),
            false => Ok(router.call(request)),
        };
        async move {
            let mut response = match response {
                Ok(response) => response.await?,
                Err(problem) => problem.into_response(),
            };
            let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if is_last || !is_upgrade && connections.are_many() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, answering, held)))
        }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper's time-out does nothing. It also counts while a connection asks nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEADER)
        .serve_connection(TokioIo::new(stream), answer)
        // A WebSocket goes on with the stream by itself, under the limits of the gateway.
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // However a client's connection ends, it concerns that client alone.
        _ = connection.as_mut() => return,
        () = seat.evicted() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn the_answer_to_those_who_are_turned_away_is_whole() {
        let text = std::str::from_utf8(super::BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
    }
}
