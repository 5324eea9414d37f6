//! A signed manifest with the digests of the package's files: what travels, and what a package's id is the digest of.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::is_path;
use super::{Engine, Manifest, ManifestError, MAX_MANIFEST};
use crate::id::{BlobId, PackageId, PeerId, ServiceId};
use crate::transfer;

/// The most bytes of a module.
pub const MAX_MODULE: u64 = service_abi::limits::MAX_MODULE as u64;
/// The most bytes of one UI file.
pub const MAX_UI_FILE: u64 = 8 * 1024 * 1024;
/// The most bytes of all UI files.
pub const MAX_UI: u64 = 32 * 1024 * 1024;
/// The most UI files.
pub const MAX_UI_FILES: usize = 32;

/// Keeps a signature on a manifest from being one on anything else.
const DOMAIN: &[u8] = b"tabfarm manifest 1\0";

/// An ed25519 signature.
pub type Signature = [u8; 64];

/// A file of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// Its content address.
    pub hash: BlobId,
    /// Its bytes.
    pub size: u64,
}

/// A verified package: the author's manifest, who signed it, and its files.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// The digest of the signed JSON.
    pub id: PackageId,
    /// The author's manifest.
    pub manifest: Manifest,
    /// Who signed it.
    pub publisher: PeerId,
    /// The module.
    pub module: FileRef,
    /// UI files by path.
    pub files: BTreeMap<String, FileRef>,
}

impl Package {
    /// The service that this package is a version of.
    pub fn service(&self) -> ServiceId {
        ServiceId::new(self.publisher, &self.manifest.name)
    }

    /// `name@publisher`.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.manifest.name, self.publisher)
    }

    /// May `peer` open sessions with the service? Its publisher always may.
    pub fn permits_access(&self, peer: &PeerId) -> bool {
        self.manifest.access.permits(peer, &self.publisher)
    }

    /// Bytes of the module and all UI files.
    pub fn size(&self) -> u64 {
        self.files.values().fold(self.module.size, |sum, file| sum.saturating_add(file.size))
    }
}

/// Why a package is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// A field of the manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A field that publishing adds is missing or wrong.
    #[error("the signed manifest's {0} is missing or wrong")]
    Field(&'static str),
    /// The module's size.
    #[error("the module has {0} bytes; 1 to 16777216 are allowed")]
    ModuleSize(u64),
    /// A module of a service that runs elsewhere.
    #[error("a service that runs elsewhere has no module")]
    Module,
    /// A UI file's path.
    #[error("ui file {0:?}: a relative path of at most 128 characters, without '..', '\\' and empty parts")]
    UiPath(String),
    /// Too many or too large UI files.
    #[error("the ui has at most 32 files of at most 8 MiB each and 32 MiB together")]
    UiSize,
    /// The first page is not among the files.
    #[error("the ui's first page {0:?} is not among its files")]
    UiEntry(String),
    /// Not signed by the publisher that it names.
    #[error("the manifest's signature is not its publisher's")]
    Signature,
}

/// The content address and size of a file.
pub fn file_ref(bytes: &[u8]) -> FileRef {
    FileRef { hash: transfer::blob_id(bytes), size: bytes.len() as u64 }
}

/// Signs `manifest` as `secret_key`'s owner: the canonical JSON (sorted keys, no spaces), its signature, the package.
pub fn sign(
    manifest: &Manifest,
    module: FileRef,
    files: BTreeMap<String, FileRef>,
    secret_key: &[u8; 32],
) -> Result<(Vec<u8>, Signature, Package), PackageError> {
    let key = SigningKey::from_bytes(secret_key);
    let signed = Signed {
        manifest,
        publisher: PeerId(key.verifying_key().to_bytes()).to_string(),
        module: module.into(),
        files: files.into_iter().map(|(path, file)| (path, file.into())).collect(),
    };
    let json = serde_json::to_value(&signed)
        .map(|value| sorted(value).to_string().into_bytes())
        .map_err(|error| ManifestError::Json(error.to_string()))?;
    let signature = key.sign(&[DOMAIN, &json].concat()).to_bytes();
    let package = verify(&json, &signature)?;
    Ok((json, signature, package))
}

