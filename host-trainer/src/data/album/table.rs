//! The table `labels.csv`: a file and its class on each line.
//!
//! ```text
//! file,label            or no first line of names; of more columns those two count that are called so
//! 1.png,cat
//! "a, b.png",dog        quotes as usual
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use super::super::error::DataError;
use super::contents::{Album, Entry, MAX_FILES};

/// The table of labels in a folder of pictures.
pub(super) const TABLE: &str = "labels.csv";
/// The longest table that is read, in bytes.
const MAX_TABLE: u64 = 1 << 28;
/// What the columns may be called, without regard to capitals.
const FILES: [&str; 6] = ["file", "filename", "file_name", "image", "path", "name"];
const LABELS: [&str; 5] = ["label", "labels", "class", "category", "target"];

/// The pictures that the table in `root` names.
pub(super) fn read(root: &Path) -> Result<Album, DataError> {
    let path = root.join(TABLE);
    let wrong = |problem: String| DataError::Album { path: path.clone(), problem };
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_TABLE + 1).read_to_end(&mut bytes))
        .map_err(DataError::io(&path))?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MAX_TABLE && !text.contains('\0'));
    let text = text.ok_or_else(|| wrong(format!("expected text of at most {MAX_TABLE} bytes")))?;
    let entries = entries(root, text.trim_start_matches('\u{feff}')).map_err(&wrong)?;
    if entries.is_empty() {
        return Err(wrong("expected a file and its label on each line, found no line".into()));
    }
    let classes: BTreeSet<String> = entries.iter().filter_map(|entry| entry.class.clone()).collect();
    let classes = classes.into_iter().collect();
    Ok(Album { root: path, name: String::new(), entries, classes, left_out: 0, has_splits: false })
}

fn entries(root: &Path, text: &str) -> Result<Vec<Entry>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let first = lines.peek().map(|(_, line)| cells(line)).unwrap_or_default();
    let find = |names: &[&str]| first.iter().position(|cell| names.contains(&cell.to_lowercase().as_str()));
    let columns = match (find(&FILES), find(&LABELS)) {
        (Some(file), Some(label)) => {
            lines.next();
            [file, label]
        }
        _ => [0, 1],
    };
    let mut entries = Vec::new();
    for (number, line) in lines {
        entries.push(entry(root, &cells(line), columns).map_err(|problem| format!("line {}: {problem}", number + 1))?);
        if entries.len() > MAX_FILES {
            return Err(format!("expected at most {MAX_FILES} lines, found more"));
        }
    }
    Ok(entries)
}

fn entry(root: &Path, cells: &[String], [file, label]: [usize; 2]) -> Result<Entry, String> {
    let (Some(file), Some(label)) = (cells.get(file), cells.get(label).filter(|label| !label.is_empty())) else {
        return Err(format!("expected a file and its label, found {} cells", cells.len()));
    };
    // A table from elsewhere is no guide to the rest of the disk.
    let is_inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside {
        return Err(format!("expected a file below the folder, found {:?}", file.chars().take(80).collect::<String>()));
    }
    Ok(Entry { path: root.join(file), shown: file.clone(), class: Some(label.clone()) })
}

/// The cells of a line. In quotes a comma is a letter, and two quotes are one.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell).trim().to_string()),
            letter => cell.push(letter),
        }
    }
    cells.push(cell.trim().to_string());
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::damage::{damaged, numbers};

    fn table(text: &str) -> Result<Vec<(String, String)>, String> {
        let entries = entries(Path::new("r"), text)?;
        Ok(entries.into_iter().map(|entry| (entry.path.display().to_string(), entry.class.unwrap())).collect())
    }

    #[test]
    fn tables_have_a_first_line_of_names_or_not() {
        let expected = Ok(vec![("r/a.png".to_string(), "cat".to_string()), ("r/b/c, d\".png".into(), "2".into())]);
        assert_eq!(table("a.png,cat\r\n\n\"b/c, d\"\".png\",2\n"), expected);
        assert_eq!(table("file,label\na.png, cat\n\"b/c, d\"\".png\",2"), expected);
        assert_eq!(table("id,Class,split,FileName\n1,cat,x,a.png\n2,2,y,\"b/c, d\"\".png\""), expected);
    }

    #[test]
    fn lines_that_are_none_are_named() {
        for (text, expected) in [
            ("a.png,cat\nb.png", "line 2: expected a file and its label, found 1 cells"),
            ("a.png,", "line 1: expected a file and its label"),
            ("../../secret.png,1", "line 1: expected a file below the folder, found \"../../secret.png\""),
            ("/etc/passwd,1", "line 1: expected a file below the folder"),
        ] {
            let message = table(text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn no_damage_ends_in_a_panic() {
        let sound = "file,label\n\"a, \"\"b.png\",1\r\nc/d.png,\"e\"\n";
        let refused = numbers(1000).filter(|number| {
            let bytes = damaged(sound.as_bytes(), *number);
            table(&String::from_utf8_lossy(&bytes)).is_err()
        });
        assert!(refused.count() > 0, "nothing was damaged");
    }
}
