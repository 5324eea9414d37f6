//! What a connection is: plain or TLS, told by its first byte.

use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

use super::activity::Activity;
use super::paced::{Pace, Paced};

/// The first byte of a TLS connection: a record of a handshake (RFC 8446, section 5.1). No HTTP request begins so.
const HANDSHAKE: u8 = 22;

/// What is served to whom.
#[derive(Clone)]
pub(super) struct Door {
    tls: Option<TlsAcceptor>,
    app: Router,
    /// For those who speak plainly where TLS is spoken.
    plain: Router,
}

/// A connection that has got through.
pub(super) enum Stream {
    Plain(Paced<TcpStream>),
    Secure(Box<TlsStream<Paced<TcpStream>>>),
}

impl Door {
    /// Everything over plain HTTP.
    pub fn plain(app: Router) -> Door {
        Door { tls: None, plain: app.clone(), app }
    }

    /// `app` over TLS, `plain` for those who come without.
    pub fn secure(tls: Arc<ServerConfig>, app: Router, plain: Router) -> Door {
        Door { tls: Some(tls.into()), app, plain }
    }

    /// Finds out what the client speaks, and what it is served; `None` if the connection is of no use.
    pub async fn enter(
        &self,
        socket: TcpStream,
        pace: Pace,
        activity: &Activity,
    ) -> Option<(Stream, Router)> {
        let paced = |socket| Paced::new(socket, pace, activity.clone());
        // Until it says something, a connection is no more than its socket.
        let mut first = [0];
        socket.peek(&mut first).await.ok()?;
        let Some(tls) = &self.tls else { return Some((Stream::Plain(paced(socket)), self.app.clone())) };
        if first != [HANDSHAKE] {
            return Some((Stream::Plain(paced(socket)), self.plain.clone()));
        }
        let stream = tls.accept(paced(socket)).await.ok()?;
        Some((Stream::Secure(Box::new(stream)), self.app.clone()))
    }
}
