//! One call by one request.
//!
//! Each request is a session of this relay with one call in it, exactly as `Peer.call` makes one in a page; a method that
//! changes nothing is queried. A body that is too long never reaches the overlay. A body or reply whose method has a schema
//! is JSON, any other is bytes.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{to_bytes, Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::Extension;
use overlay::io::{Answer, Command, Error, SessionInfo, MAX_BODY};
use overlay::manifest::{address, method_url, Method};

use super::clients::Use;
use super::services::{elsewhere, Manifest};
use super::{served_by, Client, Gateway, Inner, DEADLINE, OPEN_TIME};
use crate::api::url_pairs;
use crate::problem::Problem;

/// Types of body that an address takes (Linked Data Platform, 7.1).
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// Bytes of a method's name.
const MAX_METHOD: usize = 64;
/// A body that takes longer is not waited for.
const BODY_TIME: Duration = Duration::from_secs(20);
/// A call is given up after this time if its client names none.
const USUAL_DEADLINE: Duration = Duration::from_secs(30);
/// The longest that a client may wait.
pub const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

/// What is called.
#[derive(Clone)]
pub struct Call {
    pub service: String,
    pub method: String,
    pub read_only: bool,
    pub body: Bytes,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub info: SessionInfo,
    pub body: Bytes,
}

/// `POST /s/SERVICE/METHOD`. `session` and `events` may be methods, too: their own routes only answer GET.
pub async fn post(
    State(gateway): State<Gateway>,
    Extension(client): Extension<Client>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (service, method) = segments(uri.path())?;
    let permit = gateway.0.clients.admit(client, Use::Call)?;
    let manifest = gateway.0.services.manifest(&service).await?;
    let known = method_of(&manifest, &method)?;
    if let Some(url) = &manifest.url {
        return moved(url, &method, known);
    }
    let deadline = deadline(&headers)?;
    let body = read(&headers, body, known.body.is_some()).await?;
    let call = Call { service, method, read_only: known.read_only, body };
    let key = headers.get("idempotency-key").map(HeaderValue::as_bytes);
    let gateway = gateway.0;
    let outcome = match key.filter(|_| !call.read_only) {
        None => gateway.call(call, deadline).await,
        Some(key) => gateway.keyed_call((client, permit), key, call, deadline).await?,
    };
    Ok(answer(outcome?, known))
}