/// Checks a signed manifest: its size, every field, and its publisher's signature on these very bytes.
pub fn verify(json: &[u8], signature: &Signature) -> Result<Package, PackageError> {
    if json.len() > MAX_MANIFEST {
        return Err(ManifestError::Size(json.len()).into());
    }
    let unreadable = |error: serde_json::Error| ManifestError::Json(error.to_string());
    let mut value: Value = serde_json::from_slice(json).map_err(unreadable)?;
    let fields = value.as_object_mut().ok_or(PackageError::Field("form"))?;
    let mut take = |name: &'static str| fields.remove(name).ok_or(PackageError::Field(name));
    let (publisher, module, files) = (take("publisher")?, take("module")?, take("files")?);

    let publisher: PeerId =
        publisher.as_str().and_then(|text| text.parse().ok()).ok_or(PackageError::Field("publisher"))?;
    let key = VerifyingKey::from_bytes(&publisher.0).map_err(|_| PackageError::Signature)?;
    key.verify_strict(&[DOMAIN, json].concat(), &(*signature).into()).map_err(|_| PackageError::Signature)?;

    let manifest: Manifest = serde_json::from_value(value).map_err(unreadable)?;
    manifest.check()?;
    let module = file(module).ok_or(PackageError::Field("module"))?;
    let files: BTreeMap<String, RawFile> =
        serde_json::from_value(files).map_err(|_| PackageError::Field("files"))?;
    let files = files
        .into_iter()
        .map(|(path, raw)| Some((path, raw.parse()?)))
        .collect::<Option<BTreeMap<_, _>>>()
        .ok_or(PackageError::Field("files"))?;
    check_files(&manifest, &module, &files)?;
    Ok(Package { id: package_id(json), manifest, publisher, module, files })
}

/// The id of the package with this signed manifest.
pub fn package_id(json: &[u8]) -> PackageId {
    PackageId(crate::id::Hash::of(&[json]))
}

