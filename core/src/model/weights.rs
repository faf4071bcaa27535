//! What a model's weights are, and which networks its code can run.

use core::fmt::Debug;
use core::marker::PhantomData;
use core::ops::DerefMut;

use half::f16;

use super::bound::{Bound, check_stage};
use super::error::ModelError;
use super::header::Header;
use crate::kernels::conv;
use crate::kernels::int8::Grid;
use crate::network::plan::{MAX_CHAIN, MAX_STAGES, Stage, Stages};
use crate::number::{Number, Stored as _};
use crate::span::take;
use crate::vector::Level;

mod sealed {
    /// Keeps [`Weights`](super::Weights) to the types that passes are compiled for.
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl Sealed for i8 {}
    impl<T> Sealed for super::Chain<T> {}
}

/// A tensor of a file.
#[doc(hidden)]
#[derive(Debug)]
pub struct View<'a> {
    pub(super) name: &'static str,
    pub(super) dtype: &'static str,
    pub(super) shape: heapless::Vec<usize, 4>,
    pub(super) bytes: &'a [u8],
}

/// What a [`Model`](crate::Model) is made of: `f32` or [`f16`](struct@f16) for any network, `i8` for a quantised one, or a
/// [`Chain`] of f32 or f16 for networks whose layers only follow each other.
pub trait Weights: sealed::Sealed + Sized + 'static {
    /// The type in which the weights are stored.
    type Number: Number;

    /// The tensors of one stage.
    #[doc(hidden)]
    type Tensors<'a>: Copy + Debug + Default + Send + Sync;

    /// Whether the model's code runs any network, and not only chains.
    #[doc(hidden)]
    const GRAPHS: bool;

    /// Whether it computes in integers.
    #[doc(hidden)]
    const IS_INT8: bool = false;

    /// A value for each stage, of as many as such a network can have.
    #[doc(hidden)]
    type PerStage<X: Copy + Debug + Send + Sync>: DerefMut<Target = [X]> + Default + Clone + Debug + Send + Sync;

    /// Gives the first `count` stages a value each.
    #[doc(hidden)]
    fn fill<X: Copy + Debug + Default + Send + Sync>(values: &mut Self::PerStage<X>, count: usize);

    /// Adds the value of the next stage.
    #[doc(hidden)]
    fn push<X: Copy + Debug + Send + Sync>(values: &mut Self::PerStage<X>, value: X);

    /// The grid of a quantised model's images, from the tensors of its first stage.
    #[doc(hidden)]
    #[inline(always)]
    fn grid(_: &Self::Tensors<'_>) -> Option<Grid> {
        None
    }

    /// Looks the tensors of a stage up.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn read<'a>(header: &Header<'a>, stage: &Stage) -> Result<Self::Tensors<'a>, ModelError>;

    /// Bytes of the tensors of a stage.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn bytes(stage: &Stage) -> usize {
        let (weights, bias) = stage.parameters();
        (weights + bias) * size_of::<Self::Number>()
    }

    /// The tensors of a stage as they stand in a file.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn views<'a>(tensors: &Self::Tensors<'a>, stage: &Stage) -> heapless::Vec<View<'a>, 5>;

    /// Weights and bias; a bias of another type is not among them.
    #[doc(hidden)]
    fn weights<'a>(tensors: &Self::Tensors<'a>) -> (&'a [Self::Number], &'a [Self::Number]);

    /// Elements of the weights in the orders that only hosts read, without alignment.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn transposed_len(plan: &Stages) -> usize;

    /// Writes them to `target`, of as many elements or more.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn transpose(plan: &Stages, tensors: &[Self::Tensors<'_>], level: Level, target: &mut [f32]);

    /// Whether all values are in range; `most` is the bound of what the stage reads, and then of what it puts out.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only called in this crate")]
    fn check(tensors: &Self::Tensors<'_>, stage: &Stage, most: &mut Bound) -> Result<(), ModelError>;
}

/// Weights that are floating-point numbers, as a model can be made of by hand.
pub trait FloatWeights: Weights {
    #[doc(hidden)]
    fn tensors<'a>(weights: &'a [Self::Number], bias: &'a [Self::Number]) -> Self::Tensors<'a>;
}

/// The tensors of one stage of floating-point numbers.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct FloatTensors<'a, N> {
    pub(super) weights: &'a [N],
    pub(super) bias: &'a [N],
}

impl<N> Default for FloatTensors<'_, N> {
    fn default() -> Self {
        Self { weights: &[], bias: &[] }
    }
}

macro_rules! per_stage {
    ($most:expr) => {
        type PerStage<X: core::marker::Copy + core::fmt::Debug + Send + Sync> = heapless::Vec<X, $most>;

        #[inline(always)]
        fn fill<X: Copy + core::fmt::Debug + Default + Send + Sync>(values: &mut Self::PerStage<X>, count: usize) {
            let filled = values.resize_default(count);
            debug_assert!(filled.is_ok(), "a network for which there is code has at most as many stages");
        }

        #[inline(always)]
        fn push<X: Copy + core::fmt::Debug + Send + Sync>(values: &mut Self::PerStage<X>, value: X) {
            let pushed = values.push(value);
            debug_assert!(pushed.is_ok(), "a network for which there is code has at most as many stages");
        }
    };
}
pub(super) use per_stage;