/// `GET /s/SERVICE/METHOD?body=…`, for methods that change nothing.
pub async fn get(
    State(gateway): State<Gateway>,
    Extension(client): Extension<Client>,
    Path((service, method)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let _permit = gateway.0.clients.admit(client, Use::Call)?;
    let manifest = gateway.0.services.manifest(&service).await?;
    let known = method_of(&manifest, &method)?;
    if !known.read_only || manifest.url.is_some() {
        let detail = match manifest.url {
            Some(_) => "a service that runs elsewhere is called by POST",
            None => "this method may change something: use POST",
        };
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", detail);
        return Ok(([(header::ALLOW, "POST, OPTIONS")], problem).into_response());
    }
    let given = query.as_deref().unwrap_or_default();
    let body = url_pairs(given).find(|(key, _)| key == "body").map(|(_, value)| value).unwrap_or_default();
    check_json(body.as_bytes(), known.body.is_some())?;
    let call = Call { service, method, read_only: true, body: body.into() };
    let outcome = gateway.0.call(call, deadline(&headers)?).await;
    Ok(answer(outcome?, known))
}

impl Inner {
    /// Opens a session, calls, closes.
    pub async fn call(&self, call: Call, deadline: Duration) -> Result<Reply, Error> {
        let begun = Instant::now();
        let (service, method) = (call.service.clone(), call.method.clone());
        let outcome = self.call_within(call, deadline).await;
        let (took, error) = (begun.elapsed(), outcome.as_ref().err());
        self.metrics.called(took, error);
        let outcome_code = error.map_or("ok", Error::code);
        tracing::debug!(service, method, outcome = outcome_code, ms = took.as_millis() as u64, "call");
        outcome
    }

    async fn call_within(&self, call: Call, deadline: Duration) -> Result<Reply, Error> {
        let Call { service, method, read_only, body } = call;
        let deadline_ms = deadline.as_millis() as u64;
        let open_ms = deadline.min(OPEN_TIME).as_millis() as u64;
        let session = self.node.open(service.clone(), open_ms, None).await.map_err(|error| match error {
            // Nothing was called yet.
            Error::Deadline(_) => Error::NoServer(service),
            error => error,
        })?;
        let (id, body) = (session.id, body.to_vec());
        let command = match read_only {
            true => Command::Query { session: id, method, body, deadline_ms, max_age_ms: None },
            false => Command::Call { session: id, method, body, deadline_ms },
        };
        match self.node.command(command).await? {
            Answer::Reply(body) => Ok(Reply { info: session.info.clone(), body: body.into() }),
            _ => Err(Error::Disconnected("the relay gave another answer than was asked for".to_owned())),
        }
    }
}

/// The service runs outside of all tabs: its client goes there by itself, with the same method and body (RFC 9110, 15.4.8).
/// `accept-post` tells the type of body that the method takes.
fn moved(url: &str, method: &str, known: &Method) -> Result<Response, Problem> {
    let target = method_url(url, method);
    // What the kernel accepted is accepted here as well, or there is no way on.
    let address = address(&target).map_err(|_| elsewhere(url, "its address is not valid"))?;
    let location = HeaderValue::from_str(&target).map_err(|_| Problem::not_found())?;
    let detail =
        format!("the service runs at {}, outside of all tabs: send the request there", address.origin);
    let kind = if known.body.is_some() { "application/json" } else { "application/octet-stream" };
    let headers = [(header::LOCATION, location), (ACCEPT_POST, HeaderValue::from_static(kind))];
    Ok((headers, Problem::new(StatusCode::TEMPORARY_REDIRECT, "It runs elsewhere", detail)).into_response())
}

/// SERVICE and METHOD of a path, their escapes undone.
fn segments(path: &str) -> Result<(String, String), Problem> {
    let mut parts = path.strip_prefix("/s/").unwrap_or_default().split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(service), Some(method), None) => {
            Ok((crate::api::decode_path(service), crate::api::decode_path(method)))
        }
        _ => Err(Problem::not_found()),
    }
}

/// The method of a manifest's interface.
pub fn method_of<'a>(manifest: &'a Arc<Manifest>, name: &str) -> Result<&'a Method, Problem> {
    if name.len() > MAX_METHOD {
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "Too long", "a method has 1 to 64 bytes"));
    }
    manifest.interface.get(name).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "Unknown method", "the service has no method of this name")
    })
}

async fn read(headers: &HeaderMap, body: Body, is_json: bool) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body has at most {MAX_BODY} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", detail)
    };
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BODY as u64) {
        return Err(too_large());
    }
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "Too slow", "the body did not come in time");
    let body = tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await.map_err(late)?;
    let body = body.map_err(|_| too_large())?;
    check_json(&body, is_json)?;
    Ok(body)
}

/// A body that has a schema is JSON, or left out.
fn check_json(body: &[u8], is_json: bool) -> Result<(), Problem> {
    match is_json && !body.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
        true => Err(Problem::bad_request("the body of this method is JSON, and this is not")),
        false => Ok(()),
    }
}

fn answer(reply: Reply, method: &Method) -> Response {
    let content_type = match method.reply.is_some() {
        true => "application/json",
        false => "application/octet-stream",
    };
    let mut headers = served_by(&reply.info);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    (headers, reply.body).into_response()
}

fn deadline(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(value) = headers.get(DEADLINE) else { return Ok(USUAL_DEADLINE) };
    let ms = value.to_str().ok().and_then(|text| u64::from_str(text).ok()).map(Duration::from_millis);
    ms.filter(|ms| !ms.is_zero() && *ms <= LONGEST_DEADLINE)
        .ok_or_else(|| Problem::bad_request("tabfarm-deadline is a number of ms, at most 60000"))
}
