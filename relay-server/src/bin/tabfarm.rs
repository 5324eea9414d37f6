//! `tabfarm`: services that live in people's tabs, from a shell. A thin client of a relay's HTTP gateway.
//!
//! Exit codes: 0 done, 1 the service or the relay said no, 2 wrong usage, 3 the relay cannot be reached.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use relay_server::client::{Ask, Failure, Relay};

/// A body of a call has at most this many bytes; more is not even read.
const MAX_BODY: u64 = 256 * 1024;

#[derive(Parser)]
#[command(name = "tabfarm", version, about = "Calls services that live in people's browser tabs")]
struct Cli {
    /// The relay to go through
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TABFARM_RELAY_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    relay: String,
    /// A certificate in PEM to trust besides: of a relay that is its own authority
    #[arg(long, global = true, value_name = "FILE", env = "TABFARM_CA")]
    ca: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Calls a method and prints its reply
    Call {
        /// A name, or name@publisher
        service: String,
        /// A method of its interface
        method: String,
        /// The body; `-` reads it from standard input
        body: Option<String>,
        /// How long to wait
        #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=60_000))]
        deadline: Option<u32>,
        /// Calls that are repeated with the same key are executed once
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Tell on standard error who answered
        #[arg(long, short)]
        verbose: bool,
    },
    /// Lists services
    Services {
        /// A text in name, description or tags
        query: Option<String>,
        /// Exactly this tag
        #[arg(long)]
        tag: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Prints a service's interface as OpenAPI
    Openapi {
        /// A name, or name@publisher
        service: String,
    },
    /// Prints the messages of a session until it ends
    Listen {
        /// A name, or name@publisher
        service: String,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tabfarm: {failure}");
            ExitCode::from(match failure {
                Failure::Refused { .. } => 1,
                Failure::Usage(_) => 2,
                Failure::Unreachable(_) => 3,
            })
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let relay = Relay::new(&cli.relay, cli.ca.as_deref())?;
    match cli.command {
        Command::Call { service, method, body, deadline, key, verbose } => {
            let body = body_of(body)?;
            let reply = relay.call(&Ask {
                service: &service,
                method: &method,
                body,
                deadline,
                key: key.as_deref(),
            })?;
            match reply.term.as_str() {
                _ if !verbose => {}
                "" => eprintln!("tabfarm: answered by {}, outside of all tabs", printable(&reply.server)),
                term => eprintln!("tabfarm: answered by {} (term {term})", reply.server),
            }
            print(&reply.body, reply.is_json)
        }
        Command::Services { query, tag, json } => {
            let found = relay.services(query.as_deref(), tag.as_deref())?;
            if json {
                return print(found.to_string().as_bytes(), true);
            }
            for service in found["services"].as_array().into_iter().flatten() {
                let text = |field: &str| printable(service[field].as_str().unwrap_or_default());
                let elsewhere = service["url"].as_str().and_then(|url| overlay::manifest::address(url).ok());
                let servers = match (elsewhere, service["hosts"].as_array().map_or(0, Vec::len)) {
                    (Some(address), _) => format!("at {}", address.origin),
                    (None, 1) => "1 server".to_owned(),
                    (None, many) => format!("{many} servers"),
                };
                write_out(
                    format!(
                        "{:<24} {:<10} {servers:<10} {}\n    {}\n",
                        text("name"),
                        text("version"),
                        text("description"),
                        text("id")
                    )
                    .as_bytes(),
                )?;
            }
            if found["complete"] == false {
                eprintln!("tabfarm: the list may be incomplete: no index could be asked");
            }
            Ok(())
        }
        Command::Openapi { service } => print(&relay.openapi(&service)?, true),
        Command::Listen { service } => relay.listen(&service, write_out),
    }
}

fn body_of(body: Option<String>) -> Result<Vec<u8>, Failure> {
    match body.as_deref() {
        None => Ok(Vec::new()),
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().take(MAX_BODY + 1).read_to_end(&mut bytes);
            read.map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
            match bytes.len() as u64 > MAX_BODY {
                true => Err(Failure::Usage(format!("a body has at most {MAX_BODY} bytes"))),
                false => Ok(bytes),
            }
        }
        Some(text) => Ok(text.as_bytes().to_vec()),
    }
}

/// Prints a reply: bytes as they are, but nothing that would control the person's terminal.
fn print(bytes: &[u8], is_text: bool) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    match std::str::from_utf8(bytes) {
        Ok(text) if terminal => write_out(format!("{}\n", printable(text)).as_bytes()),
        Err(_) if terminal => Err(Failure::Usage(format!(
            "the reply is {} bytes that are no text; redirect it to a file",
            bytes.len()
        ))),
        _ => {
            write_out(bytes)?;
            if is_text {
                write_out(b"\n")
            } else {
                Ok(())
            }
        }
    }
}

/// What others wrote, without what controls a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::Usage(format!("standard output: {error}"))),
    }
}
