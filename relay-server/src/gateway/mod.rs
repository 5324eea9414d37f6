//! The way in for plain HTTP: services that live in people's tabs, for clients without a browser (row 8).
//!
//! | route | module | answers |
//! |---|---|---|
//! | `POST /s/SERVICE/METHOD` | `call` | calls a method; `Idempotency-Key` (`keyed`) |
//! | `GET /s/SERVICE/METHOD?body=` | `call` | the same for methods that change nothing |
//! | `GET /s/SERVICE/openapi.json` | `openapi` | OpenAPI 3.1 of the manifest's interface |
//! | `GET /s/SERVICE/session` | `socket` | a WebSocket that is a session |
//! | `GET /s/SERVICE/events` | `events` | a session whose messages are streamed (server-sent events) |
//! | `GET /s/SERVICE/ui/…`, hosts `SERVICE.localhost` | `ui` | the service's own page, away from the app's origin |
//!
//! SERVICE is a name, or `name@publisher`. `services` resolves it and keeps manifests; `clients` bounds what one client may
//! use. The gateway calls services and nothing else: no address of a request, a manifest or a module is ever dialled. Who calls
//! a service that runs elsewhere is told where (307).

mod call;
mod clients;
mod events;
mod keyed;
mod openapi;
mod services;
mod socket;
pub(crate) mod ui;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::Router;
use overlay::io::{Event, SessionInfo};
use tokio::sync::{mpsc, watch};

pub use self::clients::Limits;
use self::clients::{Clients, Permit, Use};
use self::keyed::Keyed;
use self::services::{Manifest, Services};
use crate::metrics::Metrics;
use crate::node::{Handle, Session};
use crate::problem::Problem;

/// Who serves: the peer's id.
const SERVER: HeaderName = HeaderName::from_static("tabfarm-server");
/// The authority's epoch and term.
const EPOCH: HeaderName = HeaderName::from_static("tabfarm-epoch");
const TERM: HeaderName = HeaderName::from_static("tabfarm-term");
/// How long the client waits, in ms.
const DEADLINE: HeaderName = HeaderName::from_static("tabfarm-deadline");
/// Nobody that serves a service is looked for after this time.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// What a reply can do in a browser that takes it for a page: nothing.
const REPLY_POLICY: &str = "default-src 'none'; sandbox";

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub IpAddr);

/// All that the routes share.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    node: Handle,
    services: Services,
    keyed: Keyed,
    clients: Clients,
    metrics: Metrics,
    /// Turns true when the relay stops: streams end then.
    stop: watch::Receiver<bool>,
}

impl Gateway {
    /// A gateway to `node`.
    pub fn new(node: Handle, limits: Limits, metrics: Metrics, stop: watch::Receiver<bool>) -> Self {
        let services = Services::new(node.clone());
        let clients = Clients::new(limits, metrics.clone());
        Self(Arc::new(Inner { node, services, keyed: Keyed::default(), clients, metrics, stop }))
    }

    /// The routes under `/s`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/s/{service}/openapi.json", get(openapi::answer).options(preflight))
            .route("/s/{service}/session", get(socket::answer).post(call::post).options(preflight))
            .route("/s/{service}/events", get(events::answer).post(call::post).options(preflight))
            .route("/s/{service}/tabfarm.js", get(ui::script).options(preflight))
            .route("/s/{service}/ui", get(ui::redirect))
            .route("/s/{service}/ui/", get(ui::sandboxed_entry))
            .route("/s/{service}/ui/{*path}", get(ui::sandboxed))
            .route("/s/{service}/{method}", post(call::post).get(call::get).options(preflight))
            .layer(axum::middleware::map_response(open_to_all))
            .with_state(self.clone())
    }
}

/// Pages of any origin may call, and read who served. Whatever is no page of a service's own is inert.
async fn open_to_all(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "tabfarm-server, tabfarm-epoch, tabfarm-term, retry-after"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(REPLY_POLICY));
    response
}

async fn preflight() -> impl IntoResponse {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, tabfarm-deadline, idempotency-key"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, allowed)
}

impl Gateway {
    /// A session of `client` that stays open, and what happens in it.
    async fn session(&self, client: Client, service: String) -> Result<Opened, Problem> {
        let permit = self.0.clients.admit(client, Use::Session)?;
        let manifest = self.0.services.manifest(&service).await?;
        if let Some(url) = &manifest.url {
            return Err(
                services::elsewhere(url, "there are no sessions with it: call its methods by POST").into()
            );
        }
        let (sender, events) = Handle::events();
        let session = self.0.node.open(service, OPEN_TIME.as_millis() as u64, Some(sender)).await?;
        Ok(Opened { permit, manifest, session, events })
    }
}

/// A session that stays open, in its client's place.
struct Opened {
    permit: Permit,
    manifest: Arc<Manifest>,
    session: Session,
    events: mpsc::Receiver<Event>,
}

/// Who answered.
fn served_by(info: &SessionInfo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [(SERVER, info.server.clone()), (EPOCH, info.epoch.to_string()), (TERM, info.term.to_string())]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Ends when the relay stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender it has stopped.
    let _ = stop.wait_for(|stopped| *stopped).await.map(|_| ());
}
