//! Images of any shape in a safetensors file.
//!
//! ```text
//! images       F32 in the units of the model's input,             [N, height, width, channels], or without a last
//! input_int8   U8 pixels of pictures,                             dimension of 1, or flat: [N, elements]
//!              I8 on the grid of an int8 model's input
//! labels       any integers; they may be missing                  [N]
//! label
//! ```
//! U8 are for models that take pictures: from 0 to 1, where 255 is 1, from 0 to 255 or from -1 to 1. An int8 model sees the byte
//! less 128 then, and of F32 the nearest integer of its grid. It takes `input_int8` if both are there, others `images`. Other tensors are not looked at. Nothing is
//! believed: the header has to fit the length of the file before anything is read that it promises.

mod labels;
mod names;
mod pixels;
mod problem;
mod reader;

use std::path::Path;

use super::dataset::{Loaded, Part};
use super::error::DataError;
use super::input::Input;
use names::{IMAGES, LABELS};
pub use problem::{FileError, Problem};
use reader::Reader;

/// Loads a part of a file's images for a model that takes `input`.
///
/// # Errors
/// [`DataError::File`] with the file's name, what was expected and what was found; [`DataError::Offset`],
/// [`DataError::Empty`].
pub fn load(path: &Path, input: &Input, part: Part) -> Result<Loaded, DataError> {
    let file = |problem: Problem| problem.at(path);
    let mut reader = Reader::open(path).map_err(file)?;
    let (tensor, images) = find_images(&reader, input).map_err(file)?;
    let count = pixels::count((tensor, &images), input).map_err(file)?;
    let name = format!("{} ({})", path.file_stem().unwrap_or(path.as_os_str()).display(), path.display());
    if count == 0 {
        return Err(DataError::Empty(name));
    }
    let range = part.of(count, &name)?;
    let labels = find_labels(&reader).map_err(file)?;
    let labels = labels.map(|(tensor, info)| labels::read(&mut reader, (tensor, &info), (range.clone(), count), input));
    let labels = labels.transpose().map_err(file)?;
    let images = pixels::read(&mut reader, (tensor, &images), range.clone(), input).map_err(file)?;
    detail!("images: {}, tensor {tensor}", path.display());
    Ok(Loaded { images, labels, shape: input.shape, name, places: range.collect() })
}

/// A tensor's name and its entry in the header.
type Found = (&'static str, safetensors::tensor::TensorInfo);

fn find_images(reader: &Reader, input: &Input) -> Result<Found, Problem> {
    let [float, int8] = IMAGES;
    let names = if input.grid.is_some() { [int8, float] } else { [float, int8] };
    let found = reader.find(&names).map(|(name, info)| (name, info.clone()));
    found.ok_or_else(|| Problem::NoImages(reader.names()))
}

fn find_labels(reader: &Reader) -> Result<Option<Found>, Problem> {
    let both = LABELS.iter().all(|name| reader.find(&[name]).is_some());
    if both {
        return Err(Problem::TwoLabels);
    }
    Ok(reader.find(&LABELS).map(|(name, info)| (name, info.clone())))
}

#[cfg(test)]
mod tests;
