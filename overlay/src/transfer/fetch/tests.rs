//! Scenarios of a fetch: honest, slow, missing, lying and vanishing providers.

use super::provider::MAX_WINDOW;
use super::requests::MAX_SEARCHES;
use super::*;
use crate::time::Millis;
use crate::transfer::{blob_id, Sharing};
use proptest::prelude::*;

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn content(chunks: usize) -> Vec<u8> {
    (0..chunks * CHUNK - 17).map(|n| (n / 1000) as u8 ^ (n % 251) as u8).collect()
}

fn store(bytes: &[u8]) -> ChunkStore {
    let mut store = ChunkStore::new(1 << 24);
    store.insert(bytes, Sharing::Public, true).unwrap();
    store
}

fn events(fetch: &mut Fetch) -> Vec<FetchEvent> {
    std::iter::from_fn(|| fetch.poll_event()).collect()
}

#[test]
fn many_providers_share_the_work() {
    let bytes = content(40);
    let mut from = store(&bytes);
    let mut fetch = Fetch::new(blob_id(&bytes), 1 << 24, (1..5).map(peer), Time(0));
    let mut served: BTreeMap<PeerId, u32> = BTreeMap::new();
    let mut now = Time(0);
    while fetch.result().is_none() {
        now = now + Millis(10);
        for (to, request) in fetch.poll(now) {
            *served.entry(to).or_default() += 1;
            fetch.on_message(now, to, from.serve(&request, |_| false).unwrap());
        }
    }
    assert_eq!(served.len(), 4);
    assert!(served.values().all(|count| *count >= 9), "{served:?}");
    assert_eq!(
        fetch.progress(),
        Progress { received: bytes.len() as u64, size: Some(bytes.len() as u64), providers: 4 }
    );
    assert_eq!(fetch.take(), Some(Ok(bytes)));
}

#[test]
fn the_window_bounds_what_is_in_flight() {
    let bytes = content(100);
    let mut from = store(&bytes);
    let mut fetch = Fetch::new(blob_id(&bytes), 1 << 24, [peer(1)], Time(0));
    let mut now = Time(0);
    let mut most = 0;
    while fetch.result().is_none() {
        let requests = fetch.poll(now);
        now = now + Millis(50);
        for (to, request) in requests {
            fetch.on_message(now, to, from.serve(&request, |_| false).unwrap());
        }
        most = most.max(fetch.providers[&peer(1)].window);
    }
    assert_eq!(most, MAX_WINDOW);
}

#[test]
fn a_liar_is_dropped_and_reported_and_the_rest_goes_on() {
    let bytes = content(6);
    let mut honest = store(&bytes);
    let mut fetch = Fetch::new(blob_id(&bytes), 1 << 24, [peer(1), peer(2)], Time(0));
    while fetch.result().is_none() {
        for (to, request) in fetch.poll(Time(1)) {
            let mut answer = honest.serve(&request, |_| false).unwrap();
            if let (true, BulkMessage::Chunk { bytes, .. }) = (to == peer(1), &mut answer) {
                bytes[7] ^= 1;
            }
            fetch.on_message(Time(2), to, answer);
        }
    }
    assert_eq!(events(&mut fetch), [FetchEvent::Lied(peer(1))]);
    assert_eq!(fetch.take(), Some(Ok(bytes)));
}

#[test]
fn a_forged_list_is_a_lie() {
    let bytes = content(2);
    let blob = blob_id(&bytes);
    let hashes = crate::transfer::chunk_hashes(&bytes);
    let forged = [
        (bytes.len() as u64, vec![hashes[0]]),
        (bytes.len() as u64, vec![hashes[1], hashes[0]]),
        (u64::MAX, hashes.clone()),
        (0, hashes),
    ];
    for (size, chunks) in forged {
        let mut fetch = Fetch::new(blob, 1 << 24, [peer(1)], Time(0));
        assert_eq!(fetch.poll(Time(0)), [(peer(1), BulkMessage::GetBlob { blob })]);
        fetch.on_message(Time(1), peer(1), BulkMessage::BlobMeta { blob, size, chunks });
        assert_eq!(events(&mut fetch), [FetchEvent::Lied(peer(1))]);
        fetch.add_providers(Time(2), [peer(1)]);
        assert_eq!(fetch.poll(Time(3)), []);
    }
}

