//! A network and its weights in memory, and the model file they come from.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use half::f16;
use midge_core::{
    Element, FloatWeights, Header, Level, METADATA_CHECKSUM, METADATA_FORMAT, METADATA_NETWORK, Model, ModelError,
    Network, Number, Shape, Stored as _,
};

use crate::data::Input;
use crate::files::write_atomically;
use crate::foreign;

/// The type in which a file stores weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    F16,
}

impl DType {
    /// Bytes of one weight.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

impl Display for DType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

/// A tensor's place in a network: its name in the file and its dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Index of the layer.
    pub layer: usize,
    /// `<layer>.weight` or `<layer>.bias`.
    pub name: String,
    /// Dimensions, in midge's order.
    pub shape: Vec<usize>,
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// A cache line.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Numbers that start with a cache line, where vectors are loaded fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The last line is filled up with zeros.
    lines: Vec<Line>,
    len: usize,
}

impl Tensor {
    /// The numbers.
    pub fn as_slice(&self) -> &[f32] {
        self
    }
}

impl Deref for Tensor {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Tensor {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// A tensor of these values.
pub fn tensor(values: &[f32]) -> Tensor {
    let mut tensor = Tensor { lines: vec![Line([0.0; LINE]); values.len().div_ceil(LINE)], len: values.len() };
    tensor.copy_from_slice(values);
    tensor
}

/// A network with weights in f32, whatever the file stores: arithmetic is f32 anyway, and every f16 is an f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The architecture.
    pub network: Network,
    /// For each layer with weights, in order, weight and then, if it has one, bias.
    pub tensors: Vec<Tensor>,
    /// The type of the file they came from, or `F32`.
    pub dtype: DType,
    /// The smallest and the largest pixel that the model takes, which the file says where they are not 0 and 1.
    pub range: [f32; 2],
    /// What else the file says, such as how it was trained.
    pub metadata: BTreeMap<String, String>,
}

/// Key of [`Weights::range`] in a file's metadata: two numbers.
const RANGE: &str = "input.range";
/// The pixels of a model that says nothing of them.
const PIXELS: [f32; 2] = [0.0, 1.0];

/// The tensors of a network in the order of [`Weights::tensors`].
pub fn tensor_infos(network: &Network) -> Vec<TensorInfo> {
    let layers = 0..network.layers().len();
    let tensors = layers.flat_map(|layer| {
        let (weight, bias) = network.layer_parameters(layer);
        let weight = (weight > 0).then(|| ("weight", network.weight_shape(layer).to_vec()));
        let bias = (bias > 0).then(|| ("bias", vec![bias]));
        [weight, bias].into_iter().flatten().map(move |(name, shape)| (layer, name, shape))
    });
    tensors.map(|(layer, name, shape)| TensorInfo { layer, name: format!("{layer}.{name}"), shape }).collect()
}

/// Bytes at an address that every element type can be read from.
pub(crate) struct Aligned {
    words: Vec<u64>,
    len: usize,
}

impl Aligned {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { words, len: bytes.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl Weights {
    /// Of f32, for pixels from 0 to 1.
    pub fn new(network: Network, tensors: Vec<Tensor>) -> Self {
        Self { network, tensors, dtype: DType::F32, range: PIXELS, metadata: BTreeMap::new() }
    }

    /// What the model takes, for [`crate::data::load`].
    pub fn input(&self) -> Input {
        let Shape { height, width, channels } = self.network.input();
        Input { range: self.range, ..Input::pixels([height, width, channels], self.network.classes()) }
    }

    /// Reads a model file; `-` is standard input.
    ///
    /// # Errors
    /// With the file's name and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = foreign::read(path).with_context(|| foreign::name(path))?;
        Self::from_file(path, &bytes)
    }

    /// [`Self::from_bytes`] of a file, which errors name.
    pub(crate) fn from_file(path: &Path, bytes: &[u8]) -> Result<Self> {
        let read = Self::from_bytes(bytes).map_err(|error| match error.downcast_ref() {
            Some(ModelError::Metadata { key: METADATA_FORMAT }) => match foreign::safetensors_kind(bytes) {
                Some(kind) => anyhow!("{kind}"),
                None => error,
            },
            _ => error,
        });
        read.with_context(|| format!("{}: not a midge model", foreign::name(path)))
    }

