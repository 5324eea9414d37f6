//! What a fresh machine lacks. Every step looks first, so that a second run takes a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::shell::{command, crate_folder, folders_with, quiet, root, run, succeeds, which};

const WASM: &str = "wasm32-unknown-unknown";
/// rustup fetches from the network; a short outage must not stop a set-up.
const TARGET_TRIES: u32 = 4;
/// The oldest Node.js with `node --test` reporters as the tests use them.
const NODE_MAJOR: u32 = 20;

/// What building and serving need: the wasm target, protoc, Node.js with the npm packages.
pub fn for_build() -> Result<()> {
    wasm_target()?;
    protoc()?;
    node()?;
    npm_packages()
}

/// All of it, browsers for the tests included.
pub fn everything() -> Result<()> {
    for_build()?;
    chromium()?;
    firefox();
    ip_tool()
}

/// The browser that tests drive: `$CHROMIUM`, or one from the usual places.
pub fn find_chromium() -> Option<PathBuf> {
    let chosen = std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
    chosen.or_else(|| ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| which(name)))
}

fn wasm_target() -> Result<()> {
    let sysroot = quiet(command("rustc").args(["--print", "sysroot"])).context("rustc does not run")?;
    let installed = || Path::new(&sysroot).join("lib/rustlib").join(WASM).is_dir();
    for attempt in 1..=TARGET_TRIES {
        if installed() {
            return Ok(());
        }
        eprintln!("setup: adding the rust target {WASM} (try {attempt} of {TARGET_TRIES})");
        if which("rustup").is_none() {
            break;
        }
        if !succeeds(command("rustup").args(["target", "add", WASM]))? {
            std::thread::sleep(Duration::from_secs(2 << attempt));
        }
    }
    if installed() {
        return Ok(());
    }
    bail!("the rust target {WASM} is missing: run `rustup target add {WASM}`, or install it with your distribution")
}

/// Puts a protoc at `.tools/protoc`, where `.cargo/config.toml` points raft's build script: the system's own, or the
/// one that the crate `protobuf-build` ships.
fn protoc() -> Result<()> {
    let place = root().join(".tools").join("protoc");
    let runs = |path: &Path| quiet(command(&path.to_string_lossy()).arg("--version")).is_some();
    if runs(&place) {
        return Ok(());
    }
    let source = match which("protoc").filter(|path| runs(path)) {
        Some(system) => system,
        None => shipped_protoc()?,
    };
    eprintln!("setup: {} becomes .tools/protoc", source.display());
    fs::create_dir_all(root().join(".tools"))?;
    let _ = fs::remove_file(&place);
    fs::copy(&source, &place).with_context(|| format!("cannot copy {}", source.display()))?;
    make_executable(&place)?;
    if runs(&place) {
        return Ok(());
    }
    bail!("{} does not run here: install protobuf-compiler 3.1 or newer and try again", source.display())
}

fn shipped_protoc() -> Result<PathBuf> {
    let file = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "protoc-linux-x86_64",
        ("linux", "aarch64") => "protoc-linux-aarch_64",
        ("macos", _) => "protoc-osx-x86_64",
        ("windows", _) => "protoc-win32.exe",
        _ => bail!("no protoc ships for this machine: install protobuf-compiler 3.1 or newer"),
    };
    Ok(crate_folder("protobuf-build")?.join("bin").join(file))
}

fn node() -> Result<()> {
    let major = || -> Option<u32> {
        let version = quiet(command("node").arg("--version"))?;
        version.trim_start_matches('v').split('.').next()?.parse().ok()
    };
    if major().is_none() || which("npm").is_none() {
        apt_install(&["nodejs", "npm"], "Node.js and npm");
    }
    match major() {
        Some(found) if found >= NODE_MAJOR && which("npm").is_some() => Ok(()),
        Some(found) => {
            bail!("Node.js {NODE_MAJOR} or newer with npm is needed, this is {found}: see https://nodejs.org")
        }
        None => bail!("Node.js {NODE_MAJOR} or newer with npm is needed: see https://nodejs.org"),
    }
}

/// `npm ci` wherever a lock file lies, unless the installed packages are those of the lock file.
fn npm_packages() -> Result<()> {
    for folder in folders_with("package-lock.json")? {
        let wanted = fs::read(folder.join("package-lock.json"))?;
        let stamp = folder.join("node_modules").join(".installed-lock.json");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            continue;
        }
        let shown = folder.strip_prefix(root()).unwrap_or(&folder).display().to_string();
        eprintln!("setup: npm packages of {shown}");
        run(command("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
        if folder.join("node_modules").is_dir() {
            fs::write(stamp, wanted)?;
        }
    }
    Ok(())
}

fn chromium() -> Result<()> {
    if find_chromium().is_none() {
        apt_install(&["chromium"], "Chromium for the tests in real tabs");
    }
    if find_chromium().is_none() {
        bail!("the tests in real tabs need Chromium: install it (Debian: `apt-get install chromium`) or set CHROMIUM to its path");
    }
    Ok(())
}

/// The second browser. Without it its tests are skipped, by name.
fn firefox() {
    let present = || {
        std::env::var_os("FIREFOX").is_some()
            || ["firefox-esr", "firefox"].iter().any(|name| which(name).is_some())
    };
    if !present() {
        apt_install(&["firefox-esr"], "Firefox, the second browser of the tests");
        if !present() {
            eprintln!("setup: no Firefox here, its tests will be skipped");
        }
    }
}

/// `ip` brings up the loopback interface of the tests' network namespace; without it they run in the host's.
fn ip_tool() -> Result<()> {
    let present = || which("ip").is_some() || Path::new("/sbin/ip").is_file();
    if cfg!(target_os = "linux") && !present() {
        apt_install(&["iproute2"], "`ip` for the tests' network namespace");
        if !present() {
            eprintln!("setup: no `ip` here, the tests will run in the machine's own network namespace");
        }
    }
    Ok(())
}

/// Tries to install Debian packages, as root or by sudo without a password; whoever calls looks whether it helped.
fn apt_install(packages: &[&str], what: &str) {
    if which("apt-get").is_none() {
        return;
    }
    let root = quiet(command("id").arg("-u")).is_some_and(|id| id == "0");
    if !root && quiet(command("sudo").args(["-n", "true"])).is_none() {
        eprintln!("setup: {what} is missing and may not be installed without a password");
        return;
    }
    eprintln!("setup: installing {what} with apt-get");
    let apt = |args: &[&str]| {
        let mut apt = if root { command("apt-get") } else { command("sudo") };
        if !root {
            apt.args(["-n", "apt-get"]);
        }
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        succeeds(&mut apt).unwrap_or(false)
    };
    apt(&["update", "-qq"]);
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat());
}

fn make_executable(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
