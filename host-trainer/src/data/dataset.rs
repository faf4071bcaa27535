//! Images in memory, with labels and without.

use std::ops::Range;
use std::path::Path;

use super::classes::Classes;
use super::error::DataError;
use super::idx;
use super::input::{Input, unit};

/// Images with their labels.
///
/// The fields are public so that benchmarks can read them; [`Self::new`] builds a set. Keep `images.len()` at
/// `labels.len()` times the product of `shape`, and `places` as long as `labels`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// `N * H * W * C` pixels in NHWC order, in the units of the model's input: 0 to 1 unless the model says otherwise.
    pub images: Vec<f32>,
    /// One class per image.
    pub labels: Vec<u16>,
    /// Height, width and channels of every image.
    pub shape: [usize; 3],
    /// What to call the set in messages and reports.
    pub name: String,
    /// The place of each image in the whole set, which a part of it remembers.
    pub places: Vec<usize>,
    /// What the classes are called.
    pub classes: Classes,
}

impl Dataset {
    /// A whole set: its images have the places `0..labels.len()`.
    pub fn new(images: Vec<f32>, labels: Vec<u16>, shape: [usize; 3], name: String) -> Self {
        let places = (0..labels.len()).collect();
        Self { images, labels, shape, name, places, classes: Classes::default() }
    }

    /// Turns the two halves of an IDX pair into a set; bytes 0 to 255 become 0 to 1.
    ///
    /// # Errors
    /// [`idx::Problem::CountMismatch`], blamed on `label_file`, unless labels and images are equally many.
    pub fn from_idx(images: &idx::Images, labels: Vec<u8>, label_file: &Path, name: String) -> Result<Self, DataError> {
        let [count, rows, cols] = images.shape;
        if count != labels.len() {
            let problem = idx::Problem::CountMismatch(count, labels.len());
            return Err(problem.at(label_file).into());
        }
        let labels = labels.into_iter().map(u16::from).collect();
        Ok(Self::new(images.pixels.iter().map(|&p| unit(p)).collect(), labels, [rows, cols, 1], name))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The `H * W * C` pixels of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`], as indexing does.
    pub fn image(&self, i: usize) -> &[f32] {
        image(&self.images, self.shape, i)
    }

    /// The class of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`], as indexing does.
    pub fn label(&self, i: usize) -> usize {
        usize::from(self.labels[i])
    }

    /// A copy of the images from `offset` on, at most `limit` of them. A limit beyond the end is
    /// no error, because "up to 1000 images" is what callers mean.
    ///
    /// # Errors
    /// [`DataError::Offset`] if the set has images but none at `offset`, or if it has none and
    /// `offset` is not 0.
    pub fn slice(&self, offset: usize, limit: Option<usize>) -> Result<Self, DataError> {
        Ok(self.subset(Part { offset, limit }.of(self.len(), &self.name)?))
    }

    /// Whether a model can take the images, and knows the labels; there must be an image.
    ///
    /// # Errors
    /// [`DataError::Empty`], [`DataError::Shape`] or [`DataError::Label`].
    pub fn check(&self, input: &Input) -> Result<(), DataError> {
        let name = || self.name.clone();
        if self.is_empty() {
            return Err(DataError::Empty(name()));
        }
        if self.shape != input.shape {
            return Err(DataError::Shape { name: name(), found: self.shape, expected: input.shape });
        }
        let classes = input.classes;
        match self.labels.iter().position(|label| usize::from(*label) >= classes) {
            Some(i) => Err(DataError::Label { name: name(), image: self.places[i], label: self.label(i), classes }),
            None => Ok(()),
        }
    }

    /// A copy of the images `chosen`, in that order; they keep their places.
    ///
    /// # Panics
    /// If an index is not below [`Self::len`].
    pub fn subset(&self, chosen: impl Iterator<Item = usize> + Clone) -> Self {
        Self {
            images: chosen.clone().flat_map(|i| self.image(i)).copied().collect(),
            labels: chosen.clone().map(|i| self.labels[i]).collect(),
            shape: self.shape,
            name: self.name.clone(),
            places: chosen.map(|i| self.places[i]).collect(),
            classes: self.classes.clone(),
        }
    }
}

/// The pixels of image `i` of many.
fn image(images: &[f32], shape: [usize; 3], i: usize) -> &[f32] {
    let size: usize = shape.iter().product();
    &images[i * size..(i + 1) * size]
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// The first image.
    pub offset: usize,
    /// The most images; all if absent.
    pub limit: Option<usize>,
}

impl Part {
    /// All images.
    pub const ALL: Self = Self { offset: 0, limit: None };

