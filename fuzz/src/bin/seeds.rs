//! Writes each target's seeds to files, for libFuzzer: `seeds DIR`.

use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1).ok_or_else(|| Error::other("seeds DIR"))?;
    for target in &fuzz::TARGETS {
        let dir = PathBuf::from(&dir).join(target.name);
        fs::create_dir_all(&dir)?;
        for (n, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(dir.join(format!("seed-{n}")), seed)?;
        }
    }
    Ok(())
}
