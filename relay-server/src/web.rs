//! The app's files: read and compressed once, served with the headers that keep them harmless.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::Router;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Where the app is when it is neither named nor in the binary: what `cargo xtask build` makes.
const DEFAULT_ROOT: &str = "target/web-tree";
/// Files that are served.
const MAX_FILES: usize = 4_096;
/// The largest of them.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Smaller files are sent as they are.
const MIN_COMPRESSED: usize = 512;
/// Brotli's effort for files that come without a `.br` beside them: a 3 MB wasm takes half a second, and is 8 % larger
/// than at 11, which takes ten.
const QUALITY: i32 = 9;
/// Files up to this size are compressed while the first who asks waits.
const COMPRESSED_AT_ONCE: usize = 64 * 1024;
/// A missing file makes the directory be read again, at most once in this time: a build may still be running.
const RESCAN: Duration = Duration::from_secs(1);

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

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The files under one directory.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    /// `None` when the files are in the binary.
    root: Option<PathBuf>,
    state: Mutex<FilesState>,
}

#[derive(Default)]
struct FilesState {
    /// By URL path. A file is read when it is first asked for.
    files: HashMap<String, (PathBuf, Option<Arc<File>>)>,
    scanned: Option<Instant>,
}

/// A file as it is sent.
struct File {
    changed: Option<SystemTime>,
    body: Bytes,
    /// Set once it is made; until then the file is sent as it is.
    brotli: OnceLock<Option<Bytes>>,
    etag: HeaderValue,
    content_type: &'static str,
    policy: HeaderValue,
}

/// Everything that is no API.
pub fn routes(files: Files) -> Router {
    Router::new().fallback(answer).with_state(files)
}

async fn answer(State(files): State<Files>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Problem::only_read().into_response();
    }
    let path = uri.path().to_owned();
    let looked_up = tokio::task::spawn_blocking(move || files.find(&path)).await;
    match looked_up.ok().flatten() {
        Some(file) => file.response(&headers),
        None => Problem::not_found().into_response(),
    }
}

impl Files {
    /// The files under `root`, or those in the binary, or those under `target/web-tree`. They are read and compressed in the
    /// background. A directory that is missing is looked for again when something is asked for.
    pub fn load(root: Option<&Path>) -> Files {
        let files = match (root, embedded()) {
            (None, Some(state)) => Files(Arc::new(Inner { root: None, state: Mutex::new(state) })),
            _ => {
                let root = root.unwrap_or(Path::new(DEFAULT_ROOT)).to_owned();
                Files(Arc::new(Inner { root: Some(root), state: Mutex::default() }))
            }
        };
        files.scan();
        if files.find("").is_none() {
            tracing::warn!(
                "there is no app to serve yet: `cargo xtask build` makes its files, --web names them"
            );
        }
        let background = files.clone();
        std::thread::spawn(move || background.compress());
        files
    }

    /// The file at a URL path. Only paths that were found by reading the directory exist, so that no path leads out.
    fn find(&self, path: &str) -> Option<Arc<File>> {
        let name = path.trim_start_matches('/');
        let name = if name.is_empty() { "index.html" } else { name };
        let known = |files: &Files| files.lock().files.get(name).cloned();
        let (path, file) = known(self).or_else(|| {
            self.scan();
            known(self)
        })?;
        if let Some(file) = file.filter(|file| file.changed == changed(&path)) {
            return Some(file);
        }
        let file = Arc::new(File::read(name, &path)?);
        self.lock().files.insert(name.to_owned(), (path, Some(file.clone())));
        Some(file)
    }

    fn lock(&self) -> MutexGuard<'_, FilesState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks which files there are.
    fn scan(&self) {
        let Some(root) = &self.0.root else { return };
        let mut state = self.lock();
        if state.scanned.is_some_and(|at| at.elapsed() < RESCAN) {
            return;
        }
        state.scanned = Some(Instant::now());
        let mut found = Vec::new();
        collect(root, String::new(), &mut found);
        let mut before = std::mem::take(&mut state.files);
        let mut read = |name: &str| before.remove(name).and_then(|(_, file)| file);
        state.files = found
            .into_iter()
            .map(|(name, path)| {
                let file = read(&name);
                (name, (path, file))
            })
            .collect();
    }

    /// Reads and compresses all files, the smallest first.
    fn compress(&self) {
        let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
        let mut names: Vec<(u64, String)> =
            self.lock().files.iter().map(|(name, (path, _))| (size(path), name.clone())).collect();
        names.sort();
        for (_, name) in names {
            if let Some(file) = self.find(&name) {
                file.brotli();
            }
        }
    }
}

/// The files that were built into the binary.
#[cfg(feature = "embed")]
fn embedded() -> Option<FilesState> {
    type Table = &'static [(&'static str, &'static [u8], Option<&'static [u8]>)];
    const TABLE: Table = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
    let file = |(name, body, brotli): &(&'static str, &'static [u8], Option<&'static [u8]>)| {
        let file = File::new(name, None, Bytes::from_static(body), brotli.map(Bytes::from_static))?;
        Some(((*name).to_owned(), (PathBuf::new(), Some(Arc::new(file)))))
    };
    Some(FilesState { files: TABLE.iter().filter_map(file).collect(), scanned: None })
}

#[cfg(not(feature = "embed"))]
fn embedded() -> Option<FilesState> {
    None
}

