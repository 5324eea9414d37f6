//! Runs and their outcomes as bytes between page and worker; the layout is in `web-peer/sandbox/README.md`.
//!
//! The worker's script is ours, but a guest shares its thread: what comes back is read with every length checked.

use overlay::sandbox::{Effect, GuestEvent, Outcome};

/// What a worker answers to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The run's number.
    pub run: u64,
    /// How it went.
    pub outcome: Outcome,
    /// Pages of the instance's memory as the event left it.
    pub pages: u32,
}

/// An answer that cannot be read; the instance is then not to be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Appends one run to a message.
pub fn write_run(run: u64, event: &GuestEvent, out: &mut Vec<u8>) {
    out.reserve(66 + event.input.len());
    out.extend_from_slice(&run.to_le_bytes());
    out.push(event.kind as u8);
    out.extend_from_slice(&event.session.to_le_bytes());
    out.extend_from_slice(&(event.now_ms as f64).to_le_bytes());
    out.extend_from_slice(&event.seed.to_le_bytes());
    match &event.consumer {
        Some(consumer) => {
            out.push(1);
            out.extend_from_slice(&consumer.0);
        }
        None => out.push(0),
    }
    out.extend_from_slice(&(event.input.len() as u32).to_le_bytes());
    out.extend_from_slice(&event.input);
}

/// Reads the next answer of a message and advances it; `None` at its end.
pub fn read_answer(message: &mut &[u8]) -> Option<Result<Answer, Malformed>> {
    (!message.is_empty()).then(|| answer(message).ok_or(Malformed))
}

fn answer(from: &mut &[u8]) -> Option<Answer> {
    let run = u64::from_le_bytes(array(from)?);
    let outcome = u32(from)?;
    let gas = f64::from_le_bytes(array(from)?) as u64;
    let (count, length, reply, pages) = (u32(from)? as usize, u32(from)?, u32(from)?, u32(from)?);
    let mut encoded = take(from, length)?;
    let reply = take(from, reply)?.to_vec();
    // Each effect has at least five bytes: a count beyond that is a lie.
    if count > encoded.len() / 5 {
        return None;
    }
    let mut effects = Vec::with_capacity(count);
    for _ in 0..count {
        effects.push(effect(&mut encoded)?);
    }
    if !encoded.is_empty() {
        return None;
    }
    let outcome = match outcome {
        0 => Outcome::Done { reply, effects, gas },
        1 => Outcome::Failed { reply, effects, gas },
        2 => Outcome::Trapped { reason: String::from_utf8_lossy(&reply).into_owned() },
        _ => return None,
    };
    Some(Answer { run, outcome, pages })
}

fn effect(from: &mut &[u8]) -> Option<Effect> {
    let [kind] = array(from)?;
    Some(match kind {
        1 => Effect::Send { session: u32(from)?, bytes: bytes(from)? },
        2 => Effect::Close { session: u32(from)? },
        3 => Effect::Join { session: u32(from)?, room: u32(from)? },
        4 => Effect::Leave { session: u32(from)?, room: u32(from)? },
        5 => Effect::Broadcast { room: u32(from)?, bytes: bytes(from)? },
        6 => Effect::Timer { id: u32(from)?, ms: i64::from(u32(from)? as i32) },
        7 => Effect::Call { request: u32(from)?, service: text(from)?, input: bytes(from)? },
        8 => {
            let [level] = array(from)?;
            Effect::Log { level, text: text(from)? }
        }
        _ => return None,
    })
}

fn text(from: &mut &[u8]) -> Option<String> {
    let length = u32(from)?;
    Some(String::from_utf8_lossy(take(from, length)?).into_owned())
}

fn bytes(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = u32(from)?;
    Some(take(from, length)?.to_vec())
}

fn u32(from: &mut &[u8]) -> Option<u32> {
    array(from).map(u32::from_le_bytes)
}

fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*array)
}

