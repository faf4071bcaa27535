//! What an epoch can come to although every number is finite, and which options help.

use serde::Serialize;

use crate::evaluation::Evaluation;
use crate::training::adversarial::{Adversarial, Method};
use crate::training::validation::Validation;
use crate::training::{Epoch, Recipe};

/// What is wrong with the network after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Trouble {
    /// All images or nearly all get the same answer.
    constant: bool,
    /// The loss is above that of the same probability for every class.
    worse_than_guessing: bool,
    /// See [`Validation::has_collapsed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    collapsed: Option<bool>,
}

/// Loss of the same probability for every class, in nats.
fn guessing(classes: usize) -> f64 {
    (classes as f64).ln()
}

impl Trouble {
    pub(super) fn of(
        (epoch, test, validation): (&Epoch, &Evaluation, Option<&Validation>),
        recipe: &Recipe,
        classes: usize,
    ) -> Self {
        let collapsed = validation.zip(recipe.adversarial).map(|(v, a)| v.has_collapsed(&a, epoch));
        // The mean over the epoch is that of other weights: a little more than guessing is usual at first, and under attack
        // more than a little. Twice as much without an attack comes of steps that are too large.
        let mean = if recipe.adversarial.is_some() { 0.0 } else { epoch.loss / 2.0 };
        Self {
            constant: test.constant || validation.is_some_and(|validation| validation.constant),
            worse_than_guessing: test.loss.max(mean) > guessing(classes),
            collapsed,
        }
    }

    /// One line for each, with what helps; empty if all is well.
    pub(super) fn lines(&self, epoch: usize, recipe: &Recipe, classes: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut facts = Vec::new();
        if self.constant {
            facts.push("all images, or nearly all, get the same answer".to_string());
        }
        if self.worse_than_guessing {
            let guessing = guessing(classes);
            facts.push(format!("the loss is above {guessing:.4}, that of guessing among {classes} classes"));
        }
        if !facts.is_empty() {
            lines.push(format!("epoch {epoch}: {}; try {}", facts.join(", "), gentler(recipe)));
        }
        if let (Some(true), Some(Adversarial { method, .. })) = (self.collapsed, recipe.adversarial) {
            lines.push(format!(
                "epoch {epoch} has collapsed: the network resists the attack that it is trained on, but not PGD; try {}",
                stronger(method)
            ));
        }
        lines
    }
}

/// Options against steps that are too large, and against an attack too strong for a network that knows nothing yet.
fn gentler(recipe: &Recipe) -> String {
    let lr = format!("a smaller --lr (now {})", recipe.learning_rate);
    match recipe.adversarial {
        Some(Adversarial { eps, warm_up, .. }) => {
            format!("a longer --eps-warmup (now {warm_up} epochs), {lr} or a smaller --eps (now {eps})")
        }
        None => lr,
    }
}

/// Options against an attack that is too easy to resist.
fn stronger(method: Method) -> &'static str {
    match method {
        Method::Fgsm => "--adversarial fast or pgd",
        Method::Fast => "a smaller --alpha or --adversarial pgd",
        Method::Pgd | Method::Trades => "more --steps or a smaller --alpha",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Evaluation = Evaluation { loss: 0.1, accuracy: 0.9, correct: 9, samples: 10, constant: false };
    const EPOCH: Epoch = Epoch { epoch: 3, loss: 0.2, accuracy: 0.9 };

    #[test]
    fn every_trouble_names_the_options_that_help() {
        let plain = Recipe::plain(32, 0.5, 1);
        let lines = |epoch: Epoch, test: Evaluation, recipe: &Recipe| {
            Trouble::of((&epoch, &test, None), recipe, 10).lines(3, recipe, 10)
        };
        assert_eq!(lines(EPOCH, TEST, &plain), [""; 0]);
        let constant = Evaluation { constant: true, ..TEST };
        let expected = "epoch 3: all images, or nearly all, get the same answer; try a smaller --lr (now 0.5)";
        assert_eq!(lines(EPOCH, constant, &plain), [expected]);
        let worse =
            "epoch 3: the loss is above 2.3026, that of guessing among 10 classes; try a smaller --lr (now 0.5)";
        assert_eq!(lines(EPOCH, Evaluation { loss: 2.31, ..TEST }, &plain), [worse]);
        assert_eq!(lines(Epoch { loss: 4.7, ..EPOCH }, TEST, &plain), [worse]);
        assert_eq!(lines(Epoch { loss: 2.4, ..EPOCH }, TEST, &plain), [""; 0], "of the first batches");
        let adversarial = Some(Adversarial { warm_up: 2.0, ..Adversarial::new(Method::Pgd, 0.3) });
        let adversarial = Recipe { adversarial, ..plain };
        assert_eq!(lines(Epoch { loss: 4.7, ..EPOCH }, TEST, &adversarial), [""; 0], "of attacked images");
        let expected = "epoch 3: all images, or nearly all, get the same answer; try a longer --eps-warmup (now 2 epochs), a smaller --lr \
                        (now 0.5) or a smaller --eps (now 0.3)";
        assert_eq!(lines(EPOCH, constant, &adversarial), [expected]);
    }
}
