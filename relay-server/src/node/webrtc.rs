//! `/webrtc-direct`: for libp2p peers that reach no TCP port, or trust no certificate.
//!
//! The address holds the digest of a DTLS certificate (`/certhash`), which is kept in the data directory: addresses that others
//! have written down stay right. Tabs do not dial it (docs/decisions/0015).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use base64::prelude::{Engine, BASE64_STANDARD};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::Boxed;
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport as _};
use libp2p_webrtc::tokio::{Certificate, Transport};

use super::transport::HANDSHAKE_TIME;
use crate::identity;

/// In the data directory: the certificate and its key, readable by its owner alone.
const FILE: &str = "webrtc.pem";

/// Listens on `/udp/PORT/webrtc-direct`.
pub(super) fn transport(
    key: &Keypair,
    data_dir: Option<&Path>,
) -> anyhow::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let direct = Transport::new(key.clone(), certificate(data_dir)?);
    let direct = direct.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    Ok(TransportTimeout::new(direct, HANDSHAKE_TIME).boxed())
}

/// The certificate in `data_dir`, made at the first start; a new one each time without a directory.
fn certificate(data_dir: Option<&Path>) -> anyhow::Result<Certificate> {
    let Some(dir) = data_dir else { return generate() };
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(pem) => parse(&pem).with_context(|| format!("{} holds no certificate", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let certificate = generate()?;
            identity::keep(dir, FILE, certificate.serialize_pem().as_bytes())?;
            Ok(certificate)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn generate() -> anyhow::Result<Certificate> {
    Ok(Certificate::generate(&mut rand::rng())?)
}

fn parse(pem: &str) -> anyhow::Result<Certificate> {
    // The library takes eight bytes for the end of its validity, and panics where there are fewer.
    let first = pem.strip_prefix("-----BEGIN EXPIRES-----").and_then(|rest| rest.split_once("-----"));
    let (body, _) = first.context("it does not begin with EXPIRES")?;
    let expires = BASE64_STANDARD.decode(body.split_whitespace().collect::<String>());
    anyhow::ensure!(expires.is_ok_and(|bytes| bytes.len() == 8), "its EXPIRES is no time");
    Ok(Certificate::from_pem(pem)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_certificate_stays_and_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        let first = certificate(Some(&dir)).unwrap();
        assert_eq!(certificate(Some(&dir)).unwrap().fingerprint(), first.fingerprint());
        assert_ne!(certificate(None).unwrap().fingerprint(), first.fingerprint());
        let path = dir.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = fs::read_to_string(&path).unwrap();
        for bad in ["", "-----BEGIN EXPIRES-----\nAA==\n-----END EXPIRES-----\n", &whole[..whole.len() / 2]] {
            fs::write(&path, bad).unwrap();
            assert!(certificate(Some(&dir)).is_err(), "{bad}");
        }
    }
}
