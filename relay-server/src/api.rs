//! The routes that answer questions: what a tab needs to join, the catalogue, health and metrics.

use std::net::IpAddr;

use axum::extract::{RawQuery, State};
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use libp2p::multiaddr::Protocol;
use libp2p::Multiaddr;
use overlay::io::{Answer, Command, Query};
use serde_json::json;

use crate::http::Counts;
use crate::metrics::Metrics;
use crate::node::{Facts, Handle};
use crate::problem::Problem;

/// Bytes of one search term.
const MAX_TERM: usize = 256;

/// The routes; `http` tells who is connected to the server.
pub fn routes(
    node: Handle,
    metrics: Metrics,
    http: impl Fn() -> Counts + Clone + Send + Sync + 'static,
) -> Router {
    let metrics = move |State(node): State<Handle>| async move { told(&metrics, &node.facts(), http()) };
    Router::new()
        .route("/api/node", get(node_info))
        .route("/api/services", get(services))
        .route("/api/{*rest}", get(|| async { Problem::not_found() }))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .layer(axum::middleware::map_response(open_to_all))
        .with_state(node)
}

/// Answers to questions may be read by pages of any origin, and are never stale.
async fn open_to_all(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn node_info(State(node): State<Handle>, headers: HeaderMap) -> impl IntoResponse {
    let facts = node.facts();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(Host::parse);
    let addresses = for_tabs(&facts.announced, &facts.listening, host.as_ref());
    let relays: Vec<_> = facts.relays.iter().filter(|address| is_websocket(address)).map(text).collect();
    Json(json!({ "peer_id": node.peer_id.to_string(), "addresses": addresses, "relays": relays }))
}

async fn services(State(node): State<Handle>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let query = search(query.as_deref().unwrap_or_default())?;
    match node.command(Command::Find(query)).await? {
        Answer::Found { services, complete } => {
            Ok(Json(json!({ "services": services, "complete": complete })).into_response())
        }
        _ => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Failed", "the search failed")),
    }
}

async fn health(State(node): State<Handle>) -> impl IntoResponse {
    Json(json!({ "status": "ok", "peers": node.facts().peers }))
}

fn told(metrics: &Metrics, facts: &Facts, http: Counts) -> Result<Response, Problem> {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let failed =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Failed", "the metrics cannot be written");
    let text = metrics.text(facts, http).map_err(failed)?;
    Ok(([(header::CONTENT_TYPE, TYPE)], text).into_response())
}

/// `q`, `tag`, `name`, `near=LAT,LON,KM`; what is empty matches everything.
fn search(query: &str) -> Result<Query, Problem> {
    let mut search = Query::default();
    for (key, value) in url_pairs(query) {
        if value.is_empty() {
            continue;
        }
        if value.len() > MAX_TERM {
            return Err(Problem::new(
                StatusCode::URI_TOO_LONG,
                "Too long",
                "a search term has at most 256 bytes",
            ));
        }
        match key.as_str() {
            "q" => search.text = Some(value),
            "tag" => search.tag = Some(value),
            "name" => search.name = Some(value),
            "near" => search.near = Some(near(&value)?),
            _ => return Err(Problem::bad_request("the parameters are q, tag, name and near")),
        }
    }
    Ok(search)
}

fn near(text: &str) -> Result<(f64, f64, f64), Problem> {
    let parts: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match parts.as_deref() {
        Some([lat, lon, km])
            if (-90.0..=90.0).contains(lat)
                && (-180.0..=180.0).contains(lon)
                && (0.0..=20_100.0).contains(km) =>
        {
            Ok((*lat, *lon, *km))
        }
        _ => Err(Problem::bad_request("near is LATITUDE,LONGITUDE,KILOMETRES")),
    }
}

/// Keys and values of a query, their escapes undone.
pub fn url_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// Undoes percent-encoding of a part of a path, where a plus is a plus.
pub fn decode_path(text: &str) -> String {
    decode(&text.replace('+', "%2B"))
}

/// Undoes percent-encoding; what is no valid escape stands for itself, what is no UTF-8 is replaced.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The host that a client used to get here.
#[derive(Debug, PartialEq)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, in lower case.
    Name(String),
}

