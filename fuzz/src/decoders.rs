//! Decoders: what is read is sound and reads the same when it is written again, the rest is refused.

use std::collections::BTreeMap;
use std::fmt::Debug;

use overlay::id::{BlobId, Hash, PackageId, PeerId, ServiceId, SessionId};
use overlay::io::{Lane, Role};
use overlay::manifest::{self, Manifest, StateKind};
use overlay::registry::{
    Genesis, HostRecord, NickRecord, Rating, RatingRecord, ServiceRecord, Succession, Validated,
};
use overlay::time::{Millis, Time};
use overlay::transfer::BulkMessage;
use overlay::wire::{
    self, ClientBody, ClientFrame, Control, GroupBody, GroupFrame, Hello, ServerBody, ServerFrame,
    SessionFrame,
};
use serde_bytes::ByteBuf;

/// What decodes, is written and decodes again to the same.
fn again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let message: T = wire::decode(bytes).ok()?;
    assert_eq!(wire::decode::<T>(&wire::encode(&message)).as_ref(), Ok(&message));
    Some(message)
}

/// Every kind of frame between nodes; the first byte is the version.
pub fn wire(bytes: &[u8]) {
    let framed = [&[wire::WIRE_VERSION], bytes].concat();
    if let Some(control) = again::<Control>(&framed) {
        let _ = control.check();
    }
    again::<GroupFrame>(&framed);
    again::<SessionFrame>(&framed);
    for (lane, other) in [(Lane::Session, Lane::Datagram), (Lane::Datagram, Lane::Session)] {
        if let Ok(message) = SessionFrame::decode(lane, &framed) {
            assert_eq!(message.lane(), lane);
            assert!(SessionFrame::decode(other, &framed).is_err(), "on both lanes");
        }
    }
    let _ = SessionFrame::decode(Lane::Session, bytes);
}

pub fn wire_seeds() -> Vec<Vec<u8>> {
    let (service, session) = (ServiceId(Hash([7; 32])), SessionId(9));
    let client = |body| SessionFrame::Client(ClientFrame { service, session, ack: 3, body });
    let server =
        |body| SessionFrame::Server(ServerFrame { service, session, epoch: 1, term: 2, ack: 3, body });
    let hello = Hello {
        role: Role::Tab,
        name: "a".into(),
        volunteer: true,
        witness: false,
        capacity: 500,
        busy: 20,
        hosting: vec!["counter@12D3".into()],
        addresses: vec!["/dns4/r/tcp/443/tls/ws".into()],
    };
    let members = BTreeMap::from([(5, wire::Member { peer: PeerId([1; 32]), witness: false })]);
    let start = wire::LogStart { epoch: 1, index: 5, term: 2, members, learners: vec![8] };
    let step = wire::Step::Seed {
        image: BlobId(Hash([1; 32])),
        image_bytes: 9,
        start,
        sealed: false,
        succession: Succession::of(PeerId([1; 32])),
        replica: true,
    };
    let take_over = wire::Step::TakeOver { index: 9, tail: vec![(9, ByteBuf::from([1, 0]))] };
    let reading = Some(wire::Reading { max_age: Millis(400), seen: 7, done: 1 });
    let frames = [
        wire::encode(&Control::Hello(hello)),
        wire::encode(&Control::Peers(vec![PeerId([1; 32])])),
        wire::encode(&Control::Found {
            id: 6,
            records: Vec::new(),
            ratings: vec![(service, Rating { stars: 9, count: 2 })],
        }),
        wire::encode(&Control::Handover { service, id: 4, step }),
        wire::encode(&Control::NoPackage(PackageId(Hash([2; 32])))),
        wire::encode(&client(ClientBody::Query {
            id: 1,
            method: "m".into(),
            body: ByteBuf::from([1]),
            reading,
        })),
        wire::encode(&Control::Handover { service, id: 5, step: take_over }),
        wire::encode(&client(ClientBody::Datagram { seq: 1, body: ByteBuf::from([1, 2]) })),
        wire::encode(&server(ServerBody::Prepare { next: PeerId([1; 32]) })),
        wire::encode(&server(ServerBody::Datagram { from: 1, seq: 2, body: ByteBuf::from([3]) })),
        wire::encode(&GroupFrame { service, epoch: 1, body: GroupBody::Raft(ByteBuf::from([8, 1])) }),
    ];
    frames.into_iter().map(|frame| frame[1..].to_vec()).collect()
}

/// Messages of the bulk lane.
pub fn transfer(bytes: &[u8]) {
    if let Ok(message) = BulkMessage::decode(bytes) {
        assert_eq!(BulkMessage::decode(&message.encode()), Ok(message));
    }
}

pub fn transfer_seeds() -> Vec<Vec<u8>> {
    let blob = BlobId(Hash([1; 32]));
    let messages = [
        BulkMessage::GetBlob { blob },
        BulkMessage::BlobMeta { blob, size: 70_000, chunks: vec![Hash([2; 32]), Hash([3; 32])] },
        BulkMessage::Chunk { blob, index: 0, bytes: vec![9; 10] },
    ];
    messages.iter().map(BulkMessage::encode).collect()
}

/// Records of the DHT and of relays' indexes. Nobody has the keys: whatever is accepted is one of the seeds.
pub fn records(bytes: &[u8]) {
    if let Ok(record) = Validated::decode(bytes) {
        assert!(record_seeds().iter().any(|seed| seed == bytes), "forged: {record:?}");
        let _ = (record.key(), record.expires(), record.sequence());
    }
}

