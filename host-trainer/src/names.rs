//! Names that a user may misspell.

/// The one of `known` that `word` was probably meant to be.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three letters; four letters and fewer say little.
    let slips = (word.chars().count() / 3).min(3);
    let word = word.to_lowercase();
    let distances = known.into_iter().map(|name| (strsim::osa_distance(&word, name), name));
    distances.filter(|(distance, _)| *distance <= slips).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// `; did you mean NAME?` for the end of a message, or nothing.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map_or(String::new(), |name| format!("; did you mean {name:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = ["plain", "robust"];
        for word in ["plian", "Plain", "plai", "plainn"] {
            assert_eq!(closest(word, known), Some("plain"), "{word}");
        }
        assert_eq!(closest("robsut", known), Some("robust"));
        for word in ["", "p", "model", "mine.safetensors", "rain-o"] {
            assert_eq!(closest(word, known), None, "{word}");
        }
        assert_eq!(hint("sinthetic", ["synthetic"]), "; did you mean \"synthetic\"?");
        assert_eq!(hint("folder", ["synthetic"]), "");
    }
}
