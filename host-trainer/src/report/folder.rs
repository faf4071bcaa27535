//! The folder of a report: an existing report in it is replaced, other files are left alone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files::{check_writable, write_atomically};

/// Name of the page.
pub const PAGE: &str = "index.html";

/// What tells a page of this program from others; the page's template has it in its head.
pub const MARK: &str = "<meta name=\"generator\" content=\"midge report\">";

/// All files that a report may have beside its page.
fn names() -> impl Iterator<Item = String> {
    let files = ["accuracy", "matrix", "minimal-eps", "training", "examples"];
    let files = files.into_iter().flat_map(|name| ["svg", "png"].map(move |kind| (name, kind)));
    files.flat_map(|(name, kind)| ["a", "b"].map(|model| format!("{name}-{model}.{kind}")))
}

/// A folder that a report may be written to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates the folder if need be, and makes sure before all measurements that it can take a report.
    ///
    /// # Errors
    /// If it cannot be written, or has files of a report's names that are not from this program.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        ensure!(!path.exists() || path.is_dir(), "{shown}: expected a folder, found a file");
        std::fs::create_dir_all(path).with_context(|| format!("{shown}: cannot be created"))?;
        let page = path.join(PAGE);
        check_writable(&page)?;
        if page.exists() {
            let text = std::fs::read(&page).with_context(|| format!("{}: cannot be read", page.display()))?;
            let ours = String::from_utf8_lossy(&text).contains(MARK);
            ensure!(
                ours,
                "{}: is not a report of midge, and will not be replaced; choose another --out",
                page.display()
            );
        } else if let Some(name) = names().find(|name| path.join(name).exists()) {
            let foreign = path.join(name);
            anyhow::bail!(
                "{}: there is no report beside it, so it will not be replaced; choose another --out",
                foreign.display()
            );
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// Writes the page and the files beside it, and removes those of an older report that this one does not have.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, page: &str, files: &[(String, Vec<u8>)]) -> Result<PathBuf> {
        // The page first: its mark makes the other files ours, should the program end between them.
        let path = self.path.join(PAGE);
        write_atomically(&path, page.as_bytes())?;
        for (name, bytes) in files {
            write_atomically(&self.path.join(name), bytes)?;
        }
        for name in names().filter(|name| files.iter().all(|(written, _)| written != name)) {
            let old = self.path.join(name);
            if old.exists() {
                std::fs::remove_file(&old).with_context(|| format!("{}: cannot be removed", old.display()))?;
            }
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_report_is_replaced_and_other_files_stay() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/report");
        let names = || {
            let mut names: Vec<_> = path.read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let file = |name: &str| (name.to_string(), b"x".to_vec());
        Folder::open(&path).unwrap().write(MARK, &[file("accuracy-a.svg"), file("accuracy-b.svg")]).unwrap();
        std::fs::write(path.join("notes"), "mine").unwrap();
        Folder::open(&path).unwrap().write(MARK, &[file("accuracy-a.svg")]).unwrap();
        assert_eq!(names(), ["accuracy-a.svg", "index.html", "notes"]);
        std::fs::remove_file(path.join(PAGE)).unwrap();
        let message = Folder::open(&path).unwrap_err().to_string();
        assert!(message.contains("accuracy-a.svg"), "{message}");
        std::fs::write(path.join(PAGE), "<h1>My page</h1>").unwrap();
        let message = Folder::open(&path).unwrap_err().to_string();
        assert!(message.contains(PAGE), "{message}");
        assert!(Folder::open(&path.join("notes")).unwrap_err().to_string().contains("found a file"));
    }
}