pub fn record_seeds() -> Vec<Vec<u8>> {
    let secret = [7; 32];
    let (now, me) = (Time(1_700_000_000_000), crate::node::peer_of(secret));
    let service = ServiceRecord {
        name: "counter".into(),
        publisher: me,
        sequence: now.0,
        package: PackageId(Hash([1; 32])),
        version: "1.0.0".into(),
        description: "counts".into(),
        tags: vec!["example".into()],
        state: StateKind::Single,
        location: Some((52.52, 13.4)),
        has_ui: true,
        url: None,
        hosts: manifest::Permit::Anyone,
        genesis: Genesis { host: me, machine_version: 1 },
        created: now,
        expires: now + overlay::registry::SERVICE_LIFETIME,
        withdrawn: false,
    };
    let host = HostRecord {
        service: service.service(),
        epoch: 1,
        term: 2,
        host: me,
        succession: Succession::of(me),
        members: vec![me],
        addresses: vec!["/dns4/example.org/tcp/443/wss".into()],
        sequence: now.0,
        created: now,
        expires: now + overlay::registry::HOST_LIFETIME,
    };
    let nick = NickRecord {
        nick: "Zoe".into(),
        peer: me,
        profile: "a line".into(),
        addresses: Vec::new(),
        sequence: now.0,
        created: now,
        expires: now + overlay::registry::NICK_LIFETIME,
        withdrawn: false,
    };
    let rating = RatingRecord {
        service: service.service(),
        rater: me,
        stars: 4,
        sequence: now.0,
        created: now,
        expires: now + overlay::registry::RATING_LIFETIME,
    };
    let external = ServiceRecord {
        name: "weather".into(),
        state: StateKind::None,
        url: Some("https://api.example.org/v1".into()),
        ..service.clone()
    };
    let records = [
        service.encode(&secret),
        host.encode(&secret),
        nick.encode(&secret),
        rating.encode(&secret),
        external.encode(&secret),
    ];
    records.into_iter().flatten().collect()
}

/// A manifest as its author writes it, and as a peer sends it.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse_author(bytes) {
        let _ = manifest::limits(&manifest);
        let module = manifest::file_ref(if manifest.url.is_some() { b"" } else { b"module" });
        let url = manifest.url.as_deref();
        assert!(
            url.is_none_or(|url| manifest::address(url).is_ok_and(|address| url.starts_with(address.origin)))
        );
        if let Ok((json, signature, package)) = manifest::sign(&manifest, module, BTreeMap::new(), &[7; 32]) {
            assert_eq!(manifest::verify(&json, &signature).as_ref(), Ok(&package));
        }
    }
    let (json, signature) = bytes.split_at(bytes.len().saturating_sub(64));
    if let Ok(signature) = signature.try_into() {
        assert!(manifest::verify(json, signature).is_err(), "forged");
    }
}

pub fn manifest_seeds() -> Vec<Vec<u8>> {
    vec![
        br#"{"name":"a","version":"1.0.0","engine":"wasm","state":"none","interface":{}}"#.to_vec(),
        br#"{"format":1,"abi":1,"name":"counter","version":"1.0.0","description":"counts","tags":["example"],
            "engine":"wasm","state":"replicated-3","access":"anyone","hosts":"anyone",
            "interface":{"add":{"body":{"type":"integer"}},"read":{"readOnly":true}},
            "requires":{"memoryMiB":16,"gasPerSecond":50000000,"storageMiB":1},"qos":{"responseMs":200},
            "permissions":{"call":["kv"],"datagrams":true},"location":[52.52,13.4]}"#
            .to_vec(),
        br#"{"name":"weather","version":"1.0.0","engine":"url","url":"https://api.example.org/v1","state":"none",
            "interface":{"now":{"readOnly":true,"reply":{}}}}"#
            .to_vec(),
    ]
}

/// A service's packed state, with an honest size before it or a lie.
pub fn image(bytes: &[u8]) {
    const MEMORY: u64 = 1 << 20;
    let unpack = |packed: &[u8]| overlay::instance::Image::unpack(packed, 5, MEMORY, 0);
    for packed in [bytes.to_vec(), [&(4 * bytes.len() as u32).to_le_bytes(), bytes].concat()] {
        if let Ok(image) = unpack(&packed) {
            assert!(unpack(&image.pack().0).is_ok());
        }
    }
}

/// Modules: refused by name, or instrumented the same way each time.
pub fn instrument(bytes: &[u8]) {
    let limits = ::instrument::Limits { memory_pages: 64 };
    for module in [bytes.to_vec(), [b"\0asm\x01\0\0\0", bytes].concat()] {
        let _ = ::instrument::inspect(&module);
        if let Ok(out) = ::instrument::instrument(&module, &limits) {
            assert_eq!(::instrument::instrument(&module, &limits).as_ref(), Ok(&out));
        }
    }
}

/// The sections of `(module (import "host" "input" (func (param i32))) (memory (export "memory") 1)
/// (func (export "handle") (param i32 i32 i32) (result i32) (i32.const 0)))`.
pub fn module_seeds() -> Vec<Vec<u8>> {
    let mut sections = vec![1, 12, 2, 0x60, 1, 0x7f, 0, 0x60, 3, 0x7f, 0x7f, 0x7f, 1, 0x7f];
    sections.extend(b"\x02\x0e\x01\x04host\x05input\x00\x00");
    sections.extend([3, 2, 1, 1, 5, 3, 1, 0, 1]);
    sections.extend(b"\x07\x13\x02\x06memory\x02\x00\x06handle\x00\x01");
    sections.extend([10, 6, 1, 4, 0, 0x41, 0, 0x0b]);
    vec![sections]
}

/// A signal, a frame and a session description.
pub fn webrtc_seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x08\x00\x12\x05v=0\r\n".to_vec(),
        b"\x08\x03\x12\x01x\x18\x80\x80\x04".to_vec(),
        b"v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 AA\r\n".to_vec(),
        b"\x02datagram".to_vec(),
    ]
}
