//! What is measured: a model, whatever the type of its weights.

use std::fmt::Debug;

use anyhow::Result;
use midge_core::{Error, Grid, InputGradient, Level, Model, Network};

use super::levels::Levels;
use crate::data::Input;
use crate::quantised::Int8Weights;
use crate::weights::Weights;

/// The weights of a model, of any type.
pub trait Classifier: Debug + Sync {
    /// The architecture.
    fn network(&self) -> &Network;

    /// What the model takes.
    fn input(&self) -> Input;

    /// Elements of the memory for [`Self::any_model`].
    fn memory_len(&self) -> usize;

    /// The model, for the widest vectors of this processor; `memory` has [`Self::memory_len`] elements.
    ///
    /// # Errors
    /// If tensors do not fit the network.
    fn any_model<'a>(&'a self, memory: &'a mut [f32]) -> Result<AnyModel<'a>>;
}

impl Classifier for Weights {
    fn network(&self) -> &Network {
        &self.network
    }

    fn input(&self) -> Input {
        self.input()
    }

    fn memory_len(&self) -> usize {
        self.transposed_len()
    }

    fn any_model<'a>(&'a self, memory: &'a mut [f32]) -> Result<AnyModel<'a>> {
        Ok(AnyModel::Float(self.model(memory)?))
    }
}

impl Classifier for Int8Weights {
    fn network(&self) -> &Network {
        &self.network
    }

    fn input(&self) -> Input {
        self.input()
    }

    fn memory_len(&self) -> usize {
        Model::<i8>::transposed_len(&self.network)
    }

    fn any_model<'a>(&'a self, memory: &'a mut [f32]) -> Result<AnyModel<'a>> {
        Ok(AnyModel::Int8(self.model()?.with_transposed(Level::detect(), memory)?))
    }
}

/// A model of one of the types of weights that hosts run.
#[derive(Debug, Clone)]
pub enum AnyModel<'a> {
    /// Floating-point numbers.
    Float(Model<'a, f32>),
    /// Integers of 8 bits.
    Int8(Model<'a, i8>),
}

/// The same for either type of weights.
macro_rules! with_model {
    ($any:expr, $model:ident => $result:expr) => {
        match $any {
            AnyModel::Float($model) => $result,
            AnyModel::Int8($model) => $result,
        }
    };
}
pub(super) use with_model;

impl<'a> AnyModel<'a> {
    /// The network.
    pub fn network(&self) -> &'a Network {
        with_model!(self, model => model.network())
    }

    /// The pixels that there are.
    pub fn levels(&self) -> Levels {
        with_model!(self, model => Levels::new(model.range(), model.grid()))
    }

    /// Where the logits of a model of integers lie.
    pub fn logit_grid(&self) -> Option<Grid> {
        if let Self::Int8(model) = self { Some(model.logit_grid()) } else { None }
    }

    /// [`Model::gradient_len`].
    pub fn gradient_len(&self) -> usize {
        with_model!(self, model => model.gradient_len())
    }

    /// [`Model::logits`].
    ///
    /// # Errors
    /// Those of the model.
    pub fn logits<'b>(&self, image: &[f32], buffer: &'b mut [f32]) -> Result<&'b mut [f32], Error> {
        with_model!(self, model => model.logits(image, buffer))
    }

    /// [`Model::input_gradient`].
    ///
    /// # Errors
    /// Those of the model.
    pub fn input_gradient<'b>(
        &self,
        image: &[f32],
        label: usize,
        buffer: &'b mut [f32],
    ) -> Result<InputGradient<'b>, Error> {
        with_model!(self, model => model.input_gradient(image, label, buffer))
    }
}
