//! A client of a relay's HTTP gateway, for the command `tabfarm`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use overlay::manifest::address;
use serde_json::Value;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// The longest call, and the relay's own time beside it.
const TIME: Duration = Duration::from_secs(75);
/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 16 << 20;
/// Bytes of a reply of a service that runs elsewhere: what one in a tab may send.
const MAX_REPLY: u64 = 256 * 1024;
/// Bytes of a line of a stream.
const MAX_LINE: u64 = 1 << 20;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The relay or the service said no.
    #[error("{title}: {detail}{candidates}")]
    Refused {
        /// The problem's title.
        title: String,
        /// In words.
        detail: String,
        /// The services that have the name, if that is why; each on a line.
        candidates: String,
    },
    /// What was asked makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The relay cannot be reached.
    #[error("the relay cannot be reached: {0}")]
    Unreachable(String),
}

/// A call.
pub struct Ask<'a> {
    /// A name, or `name@publisher`.
    pub service: &'a str,
    /// A method of its interface.
    pub method: &'a str,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait, in ms.
    pub deadline: Option<u32>,
    /// The idempotency key.
    pub key: Option<&'a str>,
}

/// What came back.
pub struct Reply {
    /// The body.
    pub body: Vec<u8>,
    /// Is it JSON.
    pub is_json: bool,
    /// Who answered.
    pub server: String,
    /// The authority's term.
    pub term: String,
}

/// A relay.
pub struct Relay {
    agent: Agent,
    /// For services that run elsewhere: it trusts the usual authorities alone.
    outside: Agent,
    url: String,
}

impl Relay {
    /// The relay at `url`; `ca` is trusted besides the usual authorities.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let usage = |why: String| Failure::Usage(why);
        let uri: Uri = url.parse().map_err(|_| usage(format!("--relay {url}: not a URL")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(usage(format!("--relay {url}: http:// or https:// and a host")));
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca {
            let pem =
                std::fs::read(path).map_err(|error| usage(format!("--ca {}: {error}", path.display())))?;
            let certificates: Vec<Certificate<'static>> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(usage(format!("--ca {}: no certificate in it", path.display())));
            }
            tls = tls.root_certs(RootCerts::from(certificates));
        }
        let agent = |tls: TlsConfig| -> Agent {
            Agent::config_builder()
                .tls_config(tls)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_connect(Some(Duration::from_secs(10)))
                .timeout_recv_response(Some(TIME))
                .build()
                .into()
        };
        let (agent, outside) = (agent(tls.build()), agent(TlsConfig::default()));
        Ok(Self { agent, outside, url: url.trim_end_matches('/').to_owned() })
    }

    /// Calls a method.
    pub fn call(&self, ask: &Ask) -> Result<Reply, Failure> {
        let url = format!("{}/s/{}/{}", self.url, escaped(ask.service), escaped(ask.method));
        let mut request = self.agent.post(&url);
        if let Some(ms) = ask.deadline {
            request = request.header("tabfarm-deadline", ms.to_string());
        }
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send(&ask.body);
        if let Some((target, kind)) = response.as_ref().ok().and_then(elsewhere) {
            return self.call_elsewhere(ask, &target, kind);
        }
        let response = checked(response)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (server, term) = (header("tabfarm-server"), header("tabfarm-term"));
        let is_json = header("content-type").starts_with("application/json");
        Ok(Reply { body: read(response)?, is_json, server, term })
    }

    /// Is the relay on this machine.
    fn is_loopback(&self) -> bool {
        let uri: Option<Uri> = self.url.parse().ok();
        let host = uri.as_ref().and_then(Uri::host);
        host.is_some_and(|host| {
            host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1" || host == "[::1]"
        })
    }

