//! TLS: the certificate that HTTP and the websockets show.
//!
//! Either the operator's own (`--tls-cert`, `--tls-key`), which is read again while the relay runs ([`renewal`]), or one of
//! an authority that the relay makes for itself (`--tls-local`, [`local`]): for a laptop in the field, whose addresses nobody
//! in the world would certify.

mod local;
mod renewal;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use libp2p::websocket;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;
use tokio::sync::watch;

pub use self::local::Authority;
pub(crate) use self::renewal::Renewal;
use self::renewal::{Contents, Files};
use crate::config::{Config, Tls as Wanted};

/// A certificate and its key, for every door of the relay.
pub struct Tls {
    shown: watch::Sender<Arc<Credentials>>,
    /// Where a newer one may come from, and what was there at the start.
    files: Option<(Files, Contents)>,
    /// Who vouches for it, if that is the relay itself.
    pub authority: Option<Authority>,
}

/// A chain and its key that fit each other, in the form of each door.
#[derive(Debug)]
pub(crate) struct Credentials {
    certified: Arc<CertifiedKey>,
    /// For websockets.
    pub websocket: websocket::tls::Config,
}

impl Tls {
    /// What the settings ask for; `None` for plain doors.
    pub fn load(config: &Config) -> anyhow::Result<Option<Tls>> {
        match &config.tls {
            Wanted::Off => Ok(None),
            Wanted::Files { cert, key } => Tls::read(cert, key).map(Some),
            Wanted::Local { data_dir } => local::tls(data_dir, config.http.ip()).map(Some),
        }
    }

    fn read(cert: &Path, key: &Path) -> anyhow::Result<Tls> {
        let files = Files { cert: cert.to_owned(), key: key.to_owned() };
        let pem = files.read()?;
        let credentials = Credentials::from_pem(&pem.cert, &pem.key)
            .with_context(|| format!("--tls-cert {}, --tls-key {}", cert.display(), key.display()))?;
        Ok(Tls { files: Some((files, pem.contents())), ..Tls::new(credentials, None) })
    }

    fn new(credentials: Credentials, authority: Option<Authority>) -> Tls {
        Tls { shown: watch::Sender::new(Arc::new(credentials)), files: None, authority }
    }

    /// For the HTTP server.
    pub fn http(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Newest(self.shown.subscribe())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// For the websockets: what they show now, and later.
    pub(crate) fn credentials(&self) -> watch::Receiver<Arc<Credentials>> {
        self.shown.subscribe()
    }

    /// What looks for a newer certificate; `None` if there is nowhere to look.
    pub(crate) fn renewal(&self) -> Option<Renewal> {
        let (files, seen) = self.files.clone()?;
        Some(Renewal::new(files, seen, self.shown.clone()))
    }
}

impl Credentials {
    fn from_pem(cert: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.context("the chain cannot be read")?;
        anyhow::ensure!(!chain.is_empty(), "no certificate");
        Self::new(chain, PrivateKeyDer::from_pem_slice(key).context("the key cannot be read")?)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> anyhow::Result<Self> {
        const NO_PAIR: &str = "the TLS certificate and its key do not fit";
        let secret = key.secret_der().to_vec();
        // The websocket library panics on a key whose kind it cannot tell.
        PrivateKeyDer::try_from(secret.as_slice()).map_err(anyhow::Error::msg)?;
        let for_websocket = chain.iter().map(|cert| websocket::tls::Certificate::new(cert.to_vec()));
        let websocket = websocket::tls::Config::new(websocket::tls::PrivateKey::new(secret), for_websocket);
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).context(NO_PAIR)?;
        Ok(Self { certified: Arc::new(certified), websocket: websocket.context(NO_PAIR)? })
    }
}

/// Shows each client the newest certificate.
#[derive(Debug)]
struct Newest(watch::Receiver<Arc<Credentials>>);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.borrow().certified.clone())
    }
}
