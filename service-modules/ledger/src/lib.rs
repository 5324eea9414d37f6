//! A service for tests: a counter, registers and queues whose answers are checked afterwards (`simulator check`), and a journal of all
//! calls that were executed. A body is words between single spaces; values are whole numbers, replies JSON.
//!
//! | method | body | reply |
//! |---|---|---|
//! | `add` | ID | the new total |
//! | `write` | ID KEY VALUE | `null` |
//! | `cas` | ID KEY FROM TO; FROM is `null` for a register that was never written | whether it held FROM, and now holds TO |
//! | `read` | KEY as a query, ID KEY as a call | the value or `null` |
//! | `enqueue` | ID KEY VALUE | `null` |
//! | `dequeue` | ID KEY | the first value, or `null` |
//! | `journal` | FROM | ids of executed calls in their order, at most 10,000, without the first FROM |

use std::collections::{BTreeMap, VecDeque};

use service_sdk::{export_service, Cx, Error, Service, SessionId};

/// The most ids of one reply: below the limit of a reply's bytes.
const MAX_LISTED: usize = 10_000;

/// All of it lies in memory.
#[derive(Debug, Default)]
pub struct Ledger {
    total: u64,
    registers: BTreeMap<String, u64>,
    queues: BTreeMap<String, VecDeque<u64>>,
    journal: Vec<u64>,
}

impl Service for Ledger {
    fn call(&mut self, cx: &mut Cx, session: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        if method == "journal" {
            return self.query(cx, session, method, body);
        }
        let text = std::str::from_utf8(body).unwrap_or_default();
        let words: Vec<&str> = text.split(' ').collect();
        let (id, rest) = words.split_first().ok_or("the body is empty")?;
        let id = number(id)?;
        let reply = match (method, rest) {
            ("add", []) => {
                self.total += 1;
                self.total.to_string()
            }
            ("write", [key, value]) => {
                self.registers.insert((*key).to_owned(), number(value)?);
                "null".to_owned()
            }
            ("cas", [key, from, to]) => {
                let from = if *from == "null" { None } else { Some(number(from)?) };
                let to = number(to)?;
                let matches = self.registers.get(*key).copied() == from;
                if matches {
                    self.registers.insert((*key).to_owned(), to);
                }
                matches.to_string()
            }
            ("read", [key]) => json(self.registers.get(*key).copied()),
            ("enqueue", [key, value]) => {
                let value = number(value)?;
                self.queues.entry((*key).to_owned()).or_default().push_back(value);
                "null".to_owned()
            }
            ("dequeue", [key]) => json(self.queues.get_mut(*key).and_then(VecDeque::pop_front)),
            _ => return Err(Error::unknown_method(method)),
        };
        self.journal.push(id);
        Ok(reply.into_bytes())
    }

    fn query(&self, _: &mut Cx, _: SessionId, method: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        match method {
            "read" => Ok(json(self.registers.get(text).copied()).into_bytes()),
            "journal" => {
                let from = usize::try_from(number(text)?).unwrap_or(usize::MAX);
                let ids = self.journal.iter().skip(from).take(MAX_LISTED).map(u64::to_string);
                Ok(format!("[{}]", ids.collect::<Vec<_>>().join(",")).into_bytes())
            }
            _ => Err(Error::unknown_method(method)),
        }
    }
}

fn number(word: &str) -> Result<u64, Error> {
    word.parse().map_err(|_| "an id or value must be a whole number".into())
}

fn json(value: Option<u64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

export_service!(Ledger);

#[cfg(test)]
mod tests {
    use super::*;
    use service_sdk::testing::Harness;

    #[test]
    fn answers_and_journals() {
        let mut ledger = Harness::<Ledger>::new();
        let session = ledger.open(1, [1; 32]);
        for (method, body, reply) in [
            ("add", "1", "1"),
            ("cas", "2 r null 5", "true"),
            ("cas", "3 r null 6", "false"),
            ("write", "4 r 7", "null"),
            ("read", "5 r", "7"),
            ("dequeue", "6 q", "null"),
            ("enqueue", "7 q 1", "null"),
            ("enqueue", "8 q 2", "null"),
            ("dequeue", "9 q", "1"),
            ("add", "10", "2"),
        ] {
            assert_eq!(
                ledger.call(session, method, body.as_bytes()),
                Ok(reply.as_bytes().to_vec()),
                "{method} {body}"
            );
        }
        assert_eq!(ledger.query(session, "read", b"r"), Ok(b"7".to_vec()));
        assert_eq!(ledger.query(session, "read", b"s"), Ok(b"null".to_vec()));
        assert_eq!(ledger.query(session, "journal", b"7"), Ok(b"[8,9,10]".to_vec()));
        for body in ["", "x", "1 r", "1 r x", "1  r 5"] {
            assert!(ledger.call(session, "write", body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(ledger.call(session, "journal", b"0"), Ok(b"[1,2,3,4,5,6,7,8,9,10]".to_vec()));
    }
}
