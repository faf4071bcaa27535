//! Which class has which number.

use std::collections::BTreeMap;

use super::super::classes::Classes;

/// Names of classes that stand in a message.
const SHOWN: usize = 10;

/// Numbers of classes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) labels: BTreeMap<String, usize>,
    /// Number of classes.
    pub(super) count: usize,
    pub(super) names: Classes,
    /// What was assumed, for the user to know.
    pub(super) notice: Option<String>,
}

/// Numbers for the classes `found`, which are sorted: by the names that are `known`; else, if all are numbers, themselves; else in
/// their order, as PyTorch's `ImageFolder` and Keras number folders. A model of `count` classes has to have just these then.
///
/// # Errors
/// What was expected and what was found.
pub(super) fn assign(found: &[String], known: &Classes, count: Option<usize>) -> Result<Assigned, String> {
    if !known.is_empty() {
        return by_names(found, known);
    }
    if let Some(labels) = numbers(found) {
        return by_numbers(labels);
    }
    if let Some(count) = count.filter(|count| *count != found.len()) {
        return Err(format!(
            "found {} classes ({}), but the model has {count}: --labels FILE says what they are called, one on each line in the \
             model's order",
            found.len(),
            shown(found)
        ));
    }
    let labels = found.iter().cloned().zip(0..).collect();
    let pairs: Vec<String> = found.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect();
    let notice = format!("classes in the order of their names: {}", shown(&pairs));
    Ok(Assigned { labels, count: found.len(), names: Classes::new(found), notice: Some(notice) })
}

fn by_names(found: &[String], known: &Classes) -> Result<Assigned, String> {
    let number = |name: &String| known.find(name).or_else(|| name.parse().ok().filter(|number| *number < known.len()));
    let unknown =
        |name: &String| format!("found class {:?}: expected one of {}, or its number", cut(name), shown(known.names()));
    let label = |name: &String| Ok((name.clone(), number(name).ok_or_else(|| unknown(name))?));
    let labels = found.iter().map(label).collect::<Result<_, String>>()?;
    Ok(Assigned { labels, count: known.len(), names: known.clone(), notice: None })
}

fn numbers(found: &[String]) -> Option<BTreeMap<String, usize>> {
    let number = |name: &String| name.parse::<u16>().ok().map(|number| (name.clone(), number.into()));
    found.iter().map(number).collect()
}

fn by_numbers(labels: BTreeMap<String, usize>) -> Result<Assigned, String> {
    let mut sorted: Vec<usize> = labels.values().copied().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("found class {} under two names", pair[0]));
    }
    // Other programs would sort them as text, 10 before 2.
    let is_other = labels.values().zip(&sorted).any(|(by_text, by_number)| by_text != by_number);
    let notice =
        is_other.then(|| "classes are the numbers that they are called; PyTorch and Keras sort 10 before 2".into());
    let count = sorted.last().map_or(0, |last| last + 1);
    Ok(Assigned { labels, count, names: Classes::default(), notice })
}

fn cut(name: &str) -> String {
    name.chars().take(40).collect()
}

/// The first names, and how many more there are.
fn shown(names: &[String]) -> String {
    let mut words: Vec<String> = names.iter().take(SHOWN).map(|name| cut(name).escape_debug().to_string()).collect();
    if names.len() > SHOWN {
        words.push(format!("{} more", names.len() - SHOWN));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(found: &[&str], known: &[&str], count: Option<usize>) -> Result<Vec<usize>, String> {
        let mut found: Vec<String> = found.iter().map(|name| name.to_string()).collect();
        found.sort_unstable();
        assign(&found, &Classes::new(known), count)
            .map(|assigned| found.iter().map(|name| assigned.labels[name]).collect())
    }

    #[test]
    fn names_become_numbers() {
        assert_eq!(of(&["dog", "cat"], &[], Some(2)), Ok(vec![0, 1]));
        assert_eq!(of(&["dog", "cat"], &["dog", "emu", "cat"], Some(3)), Ok(vec![2, 0]));
        assert_eq!(of(&["2", "emu"], &["dog", "emu", "cat"], Some(3)), Ok(vec![2, 1]));
        assert_eq!(of(&["3", "0"], &[], Some(10)), Ok(vec![0, 3]));
        assert_eq!(of(&["00010", "00002"], &[], None), Ok(vec![2, 10]));
        let found = ["10", "2"].map(String::from);
        let assigned = assign(&found, &Classes::default(), None).unwrap();
        assert_eq!((assigned.count, assigned.names.is_empty(), assigned.notice.is_some()), (11, true, true));
    }

    #[test]
    fn nothing_is_guessed() {
        let message = of(&["dog", "cat"], &[], Some(3)).unwrap_err();
        assert!(message.starts_with("found 2 classes (cat, dog), but the model has 3: --labels FILE"), "{message}");
        let message = of(&["cow"], &["dog", "cat"], Some(2)).unwrap_err();
        assert_eq!(message, "found class \"cow\": expected one of dog, cat, or its number");
        assert_eq!(of(&["1", "01"], &[], None), Err("found class 1 under two names".into()));
        assert!(of(&["99999999999", "1"], &[], Some(3)).is_err());
    }
}
