//! The way in for plain HTTP: `POST /s/SERVICE/METHOD` calls a service that lives in somebody's tab (row 8).
//!
//! Each request is a session of this relay with one call, exactly as `Peer.call` makes one in a page. A body that is too long
//! never reaches the overlay; a client that goes away leaves a session that ends by itself.

use std::str::FromStr;
use std::time::Duration;

use axum::body::{to_bytes, Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::Router;
use overlay::id::SessionId;
use overlay::io::{Answer, Command, Error, SessionInfo, MAX_BODY};

use crate::node::Handle;
use crate::problem::Problem;

/// Bytes of a method's name.
const MAX_METHOD: usize = 256;
/// Who serves: the peer's id.
const SERVER: HeaderName = HeaderName::from_static("tabfarm-server");
/// The authority's epoch and term.
const EPOCH: HeaderName = HeaderName::from_static("tabfarm-epoch");
const TERM: HeaderName = HeaderName::from_static("tabfarm-term");
/// How long the client waits, in ms.
const DEADLINE: HeaderName = HeaderName::from_static("tabfarm-deadline");
/// A call is given up after this time if its client names none.
const USUAL_DEADLINE: Duration = Duration::from_secs(30);
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

/// The routes.
pub fn routes(node: Handle) -> Router {
    Router::new()
        .route("/s/{service}/{method}", post(call).options(preflight))
        .layer(axum::middleware::map_response(open_to_all))
        .with_state(node)
}

/// Pages of any origin may call, and read who served.
async fn open_to_all(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "tabfarm-server, tabfarm-epoch, tabfarm-term, retry-after"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
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

async fn call(
    State(node): State<Handle>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if method.is_empty() || method.len() > MAX_METHOD {
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "Too long", "a method has 1 to 256 bytes"));
    }
    let deadline_ms = deadline(&headers)?;
    let too_large = |_| {
        let detail = format!("a body has at most {MAX_BODY} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", detail)
    };
    let body: Bytes = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    let opened = node.command(Command::Open { service, deadline_ms: deadline_ms.min(10_000) }).await?;
    let Answer::Opened(info) = opened else { return Err(unexpected()) };
    let session = session_of(&info)?;
    let called = node.command(Command::Call { session, method, body: body.to_vec(), deadline_ms }).await;
    // Its end is logged; whether that is acknowledged makes no difference here.
    let _ = node.command(Command::Close { session }).await;
    match called? {
        Answer::Reply(reply) => Ok((named(&info), reply).into_response()),
        _ => Err(unexpected()),
    }
}

/// Who answered. JSON when the bytes are JSON is the business of whoever reads them: a reply is bytes.
fn named(info: &SessionInfo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    put(SERVER, info.server.clone());
    put(EPOCH, info.epoch.to_string());
    put(TERM, info.term.to_string());
    put(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    headers
}

fn deadline(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get(DEADLINE) else { return Ok(USUAL_DEADLINE.as_millis() as u64) };
    let ms = value.to_str().ok().and_then(|text| u64::from_str(text).ok());
    ms.filter(|ms| (1..=LONGEST_DEADLINE.as_millis() as u64).contains(ms))
        .ok_or_else(|| Problem::bad_request("tabfarm-deadline is a number of ms, at most 60000"))
}

fn session_of(info: &SessionInfo) -> Result<SessionId, Problem> {
    u128::from_str_radix(&info.id, 16).map(SessionId).map_err(|_| unexpected())
}

fn unexpected() -> Problem {
    Error::Disconnected("the relay gave another answer than was asked for".to_owned()).into()
}
