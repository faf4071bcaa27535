//! The images that a run trains on and is measured with.

use anyhow::Result;

use super::super::load;
use super::arguments::Arguments;
use crate::data::{Dataset, Input, Part, Split};

/// The images of a run.
pub(super) struct Images {
    pub(super) train: Dataset,
    pub(super) held_out: Option<Dataset>,
    pub(super) test: Dataset,
}

pub(super) fn of_run(arguments: &Arguments, input: &Input) -> Result<Images> {
    let test_source = arguments.test_source()?;
    let part = Part { offset: 0, limit: arguments.limit };
    let train = arguments.data.load(Split::Train, input, part)?.labelled()?;
    let test = load(&test_source, Split::Test, input, Part::ALL)?.labelled()?;
    match arguments.held_out(train.len())? {
        0 => Ok(Images { train, held_out: None, test }),
        held_out => {
            let left = train.len() - held_out;
            Ok(Images { held_out: Some(train.slice(left, None)?), train: train.slice(0, Some(left))?, test })
        }
    }
}
