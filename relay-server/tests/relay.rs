//! A relay as peers and browsers see it: native libp2p clients, plain HTTP, raw sockets, signals.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::kad::{self, QueryResult, Quorum, Record, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{dns, noise, relay, tcp, websocket, yamux, Multiaddr, Swarm, Transport};
use overlay::id::{PeerId, ServiceId};
use overlay::registry::{host_key, HostRecord, Succession};
use overlay::time::{Millis, Time};
use overlay_libp2p::behaviour::{Behaviour, BehaviourEvent, Options};
use overlay_libp2p::dht::Capacity;
use overlay_libp2p::driver::Clock;
use relay_server::config::Config;
use relay_server::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(15);

async fn relay(web: &Path) -> Relay {
    Relay::start(&Config { web: Some(web.to_owned()), ..common::config() }).await.unwrap()
}

#[derive(NetworkBehaviour)]
struct Client {
    relay: relay::client::Behaviour,
}

type Tab = Swarm<Behaviour<Client>>;

/// What a tab is, without a browser.
fn tab(key: &Keypair) -> Tab {
    let id = key.public().to_peer_id();
    let (circuits, client) = relay::client::new(id);
    let sockets = dns::tokio::Transport::system(tcp::tokio::Transport::default()).unwrap();
    let circuits = circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let sockets = websocket::Config::new(sockets)
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let transport = circuits.or_transport(sockets).map(|either, _| either.into_inner()).boxed();
    let options = Options {
        capacity: Capacity::TAB,
        ping_interval: SOON,
        socket_ping_interval: SOON,
        limit: None,
        hide_listen_addresses: true,
        seed: 1,
    };
    let behaviour = Behaviour::new(key, Client { relay: client }, options);
    let config = overlay_libp2p::swarm_config(libp2p::swarm::Config::with_tokio_executor());
    Swarm::new(transport, behaviour, id, config)
}

/// Connects and waits until the relay is in the routing table.
async fn joined(relay: &Relay) -> Tab {
    let mut tab = tab(&Keypair::generate_ed25519());
    tab.dial(relay.addresses[0].clone()).unwrap();
    let connected = async {
        loop {
            if let SwarmEvent::Behaviour(BehaviourEvent::Identify(libp2p::identify::Event::Received {
                peer_id,
                info,
                ..
            })) = tab.select_next_some().await
            {
                for address in info.listen_addrs {
                    tab.behaviour_mut().kad.add_address(&peer_id, address);
                }
                return;
            }
        }
    };
    timeout(SOON, connected).await.expect("identify");
    tab
}

async fn put(tab: &mut Tab, key: RecordKey, value: Vec<u8>) {
    tab.behaviour_mut().kad.put_record(Record::new(key, value), Quorum::One).unwrap();
    query(tab).await;
}

/// The values that the query under way finds.
async fn query(tab: &mut Tab) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let run = async {
        loop {
            let SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                result,
                step,
                ..
            })) = tab.select_next_some().await
            else {
                continue;
            };
            match result {
                QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => {
                    values.push(found.record.value)
                }
                QueryResult::GetRecord(_) | QueryResult::PutRecord(_) => {}
                _ => continue,
            }
            if step.last {
                return;
            }
        }
    };
    timeout(SOON, run).await.expect("the query ends");
    values
}

async fn get(relay: &Relay, key: RecordKey) -> Vec<Vec<u8>> {
    let mut reader = joined(relay).await;
    reader.behaviour_mut().kad.get_record(key);
    query(&mut reader).await
}

fn host_record(secret: &[u8; 32], service: ServiceId, sequence: u64, now: Time) -> Vec<u8> {
    let host =
        PeerId(Keypair::ed25519_from_bytes(*secret).unwrap().public().try_into_ed25519().unwrap().to_bytes());
    let record = HostRecord {
        service,
        epoch: 1,
        term: 1,
        host,
        succession: Succession::of(host),
        members: vec![host],
        addresses: Vec::new(),
        sequence,
        created: now,
        expires: now + Millis::secs(60),
    };
    record.encode(secret).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_gets_a_reservation_and_another_calls_through_the_circuit() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path()).await;
    let mut host = tab(&Keypair::generate_ed25519());
    host.listen_on(relay.addresses[0].clone().with(Protocol::P2pCircuit)).unwrap();
    let reserved = async {
        loop {
            if let SwarmEvent::ExternalAddrConfirmed { address } = host.select_next_some().await {
                return address;
            }
        }
    };
    let address = timeout(SOON, reserved).await.expect("a reservation");
    // The relay's own view follows within a moment.
    let counted = async {
        while relay.node.facts().reservations != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, counted).await.expect("the reservation is counted");
    let host_id = *host.local_peer_id();
    tokio::spawn(async move {
        loop {
            host.select_next_some().await;
        }
    });
    let mut caller = tab(&Keypair::generate_ed25519());
    caller.dial(address).unwrap();
    let connected = async {
        loop {
            match caller.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == host_id => return,
                _ => {}
            }
        }
    };
    timeout(SOON, connected).await.expect("a circuit");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dht_keeps_what_is_valid_and_newest_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path()).await;
    let now = Clock::start().now();
    let (owner, thief) = ([7; 32], [8; 32]);
    let service = ServiceId::new(PeerId([1; 32]), "counter");
    let key = RecordKey::new(&host_key(service).0);
    let (old, new) = (host_record(&owner, service, now.0, now), host_record(&owner, service, now.0 + 1, now));
    let mut tab = joined(&relay).await;
    put(&mut tab, key.clone(), new.clone()).await;
    assert_eq!(get(&relay, key.clone()).await, vec![new.clone()]);
    // Stale, forged, of another key, and no record at all: none replaces it, none is kept where there is nothing.
    let mut forged = host_record(&thief, service, now.0 + 2, now);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let elsewhere = ServiceId::new(PeerId([2; 32]), "counter");
    for value in [old, forged.clone(), host_record(&owner, elsewhere, now.0 + 3, now), b"nonsense".to_vec()] {
        put(&mut tab, key.clone(), value).await;
        assert_eq!(get(&relay, key.clone()).await, vec![new.clone()]);
    }
    let empty = RecordKey::new(&host_key(elsewhere).0);
    for value in [forged, new, vec![0; 9_000]] {
        tab.behaviour_mut().kad.remove_record(&empty);
        if tab.behaviour_mut().kad.put_record(Record::new(empty.clone(), value), Quorum::One).is_ok() {
            query(&mut tab).await;
        }
        assert!(get(&relay, empty.clone()).await.is_empty());
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giant_frame_before_any_handshake_closes_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path()).await;
    let mut socket = TcpStream::connect(socket_address(&relay.addresses[0])).await.unwrap();
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let read = socket.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"));
    // Binary, final, masked, 256 MiB announced.
    let mut head = vec![0x82, 0xff];
    head.extend_from_slice(&(256u64 << 20).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    socket.write_all(&head).await.unwrap();
    let closed = timeout(SOON, async {
        let mut sent = 0;
        // What the relay sent before it read the head may come first; then the end.
        while socket.write_all(&[0; 4096]).await.is_ok() && !matches!(socket.try_read(&mut answer), Ok(0)) {
            sent += 4096;
            assert!(sent < 64 << 20, "the relay took 64 MiB of a frame that it must refuse");
            tokio::task::yield_now().await;
        }
    });
    closed.await.expect("the socket closes");
    relay.stop().await;
}

