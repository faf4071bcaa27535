//! The images that a run trains on and is measured with.

use anyhow::{Context, Result};

use super::super::Expected;
use super::arguments::Arguments;
use crate::data::{self, DataError, Dataset, Facts, Input, Part, Source, Split};

/// The images of a run.
pub(super) struct Images {
    pub(super) train: Dataset,
    pub(super) held_out: Option<Dataset>,
    pub(super) test: Dataset,
}

/// What the training images say of themselves, and where the test images are.
///
/// # Errors
/// If the images have no labels, or there is nothing to test with.
pub(super) fn facts(arguments: &Arguments) -> Result<(Facts, Source)> {
    let source = arguments.data.source();
    let names = arguments.data.names()?;
    let mut facts = data::facts(&source, Split::Train, &names)?;
    if let (None, Source::Path(path)) = (facts.classes, &source) {
        return Err(DataError::NoLabels(path.display().to_string()).into());
    }
    facts.names = names.or(&facts.names);
    let test = arguments.test_source(&facts)?;
    Ok((facts, test))
}

pub(super) fn of_run(arguments: &Arguments, input: &Input, (facts, test): (&Facts, &Source)) -> Result<Images> {
    let part = Part { offset: 0, limit: arguments.limit };
    // The classes of the training images are those of the test images, whatever is missing there.
    let expected = Expected::of(facts.names.clone());
    let train = arguments.data.load(Split::Train, input, &expected, part)?.labelled()?;
    let expected = Expected::of(train.classes.clone());
    let test =
        arguments.data.load_from(test, Split::Test, input, &expected, Part::ALL)?.labelled().context("testing")?;
    match arguments.held_out(train.len())? {
        0 => Ok(Images { train, held_out: None, test }),
        held_out => {
            let left = train.len() - held_out;
            Ok(Images { held_out: Some(train.slice(left, None)?), train: train.slice(0, Some(left))?, test })
        }
    }
}