    /// Reads the bytes of a model file.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let aligned = Aligned::new(bytes);
        let header = Header::read(aligned.bytes())?;
        let network = header.network()?;
        // A network of poolings and the like has no weights, and so no type of them.
        let file_dtype = if network.parameters() > 0 { header.dtype()? } else { f32::DTYPE };
        if file_dtype == i8::DTYPE {
            bail!("a quantised model: expected weights of type F32 or F16, found I8");
        }
        let half = file_dtype == f16::DTYPE;
        let dtype = if half { DType::F16 } else { DType::F32 };
        let tensors = match dtype {
            DType::F32 => tensors::<f32>(&network, aligned.bytes())?,
            DType::F16 => tensors::<f16>(&network, aligned.bytes())?,
        };
        let mut metadata = metadata(&header)?;
        let range = metadata.remove(RANGE).map_or(Ok(PIXELS), |text| parse_range(&text))?;
        Ok(Self { network, tensors, dtype, range, metadata })
    }

    /// The bytes of a model file with weights of type `dtype`.
    ///
    /// # Errors
    /// If a weight does not fit the type.
    pub fn to_bytes(&self, dtype: DType) -> Result<Vec<u8>> {
        let infos = tensor_infos(&self.network);
        for (info, tensor) in infos.iter().zip(&self.tensors) {
            check_range(tensor, dtype).with_context(|| format!("tensor {}", info.name))?;
        }
        match dtype {
            DType::F32 => self.write(&self.tensors),
            DType::F16 => {
                let halves = self.tensors.iter().map(|tensor| tensor.iter().map(|w| f16::from_f32(*w)).collect());
                self.write::<f16, Vec<f16>>(&halves.collect::<Vec<_>>())
            }
        }
    }

    fn write<T: Element<Number = T> + FloatWeights, V: std::ops::Deref<Target = [T]>>(
        &self,
        tensors: &[V],
    ) -> Result<Vec<u8>> {
        let tensors: Vec<&[T]> = tensors.iter().map(|tensor| &**tensor).collect();
        let mut metadata: Vec<(&str, &str)> = self.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
        let [low, high] = self.range;
        let range = format!("{low} {high}");
        if self.range != PIXELS {
            metadata.push((RANGE, &range));
        }
        let mut file = Vec::new();
        let model = Model::<T>::from_tensors(&self.network, &tensors)?;
        model.write_safetensors(&metadata, &mut |bytes| file.extend_from_slice(bytes));
        Ok(file)
    }

    /// Writes a model file. It is read back first, so that a file is only replaced by one that can be read.
    ///
    /// # Errors
    /// If a weight does not fit the type, a device could not read the file, or it cannot be written.
    pub fn save(&self, path: &Path, dtype: DType) -> Result<()> {
        let bytes = || {
            let bytes = self.to_bytes(dtype)?;
            Self::from_bytes(&bytes).context("it could not be read again")?;
            Ok(bytes)
        };
        let bytes: Result<Vec<u8>> = bytes();
        write_atomically(path, &bytes.with_context(|| format!("{}: not written", path.display()))?)
    }

    /// Elements of the buffer for [`Self::model`].
    pub fn transposed_len(&self) -> usize {
        Model::<f32>::transposed_len(&self.network)
    }

    /// A model over these weights for the widest vectors of this processor; `buffer` has [`Self::transposed_len`]
    /// elements.
    ///
    /// # Errors
    /// If tensors do not fit the network.
    pub fn model<'a>(&'a self, buffer: &'a mut [f32]) -> Result<Model<'a, f32>> {
        let tensors: Vec<&[f32]> = self.tensors.iter().map(Tensor::as_slice).collect();
        let model = Model::<f32>::from_tensors(&self.network, &tensors)?.with_transposed(Level::detect(), buffer)?;
        Ok(if self.range == PIXELS { model } else { model.with_range(self.range)? })
    }

