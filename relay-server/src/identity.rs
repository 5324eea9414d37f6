//! The relay's key.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use libp2p::identity::Keypair;

/// The key's file in the data directory: 32 bytes, an ed25519 secret, readable by its owner alone.
const FILE: &str = "key";

/// The key in `dir`, made and stored at the first start; a new one each time without a directory.
pub fn load(dir: Option<&Path>) -> anyhow::Result<Keypair> {
    let Some(dir) = dir else { return Ok(Keypair::generate_ed25519()) };
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(secret) => {
            Keypair::ed25519_from_bytes(secret).with_context(|| format!("{} holds no key", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create(dir),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The 32 secret bytes of an ed25519 key.
pub fn secret(key: &Keypair) -> anyhow::Result<[u8; 32]> {
    let key = key.clone().try_into_ed25519().context("the key is not ed25519")?;
    Ok(key.secret().as_ref().try_into()?)
}

fn create(dir: &Path) -> anyhow::Result<Keypair> {
    let key = Keypair::generate_ed25519();
    keep(dir, FILE, &secret(&key)?)?;
    Ok(key)
}

/// Writes a file that its owner alone may read. Written aside and renamed, so that a crash leaves no half of it.
pub(crate) fn keep(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let (path, draft) = (dir.join(name), dir.join(format!(".{name}.new")));
    let write = || {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("data");
        let first = load(Some(&dir)).unwrap().public();
        assert_eq!(load(Some(&dir)).unwrap().public(), first);
        assert_eq!(fs::metadata(dir.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(dir.join(FILE), b"short").unwrap();
        assert!(load(Some(&dir)).is_err());
    }
}
