//! The network that a run trains: what the options say, and what the data say where the options leave it open.

use anyhow::{Context, Result, ensure};
use midge_core::{MNIST_CNN, MNIST_CNN_SHIFTED, Network};

use super::Arguments;
use crate::architecture::{Wanted, parse, says_input};
use crate::data::Facts;
use crate::training::Recipe;

/// The longest side of pictures that the lecture's network takes without being asked.
const MAX_SIDE: usize = 128;
/// The shape and the classes of MNIST and of what is made like it.
const DIGITS: ([usize; 3], usize) = ([28, 28, 1], 10);

/// The lecture's network without its input and its classes.
const LECTURE: &str = "conv 32 3 no bias, relu, maxpool 2, conv 64 3 no bias, relu, maxpool 2, dense 256, relu, dense";
const SHIFTED: &str =
    "conv 32 3 no bias, relu 0.1, maxpool 2, conv 64 3 no bias, relu, maxpool 2, dense 256, relu, dense";

/// The architecture that `--network` and `--size` ask for; none if they ask for none.
pub(super) fn asked(arguments: &Arguments, facts: &Facts) -> Result<Option<Network>> {
    let text = match (&arguments.network, arguments.size) {
        (None, None) => return Ok(None),
        (Some(text), _) => text,
        (None, Some(_)) => usual_text(arguments),
    };
    ensure!(
        arguments.size.is_none() || !says_input(text),
        "--size stands beside a --network that says its input: expected one of them"
    );
    parse(text, wanted(arguments, facts)).context("--network").map(Some)
}

/// The architecture of a run that asks for none: the lecture's, for images and classes like those of the data.
pub(super) fn usual(arguments: &Arguments, recipe: &Recipe, facts: &Facts) -> Result<Network> {
    let is_digits = facts.shape.is_none_or(|shape| shape == DIGITS.0)
        && facts.classes.is_none_or(|classes| classes <= DIGITS.1)
        && facts.names.is_empty();
    if is_digits {
        return Ok(if recipe.adversarial.is_some() { MNIST_CNN_SHIFTED } else { MNIST_CNN });
    }
    if let Some([height, width, _]) = facts.shape {
        ensure!(
            height.max(width) <= MAX_SIDE,
            "the first image is {height} x {width}: --size HxW says to which size all are averaged, such as --size 32x32"
        );
    }
    parse(usual_text(arguments), wanted(arguments, facts))
}

fn usual_text(arguments: &Arguments) -> &'static str {
    if arguments.is_adversarial() { SHIFTED } else { LECTURE }
}

fn wanted(arguments: &Arguments, facts: &Facts) -> Wanted {
    let channels = facts.shape.map_or(1, |[_, _, channels]| channels);
    let shape = arguments.size.map(|(height, width)| [height, width, channels]).or(facts.shape);
    // With names there are as many classes as names, whatever is missing.
    let classes = if facts.names.is_empty() { facts.classes } else { Some(facts.names.len()) };
    Wanted { shape, classes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lectures_network_is_the_cores() {
        let wanted = Wanted { shape: Some(DIGITS.0), classes: Some(DIGITS.1) };
        assert_eq!(parse(LECTURE, wanted).unwrap(), MNIST_CNN);
        assert_eq!(parse(SHIFTED, wanted).unwrap(), MNIST_CNN_SHIFTED);
    }
}
