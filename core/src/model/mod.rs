//! A network with weights that stay where they are, in flash or in a file's bytes.
//!
//! ```text
//! mod.rs           Model: from tensors; transposed weights     bound.rs   no value may overflow
//! safetensors.rs   from a file's bytes                         header.rs  the file's header, json.rs its JSON
//! writer.rs        to a file's bytes                           error.rs   what can be wrong with them
//! weights.rs       what the weights are, and for which networks    int8.rs    those of integers
//! prepared.rs      those of integers in the orders that hosts read
//! ```
//! What a model computes is not here: `pass` adds the methods that run it.

mod bound;
mod error;
mod header;
mod int8;
mod json;
#[cfg(feature = "std")]
mod prepared;
mod safetensors;
mod weights;
mod writer;

pub use error::ModelError;
pub use header::{Header, METADATA_CHECKSUM, METADATA_FORMAT, METADATA_NETWORK, checksum};
pub use int8::Int8Tensors;
pub use weights::{Chain, FloatWeights, Weights};

use crate::error::{Error, check_len};
use crate::kernels::conv::{self, Conv};
use crate::kernels::dense::Dense;
use crate::kernels::int8::{Grid, Int8Layer};
use crate::network::Network;
use crate::network::plan::Spatial;
use crate::span::{CACHE_LINE, cache_line, rest, rest_mut};
use crate::vector::Level;

/// The pixels of a model of floating-point numbers, unless a host says otherwise.
const PIXELS: [f32; 2] = [0.0, 1.0];

/// A classifier: a [`Network`] and its weights, which the model borrows and never copies.
///
/// `T` is the type the weights are stored in, [`f32`] or [`f16`](half::f16), alone for any network or in a [`Chain`]; all
/// arithmetic is f32. Buffers are the caller's; their lengths are
/// constants: [`Network::inference_len`], [`Network::gradient_len`], [`Network::attack_len`].
#[derive(Debug, Clone)]
pub struct Model<'a, T: Weights> {
    network: &'a Network,
    tensors: T::PerStage<T::Tensors<'a>>,
    level: Level,
    /// Convolution weights transposed for a backward pass with vectors, or empty.
    transposed: &'a [f32],
    /// The smallest and the largest pixel of a model of floating-point numbers.
    #[cfg(feature = "std")]
    range: [f32; 2],
}

impl<'a, T: FloatWeights> Model<'a, T> {
    /// A model from tensors: for each layer with weights, in order, `weight` and then, if it has one, `bias`.
    /// Layouts: convolution `[row][column][in channels][filters]`, dense `[inputs][units]`.
    ///
    /// ```
    /// use midge_core::{Error, Layer, Model, Network, Shape};
    ///
    /// const NETWORK: Network = Network::new(Shape::hwc(1, 3, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
    /// let (weight, bias) = ([1.0, 2.0, 10.0, 20.0, 100.0, 200.0], [0.5, 0.0]);
    /// let model = Model::<f32>::from_tensors(&NETWORK, &[&weight, &bias])?;
    ///
    /// let mut buffer = [0.0; NETWORK.inference_len()];
    /// assert_eq!(model.logits(&[1.0, 0.0, 1.0], &mut buffer)?, [101.5, 202.0]);
    ///
    /// let missing = Model::<f32>::from_tensors(&NETWORK, &[&weight]).unwrap_err();
    /// assert_eq!(missing, Error::Length { what: "bias", expected: 2, found: 0 });
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if a tensor is missing, left over or of the wrong length; [`Error::Weights`] if a weight is not
    /// finite, or weights are so large that values could overflow; [`Error::NotRun`] if `T` is for chains only and the network
    /// is none.
    pub fn from_tensors(network: &'a Network, tensors: &[&'a [T::Number]]) -> Result<Self, Error> {
        let model = Self::from_changing_tensors(network, tensors)?;
        match model.check_weights() {
            Err(ModelError::NotFinite { layer, .. } | ModelError::TooLarge { layer }) => Err(Error::Weights { layer }),
            Err(_) => Err(Error::NotFinite { what: "weights" }),
            Ok(()) => Ok(model),
        }
    }

    /// [`Self::from_tensors`] without the look at each weight, for a training that makes a model of every step's weights:
    /// where they are not finite or too large, results may be wrong with no error.
    ///
    /// # Errors
    /// [`Error::Length`] if a tensor is missing, left over or of the wrong length; [`Error::NotRun`].
    pub fn from_changing_tensors(network: &'a Network, tensors: &[&'a [T::Number]]) -> Result<Self, Error> {
        if !weights::runs::<T>(network.plan()) {
            return Err(Error::NotRun);
        }
        let mut rest = tensors.iter();
        let mut own = T::PerStage::default();
        for stage in network.plan().all() {
            let (weights, bias) = stage.parameters();
            let mut next = |what, len| match (len, rest.as_slice().first()) {
                (0, _) => Ok(&[][..]),
                (_, None) => Err(Error::Length { what, expected: len, found: 0 }),
                (_, Some(tensor)) => {
                    rest.next();
                    check_len(what, len, tensor.len()).map(|()| *tensor)
                }
            };
            T::push(&mut own, T::tensors(next("weight", weights)?, next("bias", bias)?));
        }
        check_len("tensors", tensors.len() - rest.len(), tensors.len())?;
        Ok(Self::of(network, own))
    }

    /// Takes pixels from `range[0]` to `range[1]` and not from 0 to 1, on hosts.
    ///
    /// ```
    /// use midge_core::{Layer, Model, Network, Shape};
    ///
    /// const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: false }]);
    /// let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 2.0, 0.0]])?;
    /// let mut buffer = [0.0; NETWORK.inference_len()];
    /// assert!(model.logits(&[255.0, -1.0], &mut buffer).is_err());
    /// assert_eq!(model.with_range([-1.0, 255.0])?.logits(&[255.0, -1.0], &mut buffer)?, [253.0, 0.0]);
    /// # Ok::<(), midge_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Pixels`] if the ends are not finite or not in order, [`Error::Weights`] if values could overflow.
    #[cfg(feature = "std")]
    pub fn with_range(mut self, range: [f32; 2]) -> Result<Self, Error> {
        let [low, high] = range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(Error::Pixels { low, high });
        }
        self.range = range;
        match self.check_weights() {
            Err(ModelError::TooLarge { layer } | ModelError::NotFinite { layer, .. }) => Err(Error::Weights { layer }),
            _ => Ok(self),
        }
    }

    /// The weights and biases, in the order of [`Self::from_tensors`].
    pub fn tensors(&self) -> impl Iterator<Item = &'a [T::Number]> {
        let tensors = self.tensors.iter().map(T::weights).flat_map(|(weights, bias)| [weights, bias]);
        tensors.filter(|tensor| !tensor.is_empty())
    }
}