    /// Calls a method of a service that runs outside of all tabs. Wherever else its server wants to send the call, it does not go.
    fn call_elsewhere(&self, ask: &Ask, target: &str, kind: &str) -> Result<Reply, Failure> {
        let refused =
            |title: String, detail: String| Failure::Refused { title, detail, candidates: String::new() };
        let origin = match address(target) {
            // A stranger's service on the machine of whoever calls it: for development, as in a page.
            Ok(address) if address.is_loopback && !self.is_loopback() => {
                let detail = format!(
                    "it runs at {}, on the machine of whoever calls it: only what a relay of this machine names is called there",
                    address.origin
                );
                return Err(refused("It runs elsewhere".to_owned(), detail));
            }
            Ok(address) => address.origin.to_owned(),
            Err(why) => {
                let detail = format!("the relay names an address that is not called ({why})");
                return Err(refused("It runs elsewhere".to_owned(), detail));
            }
        };
        let fresh = fresh_key()?;
        let time = ask.deadline.map_or(TIME, |ms| Duration::from_millis(ms.into()));
        let request = self
            .outside
            .post(target)
            .header("content-type", kind)
            .header("idempotency-key", ask.key.unwrap_or(&fresh))
            .config()
            .timeout_global(Some(time))
            .build();
        let response = request
            .send(&ask.body)
            .map_err(|error| refused("It cannot be reached".to_owned(), format!("{origin}: {error}")))?;
        let status = response.status();
        let is_json = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("application/json")));
        let body = response.into_body().into_with_config().limit(MAX_REPLY).read_to_vec();
        if status.is_redirection() {
            return Err(refused(
                status.to_string(),
                format!("{origin} redirects to another address, which is not followed"),
            ));
        }
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&body.unwrap_or_default())
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect();
            return Err(refused(format!("{origin} answered {status}"), said));
        }
        let body = body.map_err(|error| refused("No reply".to_owned(), format!("{origin}: {error}")))?;
        Ok(Reply { body, is_json, server: origin, term: String::new() })
    }

    /// The catalogue.
    pub fn services(&self, query: Option<&str>, tag: Option<&str>) -> Result<Value, Failure> {
        let given = [("q", query), ("tag", tag)];
        let given = given.iter().filter_map(|(name, value)| Some(format!("{name}={}", escaped((*value)?))));
        let url = format!("{}/api/services?{}", self.url, given.collect::<Vec<_>>().join("&"));
        let bytes = read(checked(self.agent.get(&url).call())?)?;
        serde_json::from_slice(&bytes).map_err(|_| Failure::Unreachable("its answer is not JSON".to_owned()))
    }

    /// A service's interface.
    pub fn openapi(&self, service: &str) -> Result<Vec<u8>, Failure> {
        let url = format!("{}/s/{}/openapi.json", self.url, escaped(service));
        read(checked(self.agent.get(&url).call())?)
    }

    /// Hands each message of a new session to `take`, until the session ends.
    pub fn listen(
        &self,
        service: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let url = format!("{}/s/{}/events", self.url, escaped(service));
        let response = checked(self.agent.get(&url).call())?;
        let mut lines = BufReader::new(response.into_body().into_reader());
        let mut event = String::new();
        loop {
            let mut line = String::new();
            let got = lines.by_ref().take(MAX_LINE).read_line(&mut line);
            if got.map_err(|error| Failure::Unreachable(error.to_string()))? == 0 {
                return Ok(());
            }
            let line = line.trim_end_matches('\n');
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ").or_else(|| line.strip_prefix("data:")) {
                let text: String = data.chars().filter(|c| !c.is_control() || *c == '\t').collect();
                match event.as_str() {
                    "message" | "bytes" => take(format!("{text}\n").as_bytes())?,
                    "close" => eprintln!("tabfarm: the session ended: {text}"),
                    _ => eprintln!("tabfarm: {event}: {text}"),
                }
            }
        }
    }
}

/// Where a service runs that runs elsewhere, and the type of body that it takes.
fn elsewhere(response: &Response<Body>) -> Option<(String, &'static str)> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = match header("accept-post") {
        Some("application/json") => "application/json",
        _ => "application/octet-stream",
    };
    (response.status() == 307).then_some(())?;
    Some((header("location")?.to_owned(), kind))
}

/// A key that no call had before.
fn fresh_key() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::getrandom(&mut bytes)
        .map_err(|_| Failure::Usage("this system gives no random numbers".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read(response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let body = response.into_body().into_with_config().limit(MAX_ANSWER).read_to_vec();
    body.map_err(|error| Failure::Unreachable(error.to_string()))
}

/// The answer, unless it is a problem.
fn checked(answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, Failure> {
    let response = answer.map_err(|error| Failure::Unreachable(error.to_string()))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: Value =
        read(response).ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let text = |field: &str| {
        problem[field].as_str().map(|text| text.chars().filter(|c| !c.is_control()).collect::<String>())
    };
    let candidates = problem["candidates"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Err(Failure::Refused {
        title: text("title").unwrap_or_else(|| status.to_string()),
        detail: text("detail").unwrap_or_else(|| "the relay gave no reason".to_owned()),
        candidates: candidates.map(|each| format!("\n  {each}")).collect(),
    })
}

/// One part of a path or query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'@' => out.push(char::from(byte)),
            b'.' if text != "." && text != ".." => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        assert_eq!(escaped("counter@12D3"), "counter@12D3");
        assert_eq!(escaped("../api?x#y z"), "..%2Fapi%3Fx%23y%20z");
        assert_eq!(escaped(".."), "%2E%2E");
    }

    #[test]
    fn what_is_no_relay_is_refused() {
        for url in ["ftp://x", "127.0.0.1:8080", "", "http://"] {
            assert!(matches!(Relay::new(url, None), Err(Failure::Usage(_))), "{url}");
        }
        assert!(matches!(
            Relay::new("http://127.0.0.1:1", None).unwrap().openapi("x"),
            Err(Failure::Unreachable(_))
        ));
    }
}
