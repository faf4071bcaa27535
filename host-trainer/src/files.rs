//! Files that are either whole or as they were before.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names of temporary files: what they begin and end with. Between them are the process and a number.
const BEGINS: &str = ".midge-";
const ENDS: &str = ".tmp";

/// Links to follow before they are taken for a circle; the limit of Linux.
const LINKS: usize = 40;

/// Writes `bytes` to `path`, see [`write_with`].
///
/// # Errors
/// The file's name and what the system says.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes)).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Lets `write` fill a temporary file beside `path`, then renames it, so that a reader (or a power cut) never sees half
/// of it and a failure leaves the old file as it was. Links are followed, and a file that is replaced hands its
/// permissions on. What is no regular file, such as a pipe or a device, is written to as it is.
///
/// # Errors
/// What the system says; it never names the temporary file.
pub fn write_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match Place::of(path)? {
        // Without a buffer: a reader of a pipe gets what there is.
        Place::Stream => {
            let mut stream = OpenOptions::new().write(true).open(path)?;
            write(&mut stream)?;
            stream.flush()
        }
        Place::Regular { path, old } => {
            let mut temporary = Temporary::beside(&path)?;
            // Before there is anything that others must not read.
            if let Some(old) = old {
                temporary.file.set_permissions(old)?;
            }
            write(&mut temporary.file)?;
            temporary.file.sync_all()?;
            temporary.rename(&path)
        }
    }
}

/// Finds out before long work that its result could not be written to `path`. Nothing changes.
///
/// # Errors
/// As [`write_atomically`].
pub fn check_writable(path: &Path) -> Result<()> {
    let check = || match Place::of(path)? {
        // Opening a pipe would wait for its reader.
        Place::Stream => Ok(()),
        Place::Regular { path, .. } => Temporary::beside(&path).map(drop),
    };
    check().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Whether `path` is a device, a pipe or the like: what is written there cannot be read again.
pub fn is_stream(path: &Path) -> bool {
    matches!(Place::of(path), Ok(Place::Stream))
}

/// Where bytes for a path go.
enum Place {
    /// A regular file, there or not: its path without links, and the permissions that it has.
    Regular { path: PathBuf, old: Option<std::fs::Permissions> },
    /// A device, a pipe, a socket.
    Stream,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let old = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(metadata) if !metadata.is_file() => return Ok(Self::Stream),
            Ok(metadata) => {
                // A file that its owner has protected is refused, as by every other program.
                OpenOptions::new().write(true).open(path)?;
                Some(metadata.permissions())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self::Regular { path: follow(path)?, old })
    }
}

/// The path at the end of a chain of links, which need not exist.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // Not a link, or not there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is removed unless it is renamed. It is locked, and the system unlocks it when the process ends, however
/// that happens; so an unlocked one was left behind by a process that was killed.
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    fn beside(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        remove_abandoned(folder);
        for number in 0u64.. {
            let path = folder.join(format!("{BEGINS}{}-{number}{ENDS}", std::process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let temporary = Self { file, path };
            // A file system without locks only loses the removal of what was left behind.
            let _ = temporary.file.lock();
            // Another process may have taken it for abandoned before it was locked.
            if temporary.path.exists() {
                return Ok(temporary);
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn rename(mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes what a killed process has left in a folder.
fn remove_abandoned(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_temporary(&entry.file_name()) && is_file() {
            let file = OpenOptions::new().write(true).open(entry.path());
            if file.is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// `.midge-PROCESS-NUMBER.tmp`
fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let between = name.to_str().and_then(|name| name.strip_prefix(BEGINS)?.strip_suffix(ENDS));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    between.and_then(|between| between.split_once('-')).is_some_and(|(a, b)| is_number(a) && is_number(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!((std::fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["file".to_string()]));
        check_writable(&path).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["file".to_string()]));
    }

    #[test]
    fn only_what_a_dead_process_has_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let abandoned = folder.path().join(".midge-1-0.tmp");
        let others = [".midge-1.tmp", ".midge-x-0.tmp", ".midge-1-0.tmp.st", "midge-1-0.tmp"];
        for name in others.iter().map(|name| folder.path().join(name)).chain([abandoned]) {
            std::fs::write(name, "left").unwrap();
        }
        let alive = Temporary::beside(&folder.path().join("a")).unwrap();
        write_atomically(&folder.path().join("b"), b"new").unwrap();
        assert!(alive.path.exists());
        alive.rename(&folder.path().join("a")).unwrap();
        let mut found = names(folder.path());
        let mut expected = [&others[..], &["a", "b"]].concat();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn messages_name_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no").join("file");
        for error in [write_atomically(&path, b"").unwrap_err(), check_writable(&path).unwrap_err()] {
            let message = format!("{error:#}");
            assert!(message.starts_with(&format!("{}: cannot be written: ", path.display())), "{message}");
            assert!(!message.contains(BEGINS), "{message}");
        }
        assert!(format!("{:#}", check_writable(folder.path()).unwrap_err()).contains("directory"));
    }
}
