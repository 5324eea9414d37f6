//! Counter, registers and queues, as one that never fails would answer.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a client asks. Objects are named by a key; values are numbers, best unique ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Call {
    /// Adds one to the counter; the answer is the new total.
    Add,
    /// Sets a register. No answer.
    Write {
        /// Which.
        key: String,
        /// To what.
        value: u64,
    },
    /// Sets a register if it holds `from` (`null`: nothing yet); the answer is whether it did.
    Cas {
        /// Which.
        key: String,
        /// What it must hold.
        from: Option<u64>,
        /// To what.
        to: u64,
    },
    /// What a register holds, or `null`.
    Read {
        /// Which.
        key: String,
    },
    /// Puts a value at a queue's end. No answer.
    Enqueue {
        /// Which.
        key: String,
        /// What.
        value: u64,
    },
    /// Takes the first value of a queue; `null` when it is empty.
    Dequeue {
        /// Which.
        key: String,
    },
    /// The ids of all calls that were executed, in their order. Asked last, when nothing else is under way.
    Journal,
}

/// The state of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// The counter's total.
    Counter(u64),
    /// A register's value.
    Register(Option<u64>),
    /// A queue's values.
    Queue(VecDeque<u64>),
}

impl Call {
    /// The object that it concerns; none for what concerns all.
    pub fn object(&self) -> Option<String> {
        match self {
            Call::Add => Some("the counter".to_owned()),
            Call::Write { key, .. } | Call::Cas { key, .. } | Call::Read { key } => {
                Some(format!("register {key}"))
            }
            Call::Enqueue { key, .. } | Call::Dequeue { key } => Some(format!("queue {key}")),
            Call::Journal => None,
        }
    }

    /// Its object as it is made.
    pub fn initial(&self) -> State {
        match self {
            Call::Add | Call::Journal => State::Counter(0),
            Call::Write { .. } | Call::Cas { .. } | Call::Read { .. } => State::Register(None),
            Call::Enqueue { .. } | Call::Dequeue { .. } => State::Queue(VecDeque::new()),
        }
    }

    /// Can it answer this at all.
    pub fn understands(&self, result: &Value) -> bool {
        match self {
            Call::Add => result.is_u64(),
            Call::Write { .. } | Call::Enqueue { .. } => result.is_null(),
            Call::Cas { .. } => result.is_boolean(),
            Call::Read { .. } | Call::Dequeue { .. } => result.is_null() || result.is_u64(),
            Call::Journal => result.as_array().is_some_and(|ids| ids.iter().all(Value::is_u64)),
        }
    }

    /// Does it leave its object as it is, whatever it answers.
    pub fn only_looks(&self) -> bool {
        matches!(self, Call::Read { .. } | Call::Journal)
    }

    /// The state after it, or `None` if `result` is not what it answers then. Without `result` any answer is right.
    pub fn apply(&self, state: &State, result: Option<&Value>) -> Option<State> {
        let (next, answer) = self.execute(state)?;
        result.is_none_or(|result| *result == answer).then_some(next)
    }

    /// Executes it: the state after it, and its answer. `None` if it does not concern such an object.
    pub fn execute(&self, state: &State) -> Option<(State, Value)> {
        let number = |value: Option<u64>| value.map_or(Value::Null, Value::from);
        Some(match (self, state) {
            (Call::Add, State::Counter(total)) => (State::Counter(total + 1), Value::from(total + 1)),
            (Call::Write { value, .. }, State::Register(_)) => (State::Register(Some(*value)), Value::Null),
            (Call::Cas { from, to, .. }, State::Register(held)) => {
                let matches = from == held;
                (State::Register(if matches { Some(*to) } else { *held }), Value::Bool(matches))
            }
            (Call::Read { .. }, State::Register(held)) => (State::Register(*held), number(*held)),
            (Call::Enqueue { value, .. }, State::Queue(values)) => {
                let mut values = values.clone();
                values.push_back(*value);
                (State::Queue(values), Value::Null)
            }
            (Call::Dequeue { .. }, State::Queue(values)) => {
                let mut values = values.clone();
                let first = values.pop_front();
                (State::Queue(values), number(first))
            }
            _ => return None,
        })
    }
}
