//! Tasks of the project. Start with `cargo xtask help`.
//!
//! | module | task |
//! |---|---|
//! | `setup` | what a fresh machine lacks: wasm target, protoc, npm packages, a browser |
//! | `web` | the tree that a relay serves, `target/web-tree`: wasm, bindings, bundles, example services |
//! | `engine` | QuickJS as wasm, for services in JavaScript |
//! | `bindgen`, `split`, `scripts` | JavaScript bindings of one wasm file; the app in parts that are loaded late; scripts as browsers get them |
//! | `relay` | the native node: build, run, one self-contained binary |
//! | `check` | formatting, lints, purity of the kernel |
//! | `tests`, `tally` | every test, and how many passed |
//! | `bench` | benchmarks |
//! | `service` | for authors in Rust: new, build, test, publish |
//! | `fuzz` | long runs of the fuzzer |
//! | `shell` | how all of them run other programs |

use std::path::Path;
use std::process::ExitCode;

use anyhow::{bail, Result};

mod bench;
mod bindgen;
mod check;
mod engine;
mod fuzz;
mod relay;
mod scripts;
mod service;
mod setup;
mod shell;
mod split;
mod tally;
mod tests;
mod web;

const HELP: &str = "\
cargo xtask serve [--http ADDR] [--release] [-- RELAY OPTION…]
                                              set up, build and start a relay with the app
cargo xtask test [--lint] [--only rust|sim|tabs] [FILE…]
                                              set up and run every test; ends with `N passed, N failed`
cargo xtask bench [NAME]                      benchmarks: JSON lines to stdout, tables to the terminal
cargo xtask service new|build|test|publish DIR
                                              a service in Rust: from nothing to a published one
cargo xtask fuzz [TARGET] [--seconds N]       hostile bytes for decoders and groups, one minute a target
cargo xtask dist                              one self-contained tabfarm-relay in dist/
cargo xtask build [--release]                 the web tree, target/web-tree
cargo xtask lint                              formatting, clippy, purity of the kernel
cargo xtask setup                             everything that a fresh machine lacks
cargo xtask bindgen IN.wasm OUT_DIR NAME      JavaScript bindings of one wasm file
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] | ["help"] => print!("{HELP}"),
        _ if args.iter().take_while(|arg| **arg != "--").any(|arg| matches!(*arg, "--help" | "-h")) => {
            print!("{HELP}")
        }
        ["bindgen", input, out, name] => bindgen::run(Path::new(input), Path::new(out), name)?,
        ["setup"] => setup::everything()?,
        ["build"] => build(web::Kind::Quick)?,
        ["build", "--release"] => build(web::Kind::Release)?,
        ["serve", ref rest @ ..] => relay::serve(rest)?,
        ["dist"] => relay::dist()?,
        ["lint"] => return lint(),
        ["test", ref rest @ ..] => return tests::run(rest),
        ["service", ref rest @ ..] => service::run_command(rest)?,
        ["fuzz", ref rest @ ..] => fuzz::run_targets(rest)?,
        ["bench", ref rest @ ..] => bench::run_all(rest)?,
        _ => bail!("unknown task `{}`\n{HELP}", args.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

fn lint() -> Result<ExitCode> {
    let tally = check::all()?;
    println!("{tally}");
    Ok(if tally.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(kind: web::Kind) -> Result<()> {
    setup::for_build()?;
    web::build(kind)?;
    Ok(())
}