impl<'a> Model<'a, i8> {
    /// A model of integers from the tensors of each stage, in order: a stage is a layer with weights, an average or a sum, or the
    /// first of others that follow each other, as [`Network::int8_stages`] tells.
    ///
    /// # Errors
    /// A tensor that is missing, left over, of the wrong length or out of range.
    pub fn from_int8_tensors(network: &'a Network, tensors: &[Int8Tensors<'a>]) -> Result<Self, ModelError> {
        if !weights::runs::<i8>(network.plan()) {
            return Err(ModelError::NotRun);
        }
        let (expected, found) = (network.plan().count(), tensors.len());
        if expected != found {
            return Err(ModelError::Extra { expected, found });
        }
        let mut own = heapless::Vec::new();
        tensors.iter().for_each(|tensors| i8::push(&mut own, *tensors));
        let model = Self::of(network, own);
        model.check_weights().map(|()| model)
    }

    /// The tensors of each stage, in the order of [`Self::from_int8_tensors`].
    pub fn int8_tensors(&self) -> &[Int8Tensors<'a>] {
        &self.tensors
    }

    /// The grid of the images; that of the integers themselves for a network without a stage.
    pub fn image_grid(&self) -> Grid {
        self.grid().unwrap_or(Grid { scale: 1.0, zero_point: 0 })
    }

    /// The grid of the logits.
    pub fn logit_grid(&self) -> Grid {
        let layer = self.quantised(self.network.plan().count().saturating_sub(1));
        Grid { scale: layer.scales[1], zero_point: layer.range.output }
    }

    /// Stage `index`, counted among all stages.
    pub(crate) fn quantised(&self, index: usize) -> Int8Layer<'a> {
        debug_assert!(index < self.network.plan().count(), "stage {index} of {}", self.network.plan().count());
        let layer = self.tensors.get(index).map_or(Int8Layer::default(), Int8Tensors::layer);
        #[cfg(feature = "std")]
        let layer = Int8Layer { packed: prepared::packed(self.transposed, index), ..layer };
        layer
    }

    /// The network of real numbers whose gradient is that of this one: at the bits of a pass in integers. (Its convolutions'
    /// weights are the transposed ones only, and it has no biases.)
    #[cfg(feature = "std")]
    pub(crate) fn real_valued(&self) -> Model<'a, f32> {
        let mut tensors = heapless::Vec::new();
        for (index, stage) in self.network.plan().all().iter().enumerate() {
            f32::push(&mut tensors, f32::tensors(prepared::weights(self.transposed, index, stage), &[]));
        }
        let transposed = prepared::transposed(self.network.plan(), self.transposed);
        Model { network: self.network, tensors, level: self.level, transposed, range: self.range }
    }
}