/// Regular files below `dir` by their URL path; links are not followed, hidden and `.br` files are not files of their own.
fn collect(dir: &Path, prefix: String, out: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
        if name.starts_with('.') || out.len() >= MAX_FILES {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), format!("{prefix}{name}/"), out);
        } else if kind.is_file() && !name.ends_with(".br") {
            out.push((format!("{prefix}{name}"), entry.path()));
        }
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

impl File {
    fn read(name: &str, path: &Path) -> Option<File> {
        let changed = changed(path);
        if fs::metadata(path).ok()?.len() > MAX_FILE {
            return None;
        }
        let body = Bytes::from(fs::read(path).ok()?);
        File::new(name, changed, body, beside(path, changed))
    }

    fn new(name: &str, changed: Option<SystemTime>, body: Bytes, ready: Option<Bytes>) -> Option<File> {
        let digest = Sha256::digest(&body);
        let etag: String = digest[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let file = File {
            changed,
            brotli: OnceLock::new(),
            etag: HeaderValue::from_str(&format!("\"{etag}\"")).ok()?,
            content_type: content_type(name),
            policy: HeaderValue::from_str(&policy(name, &body)).ok()?,
            body,
        };
        if let Some(ready) = ready {
            // Nobody else has seen the file yet.
            let _ = file.brotli.set(Some(ready));
        }
        Some(file)
    }

    /// The brotli form, made now if need be; none where it does not help.
    fn brotli(&self) -> &Option<Bytes> {
        self.brotli.get_or_init(|| compressed(&self.body, self.content_type).map(Bytes::from))
    }

    fn response(&self, request: &HeaderMap) -> Response {
        let known = request.get(header::IF_NONE_MATCH);
        // Small files are compressed on the spot, for large ones nobody waits.
        let brotli =
            if self.body.len() <= COMPRESSED_AT_ONCE { Some(self.brotli()) } else { self.brotli.get() };
        let brotli = brotli.and_then(Clone::clone).filter(|_| takes_brotli(request));
        let encoded = brotli.is_some();
        let mut response = if known == Some(&self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            brotli.unwrap_or_else(|| self.body.clone()).into_response()
        };
        let headers = response.headers_mut();
        let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
        set(header::CONTENT_TYPE, self.content_type);
        // Ask each time, and hear 304: an app whose parts are of two versions would not work.
        set(header::CACHE_CONTROL, "no-cache");
        set(header::VARY, "accept-encoding");
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        // Pages of any origin may embed a peer: its script, its wasm, its sandbox. Nothing here is secret.
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        if encoded {
            set(header::CONTENT_ENCODING, "br");
        }
        headers.insert(header::ETAG, self.etag.clone());
        // The app's own pages may ask for the microphone; nothing that they frame may.
        headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static("microphone=(self)"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        response
    }
}

/// A `.br` beside the file that is not older.
fn beside(path: &Path, changed: Option<SystemTime>) -> Option<Bytes> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".br");
    let beside = PathBuf::from(beside);
    let fresh = changed.is_some() && self::changed(&beside) >= changed;
    fresh.then(|| fs::read(&beside).ok()).flatten().map(Bytes::from)
}

fn compressed(body: &[u8], content_type: &str) -> Option<Vec<u8>> {
    let image = content_type.starts_with("image/") && content_type != "image/svg+xml";
    if body.len() < MIN_COMPRESSED || image || content_type.starts_with("font/") {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() / 3);
    let params = brotli::enc::BrotliEncoderParams { quality: QUALITY, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &body[..], &mut out, &params).ok()?;
    (out.len() < body.len()).then_some(out)
}

fn takes_brotli(request: &HeaderMap) -> bool {
    let accepts =
        request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let weight = |part: &str| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        parts.next() == Some("br") && !parts.any(weight)
    })
}

pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "ts" => "text/typescript; charset=utf-8",
        "wasm" => "application/wasm",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "md" | "wat" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn policy(name: &str, body: &[u8]) -> String {
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
            hashes.push_str(&format!(" 'sha256-{}'", base64(&Sha256::digest(script))));
        }
        rest = tail;
    }
    hashes
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().enumerate().fold(0u32, |bits, (i, byte)| bits | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= chunk.len() { letter } else { '=' });
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn inline_scripts_are_allowed_by_their_digest_alone() {
        assert_eq!(base64(b"light work."), "bGlnaHQgd29yay4=");
        assert_eq!(base64(b"light work"), "bGlnaHQgd29yaw==");
        let page = b"<script src=\"a.js\"></script><script type=\"module\">alert(1)</script>";
        let digest = base64(&Sha256::digest(b"alert(1)"));
        assert_eq!(script_hashes(page), format!(" 'sha256-{digest}'"));
        assert_eq!(script_hashes(b"<script>unclosed"), "");
    }

    #[test]
    fn no_path_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("web");
        fs::create_dir(&root).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(root.join("index.html"), "<p>hello").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), root.join("link")).unwrap();
        let files = Files::load(Some(&root));
        assert!(files.find("/").is_some());
        for path in ["/../secret", "//../secret", "/%2e%2e/secret", "/link", "/index.html/../../secret", "/."]
        {
            assert!(files.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn brotli_goes_to_those_who_take_it() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            takes_brotli(&headers)
        };
        assert!(takes("gzip, deflate, br, zstd") && takes("br;q=0.5"));
        assert!(!takes("gzip") && !takes("br;q=0") && !takes("brr"));
    }
}
