//! Every target over its seeds, what is kept in its corpus, and mutations of both.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use fuzz::mutate::{mutated, Numbers};
use fuzz::Target;

/// Mutations of each seed. `cargo xtask fuzz` runs for longer.
const MUTATIONS: usize = 150;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let files = fs::read_dir(dir).into_iter().flatten();
    let mut kept: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    kept.sort();
    let kept = kept.into_iter().map(|path| fs::read(path).unwrap());
    (target.seeds)().into_iter().chain(kept).collect()
}

/// Runs the target; a panic names the bytes.
fn survives(target: &Target, bytes: &[u8]) {
    let run = || (target.run)(bytes);
    if std::panic::catch_unwind(run).is_err() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("the target {} broke on {hex}", target.name);
    }
}

fn run(name: &str) {
    let target = fuzz::target(name).unwrap();
    let corpus = corpus(target);
    survives(target, &[]);
    for (n, bytes) in corpus.iter().enumerate() {
        survives(target, bytes);
        let mut numbers = Numbers::new(n as u64 + 1);
        let mut last = bytes.clone();
        for _ in 0..MUTATIONS {
            // Half of them from the seed, half from what became of it.
            let from = if numbers.below(2) == 0 { bytes } else { &last };
            let next = mutated(from, &mut numbers);
            survives(target, &next);
            last = next;
        }
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(fuzz::TARGETS.map(|target| target.name), tested);
        }
    };
}

targets!(wire, transfer, records, manifest, image, instrument, webrtc, group, node);
