//! What classes are called.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file of names, in bytes.
const MAX_FILE: u64 = 1 << 24;
/// Characters of a name.
const MAX_NAME: usize = 100;

/// Names of classes in the order of the classes; without any, classes are numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(Vec<String>);

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct ClassesError {
    /// The file of names.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: ClassesProblem,
}

/// What can be wrong with names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassesProblem {
    /// The operating system refused to open or read the file.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A file that is no text, or far too much of it.
    #[error("expected the name of a class on each line, found a file that is no text or longer than {MAX_FILE} bytes")]
    NoText,
    /// An empty line between others.
    #[error("line {0}: expected the name of a class, found an empty line")]
    Empty(usize),
    /// Two classes of one name.
    #[error("expected another name for each class, found {0:?} twice")]
    Twice(String),
    /// Another number of names than of the model's classes.
    #[error("expected {expected} names, one for each class of the model, found {found}")]
    Count {
        /// The model's classes.
        expected: usize,
        /// Names.
        found: usize,
    },
}

impl Classes {
    /// Classes of these names. What a terminal would obey is replaced, long names are cut.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        Self(names.into_iter().map(|name| name.as_ref().trim().chars().take(MAX_NAME).map(shown).collect()).collect())
    }

    /// A file with a name on each line.
    ///
    /// # Errors
    /// With the file's name, what was expected and what was found.
    pub fn read(path: &Path) -> Result<Self, ClassesError> {
        read(path).map_err(|problem| problem.at(path))
    }

    /// One name on each line, as [`Self::text`] writes them.
    pub fn of_text(text: &str) -> Self {
        Self::new(text.lines())
    }

    /// One name on each line.
    pub fn text(&self) -> String {
        self.0.join("\n")
    }

    /// The name of a class, its number if it has none.
    pub fn name(&self, class: usize) -> Cow<'_, str> {
        self.0.get(class).map_or_else(|| class.to_string().into(), |name| name.as_str().into())
    }

    /// The class of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// All names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether classes are numbers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// These names, or those of `others` if there are none.
    pub fn or(self, others: &Self) -> Self {
        if self.is_empty() { others.clone() } else { self }
    }
}

impl ClassesProblem {
    /// Says which file has the problem.
    pub fn at(self, file: &Path) -> ClassesError {
        ClassesError { file: file.to_path_buf(), problem: self }
    }
}

fn read(path: &Path) -> Result<Classes, ClassesProblem> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MAX_FILE && !text.contains('\0'));
    let text = text.ok_or(ClassesProblem::NoText)?;
    let text = text.trim_start_matches('\u{feff}').trim_end();
    match text.lines().position(|line| line.trim().is_empty()) {
        Some(line) => return Err(ClassesProblem::Empty(line + 1)),
        None if text.is_empty() => return Err(ClassesProblem::Empty(1)),
        None => {}
    }
    let classes = Classes::of_text(text);
    let mut sorted: Vec<&String> = classes.0.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ClassesProblem::Twice(pair[0].clone())),
        None => Ok(classes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &[u8]) -> Result<Classes, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Classes::read(file.path()).map_err(|error| error.problem.to_string())
    }

    #[test]
    fn a_name_stands_on_each_line() {
        let classes = read_text(b"\xef\xbb\xbfcat\r\nguinea pig \nr\xc3\xa9mi\n\n").unwrap();
        assert_eq!(classes.names(), ["cat", "guinea pig", "r\u{e9}mi"]);
        assert_eq!((classes.name(1), classes.name(3), classes.find("cat")), ("guinea pig".into(), "3".into(), Some(0)));
        assert_eq!(Classes::of_text(&classes.text()), classes);
        assert_eq!(Classes::default().name(7), "7");
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for (text, expected) in [
            (&b""[..], "line 1: expected the name"),
            (b"a\n\nb", "line 2"),
            (b"a\nb\na", "\"a\" twice"),
            (b"\x89PNG\xff", "no text"),
            (b"a\0", "no text"),
        ] {
            let message = read_text(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(Classes::new(["\x1b[31mred"]).name(0), "\u{fffd}[31mred");
    }
}
