//! Files for their owner's eyes only: made once, never overwritten, mode 0600.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

fn said(path: &Path, error: &std::io::Error) -> String {
    let text = error.to_string();
    format!("{}: {}", path.display(), text.split(" (os error").next().unwrap_or(&text).to_lowercase())
}

/// Writes a new file; one that is there already stays.
///
/// # Errors
/// Those of the system, as a sentence.
pub(super) fn make(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(|e| said(path, &e))
}

/// Random bytes of the operating system.
///
/// # Errors
/// It gives none.
pub(super) fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    let path = Path::new("/dev/urandom");
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(|e| said(path, &e))?;
    Ok(bytes)
}

/// A key of random bytes from a file, which is made if it is not there.
///
/// # Errors
/// It cannot be read or made, is of another length, or others may read it.
pub(super) fn read_or_make<const N: usize>(path: &Path) -> Result<[u8; N], String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let key = random()?;
            make(path, &key)?;
            return Ok(key);
        }
        Err(e) => return Err(said(path, &e)),
    };
    if file.metadata().map_err(|e| said(path, &e))?.mode() & 0o077 != 0 {
        return Err(format!("{0}: others may read it: chmod 600 {0}", path.display()));
    }
    let mut key = [0; N];
    let whole = file.read_exact(&mut key).and_then(|()| file.read(&mut [0])).is_ok_and(|more| more == 0);
    if whole { Ok(key) } else { Err(format!("{}: is no key of {N} bytes", path.display())) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let path = std::env::temp_dir().join(format!("slips-secret-{}", std::process::id()));
        let key: [u8; 32] = read_or_make(&path).unwrap();
        assert_ne!(key, [0; 32]);
        assert_eq!(read_or_make(&path), Ok(key));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path, b"other").is_err(), "never overwritten");
        assert!(read_or_make::<16>(&path).unwrap_err().ends_with("is no key of 16 bytes"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_or_make::<32>(&path).unwrap_err().contains("others may read it"));
        std::fs::remove_file(&path).unwrap();
    }
}
