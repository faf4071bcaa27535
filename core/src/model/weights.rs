//! What a model's weights are, and which networks its code can run.

use core::fmt::Debug;
use core::marker::PhantomData;
use core::ops::DerefMut;

use half::f16;

use crate::network::plan::{MAX_CHAIN, MAX_STAGES, Stages};
use crate::number::Number;

mod sealed {
    /// Keeps [`Weights`](super::Weights) to the types that passes are compiled for.
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
    impl<T> Sealed for super::Chain<T> {}
}

/// What a [`Model`](crate::Model) is made of: `f32` or [`f16`](struct@f16) for any network, or a [`Chain`] of either for
/// networks whose layers only follow each other.
pub trait Weights: sealed::Sealed + Sized + 'static {
    /// The type in which the weights are stored.
    type Number: Number;

    /// Whether the model's code runs any network, and not only chains.
    #[doc(hidden)]
    const GRAPHS: bool;

    /// A value for each stage, of as many as such a network can have.
    #[doc(hidden)]
    type PerStage<X: Copy + Debug + Send + Sync>: DerefMut<Target = [X]> + Default + Clone + Debug + Send + Sync;

    /// Gives the first `count` stages a value each.
    #[doc(hidden)]
    fn fill<X: Copy + Debug + Default + Send + Sync>(values: &mut Self::PerStage<X>, count: usize);

    /// Adds the value of the next stage.
    #[doc(hidden)]
    fn push<X: Copy + Debug + Send + Sync>(values: &mut Self::PerStage<X>, value: X);
}

macro_rules! per_stage {
    ($most:expr) => {
        type PerStage<X: Copy + Debug + Send + Sync> = heapless::Vec<X, $most>;

        #[inline(always)]
        fn fill<X: Copy + Debug + Default + Send + Sync>(values: &mut Self::PerStage<X>, count: usize) {
            let filled = values.resize_default(count);
            debug_assert!(filled.is_ok(), "a network for which there is code has at most as many stages");
        }

        #[inline(always)]
        fn push<X: Copy + Debug + Send + Sync>(values: &mut Self::PerStage<X>, value: X) {
            let pushed = values.push(value);
            debug_assert!(pushed.is_ok(), "a network for which there is code has at most as many stages");
        }
    };
}

macro_rules! any_network {
    ($number:ty) => {
        impl Weights for $number {
            type Number = Self;
            const GRAPHS: bool = true;
            per_stage!(MAX_STAGES);
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

impl<T: Number> Weights for Chain<T> {
    type Number = T;
    const GRAPHS: bool = false;
    per_stage!(MAX_CHAIN);
}

/// Whether the code of a model of `T` runs a network with these stages.
pub(super) fn runs<T: Weights>(stages: &Stages) -> bool {
    T::GRAPHS || stages.is_chain()
}