macro_rules! float_tensors {
    ($number:ty) => {
        type Number = $number;
        type Tensors<'a> = FloatTensors<'a, $number>;

        #[inline(always)]
        #[allow(private_interfaces, reason = "only called in this crate")]
        fn read<'a>(header: &Header<'a>, stage: &Stage) -> Result<Self::Tensors<'a>, ModelError> {
            let (weights, bias) = stage.parameters();
            let mut tensors = FloatTensors { weights: &[], bias: &[] };
            if weights > 0 {
                tensors.weights = header.tensor(stage.layer(), "weight", &stage.weight_shape())?;
            }
            if bias > 0 {
                tensors.bias = header.tensor(stage.layer(), "bias", &[bias])?;
            }
            Ok(tensors)
        }

        #[allow(private_interfaces, reason = "only called in this crate")]
        fn views<'a>(tensors: &Self::Tensors<'a>, stage: &Stage) -> heapless::Vec<View<'a>, 5> {
            let dtype = <$number>::DTYPE;
            let bias = heapless::Vec::from_iter([tensors.bias.len()]);
            let all = [
                View {
                    name: "weight",
                    dtype,
                    shape: stage.weight_shape(),
                    bytes: bytemuck::cast_slice(tensors.weights),
                },
                View { name: "bias", dtype, shape: bias, bytes: bytemuck::cast_slice(tensors.bias) },
            ];
            all.into_iter().filter(|view| !view.bytes.is_empty()).collect()
        }

        #[inline(always)]
        fn weights<'a>(tensors: &Self::Tensors<'a>) -> (&'a [$number], &'a [$number]) {
            (tensors.weights, tensors.bias)
        }

        #[allow(private_interfaces, reason = "only called in this crate")]
        fn transposed_len(plan: &Stages) -> usize {
            conv::all_transposed_len(plan)
        }

        #[allow(private_interfaces, reason = "only called in this crate")]
        fn transpose(plan: &Stages, tensors: &[Self::Tensors<'_>], level: Level, target: &mut [f32]) {
            let mut rest = target;
            for (i, tensors) in tensors.iter().enumerate() {
                if let Some(stage) = plan.spatial(i) {
                    conv::transpose(level, stage, tensors.weights, take(&mut rest, conv::transposed_len(stage)));
                }
            }
            rest.fill(0.0);
        }

        #[inline(always)]
        #[allow(private_interfaces, reason = "only called in this crate")]
        fn check(tensors: &Self::Tensors<'_>, stage: &Stage, most: &mut Bound) -> Result<(), ModelError> {
            check_stage::<$number, { Self::GRAPHS }>(stage, [tensors.weights, tensors.bias], most)
        }
    };
}

macro_rules! any_network {
    ($number:ty) => {
        impl Weights for $number {
            const GRAPHS: bool = true;
            float_tensors!($number);
            per_stage!(MAX_STAGES);
        }

        impl FloatWeights for $number {
            fn tensors<'a>(weights: &'a [$number], bias: &'a [$number]) -> Self::Tensors<'a> {
                FloatTensors { weights, bias }
            }
        }
    };
}

any_network!(f32);
any_network!(f16);

/// The weights of a network that is a *chain*: convolutions, ReLUs, max-poolings and dense layers behind each other, at most 16
/// of them with weights. A model of one takes less flash and RAM, because nothing else is compiled for it.
///
/// ```
/// use midge_core::{Chain, MNIST_CNN, Model, ModelError, Network, f16, include_model};
///
/// static FILE: &[u8] = include_model!("../../../host-trainer/assets/plain.safetensors");
/// let model = Model::<Chain<f16>>::from_safetensors(&MNIST_CNN, FILE)?;
/// assert_eq!(model.classify(&[0.0; 784], &mut [0.0; MNIST_CNN.inference_len()]).unwrap().probabilities.len(), 10);
/// # Ok::<(), ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Chain<T>(PhantomData<T>);

macro_rules! chain {
    ($number:ty) => {
        impl Weights for Chain<$number> {
            const GRAPHS: bool = false;
            float_tensors!($number);
            per_stage!(MAX_CHAIN);
        }

        impl FloatWeights for Chain<$number> {
            fn tensors<'a>(weights: &'a [$number], bias: &'a [$number]) -> Self::Tensors<'a> {
                FloatTensors { weights, bias }
            }
        }
    };
}

chain!(f32);
chain!(f16);

/// Whether the code of a model of `T` runs a network with these stages. (No chain is planned for integers.)
pub(super) fn runs<T: Weights>(stages: &Stages) -> bool {
    if T::GRAPHS { stages.is_int8() == T::IS_INT8 } else { stages.is_chain() }
}
