//! The order in which modules run. A `state_dict` in safetensors has lost it: its tensors are sorted by name.
//!
//! Three things are certain. Names that differ in a number only say their order: `conv2` before `conv10`, `1.0` before
//! `2.0`. Convolutions come before linear layers. Shapes must fit: to each other, or to the layers of an architecture. If
//! one order agrees with all three it is the order; if several do, it is not known.

use anyhow::{Result, bail};

use super::module::Module;

/// Steps of the search after which it gives up: far more than names with numbers ever need.
const MOST_STEPS: usize = 20_000;

/// Whether a module can stand behind those before it.
pub(super) type Fits<'f> = &'f dyn Fn(&[&Module], &Module) -> bool;

/// Modules in the one order that their names and `fits` allow; `None` if they allow none.
///
/// # Errors
/// If they allow several.
pub(super) fn sorted<'m>(modules: &'m [Module], fits: Fits<'_>) -> Result<Option<Vec<&'m Module>>> {
    let mut search = Search { modules, fits, order: Vec::new(), found: Vec::new(), steps: 0 };
    search.extend();
    if search.steps > MOST_STEPS {
        bail!(
            "the names of the modules do not say their order ({}): {RENAME}",
            names(&search.modules.iter().collect::<Vec<_>>())
        );
    }
    if let [first, second, ..] = &search.found[..] {
        bail!("the modules could run as {}, or as {}: {RENAME}", names(first), names(second));
    }
    Ok(search.found.pop())
}

const RENAME: &str = "rename them so that numbers in their names say the order, such as 0, 1, 2";

/// Names of modules, for a message.
pub(super) fn names(modules: &[&Module]) -> String {
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    names.join(", ")
}

struct Search<'m, 'f> {
    modules: &'m [Module],
    fits: Fits<'f>,
    order: Vec<&'m Module>,
    found: Vec<Vec<&'m Module>>,
    steps: usize,
}

impl Search<'_, '_> {
    /// Tries every module that can be next. Ends at the second order found: two are as good as many.
    fn extend(&mut self) {
        self.steps += 1;
        if self.order.len() == self.modules.len() {
            self.found.push(self.order.clone());
        }
        for module in self.modules {
            if self.found.len() > 1 || self.steps > MOST_STEPS {
                return;
            }
            let is_used = |other: &Module| self.order.iter().any(|used| std::ptr::eq(*used, other));
            let waits = |other: &Module| runs_before(other, module) && !is_used(other);
            if !is_used(module) && !self.modules.iter().any(waits) && (self.fits)(&self.order, module) {
                self.order.push(module);
                self.extend();
                self.order.pop();
            }
        }
    }
}

/// Whether `a` certainly runs before `b`.
fn runs_before(a: &Module, b: &Module) -> bool {
    if a.is_linear() != b.is_linear() {
        return b.is_linear();
    }
    let (mut a, mut b) = (a.name.split('.'), b.name.split('.'));
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                let ((a, first), (b, second)) = (numbered(a), numbered(b));
                return a == b && matches!((first, second), (Some(first), Some(second)) if first < second);
            }
            _ => return false,
        }
    }
}

/// `conv12` as `conv` and 12.
fn numbered(word: &str) -> (&str, Option<u64>) {
    let text = word.trim_end_matches(|c: char| c.is_ascii_digit());
    (text, word[text.len()..].parse().ok())
}

/// Whether the shapes of modules in a row fit, with nothing known but them.
pub(super) fn fits_shapes(before: &[&Module], module: &Module) -> bool {
    match before.last() {
        None => true,
        Some(last) if last.is_linear() == module.is_linear() => last.outputs() == module.inputs(),
        Some(last) => last.outputs() > 0 && module.inputs().is_multiple_of(last.outputs()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Array;
    use super::*;

    fn module(name: &str, shape: &[usize]) -> Module {
        let weight = Array { shape: shape.to_vec(), data: Vec::new() };
        Module { name: name.into(), weight, bias: None, norm: None }
    }

    fn order(modules: &[(&str, &[usize])]) -> Result<Option<String>> {
        let modules: Vec<Module> = modules.iter().map(|(name, shape)| module(name, shape)).collect();
        Ok(sorted(&modules, &fits_shapes)?.map(|order| names(&order)))
    }

    #[test]
    fn numbers_and_shapes_say_the_order() {
        let square = &[8, 8, 3, 3][..];
        for (modules, expected) in [
            (&[("10", square), ("2", square)][..], "2, 10"),
            (&[("conv10", square), ("conv9", square)], "conv9, conv10"),
            (&[("b.1.0", square), ("b.0.1", square)], "b.0.1, b.1.0"),
            // The last number says nothing where those before it differ.
            (&[("first.1", &[8, 1, 3, 3]), ("second.0", &[4, 8, 3, 3])], "first.1, second.0"),
            (&[("classifier.0", &[10, 72]), ("features.3", square)], "features.3, classifier.0"),
            (&[("head", &[10, 20]), ("hidden", &[20, 72])], "hidden, head"),
        ] {
            assert_eq!(order(modules).unwrap().as_deref(), Some(expected));
        }
        assert_eq!(order(&[("0", &[8, 1, 3, 3]), ("1", &[4, 7, 3, 3])]).unwrap(), None);
    }

    #[test]
    fn an_order_that_is_not_known_is_refused() {
        let message = order(&[("first.1", &[8, 8, 3, 3]), ("second.0", &[8, 8, 3, 3])]).unwrap_err().to_string();
        assert!(message.contains("first.1, second.0, or as second.0, first.1"), "{message}");
        // Numbers beyond all bounds say nothing.
        let (long, longer) = ("9".repeat(30), "9".repeat(31));
        assert!(order(&[(&long, &[8, 8, 3, 3]), (&longer, &[8, 8, 3, 3])]).is_err());
        // A search without an end ends.
        let many: Vec<String> = (0..30).map(|i| ["a", "b"][i % 2].repeat(i + 1)).collect();
        let mut modules: Vec<(&str, &[usize])> = many.iter().map(|name| (name.as_str(), &[8, 8, 3, 3][..])).collect();
        modules.push(("z", &[2, 7]));
        assert!(order(&modules).is_err());
    }
}
