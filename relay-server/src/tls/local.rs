//! An authority of the relay's own.
//!
//! It is made once and kept in the data directory: people trust it once. The certificate that the doors show is made
//! anew at each start, for the addresses and the name that the machine has then. The authority's certificate says
//! itself that it vouches for addresses and names of local networks only, so whoever trusts it trusts it with nothing else.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::Context;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use super::{Credentials, Tls};
use crate::identity;

/// Below the data directory.
const DIR: &str = "tls";
const KEY: &str = "authority.key";
const CERTIFICATE: &str = "authority.pem";
/// As long as a laptop lives.
const AUTHORITY_DAYS: i64 = 3_650;
/// Apple's devices take none that is valid for more than 825 days, others none for more than 398.
const LEAF_DAYS: i64 = 397;
/// Clocks in the field are late.
const CLOCK_SKEW: Duration = Duration::days(2);
/// Name endings of local networks: mDNS, the usual router's, and those reserved for it.
const DOMAINS: [&str; 5] = ["localhost", "local", "lan", "home.arpa", "internal"];
/// Addresses in a certificate.
const MAX_ADDRESSES: usize = 64;

/// The authority as people see it.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its certificate as PEM.
    pub pem: String,
    /// The same as DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// SHA-256 of the certificate, as systems show it when somebody is about to trust it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.der);
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

/// A certificate for this machine, by the authority in `data_dir`, which is made if it is not there.
pub(super) fn tls(data_dir: &Path, http: IpAddr) -> anyhow::Result<Tls> {
    anyhow::ensure!(
        http.is_unspecified() || is_local(http),
        "--tls-local is for addresses of local networks, and {http} is none: get a certificate, and use --tls-cert"
    );
    let dir = data_dir.join(DIR);
    let key = key(&dir)?;
    let authority = authority(&dir, &key)?;
    let names = names(http);
    let (leaf, leaf_key) = leaf(&issuer(&key)?, &key, names)?;
    let secret = PrivateKeyDer::try_from(leaf_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let credentials = Credentials::new(vec![leaf.der().clone()], secret)?;
    Ok(Tls::new(credentials, Some(authority)))
}

fn key(dir: &Path) -> anyhow::Result<KeyPair> {
    let path = dir.join(KEY);
    match fs::read_to_string(&path) {
        Ok(pem) => KeyPair::from_pem(&pem).with_context(|| format!("{} holds no key", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            identity::keep(dir, KEY, key.serialize_pem().as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn authority(dir: &Path, key: &KeyPair) -> anyhow::Result<Authority> {
    let path = dir.join(CERTIFICATE);
    let pem = match fs::read_to_string(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let pem = issuer(key)?.pem();
            identity::keep(dir, CERTIFICATE, pem.as_bytes())?;
            pem
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .with_context(|| format!("{} holds no certificate", path.display()))?;
    Ok(Authority { der: der.to_vec(), pem })
}

/// The authority's certificate. Made anew it differs from the one that is kept in its dates and its number alone: the name
/// comes from the key, and so the kept one vouches for what this one signs.
fn issuer(key: &KeyPair) -> anyhow::Result<Certificate> {
    let digest = Sha256::digest(key.public_key_der());
    let mark: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut params = params(&format!("Tabfarm relay {mark}"), AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let domains = DOMAINS.map(|domain| GeneralSubtree::DnsName(domain.to_owned()));
    let networks = NETWORKS
        .map(|(network, bits)| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network, bits)));
    let permitted_subtrees = domains.into_iter().chain(networks).collect();
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    Ok(params.self_signed(key)?)
}

fn leaf(issuer: &Certificate, key: &KeyPair, names: Vec<SanType>) -> anyhow::Result<(Certificate, KeyPair)> {
    let leaf_key = KeyPair::generate()?;
    let mut params = params("Tabfarm relay", LEAF_DAYS);
    params.subject_alt_names = names;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok((params.signed_by(&leaf_key, issuer, key)?, leaf_key))
}

fn params(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - CLOCK_SKEW;
    params.not_after = params.not_before + Duration::days(days);
    params
}

/// The machine's local addresses, and the names by which a local network may know it.
fn names(http: IpAddr) -> Vec<SanType> {
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = own.into_iter().map(|interface| interface.ip()).collect();
    addresses.extend([http, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    addresses.retain(|address| !address.is_unspecified() && is_local(*address));
    addresses.sort();
    addresses.dedup();
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().to_ascii_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    let is_label = !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let mut names = vec!["localhost".to_owned()];
    if is_label {
        names.extend(DOMAINS[1..].iter().map(|domain| format!("{label}.{domain}")));
    }
    let names = names.into_iter().filter_map(|name| Some(SanType::DnsName(name.try_into().ok()?)));
    names.chain(addresses.into_iter().take(MAX_ADDRESSES).map(SanType::IpAddress)).collect()
}

/// Networks that are nobody's in particular (RFC 1918, 3927, 6598, 4193, 4291), and the machine itself.
const NETWORKS: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

fn is_local(address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => (32, u128::from(u32::from(address)) << 96),
        IpAddr::V6(address) => (128, u128::from(address)),
    };
    let (width, value) = bits(address);
    NETWORKS.iter().any(|(network, prefix)| {
        let (of, base) = bits(*network);
        of == width && (value ^ base) >> (128 - u32::from(*prefix)) == 0
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn local_networks_are_told_from_the_rest() {
        for local in ["127.0.0.1", "10.77.0.1", "172.31.0.1", "192.168.1.2", "::1", "fd00::1", "fe80::1"] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for other in ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2001:db8::1", "::2"] {
            assert!(!is_local(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn the_authority_stays_and_vouches_for_what_is_made_later() {
        let dir = tempfile::tempdir().unwrap();
        let first = tls(dir.path(), Ipv4Addr::LOCALHOST.into()).unwrap();
        let second = tls(dir.path(), Ipv4Addr::LOCALHOST.into()).unwrap();
        let chain = |tls: &Tls| tls.credentials().borrow().certified.cert.clone();
        let (authority, other) = (first.authority.clone().unwrap(), second.authority.clone().unwrap());
        assert_eq!(authority.der, other.der);
        assert_ne!(chain(&first), chain(&second));
        let (trusted, provider) =
            (CertificateDer::from(authority.der), rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted).unwrap();
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider.into());
        let verifier = verifier.build().unwrap();
        let verify = |chain: &[CertificateDer<'static>], name: &str| {
            use rustls::client::danger::ServerCertVerifier;
            let name = name.to_owned().try_into().unwrap();
            verifier
                .verify_server_cert(&chain[0], &[], &name, &[], rustls::pki_types::UnixTime::now())
                .is_ok()
        };
        assert!(verify(&chain(&second), "127.0.0.1") && verify(&chain(&second), "localhost"));
        assert!(!verify(&chain(&second), "10.255.255.1"), "not an address of this machine");
        // Whoever steals the authority's key cannot pass for the rest of the world.
        let key = key(&dir.path().join(DIR)).unwrap();
        for (name, trusted) in [("farm.local", true), ("example.com", false)] {
            let names = vec![SanType::DnsName(name.try_into().unwrap())];
            let (stolen, _) = leaf(&issuer(&key).unwrap(), &key, names).unwrap();
            assert_eq!(verify(&[stolen.der().clone()], name), trusted, "{name}");
        }
        let public = "203.0.113.1".parse().unwrap();
        assert!(tls(dir.path(), public).is_err());
    }
}
