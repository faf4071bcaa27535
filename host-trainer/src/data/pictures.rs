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
