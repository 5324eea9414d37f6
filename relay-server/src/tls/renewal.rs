//! A certificate that is renewed while the relay runs.
//!
//! The two files are read once a minute, and when somebody asks for it (SIGHUP). They are compared by what is in them: links
//! that are switched and clocks that jump make no difference. What does not fit together is not shown; whoever writes two
//! files one after the other is in that state for a moment.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::sync::{watch, Notify};
use tokio::time::{interval, MissedTickBehavior};

use super::Credentials;

/// Certificates are renewed days before they end.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// A file is read up to here: a chain has some kilobytes.
const MAX_FILE: u64 = 256 * 1024;

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What is in them.
pub(super) struct Pem {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
}

/// A digest of what is in them.
pub(super) type Contents = [u8; 32];

impl Files {
    /// Reads both.
    pub fn read(&self) -> anyhow::Result<Pem> {
        let read = |path: &Path, flag| {
            let mut bytes = Vec::new();
            File::open(path)
                .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
                .with_context(|| format!("{flag} {}", path.display()))?;
            anyhow::Ok(bytes)
        };
        Ok(Pem { cert: read(&self.cert, "--tls-cert")?, key: read(&self.key, "--tls-key")? })
    }
}

impl Pem {
    /// Tells other files from these.
    pub fn contents(&self) -> Contents {
        let length = (self.cert.len() as u64).to_le_bytes();
        Sha256::new().chain_update(length).chain_update(&self.cert).chain_update(&self.key).finalize().into()
    }
}

/// Looks for a newer certificate.
pub(crate) struct Renewal {
    files: Files,
    /// What was there at the last look; `None` if they could not be read.
    seen: Option<Contents>,
    shown: watch::Sender<Arc<Credentials>>,
}

/// What a look has found.
#[derive(Debug)]
enum Found {
    /// What was there before.
    Same,
    /// A newer certificate, which is shown from now on.
    Newer,
    /// Files that cannot be used: what was shown before is shown on.
    Bad(anyhow::Error),
}

impl Renewal {
    pub(super) fn new(files: Files, seen: Contents, shown: watch::Sender<Arc<Credentials>>) -> Self {
        Self { files, seen: Some(seen), shown }
    }

    /// Looks each minute, and when it is asked to. Never ends.
    pub async fn run(mut self, asked: Arc<Notify>) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                _ = ticks.tick() => false,
                () = asked.notified() => true,
            };
            // A file may be on a slow disk. An error means that the runtime ends.
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { return };
            match self.judge(read) {
                Found::Same if is_asked => tracing::info!("the TLS certificate has not changed"),
                Found::Same => {}
                Found::Newer => tracing::info!(cert = %self.files.cert.display(), "a newer TLS certificate"),
                Found::Bad(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the newer TLS certificate cannot be used; the one before stays");
                }
            }
        }
    }

    /// Shows what was read if it is new and good. What is bad is told once, until it changes.
    fn judge(&mut self, read: anyhow::Result<Pem>) -> Found {
        let contents = read.as_ref().ok().map(Pem::contents);
        if std::mem::replace(&mut self.seen, contents) == contents {
            return Found::Same;
        }
        match read.and_then(|pem| Credentials::from_pem(&pem.cert, &pem.key)) {
            Ok(credentials) => {
                self.shown.send_replace(Arc::new(credentials));
                Found::Newer
            }
            Err(error) => Found::Bad(error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["farm.example".to_owned()]).unwrap();
        (own.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_newer_and_whole_is_shown_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let write = |cert: &str, key: &str| {
            fs::write(&files.cert, cert).unwrap();
            fs::write(&files.key, key).unwrap();
        };
        let (old, new) = (pair(), pair());
        write(&old.0, &old.1);
        let tls = super::super::Tls::read(&files.cert, &files.key).unwrap();
        let mut renewal = tls.renewal().unwrap();
        let shown = tls.credentials();
        let first = shown.borrow().clone();
        let stays = || Arc::ptr_eq(&first, &shown.borrow());
        assert!(matches!(renewal.judge(files.read()), Found::Same));
        // Half of a renewal, nonsense, nothing: each is told once, and changes nothing.
        for (cert, key) in [(&new.0, &old.1), (&old.0, &"nonsense".to_owned()), (&String::new(), &new.1)] {
            write(cert, key);
            assert!(matches!(renewal.judge(files.read()), Found::Bad(_)));
            assert!(matches!(renewal.judge(files.read()), Found::Same));
            assert!(stays());
        }
        fs::remove_file(&files.key).unwrap();
        assert!(matches!(renewal.judge(files.read()), Found::Bad(_)));
        assert!(matches!(renewal.judge(files.read()), Found::Same));
        assert!(stays());
        write(&new.0, &new.1);
        assert!(matches!(renewal.judge(files.read()), Found::Newer));
        assert!(!stays());
        assert!(matches!(renewal.judge(files.read()), Found::Same));
    }
}
