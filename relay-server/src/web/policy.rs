//! What a browser may do with a file: its content security policy.

use base64::prelude::{Engine, BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The app: it may talk to relays, run wasm and its own workers, and frame the sandbox; no foreign script, no
/// inline style.
const APP_POLICY: &str =
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{hashes}; worker-src 'self' blob:; \
    connect-src 'self' ws: wss:; frame-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob: mediastream:; font-src 'self' data:; object-src 'none'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'";
/// The frame that holds services' workers: an origin of its own, no network.
const SANDBOX_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; \
    worker-src blob:; connect-src 'none'; sandbox allow-scripts";
/// The frame from which a page calls services that run elsewhere: an origin of its own, and HTTP to them alone. Only a page of
/// the machine itself is led to an address of the machine itself.
const EXTERNAL_POLICY: &str = "default-src 'none'; script-src{hashes}; \
    connect-src https: http://localhost:* http://127.0.0.1:*; base-uri 'none'; form-action 'none'; \
    sandbox allow-scripts";
/// The frame that holds a service's UI: an origin of its own, no network; what it shows comes in as blobs.
const UI_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; \
    style-src 'unsafe-inline' blob: data:; img-src blob: data:; media-src blob: data:; font-src blob: data:; \
    worker-src 'none'; connect-src 'none'; frame-src 'none'; base-uri 'none'; form-action 'none'; \
    sandbox allow-scripts";

/// The policy of the file with this name.
pub(super) fn policy(name: &str, body: &[u8]) -> String {
    match name {
        "sandbox/frame.html" => SANDBOX_POLICY.to_owned(),
        "sandbox/external.html" => EXTERNAL_POLICY.replace("{hashes}", &script_hashes(body)),
        "sandbox/ui.html" => UI_POLICY.to_owned(),
        // A service's UI that is opened by its address gets no more than in its frame.
        _ if name.starts_with("services/") && !name.ends_with(".json") && !name.ends_with(".wasm") => {
            UI_POLICY.to_owned()
        }
        _ if name.ends_with(".html") => APP_POLICY.replace("{hashes}", &script_hashes(body)),
        _ => APP_POLICY.replace("{hashes}", ""),
    }
}

/// ` 'sha256-…'` for each script written into the page: it is as much ours as a file.
fn script_hashes(body: &[u8]) -> String {
    let Ok(mut rest) = std::str::from_utf8(body) else { return String::new() };
    let mut hashes = String::new();
    while let Some((_, tail)) = rest.split_once("<script") {
        let Some((attributes, tail)) = tail.split_once('>') else { break };
        let Some((script, tail)) = tail.split_once("</script>") else { break };
        if !attributes.contains("src=") && !script.is_empty() {
            hashes.push_str(&format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script))));
        }
        rest = tail;
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_scripts_are_allowed_by_their_digest_alone() {
        let page = b"<script src=\"a.js\"></script><script type=\"module\">alert(1)</script>";
        let digest = BASE64_STANDARD.encode(Sha256::digest(b"alert(1)"));
        assert_eq!(script_hashes(page), format!(" 'sha256-{digest}'"));
        assert_eq!(script_hashes(b"<script>unclosed"), "");
    }
}
