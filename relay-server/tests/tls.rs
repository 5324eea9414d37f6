//! A relay that is its own authority, against clients that trust it, speak plainly, or say nothing.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::Endpoint;
use libp2p::{dns, tcp, websocket, Transport};
use relay_server::config::{Config, Tls};
use relay_server::{http, Relay};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const SOON: Duration = Duration::from_secs(30);

async fn relay(tls: Tls, web: &Path, head: Duration) -> anyhow::Result<Relay> {
    let config = Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0/tls/ws".parse().unwrap()],
        tls,
        web: Some(web.to_owned()),
        http_limits: http::Limits { head, ..http::Limits::default() },
        ..common::config()
    };
    Relay::start(&config).await
}

async fn local(dir: &Path) -> Relay {
    relay(Tls::Local { data_dir: dir.join("data") }, dir, SOON).await.unwrap()
}

/// Trusts one authority, or one certificate, and no other.
fn connector(trusted: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(trusted.to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth()).into()
}

async fn secure(relay: &Relay) -> impl AsyncRead + AsyncWrite + Unpin {
    let socket = TcpStream::connect(relay.http).await.unwrap();
    connector(&relay.authority.as_ref().unwrap().der)
        .connect("127.0.0.1".try_into().unwrap(), socket)
        .await
        .unwrap()
}

/// Asks for `path`; head and body of the answer.
async fn get(mut socket: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> (String, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:7\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, socket.read_to_end(&mut answer)).await.expect("the server closes");
    let at = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..at].to_vec()).unwrap(), answer[at + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_trusts_the_authority_finds_the_app_and_the_websocket_and_who_does_not_is_told_how() {
    let dir = tempfile::tempdir().unwrap();
    let relay = local(dir.path()).await;
    let authority = relay.authority.clone().unwrap();
    assert!(relay.ready_line().contains(&format!("\"https://{}\"", relay.http)));

    let (head, body) = get(secure(&relay).await, "/api/node").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let node: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let address = node["addresses"][0].as_str().unwrap().to_owned();
    assert!(address.contains("/tls/ws/p2p/"), "{address}");

    let mut tls = websocket::tls::Config::builder();
    tls.add_trust(&websocket::tls::Certificate::new(authority.der.clone())).unwrap();
    let mut sockets =
        websocket::Config::new(dns::tokio::Transport::system(tcp::tokio::Transport::default()).unwrap());
    sockets.set_tls_config(tls.finish());
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let dial = sockets.dial(address.parse().unwrap(), options).unwrap();
    timeout(SOON, dial).await.unwrap().expect("the websocket is of the same authority");

    let plain = || async { TcpStream::connect(relay.http).await.unwrap() };
    for path in ["/", "/trust"] {
        let (head, page) = get(plain().await, path).await;
        let page = String::from_utf8(page).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(
            page.contains(&authority.fingerprint()) && page.contains("\"https://127.0.0.1:7/\""),
            "{page}"
        );
    }
    assert_eq!(get(plain().await, "/authority.crt").await.1, authority.der);
    assert_eq!(get(secure(&relay).await, "/authority.pem").await.1, authority.pem.as_bytes());
    let (_, node) = get(plain().await, "/api/node").await;
    assert!(serde_json::from_slice::<serde_json::Value>(&node).is_err(), "nothing of the app without TLS");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_finish_its_handshake_goes_and_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::Local { data_dir: dir.path().join("data") };
    let relay = relay(tls, dir.path(), Duration::from_millis(300)).await.unwrap();
    // Nothing at all; the start of a handshake; a handshake that is none.
    for says in [&[][..], &[22, 3, 1, 2, 0, 1], &[22; 600]] {
        let mut socket = TcpStream::connect(relay.http).await.unwrap();
        socket.write_all(says).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(SOON, socket.read_to_end(&mut rest)).await.expect("the server closes");
        assert!(!rest.starts_with(b"HTTP"), "{says:?}");
    }
    assert!(get(secure(&relay).await, "/health").await.0.starts_with("HTTP/1.1 200"));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_certificate_is_shown_and_plain_requests_are_sent_on() {
    let dir = tempfile::tempdir().unwrap();
    let (own, key, _) = pair();
    let (cert, secret) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, own).unwrap();
    std::fs::write(&secret, key).unwrap();
    let files = Tls::Files { cert: cert.clone(), key: secret };
    let relay = relay(files, dir.path(), SOON).await.unwrap();
    let (head, _) = get(TcpStream::connect(relay.http).await.unwrap(), "/a?b=c").await;
    assert!(
        head.starts_with("HTTP/1.1 308") && head.contains("location: https://127.0.0.1:7/a?b=c"),
        "{head}"
    );
    relay.stop().await;

    let wrong = Tls::Files { cert: cert.clone(), key: cert };
    assert!(self::relay(wrong, dir.path(), SOON).await.is_err(), "a certificate is no key");
}

/// A certificate and its key, both as PEM, and the certificate as it is sent.
fn pair() -> (String, String, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let own =
        rcgen::CertificateParams::new(vec!["farm.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    (own.pem(), key.serialize_pem(), own.der().to_vec())
}

/// Is this the certificate that is shown there?
async fn shows(place: impl ToSocketAddrs, certificate: &[u8]) -> bool {
    let socket = TcpStream::connect(place).await.unwrap();
    let shaken = connector(certificate).connect("farm.example".try_into().unwrap(), socket);
    timeout(SOON, shaken).await.expect("an answer").is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_by_every_door_without_a_restart_and_a_bad_one_by_none() {
    use std::process::Stdio;
    use tokio::io::{AsyncBufReadExt, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let (cert, secret) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let (old, new) = (pair(), pair());
    std::fs::write(&cert, &old.0).unwrap();
    std::fs::write(&secret, &old.1).unwrap();
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_tabfarm-relay"))
        .args(["--http", "127.0.0.1:0", "--json", "--tls-cert"])
        .arg(&cert)
        .arg("--tls-key")
        .arg(&secret)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
    let ready = timeout(SOON, out.next_line()).await.unwrap().unwrap().unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let http = ready["http"].as_str().unwrap().strip_prefix("https://").unwrap().to_owned();
    let socket = ready["addresses"][0].as_str().unwrap().split('/').nth(4).unwrap();
    let doors = [http, format!("127.0.0.1:{socket}")];

    let process = program.id().unwrap().to_string();
    let tell = |signal: &str| std::process::Command::new("kill").args([signal, &process]).status().unwrap();
    let mut renew = async |says: &str| {
        assert!(tell("-HUP").success());
        while !timeout(SOON, log.next_line()).await.expect(says).unwrap().unwrap().contains(says) {}
    };
    renew("the TLS certificate has not changed").await;
    // A certificate without its key.
    std::fs::write(&cert, &new.0).unwrap();
    renew("cannot be used").await;
    for door in &doors {
        assert!(shows(door, &old.2).await && !shows(door, &new.2).await, "{door}");
    }
    std::fs::write(&secret, &new.1).unwrap();
    renew("a newer TLS certificate").await;
    for door in &doors {
        assert!(shows(door, &new.2).await && !shows(door, &old.2).await, "{door}");
    }
    assert!(tell("-TERM").success());
    assert!(timeout(SOON, program.wait()).await.expect("it ends").unwrap().success());
}