    /// The images of the part, of the `len` that the set `name` has. A limit beyond the end is no error.
    ///
    /// # Errors
    /// [`DataError::Offset`] if there is an offset, but no image at it.
    pub fn of(self, len: usize, name: &str) -> Result<Range<usize>, DataError> {
        let Self { offset, limit } = self;
        if offset > 0 && offset >= len {
            return Err(DataError::Offset { name: name.to_string(), len, offset });
        }
        let left = len - offset;
        Ok(offset..offset + limit.map_or(left, |limit| limit.min(left)))
    }
}

/// What a source has: images, and labels unless it has none. The fields are those of [`Dataset`].
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Pixels, as [`Dataset::images`].
    pub images: Vec<f32>,
    /// One class per image.
    pub labels: Option<Vec<u16>>,
    /// Height, width and channels of every image.
    pub shape: [usize; 3],
    /// What to call the images in messages and reports.
    pub name: String,
    /// The place of each image in the whole set.
    pub places: Vec<usize>,
    /// What the classes are called.
    pub classes: Classes,
    /// The file of each image, if each has one.
    pub files: Vec<String>,
    /// What was done to the images, for the user to know, a line each.
    pub notices: Vec<String>,
}

impl Loaded {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The `H * W * C` pixels of image `i`.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`], as indexing does.
    pub fn image(&self, i: usize) -> &[f32] {
        image(&self.images, self.shape, i)
    }

    /// The images with their labels.
    ///
    /// # Errors
    /// [`DataError::NoLabels`].
    pub fn labelled(self) -> Result<Dataset, DataError> {
        let Self { images, labels, shape, name, places, classes, .. } = self;
        match labels {
            Some(labels) => Ok(Dataset { images, labels, shape, name, places, classes }),
            None => Err(DataError::NoLabels(name)),
        }
    }
}

impl From<Dataset> for Loaded {
    fn from(Dataset { images, labels, shape, name, places, classes }: Dataset) -> Self {
        Self { images, labels: Some(labels), shape, name, places, classes, files: Vec::new(), notices: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Dataset {
        Dataset::new((0..12).map(|p| p as f32 / 12.0).collect(), vec![3, 1, 4], [2, 2, 1], "sample".into())
    }

    #[test]
    fn slices_keep_images_and_labels_together() {
        let set = sample();
        let part = set.slice(1, Some(1)).unwrap();
        assert_eq!((part.len(), part.label(0)), (1, 1));
        assert_eq!(part.image(0), set.image(1));
        assert_eq!(set.slice(0, None).unwrap(), set);
        let last = set.slice(1, None).unwrap().subset([1, 0].into_iter());
        assert_eq!((&last.labels[..], &last.places[..], last.image(0)), (&[4, 1][..], &[2, 1][..], set.image(2)));
        assert_eq!(set.slice(2, Some(usize::MAX)).unwrap().labels, [4]);
        assert!(set.slice(0, Some(0)).unwrap().is_empty());
        for offset in [3, 4, usize::MAX] {
            let message = set.slice(offset, Some(1)).unwrap_err().to_string();
            assert!(message.contains("sample has 3 images"), "{message}");
            assert!(message.contains(&offset.to_string()), "{message}");
        }
    }

    #[test]
    fn images_that_a_model_cannot_take_are_named() {
        let part = sample().slice(1, None).unwrap();
        let message = |shape, classes| part.check(&Input::pixels(shape, classes)).map_err(|error| error.to_string());
        assert_eq!(message([2, 2, 1], 5), Ok(()));
        assert_eq!(message([2, 2, 1], 4), Err("sample: image 2 has label 4, but the model has 4 classes".into()));
        let expected = "sample: images are 2x2x1, but the model expects 1x4x1";
        assert_eq!(message([1, 4, 1], 5), Err(expected.into()));
        let none = part.slice(0, Some(0)).unwrap();
        assert!(matches!(none.check(&Input::pixels([2, 2, 1], 5)), Err(DataError::Empty(_))));
    }

    #[test]
    fn labels_are_kept_or_missed() {
        let set = sample();
        let loaded = Loaded::from(set.clone());
        assert_eq!((loaded.len(), loaded.image(2)), (3, set.image(2)));
        assert_eq!(loaded.clone().labelled().unwrap(), set);
        let message = Loaded { labels: None, ..loaded }.labelled().unwrap_err().to_string();
        assert!(message.starts_with("sample: ") && message.contains("labels"), "{message}");
    }

    #[test]
    fn pairs_must_match_in_number() {
        let images = idx::Images { shape: [2, 1, 1], pixels: vec![0, 255] };
        let file = Path::new("the-labels");
        let set = Dataset::from_idx(&images, vec![0, 1], file, String::new()).unwrap();
        assert_eq!((set.images, set.shape), (vec![0.0, 1.0], [1, 1, 1]));
        let error = Dataset::from_idx(&images, vec![0], file, String::new()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("the-labels: expected 2 labels"), "{message}");
    }
}