impl<'a, T: Weights> Model<'a, T> {
    /// A model of unchecked tensors.
    #[inline(always)]
    fn of(network: &'a Network, tensors: T::PerStage<T::Tensors<'a>>) -> Self {
        Self {
            network,
            tensors,
            level: Level::detect(),
            transposed: &[],
            #[cfg(feature = "std")]
            range: PIXELS,
        }
    }

    /// Elements of the buffer for [`Self::with_transposed`].
    pub fn transposed_len(network: &Network) -> usize {
        match T::transposed_len(network.plan()) {
            0 => 0,
            len => len + CACHE_LINE,
        }
    }

    /// Runs at `level`. Without this or [`Self::with_transposed`] it is the best level of the processor. Transposed weights
    /// stay if they are there.
    pub fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Runs at `level`, and writes the weights to `buffer` in the orders that vectors read: those of the convolutions, of a model
    /// of integers all. With them the backward pass of a convolution uses vectors, and so does a forward pass in integers; with
    /// the stored weights alone it takes one value at a time. The results are the same up to rounding, those of a forward pass
    /// in integers to the bit.
    ///
    /// ```
    /// use midge_core::{Level, MNIST_CNN, Model, f16, include_model};
    ///
    /// static FILE: &[u8] = include_model!("../../../host-trainer/assets/plain.safetensors");
    /// let mut transposed = vec![0.0; Model::<f16>::transposed_len(&MNIST_CNN)];
    /// let model = Model::<f16>::from_safetensors(&MNIST_CNN, FILE).unwrap();
    /// let model = model.with_transposed(Level::detect(), &mut transposed)?;
    /// let mut buffer = vec![0.0; model.gradient_len()];
    /// let pass = model.input_gradient(&[0.5; 784], 3, &mut buffer)?;
    /// assert_eq!(pass.gradient.len(), 784);
    /// # Ok::<(), midge_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] if the buffer does not have [`Self::transposed_len`] elements.
    pub fn with_transposed(mut self, level: Level, buffer: &'a mut [f32]) -> Result<Self, Error> {
        check_len("transposed weights", Self::transposed_len(self.network), buffer.len())?;
        let buffer = rest_mut(buffer, cache_line(buffer));
        T::transpose(self.network.plan(), &self.tensors, level, buffer);
        self.level = level;
        self.transposed = buffer;
        Ok(self)
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// The grid of the images that a quantised network sees; `None` if it sees them as they are.
    #[inline(always)]
    pub fn grid(&self) -> Option<Grid> {
        T::grid(self.tensors.first()?)
    }

    /// The smallest and the largest pixel.
    #[inline(always)]
    pub fn range(&self) -> [f32; 2] {
        if T::IS_INT8 {
            return self.grid().map_or(PIXELS, |grid| grid.range());
        }
        #[cfg(feature = "std")]
        return self.range;
        #[cfg(not(feature = "std"))]
        PIXELS
    }

    /// Whether all weights are finite and no value can overflow.
    fn check_weights(&self) -> Result<(), ModelError> {
        let mut most = bound::Bound::of_pixels(self.range());
        for (stage, tensors) in self.network.plan().all().iter().zip(self.tensors.iter()) {
            T::check(tensors, stage, &mut most)?;
        }
        Ok(())
    }

    /// The vectors to run with.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// The weights of spatial stage `index`.
    #[inline(never)]
    pub(crate) fn conv<'s>(&'s self, index: usize, stage: &'s Spatial) -> Conv<'s, T::Number> {
        let (weights, bias) = self.stage_tensors(index);
        let mut conv = Conv { stage, weights, bias, transposed: &[] };
        if !self.transposed.is_empty() {
            let len = |i| self.network.plan().spatial(i).map_or(0, conv::transposed_len);
            conv.transposed = rest(self.transposed, (0..index).map(len).sum());
        }
        conv
    }

    /// Stage `index`, counted among all stages, if it is dense.
    #[inline(never)]
    pub(crate) fn dense(&self, index: usize) -> Option<Dense<'_, T::Number>> {
        let stage = self.network.plan().dense(index)?;
        let (weights, bias) = self.stage_tensors(index);
        Some(Dense { stage, weights, bias })
    }

    /// A backward pass over whole maps needs the transposed weights.
    pub(crate) fn check_transposed(&self) -> Result<(), Error> {
        let (needed, found) = (Self::transposed_len(self.network), self.transposed.len());
        if found + CACHE_LINE >= needed { Ok(()) } else { check_len("transposed weights", needed, found) }
    }

    /// Whether there are transposed weights, with which hosts go over whole maps.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn has_transposed(&self) -> bool {
        !self.transposed.is_empty()
    }

    /// Weights and bias of stage `index`, counted among all stages.
    fn stage_tensors(&self, index: usize) -> (&'a [T::Number], &'a [T::Number]) {
        debug_assert!(index < self.network.plan().count(), "stage {index} of {}", self.network.plan().count());
        self.tensors.get(index).map_or((&[], &[]), T::weights)
    }
}
