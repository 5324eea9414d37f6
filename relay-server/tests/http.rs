//! The HTTP server against clients that want to hold it up: raw sockets that say nothing, dawdle, or do not read.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use relay_server::config::Config;
use relay_server::http;
use relay_server::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);
const NEVER: Duration = Duration::from_secs(3_600);
/// More than two sockets' buffers hold.
const LARGE: usize = 24 << 20;

async fn relay(web: &Path, http_limits: http::Limits) -> Relay {
    Relay::start(&Config { web: Some(web.to_owned()), http_limits, ..common::config() }).await.unwrap()
}

fn patient() -> http::Limits {
    http::Limits { connections: 200, per_address: 100, head: NEVER, stall: NEVER, answer: NEVER }
}

async fn socket(relay: &Relay, says: &str) -> TcpStream {
    let mut socket = TcpStream::connect(relay.http).await.unwrap();
    socket.write_all(says.as_bytes()).await.unwrap();
    socket
}

/// Reads to the end; a connection that is cut ends too.
async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(SOON, socket.read_to_end(&mut bytes)).await.expect("the server closes");
    bytes
}

async fn healthy(relay: &Relay) {
    let mut socket = socket(relay, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(rest(&mut socket).await.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

async fn until_open(relay: &Relay, wanted: usize) {
    let settled = async {
        while relay.http_counts().open != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, settled).await.unwrap_or_else(|_| panic!("{:?}, not {wanted}", relay.http_counts()));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sockets_that_ask_nothing_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path(), patient()).await;
    let mut idle = Vec::new();
    for n in 0..500 {
        let says = ["", "GET /health HTTP/1.1\r\nHost:", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"][n % 3];
        idle.push(socket(&relay, says).await);
        if n % 50 == 0 {
            healthy(&relay).await;
        }
    }
    healthy(&relay).await;
    let counts = relay.http_counts();
    assert!(counts.open <= 100 && counts.evicted >= 400, "{counts:?}");
    // Those who had to go see the end; the answer to a whole request may come before it.
    rest(&mut idle[0]).await;
    drop(idle);
    until_open(&relay, 0).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_come_whole_and_a_connection_that_asks_no_more_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = http::Limits { head: Duration::from_millis(300), ..patient() };
    let relay = relay(dir.path(), limits).await;
    for says in ["", "GET /health HT", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let answer = rest(&mut socket(&relay, says).await).await;
        assert_eq!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), says.ends_with("\r\n\r\n"), "{says:?}");
    }
    // A byte now and then does not help.
    let mut loris = socket(&relay, "GET /health HTTP/1.1\r\nX: ").await;
    let dripped = async {
        while loris.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, dripped).await.expect("the server closes");
    until_open(&relay, 0).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_their_answers_hold_nothing_for_long() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large.bin"), vec![7; LARGE]).unwrap();
    let asks = "GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // Without a time-out they stay, so that it is the time-out that ends them below.
    let relay_without = relay(dir.path(), patient()).await;
    let deaf = socket(&relay_without, asks).await;
    until_open(&relay_without, 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(relay_without.http_counts().open, 1);
    drop(deaf);
    until_open(&relay_without, 0).await;
    relay_without.stop().await;

    let limits = http::Limits { stall: Duration::from_millis(300), ..patient() };
    let relay = relay(dir.path(), limits).await;
    let mut deaf = Vec::new();
    for _ in 0..20 {
        deaf.push(socket(&relay, asks).await);
    }
    healthy(&relay).await;
    until_open(&relay, 0).await;
    // They were cut off, not served.
    assert!(rest(&mut deaf[0]).await.len() < LARGE);
    // Who reads gets everything.
    let answer = rest(&mut socket(&relay, asks).await).await;
    assert!(answer.len() > LARGE && answer.ends_with(&[7; 64]));
    relay.stop().await;
}

/// The statuses of all answers, in their order.
fn statuses(answers: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answers);
    text.match_indices("HTTP/1.1 ").map(|(at, start)| text[at + start.len()..][..3].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_says_two_lengths_is_refused_and_nothing_that_follows_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path(), patient()).await;
    let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = |fields: &str, body: &str| format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}");
    let smuggled = format!("0\r\n\r\n{health}");
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\ncontent-length: 5",
        "transfer-encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: x",
    ] {
        let both = request(fields, &smuggled);
        let answer = rest(&mut socket(&relay, &both).await).await;
        assert_eq!(statuses(&answer), ["400"], "{fields}");
        assert!(String::from_utf8_lossy(&answer).contains("a length or chunks"), "{fields}");
        // Behind others on its connection, one of which has it for a body.
        let length = format!("Content-Length: {}", both.len());
        let after = format!("{health}{}{both}", request(&length, &both));
        assert_eq!(
            statuses(&rest(&mut socket(&relay, &after).await).await),
            ["200", "405", "400"],
            "{fields}"
        );
    }
    // Chunks alone are well, and the last that a connection says.
    let chunked = request("Transfer-Encoding: chunked", &smuggled);
    assert_eq!(statuses(&rest(&mut socket(&relay, &chunked).await).await), ["405"]);
    // Whoever wants to be led elsewhere is led nowhere, and says nothing more.
    let elsewhere = format!("CONNECT other:1 HTTP/1.1\r\nHost: other:1\r\n\r\n{health}");
    assert_eq!(statuses(&rest(&mut socket(&relay, &elsewhere).await).await), ["405"]);
    // In pieces.
    let (mut slow, both) =
        (socket(&relay, "").await, request("Content-Length: 5\r\nTransfer-Encoding: chunked", ""));
    for piece in both.as_bytes().chunks(7) {
        slow.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(statuses(&rest(&mut slow).await), ["400"]);
    healthy(&relay).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_end_with_their_answers_while_many_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path(), http::Limits { connections: 4, per_address: 4, ..patient() }).await;
    let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let both = rest(&mut socket(&relay, &format!("{health}{last}")).await).await;
    assert_eq!(statuses(&both), ["200", "200"]);
    let idle = [socket(&relay, "").await, socket(&relay, "").await];
    until_open(&relay, 2).await;
    let one = rest(&mut socket(&relay, &format!("{health}{health}")).await).await;
    assert_eq!(statuses(&one), ["200"]);
    assert!(String::from_utf8_lossy(&one).contains("connection: close"));
    drop(idle);
    relay.stop().await;
}
