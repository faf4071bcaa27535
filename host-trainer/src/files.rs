//! Files that are either whole or not there.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Writes `bytes` to a temporary file beside `path` and renames it, so that a reader (or a power cut) never sees half
/// of it and a failure leaves the old file as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = temporary_file(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Finds out before long work that its result could not be written to `path`. Nothing changes.
///
/// # Errors
/// As [`write_atomically`].
pub fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(drop).with_context(|| format!("{}: cannot be written", path.display()))?;
    ensure!(!path.is_dir(), "{}: is a folder", path.display());
    Ok(())
}

/// A temporary file with the permissions that the user's files usually have, not the private ones of a secret.
fn temporary_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
