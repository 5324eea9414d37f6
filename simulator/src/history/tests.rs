use super::*;
use model::Call;
use serde_json::{json, Value};

/// A client's call: client, begin, end (0: it never heard), what, answer.
type Row = (&'static str, Micros, Micros, Call, Value);

fn history(rows: &[Row]) -> History {
    let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
    let operation = |(client, invoke, end, call, result): &Row| {
        let number = numbers.entry(client).or_default();
        *number += 1;
        Operation {
            client: (*client).to_owned(),
            number: *number,
            id: None,
            call: call.clone(),
            invoke: *invoke,
            returned: (*end > 0).then_some(*end),
            outcome: if *end > 0 { Outcome::Ok } else { Outcome::Unknown },
            result: result.clone(),
        }
    };
    History { header: Header::default(), operations: rows.iter().map(operation).collect() }
}

fn write(value: u64) -> Call {
    Call::Write { key: "r".into(), value }
}

fn read() -> Call {
    Call::Read { key: "r".into() }
}

fn cas(from: Option<u64>, to: u64) -> Call {
    Call::Cas { key: "r".into(), from, to }
}

fn enqueue(value: u64) -> Call {
    Call::Enqueue { key: "q".into(), value }
}

fn dequeue() -> Call {
    Call::Dequeue { key: "q".into() }
}

fn is_good(rows: &[Row]) -> bool {
    check(&history(rows)).is_good()
}

#[test]
fn what_overlaps_may_be_seen_in_any_order_what_ended_must_be_seen() {
    let (none, one) = (Value::Null, json!(1));
    let overlapping = |first: &Value, second: &Value| {
        is_good(&[
            ("a", 0, 50, write(1), Value::Null),
            ("b", 10, 20, read(), first.clone()),
            ("b", 30, 40, read(), second.clone()),
        ])
    };
    assert!(overlapping(&none, &none) && overlapping(&none, &one) && overlapping(&one, &one));
    assert!(!overlapping(&one, &none), "a value that was seen does not vanish");
    assert!(!is_good(&[("a", 0, 5, write(1), Value::Null), ("b", 10, 20, read(), none)]), "a stale read");
}

#[test]
fn unknown_operations_may_have_happened_at_any_later_time_or_never() {
    for seen in [Value::Null, json!(1)] {
        assert!(is_good(&[("a", 0, 0, write(1), Value::Null), ("b", 90, 99, read(), seen)]));
    }
    assert!(!is_good(&[("b", 10, 20, read(), json!(1)), ("a", 30, 0, write(1), Value::Null)]));
    let late = [
        ("a", 0, 0, write(1), Value::Null),
        ("b", 10, 20, read(), Value::Null),
        ("b", 30, 40, read(), json!(1)),
    ];
    assert!(is_good(&late));
    let twice = [&late[..], &[("b", 50, 60, cas(None, 3), json!(true))]].concat();
    assert!(!is_good(&twice), "nothing makes the register empty again");
}

#[test]
fn only_one_of_two_exchanges_succeeds() {
    let row = |client, result| (client, 0, 10, cas(None, 1), json!(result));
    assert!(is_good(&[row("a", true), row("b", false)]));
    assert!(!is_good(&[row("a", true), row("b", true)]));
    assert!(!is_good(&[row("a", false), row("b", false)]));
}

#[test]
fn a_queue_gives_each_value_once_and_in_order() {
    let taken = |one: u64, two: u64| {
        is_good(&[
            ("a", 0, 5, enqueue(1), Value::Null),
            ("a", 6, 9, enqueue(2), Value::Null),
            ("b", 10, 15, dequeue(), json!(one)),
            ("c", 20, 25, dequeue(), json!(two)),
        ])
    };
    assert!(taken(1, 2));
    assert!(!taken(2, 1) && !taken(1, 1) && !taken(1, 3));
    assert!(!is_good(&[("a", 0, 5, enqueue(1), Value::Null), ("b", 10, 15, dequeue(), Value::Null)]), "lost");
}

#[test]
fn a_counter_with_a_gap_needs_somebody_who_may_have_counted() {
    let counted = [("a", 0, 5, Call::Add, json!(1)), ("a", 20, 25, Call::Add, json!(3))];
    assert!(!is_good(&counted));
    let with = |begin| [&counted[..], &[("b", begin, 0, Call::Add, Value::Null)]].concat();
    assert!(is_good(&with(10)));
    assert!(!is_good(&with(30)), "it was not asked yet");
}

/// Thousands of operations, hundreds of them under way at once, dozens of unknown outcome.
#[test]
fn long_histories_are_checked_in_no_time() {
    let mut rows: Vec<Row> = Vec::new();
    for n in 0..20_000 {
        rows.push(("a", n * 10, n * 10 + 3_000, Call::Add, json!(n + 1)));
        if n % 400 == 0 {
            rows.push(("b", n * 10, 0, write(n), Value::Null));
        }
        rows.push(("c", n * 10 + 1, n * 10 + 2, enqueue(n), Value::Null));
        rows.push(("d", n * 10 + 3, n * 10 + 30, dequeue(), json!(n)));
    }
    assert!(is_good(&rows));
    rows.push(("e", 100_000, 100_001, dequeue(), json!(7)));
    let verdict = check(&history(&rows));
    assert_eq!((verdict.violations.len(), verdict.undecided.len()), (1, 0), "{verdict}");
}

#[test]
fn the_journal_names_what_was_executed_twice_lost_invented_or_out_of_order() {
    let journal = |ids: &[u64]| {
        let add = |total: u64| ("a", 10 * total, 10 * total + 5, Call::Add, json!(total));
        let mut history = history(&[add(1), add(2), add(3), ("a", 90, 95, Call::Journal, json!(ids))]);
        history.operations.iter_mut().zip(11..14).for_each(|(op, id)| op.id = Some(id));
        check(&history)
            .violations
            .into_iter()
            .map(|line| line.split(" (Add)").last().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(journal(&[11, 12, 13]).is_empty());
    assert_eq!(journal(&[11, 12, 12, 13]), [" was executed twice"]);
    assert_eq!(journal(&[11, 13]), [" was acknowledged, but is lost"]);
    assert_eq!(journal(&[11, 13, 12]), [" was executed after call 3 of its session"]);
    assert_eq!(journal(&[11, 12, 13, 14]), ["call 14 was executed, but nobody made it"]);
}

#[test]
fn lines_are_read_as_they_were_written_and_nonsense_is_refused_by_line() {
    let mut rows = history(&[("a", 1, 2, write(1), Value::Null), ("b", 3, 0, cas(None, 2), Value::Null)]);
    rows.operations[0].id = Some(5);
    let text = rows.to_lines().unwrap();
    assert_eq!(text.parse::<History>().unwrap(), rows);
    let first = r#"{"client":"a","number":1,"op":"add","invoke":5,"#;
    for (line, reason) in [
        (format!(r#"{first}"return":4,"outcome":"ok","result":1}}"#), "before it was invoked"),
        (format!(r#"{first}"outcome":"ok","result":1}}"#), "never returned"),
        (format!(r#"{first}"return":9,"outcome":"ok","result":"x"}}"#), "none of that operation"),
        (format!(r#"{first}"return":9,"outcome":"perhaps"}}"#), "perhaps"),
        ("{".to_owned(), "EOF"),
    ] {
        let error = format!("\n{line}").parse::<History>().unwrap_err();
        assert!(error.line == 2 && error.reason.contains(reason), "{error}");
    }
}