    /// The same weights rounded to f16 and back: what a model file of that type holds.
    ///
    /// # Errors
    /// If a weight is too large for f16.
    pub fn rounded(&self, dtype: DType) -> Result<Self> {
        Self::from_bytes(&self.to_bytes(dtype)?)
    }
}

/// The tensors of a model file, read by the core.
fn tensors<T: Element + FloatWeights>(network: &Network, bytes: &[u8]) -> Result<Vec<Tensor>, ModelError> {
    let model = Model::<T>::from_safetensors(network, bytes)?;
    let widened = model.tensors().map(|values| tensor(&values.iter().map(|w| w.to_f32()).collect::<Vec<_>>()));
    Ok(widened.collect())
}

/// What a file says beside its tensors, but for what the format itself needs.
pub(crate) fn metadata(header: &Header<'_>) -> Result<BTreeMap<String, String>, ModelError> {
    let reserved = [METADATA_FORMAT, METADATA_NETWORK, METADATA_CHECKSUM];
    let mut metadata = BTreeMap::new();
    header.metadata(&mut |key, value| {
        metadata.insert(unescape(key), unescape(value));
    })?;
    metadata.retain(|key, _| !reserved.contains(&key.as_str()));
    Ok(metadata)
}

/// Reads the value of [`RANGE`].
fn parse_range(text: &str) -> Result<[f32; 2]> {
    let ends = text.split_once(' ').and_then(|(low, high)| Some([low.parse().ok()?, high.parse().ok()?]));
    let sound = ends.filter(|[low, high]: &[f32; 2]| low.is_finite() && high.is_finite() && low < high);
    sound.with_context(|| format!("{RANGE} is {text:?}: expected two numbers, the smaller one first"))
}

/// Text between the quotes of JSON, as far as it is sound: the core takes any.
fn unescape(text: &[u8]) -> String {
    let quoted = [b"\"", text, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned())
}

/// Every weight must be finite as an element of this type.
fn check_range(tensor: &[f32], dtype: DType) -> Result<()> {
    if let Some(index) = tensor.iter().position(|w| !w.is_finite()) {
        bail!("weight {index} is infinite or NaN");
    }
    if dtype == DType::F16
        && let Some(w) = tensor.iter().find(|w| !f16::from_f32(**w).is_finite())
    {
        bail!("{w} is beyond the range of f16 (65504)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::initialise;

    fn weights() -> Weights {
        let mut weights = initialise("input(4,4,1) flatten dense(units=3)".parse().unwrap(), 1);
        for (key, value) in [("plain", "a b"), ("quotes", "\"\\\n\u{1}\t"), ("ümlaut \"", "日本"), ("format", "other")]
        {
            weights.metadata.insert(key.into(), value.into());
        }
        weights
    }

    #[test]
    fn metadata_survive_the_file() {
        let mut weights = weights();
        let read = Weights::from_bytes(&weights.to_bytes(DType::F32).unwrap()).unwrap();
        // That key is the format's own.
        weights.metadata.remove("format");
        assert_eq!(read, weights);
    }

    #[test]
    fn pythons_library_reads_what_is_written() {
        let weights = weights();
        for dtype in [DType::F32, DType::F16] {
            let bytes = weights.to_bytes(dtype).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(file.tensor("1.weight").unwrap().shape(), [16, 3]);
            assert_eq!(file.tensor("1.bias").unwrap().data().len(), 3 * dtype.bytes());
            let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
            assert_eq!(header % 8, 0);
            assert_eq!(metadata.metadata().as_ref().unwrap()["quotes"], weights.metadata["quotes"]);
        }
    }

    #[test]
    fn a_file_is_not_replaced_by_one_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let mut weights = weights();
        weights.save(&path, DType::F32).unwrap();
        let before = std::fs::read(&path).unwrap();
        weights.metadata.insert("history".into(), "x".repeat(1 << 16));
        let message = format!("{:#}", weights.save(&path, DType::F32).unwrap_err());
        assert!(message.contains("at most 65536"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
