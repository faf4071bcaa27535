//! What can be classified with: a model of floating-point numbers, or one of integers, from midge's file or a `.tflite` file.

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use midge_core::{Header, METADATA_CHECKSUM, Model, Network, Shape, Stored as _};
use rayon::prelude::*;

use crate::data::{Grid, Input};
use crate::evaluation;
use crate::foreign;
use crate::import::tflite::{Imported, from_bytes};
use crate::weights::{Aligned, Weights};

/// A model of integers, and the bytes of its file.
pub(crate) struct Int8File {
    network: Network,
    bytes: Aligned,
}

/// A model.
pub(crate) enum Classifier {
    Float(Weights),
    Int8(Int8File),
}

/// Logits of all images, `[N, classes]`, and the integers that they are.
pub(crate) struct Logits {
    pub(crate) values: Vec<f32>,
    pub(crate) int8: Option<Vec<i8>>,
}

impl Int8File {
    /// A file of midge's; `None` if its weights are no integers.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let bytes = Aligned::new(bytes);
        let Ok(header) = Header::read(bytes.bytes()) else { return Ok(None) };
        if header.dtype() != Ok(i8::DTYPE) {
            return Ok(None);
        }
        let network = header.network()?.int8();
        Model::<i8>::from_safetensors(&network, bytes.bytes())?;
        Ok(Some(Self { network, bytes }))
    }

    fn model(&self) -> Result<Model<'_, i8>> {
        Ok(Model::from_safetensors(&self.network, self.bytes.bytes())?)
    }

    fn logits<'i>(
        &self,
        images: usize,
        image: impl Fn(usize) -> &'i [f32] + Sync + Send,
        progress: &ProgressBar,
    ) -> Result<Logits> {
        let model = self.model()?;
        let [low, high] = model.range();
        let buffer = || vec![0.0; self.network.inference_len()];
        let all = (0..images).into_par_iter().map_init(buffer, |buffer, i| {
            // The ends of the grid are those of the data but for rounding.
            let pixels: Vec<f32> = image(i).iter().map(|x| x.clamp(low, high)).collect();
            let logits = model.logits(&pixels, buffer)?.to_vec();
            progress.inc(1);
            Ok(logits)
        });
        let values = all.collect::<Result<Vec<_>>>()?.concat();
        let grid = model.logit_grid();
        Ok(Logits { int8: Some(values.iter().map(|x| grid.round(*x)).collect()), values })
    }
}

impl Classifier {
    /// Reads a `.tflite` file or a file of integers of midge's; `None` if it is neither.
    pub(crate) fn read_int8(path: &Path) -> Result<Option<Self>> {
        let name = || path.display().to_string();
        if let Some(bytes) = foreign::read_tflite(path) {
            return Ok(Some(match from_bytes(&bytes).with_context(name)? {
                Imported::Float(weights) => Self::Float(weights),
                Imported::Int8(weights) => {
                    let file = Int8File::read(&weights.to_bytes()?)?;
                    Self::Int8(file.with_context(name)?)
                }
            }));
        }
        if path == Path::new("-") || !path.is_file() {
            return Ok(None);
        }
        let Ok(bytes) = foreign::read(path) else { return Ok(None) };
        Ok(Int8File::read(&bytes).with_context(name)?.map(Self::Int8))
    }

    /// What the model takes.
    pub(crate) fn input(&self) -> Result<Input> {
        match self {
            Self::Float(weights) => Ok(weights.input()),
            Self::Int8(file) => {
                let Shape { height, width, channels } = file.network.input();
                let grid = file.model()?.grid().context("a model of integers without a grid")?;
                let zero_point = i8::try_from(grid.zero_point)?;
                let grid = Grid { scale: grid.scale, zero_point };
                Ok(Input::int8([height, width, channels], file.network.classes(), grid))
            }
        }
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Float(weights) => weights.network.classes(),
            Self::Int8(file) => file.network.classes(),
        }
    }

    /// The logits of all images.
    pub(crate) fn logits<'i>(
        &self,
        images: usize,
        image: impl Fn(usize) -> &'i [f32] + Sync + Send,
        progress: &ProgressBar,
    ) -> Result<Logits> {
        match self {
            Self::Float(weights) => {
                Ok(Logits { values: evaluation::logits(weights, images, image, progress)?, int8: None })
            }
            Self::Int8(file) => file.logits(images, image, progress),
        }
    }

    /// The checksum of the model's file.
    pub(crate) fn checksum(&self) -> Result<String> {
        let bytes = match self {
            Self::Float(weights) => Aligned::new(&weights.to_bytes(weights.dtype)?),
            Self::Int8(file) => Aligned::new(file.bytes.bytes()),
        };
        let mut checksum = None;
        Header::read(bytes.bytes())?.metadata(&mut |key, value| {
            if key == METADATA_CHECKSUM.as_bytes() {
                checksum = Some(String::from_utf8_lossy(value).into_owned());
            }
        })?;
        checksum.context("a model file without a checksum")
    }
}
