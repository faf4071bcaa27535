//! Images of any shape in a file of tensors: safetensors, or NumPy's `.npy` and `.npz`.
//!
//! ```text
//! images    F32, F64 in the units of the model's input,       [N, height, width, channels], or without a last
//!           U8 pixels of pictures,                            dimension of 1, or flat: [N, elements]
//!           I8 on the grid of an int8 model's input
//! labels    any integers; they may be missing                 [N]
//! ```
//! What they are called is in `names.rs`; the labels of `x.npy` are in a file of its own beside it. U8 are for models that take
//! pictures: from 0 to 1, where 255 is 1, from 0 to 255 or from -1 to 1; those of another size are averaged to the model's. An
//! int8 model sees the byte less 128 then, and of floats the nearest integer of its grid. It takes `input_int8` if that is
//! there too, others `images`. Other tensors are not looked at. Nothing is believed: a header has to fit the length of the file
//! before anything is read that it promises.

mod header;
mod labels;
mod names;
pub(crate) mod numpy;
mod pixels;
mod problem;
mod tensor;

use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::dataset::{Loaded, Part};
use super::error::DataError;
use super::fit::Fit;
use super::format::{Facts, Found, Place};
use super::pictures::check_memory;
use super::source::Split;
use crate::zip;
use header::Tensors;
use names::{IMAGES, INT8, LABELS, OF_SPLITS, labels_beside};
pub use problem::{FileError, Problem};
use tensor::Tensor;

/// The tensors of a file that are a data set.
struct TensorFile {
    path: PathBuf,
    /// Those that may be the images.
    images: Vec<Tensor>,
    labels: Option<Tensor>,
    has_splits: bool,
}

/// A NumPy file, if `place` is one.
pub(super) fn open_numpy(place: &Place<'_>) -> Result<Option<Box<dyn Found>>, DataError> {
    let file = |problem: Problem| problem.at(place.path);
    if place.head.starts_with(numpy::MAGIC) {
        return array(place.path).map(found).map_err(|problem| file(problem).into());
    }
    if !place.head.starts_with(zip::MAGIC) {
        return Ok(None);
    }
    let archive = numpy::Archive::open(place.path).map_err(file)?;
    // Other archives are for those to name who refuse them.
    if !archive.is_npz() {
        return Ok(None);
    }
    Ok(found(arrays(place, &archive).map_err(file)?))
}

/// A safetensors file; any other file is refused by what it looks like.
pub(super) fn open(place: &Place<'_>) -> Result<Option<Box<dyn Found>>, DataError> {
    if place.is_folder {
        Ok(None)
    } else {
        tensors(place.path).map(found).map_err(|problem| problem.at(place.path).into())
    }
}

fn found(file: TensorFile) -> Option<Box<dyn Found>> {
    Some(Box::new(file))
}

fn tensors(path: &Path) -> Result<TensorFile, Problem> {
    let file = Tensors::open(path)?;
    let images: Vec<Tensor> = [IMAGES[0], INT8].into_iter().filter_map(|name| file.find(name)).collect();
    if images.is_empty() {
        return Err(Problem::NoImages { wanted: &[IMAGES[0], INT8], found: file.names() });
    }
    let labels: Vec<Tensor> = LABELS[..2].iter().filter_map(|name| file.find(name)).collect();
    if labels.len() > 1 {
        return Err(Problem::TwoLabels);
    }
    Ok(TensorFile { path: path.into(), images, labels: labels.into_iter().next(), has_splits: false })
}

fn array(path: &Path) -> Result<TensorFile, Problem> {
    let images = vec![numpy::array(path, IMAGES[0])?];
    let labels =
        labels_beside(path).map(|path| numpy::array(&path, LABELS[0]).map_err(|problem| problem.of_labels(&path)));
    Ok(TensorFile { path: path.into(), images, labels: labels.transpose()?, has_splits: false })
}

fn arrays(place: &Place<'_>, archive: &numpy::Archive<'_>) -> Result<TensorFile, Problem> {
    let first = |names: &[&'static str]| names.iter().find_map(|name| archive.find(name).transpose()).transpose();
    let [train, test] = OF_SPLITS.map(|[images, labels]| Ok::<_, Problem>((first(images)?, first(labels)?)));
    let (train, test) = (train?, test?);
    let has_splits = train.0.is_some() && test.0.is_some();
    let of_split = match place.split {
        Split::Train => train,
        Split::Test => test,
    };
    let (images, labels) = if of_split.0.is_some() { of_split } else { (first(&IMAGES)?, first(&LABELS)?) };
    let wanted = if place.split == Split::Train { OF_SPLITS[0][0] } else { OF_SPLITS[1][0] };
    let images = images.ok_or_else(|| Problem::NoImages { wanted, found: archive.names() })?;
    Ok(TensorFile { path: place.owned(), images: vec![images], labels, has_splits })
}

impl TensorFile {
    /// Images of integers are for models of integers.
    fn images(&self, is_int8: bool) -> Option<&Tensor> {
        let int8 = self.images.iter().find(|tensor| (tensor.name == INT8) == is_int8);
        int8.or(self.images.first())
    }

    fn read(&self, part: Part, name: &str, fit: &Fit<'_>) -> Result<Loaded, DataError> {
        let file = |problem: Problem| problem.at(&self.path);
        let Some(tensor) = self.images(fit.input.grid.is_some()) else { return Err(DataError::Empty(name.into())) };
        let count = pixels::count(tensor, fit.input).map_err(file)?;
        if count == 0 {
            return Err(DataError::Empty(name.into()));
        }
        let range = part.of(count, name)?;
        let labels = self.labels.as_ref().map(|labels| labels::read(labels, (range.clone(), count), fit.input));
        let labels = labels.transpose().map_err(file)?;
        check_memory(name, range.len(), fit.input)?;
        let images = pixels::read(tensor, range.clone(), fit).map_err(file)?;
        detail!("images: {}, tensor {}", self.path.display(), tensor.name);
        let (shape, name, notices) = (fit.input.shape, name.into(), fit.notices());
        let (places, classes) = (range.collect(), Classes::default());
        Ok(Loaded { images, labels, shape, name, places, classes, files: Vec::new(), notices })
    }
}

impl Found for TensorFile {
    fn facts(&self, _: &Classes) -> Result<Facts, DataError> {
        let shape = self.images(false).and_then(|images| pixels::shape(&images.shape));
        let classes =
            self.labels.as_ref().map(labels::classes).transpose().map_err(|problem| problem.at(&self.path))?;
        Ok(Facts { shape, classes, names: Classes::default(), has_splits: self.has_splits })
    }

    fn load(&self, part: Part, fit: &Fit<'_>) -> Result<Loaded, DataError> {
        let stem = self.path.file_stem().unwrap_or(self.path.as_os_str());
        self.read(part, &format!("{} ({})", stem.display(), self.path.display()), fit)
    }
}

#[cfg(test)]
mod tests;