impl Host {
    /// From a `Host` header: an address or a name, a port or none. Anything else is as if it were missing.
    pub fn parse(header: &str) -> Option<Host> {
        if header.len() > 253 + 6 {
            return None;
        }
        let host = match header.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => header.split(':').next()?,
        };
        if let Ok(ip) = host.parse() {
            return Some(Host::Ip(ip));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        (!host.is_empty() && host.chars().all(fits)).then(|| Host::Name(host.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// The addresses that a tab which came by `host` can dial, best first: what the operator announces, then listening
/// sockets on that very host, then the rest that may work. A loopback address is offered to loopback alone.
fn for_tabs(announced: &[Multiaddr], listening: &[Multiaddr], host: Option<&Host>) -> Vec<String> {
    let loopback = host.is_none_or(Host::is_loopback);
    let mut addresses: Vec<Multiaddr> =
        announced.iter().filter(|address| is_websocket(address)).cloned().collect();
    let sockets: Vec<&Multiaddr> = listening
        .iter()
        .filter(|address| is_websocket(address))
        .filter(|address| ip(address).is_some_and(|ip| ip.is_loopback() == loopback))
        .collect();
    let wanted = match host {
        Some(Host::Ip(wanted)) => Some(*wanted),
        _ => None,
    };
    addresses
        .extend(sockets.iter().filter(|address| ip(address) == wanted).map(|address| (*address).clone()));
    // The name that led here leads to the websocket as well, whatever address stands behind it.
    if let (Some(Host::Name(name)), Some(socket)) = (host.filter(|host| !host.is_loopback()), sockets.first())
    {
        addresses.extend(socket.replace(0, |_| Some(Protocol::Dns(name.as_str().into()))));
    }
    addresses.extend(sockets.into_iter().cloned());
    let mut seen = std::collections::HashSet::new();
    addresses.iter().map(text).filter(|address| seen.insert(address.clone())).take(8).collect()
}

fn is_websocket(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_)))
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

fn text(address: &Multiaddr) -> String {
    address.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_tab_is_told_what_it_can_dial() {
        let listening =
            addresses(&["/ip4/127.0.0.1/tcp/5/ws", "/ip4/10.0.0.2/tcp/5/ws", "/ip4/10.0.0.2/tcp/6"]);
        let told = |announced: &[&str], host: &str| {
            for_tabs(&addresses(announced), &listening, Host::parse(host).as_ref())
        };
        assert_eq!(told(&[], "127.0.0.1:8080"), ["/ip4/127.0.0.1/tcp/5/ws"]);
        assert_eq!(told(&[], "localhost:8080"), ["/ip4/127.0.0.1/tcp/5/ws"]);
        assert_eq!(told(&[], "10.0.0.2"), ["/ip4/10.0.0.2/tcp/5/ws"]);
        assert_eq!(told(&[], "farm.example"), ["/dns/farm.example/tcp/5/ws", "/ip4/10.0.0.2/tcp/5/ws"]);
        assert_eq!(told(&["/dns/r.example/tcp/443/tls/ws"], "127.0.0.1")[0], "/dns/r.example/tcp/443/tls/ws");
        assert_eq!(Host::parse("a\"<script>"), None);
        assert_eq!(Host::parse("[::1]:80"), Some(Host::Ip("::1".parse().unwrap())));
    }

    #[test]
    fn searches_are_read_and_nonsense_is_refused() {
        let query = search("q=caf%C3%A9+bar&tag=&near=52.5,13.4,10").unwrap();
        assert_eq!(query.text.as_deref(), Some("café bar"));
        assert_eq!((query.tag, query.near), (None, Some((52.5, 13.4, 10.0))));
        for bad in [
            "near=1,2",
            "near=NaN,1,1",
            "near=91,0,1",
            "near=1,2,inf",
            "x=1",
            &format!("q={}", "a".repeat(257)),
        ] {
            assert!(search(bad).is_err(), "{bad}");
        }
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
