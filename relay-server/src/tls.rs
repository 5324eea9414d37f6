//! TLS: the certificate that HTTP and the websockets show.
//!
//! Either the operator's own (`--tls-cert`, `--tls-key`), or one of an authority that the relay makes for itself
//! (`--tls-local`, [`local`]): for a laptop in the field, whose addresses nobody in the world would certify.

mod local;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use libp2p::websocket;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;

pub use self::local::Authority;
use crate::config::{Config, Tls as Wanted};

/// A certificate and its key, for every door of the relay.
pub struct Tls {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Who vouches for it, if that is the relay itself.
    pub authority: Option<Authority>,
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
        let read = || CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>();
        let chain = read().with_context(|| format!("--tls-cert {}", cert.display()))?;
        anyhow::ensure!(!chain.is_empty(), "--tls-cert {}: no certificate", cert.display());
        let secret =
            PrivateKeyDer::from_pem_file(key).with_context(|| format!("--tls-key {}", key.display()))?;
        Ok(Tls { chain, key: secret, authority: None })
    }

    /// For the HTTP server.
    pub fn http(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .context("the TLS certificate and its key do not fit")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// For the websockets.
    pub fn websocket(&self) -> anyhow::Result<websocket::tls::Config> {
        let key = websocket::tls::PrivateKey::new(self.key.secret_der().to_vec());
        let chain = self.chain.iter().map(|cert| websocket::tls::Certificate::new(cert.to_vec()));
        websocket::tls::Config::new(key, chain).context("the TLS certificate and its key do not fit")
    }
}
