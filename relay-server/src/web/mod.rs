//! The app's files: read and compressed once, served with the headers that keep them harmless.
//!
//! | module | does |
//! |---|---|
//! | `file` | one file: its brotli form, its headers, its media type |
//! | `policy` | what a browser may do with it |
//!
//! [`Files`] knows which there are.

mod file;
mod policy;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::Router;

pub(crate) use self::file::content_type;
use self::file::{changed, File};
use crate::problem::Problem;

/// Where the app is when it is neither named nor in the binary: what `cargo xtask build` makes.
const DEFAULT_ROOT: &str = "target/web-tree";
/// Files that are served.
const MAX_FILES: usize = 4_096;
/// A missing file makes the directory be read again, at most once in this time: a build may still be running.
const RESCAN: Duration = Duration::from_secs(1);

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
        let file = File::new(
            name,
            None,
            axum::body::Bytes::from_static(body),
            brotli.map(axum::body::Bytes::from_static),
        )?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
}
