//! Which service a path means, and what its manifest says. Manifests and pages are kept for some seconds: a client that
//! calls a hundred times a second asks the overlay for them once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use moka::future::Cache;
use overlay::io::{Answer, Command, Error};
use overlay::manifest::{address, is_service, Method};
use serde::Deserialize;

use crate::node::Handle;
use crate::problem::Problem;

/// A new version is noticed after this time at the latest.
const KEPT: Duration = Duration::from_secs(10);
/// Manifests that are kept.
const MAX_MANIFESTS: u64 = 1_024;
/// Bytes of pages that are kept.
const MAX_PAGES: u64 = 128 << 20;

/// What the gateway needs of a manifest.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub description: String,
    pub publisher: String,
    pub interface: BTreeMap<String, Method>,
    #[serde(default)]
    pub ui: Option<String>,
    /// Where it runs, if that is outside of all tabs.
    #[serde(default)]
    pub url: Option<String>,
}

/// A service's page: its first file, and all files by path.
pub struct Page {
    pub entry: Option<String>,
    pub files: BTreeMap<String, Bytes>,
}

/// The services that were asked for.
pub struct Services {
    node: Handle,
    manifests: Cache<String, Arc<Manifest>>,
    pages: Cache<String, Arc<Page>>,
}

impl Services {
    /// None yet.
    pub fn new(node: Handle) -> Self {
        let weight = |_: &String, page: &Arc<Page>| {
            let bytes: usize = page.files.iter().map(|(path, bytes)| path.len() + bytes.len() + 256).sum();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let manifests = Cache::builder().max_capacity(MAX_MANIFESTS).time_to_live(KEPT).build();
        let pages = Cache::builder().max_capacity(MAX_PAGES).weigher(weight).time_to_live(KEPT).build();
        Self { node, manifests, pages }
    }

    /// The manifest of the service that `name` means.
    pub async fn manifest(&self, name: &str) -> Result<Arc<Manifest>, Problem> {
        check(name)?;
        let load = async { self.package(name, false).await.map(|(manifest, _)| Arc::new(manifest)) };
        self.manifests.try_get_with(name.to_owned(), load).await.map_err(|error| (*error).clone().into())
    }

    /// The page of the service that `name` means.
    pub async fn page(&self, name: &str) -> Result<Arc<Page>, Problem> {
        check(name)?;
        let load = async {
            let (manifest, ui) = self.package(name, true).await?;
            if let Some(url) = &manifest.url {
                return Err(elsewhere(url, "its page works in the app"));
            }
            let files = ui.into_iter().map(|(path, bytes)| (path, Bytes::from(bytes))).collect();
            Ok::<_, Error>(Arc::new(Page { entry: manifest.ui, files }))
        };
        self.pages.try_get_with(name.to_owned(), load).await.map_err(|error| (*error).clone().into())
    }

    async fn package(&self, name: &str, files: bool) -> Result<(Manifest, Vec<(String, Vec<u8>)>), Error> {
        match self.node.command(Command::Package { service: name.to_owned(), files }).await? {
            Answer::Package { manifest, ui } => {
                let manifest = serde_json::from_slice(&manifest);
                let unreadable = |_| Error::InvalidPackage("its manifest cannot be read".to_owned());
                Ok((manifest.map_err(unreadable)?, ui))
            }
            _ => Err(Error::Disconnected("the relay gave another answer than was asked for".to_owned())),
        }
    }
}

/// A service that runs outside of all tabs has no session and no page here.
pub fn elsewhere(url: &str, hint: &str) -> Error {
    let origin = address(url).map_or("another address", |address| address.origin);
    Error::Refused(format!("this service runs at {origin}, outside of all tabs; {hint}"))
}

fn check(name: &str) -> Result<(), Problem> {
    match is_service(name) {
        true => Ok(()),
        false => Err(Error::NotFound("that name".to_owned()).into()),
    }
}

#[cfg(test)]
mod tests {
    use overlay::manifest::is_service;

    #[test]
    fn what_is_no_name_is_no_service() {
        let peer = overlay::id::PeerId([7; 32]).to_string();
        assert!(is_service("counter") && is_service("a-1") && is_service(&format!("counter@{peer}")));
        for bad in
            ["", "-a", "A", "a b", "a/b", "..", "a@", "a@b", "@", "a@b@c", "a\r\nx", "a%2e", &"a".repeat(65)]
        {
            assert!(!is_service(bad), "{bad:?}");
        }
    }
}
