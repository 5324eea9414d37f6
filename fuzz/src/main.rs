//! Runs one target for long over mutations of its seeds and its corpus: `fuzz TARGET SECONDS CORPUS`. What breaks it is
//! kept in CORPUS. `cargo xtask fuzz` starts it.

use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use fuzz::mutate::{mutated, Numbers};

/// Mutations of mutations before it begins with a seed again.
const GENERATIONS: usize = 32;

fn main() -> Result<()> {
    let usage = || Error::other("fuzz TARGET SECONDS CORPUS");
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, seconds, corpus] = &args[..] else { return Err(usage()) };
    let target = fuzz::target(name).ok_or_else(usage)?;
    let limit = Duration::from_secs(seconds.parse().map_err(|_| usage())?);
    let corpus = PathBuf::from(corpus);
    let mut begin = (target.seeds)();
    begin.push(Vec::new());
    for file in fs::read_dir(&corpus).into_iter().flatten() {
        begin.push(fs::read(file?.path())?);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut numbers, start, mut runs) = (Numbers::new(now.as_nanos() as u64), Instant::now(), 0u64);
    while start.elapsed() < limit {
        let mut bytes = begin[numbers.below(begin.len())].clone();
        for _ in 0..GENERATIONS {
            bytes = mutated(&bytes, &mut numbers);
            runs += 1;
            if std::panic::catch_unwind(|| (target.run)(&bytes)).is_err() {
                fs::create_dir_all(&corpus)?;
                let file = corpus.join(format!("broken-{}", now.as_secs()));
                fs::write(&file, &bytes)?;
                return Err(Error::other(format!("{name} broke: {}", file.display())));
            }
        }
    }
    println!("{name}: {runs} runs in {} s, none broke it", limit.as_secs());
    Ok(())
}