fn take<'a>(from: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (bytes, rest) = from.split_at_checked(length as usize)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use overlay::id::PeerId;
    use overlay::sandbox::EventKind;

    /// An answer as the worker writes it.
    fn encode(run: u64, outcome: u32, effects: &[&[u8]], reply: &[u8]) -> Vec<u8> {
        let effect_bytes = effects.concat();
        let counts =
            [effects.len(), effect_bytes.len(), reply.len()].map(|count| (count as u32).to_le_bytes());
        let head = [&run.to_le_bytes()[..], &outcome.to_le_bytes(), &12.0f64.to_le_bytes()].concat();
        [head, counts.concat(), 17u32.to_le_bytes().to_vec(), effect_bytes, reply.to_vec()].concat()
    }

    fn read_all(mut message: &[u8]) -> Vec<Result<Answer, Malformed>> {
        let mut answers = Vec::new();
        while let Some(answer) = read_answer(&mut message) {
            let malformed = answer.is_err();
            answers.push(answer);
            if malformed {
                break;
            }
        }
        answers
    }

    #[test]
    fn a_run_is_what_the_worker_reads() {
        let event = GuestEvent {
            kind: EventKind::Call,
            session: 7,
            now_ms: 1_000,
            seed: 9,
            consumer: Some(PeerId([5; 32])),
            input: b"in".to_vec(),
        };
        let mut out = Vec::new();
        write_run(258, &event, &mut out);
        let head =
            [&258u64.to_le_bytes()[..], &[3, 7, 0, 0, 0], &1_000f64.to_le_bytes(), &9u64.to_le_bytes()]
                .concat();
        assert_eq!(out, [head, [&[1u8][..], &[5; 32]].concat(), b"\x02\0\0\0in".to_vec()].concat());
        out.clear();
        write_run(0, &GuestEvent { consumer: None, ..event }, &mut out);
        assert_eq!(out.len(), 36);
    }

    #[test]
    fn answers_with_effects_are_read() {
        let effects: [&[u8]; 8] = [
            b"\x01\x04\0\0\0\x02\0\0\0hi",
            b"\x02\x04\0\0\0",
            b"\x03\x04\0\0\0\x09\0\0\0",
            b"\x04\x04\0\0\0\x09\0\0\0",
            b"\x05\x09\0\0\0\0\0\0\0",
            b"\x06\x01\0\0\0\xff\xff\xff\xff",
            b"\x07\x01\0\0\0\x02\0\0\0kv\x01\0\0\0x",
            b"\x08\x02\x03\0\0\0log",
        ];
        let message = [encode(1, 0, &effects, b"ok"), encode(2, 2, &[], b"out of gas")].concat();
        let effects = vec![
            Effect::Send { session: 4, bytes: b"hi".to_vec() },
            Effect::Close { session: 4 },
            Effect::Join { session: 4, room: 9 },
            Effect::Leave { session: 4, room: 9 },
            Effect::Broadcast { room: 9, bytes: Vec::new() },
            Effect::Timer { id: 1, ms: -1 },
            Effect::Call { request: 1, service: "kv".into(), input: b"x".to_vec() },
            Effect::Log { level: 2, text: "log".into() },
        ];
        let wanted = [
            Ok(Answer {
                run: 1,
                outcome: Outcome::Done { reply: b"ok".to_vec(), effects, gas: 12 },
                pages: 17,
            }),
            Ok(Answer { run: 2, outcome: Outcome::Trapped { reason: "out of gas".into() }, pages: 17 }),
        ];
        assert_eq!(read_all(&message), wanted);
    }

    #[test]
    fn malformed_answers_are_told() {
        let good = encode(1, 1, &[b"\x02\x04\0\0\0"], b"no");
        assert!(read_all(&good)[0].is_ok());
        for cut in 1..good.len() {
            assert_eq!(read_all(&good[..cut]), [Err(Malformed)], "{cut}");
        }
        assert_eq!(read_all(&encode(1, 3, &[], b"")), [Err(Malformed)]);
        assert_eq!(read_all(&encode(1, 0, &[b"\x09\0\0\0\0"], b"")), [Err(Malformed)]);
        assert_eq!(read_all(&encode(1, 0, &[b"\x02\x04\0\0\0\0"], b"")), [Err(Malformed)]);
        let mut many = encode(1, 0, &[], b"");
        many[20..24].fill(0xff);
        assert_eq!(read_all(&many), [Err(Malformed)]);
    }
}
