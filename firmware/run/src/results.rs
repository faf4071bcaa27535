//! Results of the benchmark: written to a file, compared with one.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// How much worse a count may be: compilers differ a little.
const TOLERANCE: f64 = 1.05;
/// What every result counts.
const COUNTS: [&str; 3] = ["instructions", "buffer_bytes", "stack_bytes"];

/// Counts of each piece of work, which the other fields name.
type Results = BTreeMap<String, BTreeMap<String, u64>>;

/// Lines of the form `bench key=value ..`.
fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Results> {
    let mut results = Results::new();
    for line in lines.filter_map(|line| line.strip_prefix("bench ")) {
        let (mut work, mut counts) = (Vec::new(), BTreeMap::new());
        for field in line.split_whitespace() {
            match field.split_once('=').with_context(|| format!("{line:?}: expected key=value, found {field:?}"))? {
                (key, value) if COUNTS.contains(&key) => {
                    let count = value.parse().with_context(|| format!("{line:?}: {key} is not a count"))?;
                    counts.insert(key.to_string(), count);
                }
                _ => work.push(field),
            }
        }
        results.insert(work.join(" "), counts);
    }
    Ok(results)
}

/// Writes the results, and nothing else of the log, to a file.
pub(crate) fn record(path: &Path, lines: &[String]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for line in lines.iter().filter(|line| line.starts_with("bench ")) {
            writeln!(file, "{line}")?;
        }
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{}: cannot be written", path.display()))
}

/// Fails if a result of the file is missing, or more than 5 % worse now.
pub(crate) fn check(path: &Path, lines: &[String]) -> Result<()> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
    let (before, now) = (parse(text.lines())?, parse(lines.iter().map(String::as_str))?);
    ensure!(!before.is_empty(), "{name}: expected lines that start with bench, found none");
    let mut worse = Vec::new();
    for (work, counts) in &before {
        let Some(found) = now.get(work) else { bail!("{work}: is in {name}, but was not measured") };
        for (count, before) in counts {
            let now = *found.get(count).with_context(|| format!("{work}: has no {count}"))?;
            if now as f64 > *before as f64 * TOLERANCE {
                worse.push(format!("{work}: {count} was {before} and is {now}"));
            }
        }
    }
    ensure!(worse.is_empty(), "worse than {name} by more than 5 %:\n{}", worse.join("\n"));
    println!("{} results are not worse than {name}", before.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "bench dtype=f32 work=forward instructions=1000 buffer_bytes=40 stack_bytes=20";

    fn checked(file: &str, line: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("results");
        std::fs::write(&path, file)?;
        check(&path, &[line.to_string()])
    }

    #[test]
    fn a_result_may_be_a_little_worse() {
        checked(LINE, LINE).unwrap();
        checked(LINE, &LINE.replace("1000", "1050")).unwrap();
        checked(LINE, &LINE.replace("1000", "500")).unwrap();
        let error = checked(LINE, &LINE.replace("1000", "1051")).unwrap_err().to_string();
        assert!(error.contains("instructions was 1000 and is 1051"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(checked(LINE, "other").unwrap_err().to_string().contains("not measured"));
        assert!(checked("nothing", LINE).unwrap_err().to_string().contains("found none"));
        assert!(checked("bench a=1 instructions=x", LINE).unwrap_err().to_string().contains("not a count"));
    }

    #[test]
    fn only_results_are_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        record(&path, &["INFO hello".into(), LINE.into()]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{LINE}\n"));
        assert!(record(&folder.path().join("no/results"), &[]).is_err());
    }
}
