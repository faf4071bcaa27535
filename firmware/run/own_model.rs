//! The model and the images that `MIDGE_MODEL` and `MIDGE_DATA` name, for whoever builds or checks the firmware.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use midge_core::{Header, Model, Network};
use midge_trainer::bundled;
use midge_trainer::data::{self, Dataset, Grid, Input, Part, Source, Split};
use midge_trainer::import::tflite::{Imported, from_bytes};
use midge_trainer::random;
use midge_trainer::weights::Weights;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

/// Images that are embedded.
const MOST: usize = 4;

/// A model file of midge's, at an address that every type can be read from.
pub(crate) struct OwnModel {
    /// The name of its file without what follows the point.
    pub(crate) name: String,
    words: Vec<u64>,
    len: usize,
    /// Planned for the type of its weights.
    pub(crate) network: Network,
    /// As the file names it.
    pub(crate) dtype: &'static str,
}

impl OwnModel {
    /// Reads a model of any kind.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let bytes = std::fs::read(path).with_context(name)?;
        let bytes = if bytes.get(4..8) == Some(b"TFL3") {
            match from_bytes(&bytes).with_context(name)? {
                Imported::Float(weights) => weights.to_bytes(weights.dtype)?,
                Imported::Int8(weights) => weights.to_bytes()?,
            }
        } else {
            bytes
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::from_bytes(stem.into_owned(), &bytes).with_context(name)
    }

    fn from_bytes(name: String, bytes: &[u8]) -> Result<Self> {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        let header = Header::read(bytes)?;
        let (network, dtype) = (header.network()?, header.dtype()?);
        let network = if dtype == "I8" { network.int8() } else { network };
        let model = Self { name, words, len: bytes.len(), network, dtype };
        if model.int8()?.is_none() {
            Weights::from_bytes(bytes)?;
        }
        Ok(model)
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    /// The model, if it is one of integers.
    pub(crate) fn int8(&self) -> Result<Option<Model<'_, i8>>> {
        if self.dtype != "I8" {
            return Ok(None);
        }
        Ok(Some(Model::from_safetensors(&self.network, self.bytes())?))
    }

    /// What images it takes.
    fn input(&self) -> Result<Input> {
        let shape = self.network.input();
        let (shape, classes) = ([shape.height, shape.width, shape.channels], self.network.classes());
        Ok(match self.int8()?.and_then(|model| model.grid()) {
            None => Input::pixels(shape, classes),
            Some(grid) => {
                let zero_point = grid.zero_point.try_into().context("a zero point that is no byte")?;
                Input::int8(shape, classes, Grid { scale: grid.scale, zero_point })
            }
        })
    }

    /// Some images that the model takes, and what they are: those of the file `data`, else the bundled digits, else noise.
    /// Where nobody says what is on them, that is what the model reads.
    pub(crate) fn images(&self, data: Option<&OsStr>) -> Result<(Dataset, &'static str)> {
        let input = self.input()?;
        let named = data.map(Path::new);
        if let Some(missing) = named.filter(|path| !path.exists() && *path != Path::new("synthetic")) {
            bail!("{}: MIDGE_DATA names no file", missing.display());
        }
        // A folder has digits only, of which some are bundled.
        if let Some(file) = named.filter(|path| path.is_file()) {
            let part = Part { offset: 0, limit: Some(MOST) };
            let images = data::load(&Source::File(file.into()), Split::Test, &input, part)?;
            let labels = match images.labels {
                Some(labels) => labels,
                None => self.classes(&images.images)?,
            };
            return Ok((Dataset::new(images.images, labels, images.shape, images.name), "data"));
        }
        let digits = bundled::digits()?;
        if digits.check(&input).is_ok() && input.range == [0.0, 1.0] {
            return Ok((digits, "digits"));
        }
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        let [low, high] = input.range;
        let pixels: Vec<f32> = (0..input.len()).map(|_| low + (high - low) * random::unit(&mut generator)).collect();
        let labels = self.classes(&pixels)?;
        Ok((Dataset::new(pixels, labels, input.shape, "noise".into()), "noise"))
    }

    /// The class that the model reads in each image.
    fn classes(&self, images: &[f32]) -> Result<Vec<u16>> {
        let images = images.chunks(self.network.input().len());
        let mut buffer = vec![0.0; self.network.inference_len()];
        if let Some(model) = self.int8()? {
            return images.map(|image| Ok(model.classify(image, &mut buffer)?.class.try_into()?)).collect();
        }
        let weights = Weights::from_bytes(self.bytes())?;
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed)?;
        images.map(|image| Ok(model.classify(image, &mut buffer)?.class.try_into()?)).collect()
    }
}

/// [`OwnModel::read`] of the file that `MIDGE_MODEL` names, if it names one.
pub(crate) fn chosen() -> Result<Option<OwnModel>> {
    let Some(path) = std::env::var_os("MIDGE_MODEL") else { return Ok(None) };
    ensure!(!path.is_empty(), "MIDGE_MODEL is set, but names no file");
    OwnModel::read(Path::new(&path)).map(Some)
}
