//! One file as it is sent: its forms, its headers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::policy::policy;

/// The largest that is served.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Smaller files are sent as they are.
const MIN_COMPRESSED: usize = 512;
/// Brotli's effort for files that come without a `.br` beside them: a 3 MB wasm takes half a second, and is 8 % larger
/// than at 11, which takes ten.
const QUALITY: i32 = 9;
/// Files up to this size are compressed while the first who asks waits.
const COMPRESSED_AT_ONCE: usize = 64 * 1024;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// A file as it is sent.
pub(super) struct File {
    /// When it was written; `None` where it is in the binary.
    pub changed: Option<SystemTime>,
    body: Bytes,
    /// Set once it is made; until then the file is sent as it is.
    brotli: OnceLock<Option<Bytes>>,
    etag: HeaderValue,
    content_type: &'static str,
    policy: HeaderValue,
}

impl File {
    /// Reads it; `None` if it is too large, or gone.
    pub fn read(name: &str, path: &Path) -> Option<File> {
        let changed = changed(path);
        if fs::metadata(path).ok()?.len() > MAX_FILE {
            return None;
        }
        let body = Bytes::from(fs::read(path).ok()?);
        File::new(name, changed, body, beside(path, changed))
    }

    /// From what was read; `ready` is its brotli form.
    pub fn new(name: &str, changed: Option<SystemTime>, body: Bytes, ready: Option<Bytes>) -> Option<File> {
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
    pub fn brotli(&self) -> &Option<Bytes> {
        self.brotli.get_or_init(|| compressed(&self.body, self.content_type).map(Bytes::from))
    }

    /// The answer to whoever asks for it.
    pub fn response(&self, request: &HeaderMap) -> Response {
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

/// When a file was last written.
pub(super) fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
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

/// The media type of a file, by its name.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