fn check_files(
    manifest: &Manifest,
    module: &FileRef,
    files: &BTreeMap<String, FileRef>,
) -> Result<(), PackageError> {
    match manifest.engine {
        Engine::Url if *module != file_ref(&[]) => return Err(PackageError::Module),
        Engine::Url => {}
        _ if !(1..=MAX_MODULE).contains(&module.size) => {
            return Err(PackageError::ModuleSize(module.size));
        }
        _ => {}
    }
    if let Some(path) = files.keys().find(|path| !is_path(path)) {
        return Err(PackageError::UiPath(path.chars().take(128).collect()));
    }
    let sum = files.values().try_fold(0, |sum, file| (file.size <= MAX_UI_FILE).then_some(sum + file.size));
    if files.len() > MAX_UI_FILES || sum.is_none_or(|sum| sum > MAX_UI) {
        return Err(PackageError::UiSize);
    }
    match &manifest.ui {
        Some(entry) if !files.contains_key(entry) => Err(PackageError::UiEntry(entry.clone())),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct Signed<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    publisher: String,
    module: RawFile,
    files: BTreeMap<String, RawFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    hash: String,
    size: u64,
}

impl RawFile {
    fn parse(self) -> Option<FileRef> {
        Some(FileRef { hash: self.hash.parse().ok()?, size: self.size })
    }
}

impl From<FileRef> for RawFile {
    fn from(file: FileRef) -> Self {
        Self { hash: file.hash.to_string(), size: file.size }
    }
}

fn file(value: Value) -> Option<FileRef> {
    serde_json::from_value::<RawFile>(value).ok()?.parse()
}

/// The same value with sorted keys, whichever map serde_json was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AUTHOR: &[u8] = br#"{ "name": "counter", "version": "1.0.0", "engine": "wasm", "state": "single",
        "interface": { "add": { "reply": { "type": "integer", "maximum": 0.1 } } }, "ui": "index.html",
        "location": [52.5200001, 13.4] }"#;

    fn signed() -> (Vec<u8>, Signature, Package) {
        let manifest = Manifest::parse_author(AUTHOR).unwrap();
        let files = BTreeMap::from([("index.html".to_owned(), file_ref(b"<h1>hi</h1>"))]);
        sign(&manifest, file_ref(b"\0asm"), files, &[7; 32]).unwrap()
    }

    #[test]
    fn a_signed_manifest_verifies_to_what_was_signed() {
        let (json, signature, package) = signed();
        assert_eq!(verify(&json, &signature), Ok(package.clone()));
        assert_eq!(package.manifest, Manifest::parse_author(AUTHOR).unwrap());
        assert_eq!(package.module, file_ref(b"\0asm"));
        assert_eq!(package.id.0, crate::id::Hash::of(&[&json]));
        assert!(package.full_name().starts_with("counter@12D3KooW"));
        assert_eq!(signed().0, json);
    }

    #[test]
    fn another_signer_is_refused() {
        let (json, signature, package) = signed();
        let own = sign(&package.manifest, package.module, package.files, &[8; 32]).unwrap();
        assert_eq!(verify(&json, &own.1), Err(PackageError::Signature));
        assert_eq!(verify(&own.0, &signature), Err(PackageError::Signature));
        assert_eq!(verify(&json, &[0; 64]), Err(PackageError::Signature));
    }

    #[test]
    fn what_runs_elsewhere_has_no_module() {
        let json = br#"{ "name": "weather", "version": "1.0.0", "engine": "url", "state": "none",
            "url": "https://api.example.org/v1", "interface": { "now": {} } }"#;
        let manifest = Manifest::parse_author(json).unwrap();
        let with = |module: &[u8]| sign(&manifest, file_ref(module), BTreeMap::new(), &[7; 32]);
        assert_eq!(with(b"\0asm"), Err(PackageError::Module));
        let (json, signature, package) = with(b"").unwrap();
        assert_eq!(verify(&json, &signature), Ok(package));
        let wasm = Manifest { engine: Engine::Wasm, url: None, ..manifest.clone() };
        assert_eq!(sign(&wasm, file_ref(b""), BTreeMap::new(), &[7; 32]), Err(PackageError::ModuleSize(0)));
    }

    #[test]
    fn files_are_bounded_and_named_safely() {
        let manifest = Manifest::parse_author(AUTHOR).unwrap();
        let module = file_ref(b"\0asm");
        let with = |files: &[(&str, u64)]| {
            let files =
                files.iter().map(|(path, size)| ((*path).to_owned(), FileRef { size: *size, ..module }));
            sign(&manifest, module, files.collect(), &[7; 32]).map(|_| ())
        };
        assert_eq!(with(&[]), Err(PackageError::UiEntry("index.html".into())));
        for path in ["", "/index.html", "../x", "a//b", "a/./b", "a\\b", "c:x", "\u{202e}"] {
            assert_eq!(with(&[("index.html", 1), (path, 1)]), Err(PackageError::UiPath(path.into())));
        }
        assert_eq!(with(&[("index.html", MAX_UI_FILE + 1)]), Err(PackageError::UiSize));
        let many: Vec<String> = (0..40).map(|n| format!("f{n}")).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|path| (path.as_str(), 1)).collect();
        assert_eq!(with(&many), Err(PackageError::UiSize));
        let huge = FileRef { size: MAX_MODULE + 1, ..module };
        assert_eq!(
            sign(&manifest, huge, BTreeMap::new(), &[7; 32]),
            Err(PackageError::ModuleSize(MAX_MODULE + 1))
        );
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let (mut json, mut signature, _) = signed();
            let at = at.index(json.len() + 64);
            match at.checked_sub(json.len()) {
                Some(at) => signature[at] ^= 1 << bit,
                None => json[at] ^= 1 << bit,
            }
            prop_assert!(verify(&json, &signature).is_err());
        }

        #[test]
        fn any_bytes_are_refused(json in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(verify(&json, &[1; 64]).is_err());
        }
    }
}
