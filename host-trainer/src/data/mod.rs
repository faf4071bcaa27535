//! Images: data sets in files and folders of many formats, MNIST from the user's cache (downloaded once), digits that midge
//! draws itself when there is neither a file nor a network, and single pictures.
//!
//! [`Input`] is what a model takes, which images have to fit; [`Dataset`] holds images with their labels, [`Loaded`] what a
//! source has. Pictures of any size become inputs in [`fit`]. A new format is one file here and one line in `FORMATS`.

mod album;
mod cifar;
mod classes;
#[cfg(test)]
mod damage;
mod dataset;
pub mod decode;
pub mod download;
mod error;
pub mod file;
pub mod fit;
mod folder;
mod format;
pub mod gzip;
pub mod idx;
mod input;
pub mod known;
pub mod mnist;
mod pictures;
mod source;
pub mod synthetic;

use std::path::Path;

pub use album::load_files;
pub use classes::{Classes, ClassesError, ClassesProblem};
pub use dataset::{Dataset, Loaded, Part};
pub use error::DataError;
pub use fit::{Fit, Reading};
pub use format::Facts;
use format::{Found, Open, Place};
pub use input::Input;
pub use pictures::border;
pub use source::{MAX_BYTES, MAX_SYNTHETIC, Source, Split};

/// All formats, in the order in which they are looked for; which one a place has is found by what is there, not by its name.
const FORMATS: [Open; 5] = [folder::open, file::open_numpy, album::open, cifar::open, file::open];

/// Loads a part of one split for a model that takes `input`.
///
/// # Errors
/// Any [`DataError`] but [`DataError::NoLabels`] and [`DataError::NoSplit`]; each names the file or folder concerned.
pub fn load(source: &Source, split: Split, input: &Input, part: Part, reading: &Reading) -> Result<Loaded, DataError> {
    let fit = Fit::new(input, reading);
    let mut loaded = match source {
        Source::Path(path) => find(path, split)?.load(part, &fit)?,
        Source::Cache => find(&mnist::cache(split)?, split)?.load(part, &fit)?,
        &Source::Synthetic { seed, train, test } => match split {
            Split::Train => synthetic_part(seed, split, (train, 0), part, &fit)?,
            Split::Test => synthetic_part(seed, split, (test, synthetic::TEST_FIRST_INDEX), part, &fit)?,
        },
    };
    loaded.classes = reading.classes.clone().or(&loaded.classes);
    Ok(loaded)
}

/// What a data set says of itself; `known` are the names of its classes, if the user gives any.
///
/// # Errors
/// As [`load`].
pub fn facts(source: &Source, split: Split, known: &Classes) -> Result<Facts, DataError> {
    let digits = || Facts {
        shape: Some([synthetic::SIDE, synthetic::SIDE, 1]),
        classes: Some(10),
        names: known.clone(),
        has_splits: true,
    };
    match source {
        Source::Path(path) => find(path, split)?.facts(known),
        Source::Cache | Source::Synthetic { .. } => Ok(digits()),
    }
}

/// The data set at a path.
fn find(path: &Path, split: Split) -> Result<Box<dyn Found>, DataError> {
    let place = Place::of(path, split);
    for open in FORMATS {
        if let Some(found) = open(&place)? {
            return Ok(found);
        }
    }
    Err(folder::missing(path, split))
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
fn synthetic_part(
    seed: u64,
    split: Split,
    (count, first): (usize, u64),
    part: Part,
    fit: &Fit<'_>,
) -> Result<Loaded, DataError> {
    if count > MAX_SYNTHETIC {
        return Err(DataError::TooMany(count));
    }
    let name = format!("synthetic {} (seed {seed})", split.name());
    let places = part.of(count, &name)?;
    let drawn: Vec<_> = places.clone().map(|i| synthetic::draw(seed, first + i as u64)).collect();
    let listing = pictures::Listing {
        name,
        count: drawn.len(),
        labels: Some(drawn.iter().map(|(_, label)| usize::from(*label)).collect()),
        ..Default::default()
    };
    let shape = [synthetic::SIDE, synthetic::SIDE, 1];
    let picture = |i: usize| Ok(decode::Bitmap::of_bytes(shape, drawn[i].0.to_vec()));
    let loaded = pictures::load(listing, picture, Part::ALL, fit)?;
    Ok(Loaded { places: places.collect(), ..loaded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_splits_differ_and_are_bounded() {
        let input = Input::pixels([28, 28, 1], 10);
        let load = |source: &Source, split| load(source, split, &input, Part::ALL, &Reading::default());
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
        let load = |input: Input| {
            let part = Part { offset: 8, limit: Some(5) };
            load(&source, Split::Test, &input, part, &Reading::default())
        };
        assert_eq!(load(Input::pixels([28, 28, 1], 10)).unwrap().places, [8, 9]);
        let int8 = |scale, zero_point| load(Input::int8([28, 28, 1], 10, midge_core::Grid { scale, zero_point }));
        let (unit, bytes) = (load(Input::pixels([28, 28, 1], 10)).unwrap(), int8(1.0, -128).unwrap());
        assert!(unit.images.iter().zip(&bytes.images).all(|(unit, byte)| unit * 255.0 == *byte));
        let message = int8(0.5, -128).unwrap_err().to_string();
        assert!(message.contains("the model takes 0 to 127.5"), "{message}");
    }
}