#[test]
fn a_wrong_size_within_the_last_chunk_is_found_at_the_end() {
    let bytes = content(2);
    let mut from = store(&bytes);
    let mut fetch = Fetch::new(blob_id(&bytes), 1 << 24, [peer(1)], Time(0));
    while fetch.result().is_none() {
        for (to, request) in fetch.poll(Time(1)) {
            let mut answer = from.serve(&request, |_| false).unwrap();
            if let BulkMessage::BlobMeta { size, .. } = &mut answer {
                *size += 1;
            }
            fetch.on_message(Time(2), to, answer);
        }
    }
    assert_eq!(events(&mut fetch), [FetchEvent::Lied(peer(1))]);
    assert_eq!(fetch.take(), Some(Ok(bytes)));
}

#[test]
fn too_large_is_refused_before_a_chunk_is_asked_for() {
    let bytes = content(3);
    let mut fetch = Fetch::new(blob_id(&bytes), 2 * CHUNK as u64, [peer(1)], Time(0));
    let asked = fetch.poll(Time(0));
    fetch.on_message(Time(1), peer(1), store(&bytes).serve(&asked[0].1, |_| false).unwrap());
    assert_eq!(fetch.result(), Some(Err(FetchError::TooLarge { cap: 2 * CHUNK as u64 })));
    assert_eq!(fetch.poll(Time(2)), []);
    assert_eq!(fetch.timeout(), None);
}

#[test]
fn time_outs_grow_and_a_scarce_provider_gets_more_attempts() {
    let blob = blob_id(&content(1));
    let attempts = |providers: u8| {
        let mut fetch = Fetch::new(blob, 1 << 24, (1..=providers).map(peer), Time(0));
        let mut asked = Vec::new();
        let mut now = Time(0);
        while fetch.usable() > 0 {
            asked.extend(fetch.poll(now).into_iter().filter(|(to, _)| *to == peer(1)).map(|_| now.0));
            now = fetch.timeout().unwrap();
        }
        asked
    };
    assert_eq!(attempts(1), [0, 2_000, 6_000, 14_000, 30_000, 60_000, 90_000, 120_000]);
    assert_eq!(attempts(4), [0, 2_000]);
}

#[test]
fn when_all_fail_it_asks_for_a_search_and_then_says_who_failed_how() {
    let bytes = content(1);
    let blob = blob_id(&bytes);
    let mut fetch = Fetch::new(blob, 1 << 24, (1..4).map(peer), Time(0));
    assert_eq!(fetch.poll(Time(0)).len(), 3);
    fetch.on_message(Time(1), peer(1), BulkMessage::NotHere { blob });
    fetch.on_message(Time(1), peer(2), BulkMessage::BlobMeta { blob, size: 1, chunks: vec![Hash([0; 32])] });
    fetch.on_disconnected(peer(3));
    let mut now = Time(2);
    let mut searches = 0;
    while fetch.result().is_none() {
        assert_eq!(fetch.poll(now), []);
        let search = events(&mut fetch).contains(&FetchEvent::Rediscover);
        searches += u32::from(search);
        if search {
            fetch.add_providers(now, []);
        }
        now = fetch.timeout().unwrap_or(now);
    }
    assert_eq!(searches, MAX_SEARCHES);
    assert_eq!(fetch.result(), Some(Err(FetchError::NoProviders { missing: 1, late: 1, lied: 1 })));
}

