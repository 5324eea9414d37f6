//! The native node with the app.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{bail, Result};

use crate::shell::{cargo, root, run};
use crate::{setup, web};

/// Sets up, builds, and becomes a relay that serves the app; what follows `--` is for the relay. Ctrl-C and SIGTERM reach the relay itself.
pub fn serve(args: &[&str]) -> Result<()> {
    let (mut http, mut kind) = ("127.0.0.1:8080", web::Kind::Quick);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match (*arg, arg.strip_prefix("--http=")) {
            ("--", _) => break,
            ("--release", _) => kind = web::Kind::Release,
            (_, Some(value)) => http = value,
            ("--http", _) => match args.next() {
                Some(value) => http = value,
                None => bail!("--http needs an address, for example 127.0.0.1:8080"),
            },
            _ => bail!("unknown option `{arg}`: serve knows --http ADDR and --release, and the relay what follows `--`"),
        }
    }
    setup::for_build()?;
    let tree = web::build(kind)?;
    let relay = build(kind)?;
    become_program(Command::new(relay).args(["--http", http, "--web"]).arg(tree).args(args))
}

/// Builds the relay and says where it is.
pub fn build(kind: web::Kind) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "-p", "relay-server"]);
    if kind == web::Kind::Release {
        build.arg("--release");
    }
    run(&mut build)?;
    Ok(path(kind))
}

/// Where cargo puts the relay.
pub fn path(kind: web::Kind) -> PathBuf {
    let profile = if kind == web::Kind::Release { "release" } else { "debug" };
    root().join("target").join(profile).join("tabfarm-relay")
}

/// One binary with the app in it.
pub fn dist() -> Result<()> {
    setup::for_build()?;
    let tree = web::build(web::Kind::Release)?;
    let mut build = cargo();
    build.args(["build", "--release", "-p", "relay-server", "--features", "embed"]);
    run(build.env("TABFARM_WEB_TREE", &tree))?;
    let dist = root().join("dist");
    fs::create_dir_all(&dist)?;
    let copy = |name: &str| {
        let place = dist.join(name);
        let _ = fs::remove_file(&place);
        fs::copy(root().join("target/release").join(name), &place)
    };
    copy("tabfarm")?;
    let (place, bytes) = (dist.join("tabfarm-relay"), copy("tabfarm-relay")?);
    println!(
        "{} ({:.1} MB): run it, then open the address that it prints",
        place.display(),
        bytes as f64 / 1e6
    );
    Ok(())
}

/// This process becomes the program, so that signals reach it.
#[cfg(unix)]
pub fn become_program(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

/// Runs the program to its end.
#[cfg(not(unix))]
pub fn become_program(command: &mut Command) -> Result<()> {
    run(command)
}
