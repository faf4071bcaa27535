//! Images: MNIST and its relatives from a folder, MNIST from the user's cache (downloaded once), digits that midge draws
//! itself when there is neither a file nor a network, images of any shape from a safetensors file, and single PNG files.
//!
//! [`Input`] is what a model takes, which images have to fit; [`Dataset`] holds images with their labels, [`Loaded`] what a
//! source has.

mod dataset;
pub mod download;
mod error;
pub mod file;
pub mod folder;
pub mod gzip;
pub mod idx;
mod input;
pub mod known;
pub mod mnist;
pub mod png;
mod source;
pub mod synthetic;

pub use dataset::{Dataset, Loaded, Part};
pub use error::DataError;
pub use input::Input;
pub use source::{MAX_SYNTHETIC, Source, Split};

/// Loads a part of one split for a model that takes `input`.
///
/// # Errors
/// Any [`DataError`] but [`DataError::NoLabels`] and [`DataError::NoSplit`]; each names the file or folder concerned.
pub fn load(source: &Source, split: Split, input: &Input, part: Part) -> Result<Loaded, DataError> {
    let set = match source {
        Source::File(path) => return file::load(path, input, part),
        Source::Folder(folder) => folder::load(folder, split)?.slice(part.offset, part.limit)?,
        Source::Cache => mnist::from_cache(split)?.slice(part.offset, part.limit)?,
        &Source::Synthetic { seed, train, test } => match split {
            Split::Train => synthetic_part(seed, split, (train, 0), part)?,
            Split::Test => synthetic_part(seed, split, (test, synthetic::TEST_FIRST_INDEX), part)?,
        },
    };
    Ok(pictures(set, input)?.into())
}

/// Pictures, with pixels from 0 to 1, as a model that takes `input` sees them.
///
/// # Errors
/// [`DataError::Units`], and those of [`Dataset::check`].
pub fn pictures(mut set: Dataset, input: &Input) -> Result<Dataset, DataError> {
    set.check(input)?;
    if !input.takes_pictures() {
        return Err(DataError::Units { name: set.name, range: input.range });
    }
    set.images.iter_mut().for_each(|pixel| *pixel = input.picture(*pixel));
    Ok(set)
}

/// Draws no digit that is left out.
fn synthetic_part(seed: u64, split: Split, (count, first): (usize, u64), part: Part) -> Result<Dataset, DataError> {
    if count > MAX_SYNTHETIC {
        return Err(DataError::TooMany(count));
    }
    let name = format!("synthetic {} (seed {seed})", split.name());
    let places = part.of(count, &name)?;
    let drawn = synthetic::dataset(seed, places.len(), first + places.start as u64);
    Ok(Dataset { name, places: places.collect(), ..drawn })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_splits_differ_and_are_bounded() {
        let input = Input::pixels([28, 28, 1], 10);
        let load = |source: &Source, split| load(source, split, &input, Part::ALL);
        let source = Source::Synthetic { seed: 5, train: 20, test: 10 };
        let train = load(&source, Split::Train).unwrap();
        let test = load(&source, Split::Test).unwrap();
        assert_eq!((train.len(), test.len()), (20, 10));
        assert_eq!(test.name, "synthetic test (seed 5)");
        assert!((0..20).all(|i| (0..10).all(|j| train.image(i) != test.image(j))));
        let huge = Source::Synthetic { seed: 5, train: usize::MAX, test: 0 };
        assert!(matches!(load(&huge, Split::Train), Err(DataError::TooMany(usize::MAX))));
        assert!(matches!(load(&huge, Split::Test), Err(DataError::Empty(_))));
    }

    #[test]
    fn pixels_are_in_the_units_of_the_model() {
        let source = Source::Synthetic { seed: 5, train: 20, test: 10 };
        let load = |input: Input| load(&source, Split::Test, &input, Part { offset: 8, limit: Some(5) });
        assert_eq!(load(Input::pixels([28, 28, 1], 10)).unwrap().places, [8, 9]);
        let int8 = |scale, zero_point| load(Input::int8([28, 28, 1], 10, midge_core::Grid { scale, zero_point }));
        let (unit, bytes) = (load(Input::pixels([28, 28, 1], 10)).unwrap(), int8(1.0, -128).unwrap());
        assert!(unit.images.iter().zip(&bytes.images).all(|(unit, byte)| unit * 255.0 == *byte));
        let message = int8(0.5, -128).unwrap_err().to_string();
        assert!(message.contains("the model takes 0 to 127.5"), "{message}");
    }
}
