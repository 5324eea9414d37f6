//! The command line of a relay.

use clap::Parser;
use relay_server::config::Options;

/// Sockets that the relay may hold: tabs, HTTP, files.
const OPEN_FILES: u64 = 65_536;
/// Threads that read and compress files and look up names; what more there is to do waits for them.
const BLOCKING_THREADS: usize = 16;

fn main() -> anyhow::Result<()> {
    let config = Options::parse().resolve()?;
    // As many as the system lets us have; with fewer, the limit on connections is only reached earlier.
    let _ = rlimit::increase_nofile_limit(OPEN_FILES);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(relay_server::run(config));
    // Tasks that ignore the stop do not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    result
}