#[test]
fn a_search_that_finds_somebody_goes_on_where_it_was() {
    let bytes = content(3);
    let blob = blob_id(&bytes);
    let mut from = store(&bytes);
    let mut fetch = Fetch::new(blob, 1 << 24, [peer(1)], Time(0));
    let meta = fetch.poll(Time(0));
    fetch.on_message(Time(1), peer(1), from.serve(&meta[0].1, |_| false).unwrap());
    let chunks = fetch.poll(Time(1));
    fetch.on_message(Time(2), peer(1), from.serve(&chunks[0].1, |_| false).unwrap());
    fetch.on_disconnected(peer(1));
    assert_eq!(fetch.poll(Time(3)), []);
    assert_eq!(events(&mut fetch), [FetchEvent::Rediscover]);
    fetch.add_providers(Time(4), [peer(2)]);
    let rest: Vec<_> = fetch.poll(Time(5));
    assert_eq!(rest, [1, 2].map(|index| (peer(2), BulkMessage::GetChunk { blob, index })));
    for (to, request) in rest {
        fetch.on_message(Time(6), to, from.serve(&request, |_| false).unwrap());
    }
    assert_eq!(fetch.take(), Some(Ok(bytes)));
}

#[test]
fn chunks_that_are_here_already_are_not_asked_for() {
    let old = content(3);
    let mut new = old.clone();
    new[CHUNK + 5] ^= 1;
    let (own, mut from) = (store(&old), store(&new));
    let mut fetch = Fetch::new(blob_id(&new), 1 << 24, [peer(1)], Time(0));
    let meta = fetch.poll(Time(0));
    fetch.on_message(Time(1), peer(1), from.serve(&meta[0].1, |_| false).unwrap());
    fetch.fill_from(&own);
    let asked = fetch.poll(Time(1));
    assert_eq!(asked, [(peer(1), BulkMessage::GetChunk { blob: blob_id(&new), index: 1 })]);
    fetch.on_message(Time(2), peer(1), from.serve(&asked[0].1, |_| false).unwrap());
    assert_eq!(fetch.take(), Some(Ok(new)));
}

#[test]
fn an_empty_blob_needs_its_list_only() {
    let blob = blob_id(b"");
    let mut fetch = Fetch::new(blob, 0, [peer(1)], Time(0));
    fetch.poll(Time(0));
    fetch.on_message(Time(1), peer(1), BulkMessage::BlobMeta { blob, size: 0, chunks: Vec::new() });
    assert_eq!(fetch.take(), Some(Ok(Vec::new())));
}

proptest! {
    /// Whatever providers do, a fetch ends with the right bytes or an error, and never panics or spins.
    #[test]
    fn any_behaviour_ends(moves in proptest::collection::vec((0..8u8, 0..3_000u64), 1..200)) {
        let bytes = content(4);
        let blob = blob_id(&bytes);
        let mut from = store(&bytes);
        let mut fetch = Fetch::new(blob, 1 << 20, (1..5).map(peer), Time(0));
        let mut now = Time(0);
        let mut waiting = VecDeque::new();
        for (kind, wait) in moves.into_iter().chain(std::iter::repeat_n((0, 20_000), 100)) {
            now = now + Millis(wait);
            waiting.extend(fetch.poll(now));
            if events(&mut fetch).contains(&FetchEvent::Rediscover) {
                fetch.add_providers(now, [peer(kind), peer(9)]);
            }
            let Some((to, request)) = waiting.pop_front() else { continue };
            let answer = from.serve(&request, |_| false).unwrap();
            match kind {
                0..=2 => fetch.on_message(now, to, answer),
                3 => fetch.on_message(now, to, BulkMessage::NotHere { blob }),
                4 => fetch.on_disconnected(to),
                5 => fetch.on_message(now, to, BulkMessage::Chunk { blob, index: u32::from(kind), bytes: vec![1] }),
                6 => fetch.on_message(now, to, BulkMessage::BlobMeta { blob, size: wait, chunks: Vec::new() }),
                _ => {}
            }
        }
        match fetch.take() {
            Some(Ok(got)) => prop_assert_eq!(got, bytes),
            Some(Err(error)) => prop_assert!(matches!(error, FetchError::NoProviders { .. }), "{}", error),
            None => {}
        }
    }
}
