//! A network and its weights in memory, and the model file they come from.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context, Result, bail};
use half::f16;
use midge_core::{
    Header, Level, METADATA_CHECKSUM, METADATA_FORMAT, METADATA_NETWORK, Model, ModelError, Network, Number, checksum,
};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::files::write_atomically;

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
    /// What else the file says, such as how it was trained.
    pub metadata: BTreeMap<String, String>,
}

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
struct Aligned {
    words: Vec<u64>,
    len: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { words, len: bytes.len() }
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl Weights {
    /// Whether both take images of the same shape and know as many classes.
    pub fn has_shape_of(&self, other: &Self) -> bool {
        let (a, b) = (&self.network, &other.network);
        a.input() == b.input() && a.classes() == b.classes()
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// With the file's name and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        Self::from_bytes(&bytes).with_context(|| format!("{}: not a midge model", path.display()))
    }

    /// Reads the bytes of a model file.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let aligned = Aligned::new(bytes);
        let header = Header::read(aligned.bytes())?;
        let network = header.network()?;
        let dtype = if header.dtype()? == f16::DTYPE { DType::F16 } else { DType::F32 };
        match dtype {
            DType::F32 => Model::<f32>::from_safetensors(&network, aligned.bytes()).map(drop)?,
            DType::F16 => Model::<f16>::from_safetensors(&network, aligned.bytes()).map(drop)?,
        }
        // The file is sound, so what follows only collects its parts.
        let file = SafeTensors::deserialize(aligned.bytes()).context("the header is damaged")?;
        let mut tensors = Vec::new();
        for info in tensor_infos(&network) {
            let view = file.tensor(&info.name)?;
            let values: Vec<f32> = match dtype {
                DType::F32 => bytemuck::pod_collect_to_vec(view.data()),
                DType::F16 => {
                    let halves: Vec<f16> = bytemuck::pod_collect_to_vec(view.data());
                    halves.into_iter().map(f16::to_f32).collect()
                }
            };
            tensors.push(tensor(&values));
        }
        let (_, header) = SafeTensors::read_metadata(aligned.bytes())?;
        let reserved = [METADATA_FORMAT, METADATA_NETWORK, METADATA_CHECKSUM];
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
        let metadata = metadata.filter(|(key, _)| !reserved.contains(&key.as_str())).collect();
        Ok(Self { network, tensors, dtype, metadata })
    }

    /// The bytes of a model file with weights of type `dtype`.
    ///
    /// # Errors
    /// If a weight does not fit the type.
    pub fn to_bytes(&self, dtype: DType) -> Result<Vec<u8>> {
        let infos = tensor_infos(&self.network);
        let mut data = Vec::new();
        for (info, tensor) in infos.iter().zip(&self.tensors) {
            data.push(encode(tensor, dtype).with_context(|| format!("tensor {}", info.name))?);
        }
        let kind = match dtype {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
        };
        let mut views = Vec::new();
        for (info, data) in infos.iter().zip(&data) {
            views.push((info.name.clone(), TensorView::new(kind, info.shape.clone(), data)?));
        }
        let network = self.network.to_string();
        let mut metadata = self.metadata.clone();
        metadata.insert(METADATA_FORMAT.into(), "midge-1".into());
        metadata.insert(METADATA_NETWORK.into(), network.clone());
        // The checksum covers the tensors as they lie in the file, so they are laid out once without it.
        let lay_out = |metadata: &BTreeMap<String, String>| {
            let metadata = metadata.clone().into_iter().collect();
            safetensors::serialize(views.iter().map(|(name, view)| (name, view)), Some(metadata))
        };
        let bytes = lay_out(&metadata)?;
        let length = data.iter().map(Vec::len).sum::<usize>();
        let crc = checksum(&network, &bytes[bytes.len() - length..]);
        metadata.insert(METADATA_CHECKSUM.into(), format!("{crc:08x}"));
        sort_header(&lay_out(&metadata)?)
    }

    /// Writes a model file.
    ///
    /// # Errors
    /// If a weight does not fit the type or the file cannot be written.
    pub fn save(&self, path: &Path, dtype: DType) -> Result<()> {
        let bytes = self.to_bytes(dtype).with_context(|| format!("{}: not written", path.display()))?;
        write_atomically(path, &bytes)
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
        Ok(Model::from_tensors(&self.network, &tensors)?.with_transposed(Level::detect(), buffer)?)
    }

    /// The same weights rounded to f16 and back: what a model file of that type holds.
    ///
    /// # Errors
    /// If a weight is too large for f16.
    pub fn rounded(&self, dtype: DType) -> Result<Self> {
        Self::from_bytes(&self.to_bytes(dtype)?)
    }
}

/// The safetensors crate writes metadata in the order of a hash map; sorted, the same model gives the same bytes.
pub(crate) fn sort_header(bytes: &[u8]) -> Result<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<8>().context("no header")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let (header, tensors) = rest.split_at_checked(length).context("no header")?;
    let entries: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(header)?;
    let mut header = serde_json::to_vec(&entries)?;
    // The tensors stay aligned to 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), tensors].concat())
}

fn encode(tensor: &[f32], dtype: DType) -> Result<Vec<u8>> {
    if let Some(index) = tensor.iter().position(|w| !w.is_finite()) {
        bail!(ModelError::NotFinite { layer: 0, index });
    }
    match dtype {
        DType::F32 => Ok(tensor.iter().flat_map(|w| w.to_le_bytes()).collect()),
        DType::F16 => {
            if let Some(w) = tensor.iter().find(|w| !f16::from_f32(**w).is_finite()) {
                bail!("{w} is beyond the range of f16 (65504)");
            }
            Ok(tensor.iter().flat_map(|w| f16::from_f32(*w).to_le_bytes()).collect())
        }
    }
}
