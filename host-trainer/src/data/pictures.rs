//! Data sets of pictures, wherever these lie: each is decoded when its turn comes and kept in the model's size only.

use rayon::prelude::*;

use super::classes::Classes;
use super::dataset::{Loaded, Part};
use super::decode::Bitmap;
use super::error::DataError;
use super::fit::Fit;
use super::input::Input;
use super::source::MAX_BYTES;
use crate::progress;

/// Pictures from which on progress is shown.
const MANY: usize = 2000;

/// What a data set holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    pub(super) name: String,
    pub(super) count: usize,
    /// One class for each picture.
    pub(super) labels: Option<Vec<usize>>,
    pub(super) classes: Classes,
    /// What the file of each picture is called, if each has one.
    pub(super) files: Vec<String>,
}

/// Loads a part of the pictures of `listing`; `picture` gives them by their places.
///
/// # Errors
/// [`DataError::Empty`], [`DataError::Offset`], [`DataError::Label`], [`DataError::Large`], those of [`Fit::check`] and of
/// `picture`.
pub(super) fn load(
    listing: Listing,
    picture: impl Fn(usize) -> Result<Bitmap, DataError> + Sync,
    part: Part,
    fit: &Fit<'_>,
) -> Result<Loaded, DataError> {
    let Listing { name, count, labels, classes, files } = listing;
    if count == 0 {
        return Err(DataError::Empty(name));
    }
    fit.check(&name)?;
    let range = part.of(count, &name)?;
    let label =
        |(image, label): (usize, &usize)| match u16::try_from(*label).ok().filter(|_| *label < fit.input.classes) {
            Some(label) => Ok(label),
            None => Err(DataError::Label { name: name.clone(), image, label: *label, classes: fit.input.classes }),
        };
    let labels =
        labels.map(|labels| range.clone().zip(&labels[range.clone()]).map(label).collect::<Result<Vec<_>, _>>());
    let labels = labels.transpose()?;
    check_memory(&name, range.len(), fit.input)?;
    let mut images = vec![0.0; range.len() * fit.input.len()];
    let bar = if range.len() >= MANY {
        progress::bar(range.len() as u64, "reading")
    } else {
        indicatif::ProgressBar::hidden()
    };
    let values = images.par_chunks_exact_mut(fit.input.len().max(1));
    let filled: Result<(), DataError> = values.zip(range.clone()).try_for_each(|(values, place)| {
        fit.fill(&picture(place)?, values);
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    filled?;
    let files = if files.is_empty() { files } else { files[range.clone()].to_vec() };
    let (shape, places, notices) = (fit.input.shape, range.collect(), fit.notices());
    Ok(Loaded { images, labels, shape, name, places, classes, files, notices })
}

/// Whether so many images of a model may be in memory.
///
/// # Errors
/// [`DataError::Large`].
pub(super) fn check_memory(name: &str, images: usize, input: &Input) -> Result<(), DataError> {
    let each = (input.len().max(1) * size_of::<f32>()) as u128;
    let bytes = images as u128 * each;
    let fit = (MAX_BYTES / each) as usize;
    let large = || DataError::Large { name: name.into(), images, shape: input.shape, bytes, fit };
    if bytes > MAX_BYTES { Err(large()) } else { Ok(()) }
}

/// The mean value at the border of images.
pub fn border(images: &[f32], [height, width, channels]: [usize; 3]) -> f32 {
    let is_at_border = |pixel: usize| {
        let (row, column) = (pixel / width, pixel % width);
        row == 0 || row + 1 == height || column == 0 || column + 1 == width
    };
    let places: Vec<usize> = (0..height * width).filter(|pixel| is_at_border(*pixel)).collect();
    let (mut sum, mut count) = (0.0, 0);
    for image in images.chunks_exact((height * width * channels).max(1)) {
        let values = places.iter().flat_map(|pixel| &image[pixel * channels..][..channels]);
        sum += values.map(|value| f64::from(*value)).sum::<f64>();
        count += places.len() * channels;
    }
    (sum / count.max(1) as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fit::Reading;

    /// A folder may have more pictures than any memory; none is decoded then.
    #[test]
    fn more_than_fits_is_refused_before_it_is_read() {
        let (input, reading) = (Input::pixels([1000, 1000, 3], 2), Reading::default());
        let listing = || Listing { name: "many".into(), count: 1_000_000, ..Listing::default() };
        let picture = |_: usize| -> Result<Bitmap, DataError> { panic!("decoded") };
        let message = load(listing(), picture, Part::ALL, &Fit::new(&input, &reading)).unwrap_err().to_string();
        let expected = "many: 1000000 images of 1000x1000x3 take 11444091 MB in memory, where midge holds at most 8192 MB: --limit 715 \
                        takes the first of them";
        assert_eq!(message, expected);
        let one = |_: usize| Ok(Bitmap::of_bytes([1, 1, 1], vec![51]));
        let part = Part { offset: 999_999, limit: None };
        let loaded = load(listing(), one, part, &Fit::new(&input, &reading)).unwrap();
        assert_eq!((loaded.places, loaded.images[2_999_999]), (vec![999_999], 0.2));
    }

    #[test]
    fn the_border_is_what_lies_outside() {
        let (dark, bright) = ([0.0; 9], [1.0; 9]);
        let middle: Vec<f32> = (0..9).map(|i| f32::from(i == 4)).collect();
        assert_eq!(border(&[&dark[..], &bright].concat(), [3, 3, 1]), 0.5);
        assert_eq!((border(&middle, [3, 3, 1]), border(&middle, [3, 1, 3])), (0.0, 1.0 / 9.0));
        assert_eq!(border(&[], [3, 3, 1]), 0.0);
    }
}