fn socket_address(address: &Multiaddr) -> (std::net::Ipv4Addr, u16) {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port),
        other => panic!("{other:?}"),
    }
}

/// One request; status, headers in lower case, body.
async fn http(relay: &Relay, request: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut socket = TcpStream::connect(relay.http).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", relay.http);
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    (head[9..12].parse().unwrap(), head, answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_and_errors_are_problem_documents() {
    let dir = tempfile::tempdir().unwrap();
    let relay = relay(dir.path()).await;
    let (status, head, body) = http(&relay, "GET /api/node", "").await;
    assert_eq!((status, head.contains("access-control-allow-origin: *")), (200, true));
    let node: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(node["peer_id"], relay.node.peer_id.to_string());
    assert_eq!(node["addresses"][0], relay.addresses[0].to_string());
    let (status, _, body) = http(&relay, "GET /api/services?q=x&near=52.5,13.4,5", "").await;
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()["services"],
        serde_json::json!([])
    );
    for (request, expected) in [
        ("GET /api/services?near=1", 400),
        ("GET /api/nothing", 404),
        ("GET /nothing", 404),
        ("POST /index.html", 405),
        ("GET /../../etc/passwd", 404),
    ] {
        let (status, head, body) = http(&relay, request, "").await;
        assert_eq!(status, expected, "{request}");
        assert!(head.contains("application/problem+json"), "{request}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["status"], expected);
    }
    assert_eq!(http(&relay, "GET /health", "").await.0, 200);
    let (_, _, metrics) = http(&relay, "GET /metrics", "").await;
    assert!(String::from_utf8(metrics).unwrap().contains("tabfarm_relay_reservations 0"));
    let giant = format!("X-Giant: {}\r\n", "a".repeat(64 * 1024));
    assert_eq!(http(&relay, "GET /health", &giant).await.0, 431);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_compressed_revalidated_and_under_a_policy() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sandbox")).unwrap();
    std::fs::write(dir.path().join("index.html"), format!("<script>boot()</script>{}", "tab ".repeat(2_000)))
        .unwrap();
    std::fs::write(dir.path().join("sandbox/frame.html"), "<script>guest()</script>").unwrap();
    std::fs::write(dir.path().join("a.wasm"), b"\0asm").unwrap();
    let relay = relay(dir.path()).await;
    let (status, head, body) = http(&relay, "GET /", "Accept-Encoding: gzip, br\r\n").await;
    assert_eq!((status, head.contains("content-encoding: br")), (200, true));
    assert!(body.len() < 200, "{}", body.len());
    assert!(head.contains("script-src 'self' 'wasm-unsafe-eval' 'sha256-"), "{head}");
    assert!(head.contains("object-src 'none'") && head.contains("base-uri 'none'"));
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let (status, _, body) = http(&relay, "GET /index.html", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((status, body.len()), (304, 0));
    let (_, head, _) = http(&relay, "GET /sandbox/frame.html", "").await;
    let sandbox =
        "content-security-policy: default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; \
        worker-src blob:; connect-src 'none'; sandbox allow-scripts\r";
    assert!(head.contains(sandbox), "{head}");
    assert!(http(&relay, "GET /a.wasm", "").await.1.contains("content-type: application/wasm"));
    // A rebuilt file is served anew.
    std::fs::write(dir.path().join("a.wasm"), b"\0asm2").unwrap();
    assert_eq!(http(&relay, "GET /a.wasm", "").await.2, b"\0asm2");
    relay.stop().await;
}

#[test]
fn the_program_says_where_it_is_keeps_its_key_and_stops_when_told() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tabfarm-relay"))
            .args(["--http", "127.0.0.1:0", "--json", "--data-dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(ready["http"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        assert!(ready["addresses"][0].as_str().unwrap().contains("/ws/p2p/"));
        ids.push(ready["peer_id"].clone());
        let told = std::time::Instant::now();
        assert!(Command::new("kill").args(["-TERM", &program.id().to_string()]).status().unwrap().success());
        assert_eq!(program.wait().unwrap().code(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(ids[0], ids[1]);
}
