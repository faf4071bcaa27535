//! The graph of a `.tflite` file: tensors, and operators in the order in which they run.

use std::borrow::Cow;

use super::element::ElementType;
use super::error::{Error, Problem};

/// Tensors and operators of one graph; operators name tensors by their index.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph<'a> {
    /// All tensors: inputs, constants, intermediate results and outputs.
    pub tensors: Vec<Tensor<'a>>,
    /// The operators, in the order in which they run.
    pub operators: Vec<Operator>,
    /// Indices of the tensors that are given.
    pub inputs: Vec<usize>,
    /// Indices of the tensors that are asked for.
    pub outputs: Vec<usize>,
    /// Graphs in the file; this is the first of them, which runtimes run.
    pub subgraphs: usize,
}

/// A tensor: what is known of it before the graph runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<'a> {
    /// Its name, for people only: it may be empty, and several tensors may have the same.
    pub name: Cow<'a, str>,
    /// Its dimensions, the last one fastest in memory. Maps are `[batch, height, width, channels]`.
    pub shape: Vec<usize>,
    /// The type of its elements.
    pub element: ElementType,
    /// How its integers stand for real numbers.
    pub quantisation: Quantisation,
    /// The elements of a constant as they lie in the file: little-endian, and at any address.
    pub data: Option<Cow<'a, [u8]>>,
    /// What makes it no plain tensor.
    pub peculiarity: Option<Peculiarity>,
}

/// `real = scale * (integer - zero point)`, for the whole tensor or for each index of one of its dimensions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantisation {
    /// None, one, or one for each index of `dimension`.
    pub scales: Vec<f32>,
    /// As many as there are scales.
    pub zero_points: Vec<i64>,
    /// The dimension that several scales belong to.
    pub dimension: usize,
}

/// What a tensor may be besides a block of elements. None of it is read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peculiarity {
    /// It keeps its elements from one run to the next.
    Variable,
    /// Its elements are stored without their zeros.
    Sparse,
    /// Its elements are stored behind the FlatBuffer or in another file.
    External,
    /// Its integers stand for real numbers by another rule than [`Quantisation`], such as one in blocks.
    OtherQuantisation,
}

impl Peculiarity {
    /// What a tensor does or is that is so.
    pub fn description(self) -> &'static str {
        match self {
            Self::Variable => "keeps its elements from run to run",
            Self::Sparse => "is stored without its zeros",
            Self::External => "is stored outside of the FlatBuffer",
            Self::OtherQuantisation => "is quantised by another rule than scale and zero point",
        }
    }
}

/// One step of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// What it does.
    pub kind: Kind,
    /// The version of the operator: which types of elements it has to know.
    pub version: i32,
    /// Indices of the tensors that it reads; `None` where an optional one is left out.
    pub inputs: Vec<Option<usize>>,
    /// Indices of the tensors that it writes.
    pub outputs: Vec<usize>,
}

/// What an operator does, with its options. Pairs are height, then width.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Convolution; weights are `[filters, height, width, channels]`.
    Conv2d(Conv2d),
    /// Convolution of each channel by itself; weights are `[1, height, width, channels * multiplier]`.
    DepthwiseConv2d {
        /// What it shares with other convolutions.
        conv: Conv2d,
        /// Filters for each channel.
        multiplier: usize,
    },
    /// Dense layer; weights are `[units, inputs]`.
    FullyConnected {
        /// Applied to the result.
        activation: Activation,
        /// How the weights lie in memory.
        format: WeightsFormat,
        /// Whether only the last dimension changes; otherwise the result is `[batch, units]`.
        keep_num_dims: bool,
        /// Whether inputs that are quantised during the run have a zero point.
        asymmetric_quantize_inputs: bool,
    },
    /// Largest element of each window.
    MaxPool2d(Pool2d),
    /// Mean of each window, padding not counted.
    AveragePool2d(Pool2d),
    /// Sum of two tensors.
    Add(Activation),
    /// Product of two tensors, element by element.
    Mul(Activation),
    /// The same elements in another shape, which is a constant input or, if there is none, this.
    Reshape(Option<Vec<i32>>),
    /// `exp(beta * x)`, divided by its sum over the last dimension.
    Softmax {
        /// The inverse of the temperature.
        beta: f32,
    },
    /// Real numbers to integers, or integers to those of another scale.
    Quantize,
    /// Integers to real numbers.
    Dequantize,
    /// Zeros (real ones) around a tensor; the second input says how many, `[before, after]` for each dimension.
    Pad,
    /// As [`Kind::Pad`], with the third input in place of zeros.
    PadV2,
    /// Mean over the dimensions that the second input names.
    Mean {
        /// Whether these dimensions stay, with one index.
        keep_dims: bool,
    },
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// Tensors one behind the other.
    Concatenation {
        /// The dimension that grows; from the end if negative.
        axis: i32,
        /// Applied to the result.
        activation: Activation,
    },
    /// `1 / (1 + exp(-x))`
    Logistic,
    /// An operator whose options are not read: the schema's word for it, or the name of a custom one.
    Unsupported(String),
}

/// Options of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// What happens at the edges.
    pub padding: Padding,
    /// Steps between windows, at least 1.
    pub stride: [usize; 2],
    /// Steps between the weights in a window, at least 1.
    pub dilation: [usize; 2],
    /// Applied to the result.
    pub activation: Activation,
}

/// Options of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2d {
    /// What happens at the edges.
    pub padding: Padding,
    /// Steps between windows, at least 1.
    pub stride: [usize; 2],
    /// Size of a window, at least 1.
    pub filter: [usize; 2],
    /// Applied to the result.
    pub activation: Activation,
}

/// What happens at the edges of a map, with its number in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Padding {
    /// As many windows as steps begin in the map; of an odd number of padded rows one more is below (columns: right).
    Same = 0,
    /// Windows inside the map only.
    Valid = 1,
}

/// A function that is applied to the result of an operator, with its number in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Activation {
    /// None.
    None = 0,
    /// `max(x, 0)`
    Relu = 1,
    /// `min(max(x, -1), 1)`
    ReluN1To1 = 2,
    /// `min(max(x, 0), 6)`
    Relu6 = 3,
    /// Hyperbolic tangent.
    Tanh = 4,
    /// Whether `x` is negative.
    SignBit = 5,
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::None, Self::Relu, Self::ReluN1To1, Self::Relu6, Self::Tanh, Self::SignBit];
}

/// How the weights of a dense layer lie in memory, with its number in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum WeightsFormat {
    /// Row by row.
    Default = 0,
    /// In blocks of 4 rows and 16 columns.
    Shuffled4x16Int8 = 1,
}

impl Kind {
    /// What is applied to the result.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Conv2d(conv) | Self::DepthwiseConv2d { conv, .. } => conv.activation,
            Self::MaxPool2d(pool) | Self::AveragePool2d(pool) => pool.activation,
            Self::Add(activation) | Self::Mul(activation) => *activation,
            Self::FullyConnected { activation, .. } | Self::Concatenation { activation, .. } => *activation,
            Self::Relu => Activation::Relu,
            Self::Relu6 => Activation::Relu6,
            _ => Activation::None,
        }
    }

    /// The schema's word for the operator, or the name of a custom one.
    pub fn name(&self) -> &str {
        match self {
            Self::Conv2d(_) => "CONV_2D",
            Self::DepthwiseConv2d { .. } => "DEPTHWISE_CONV_2D",
            Self::FullyConnected { .. } => "FULLY_CONNECTED",
            Self::MaxPool2d(_) => "MAX_POOL_2D",
            Self::AveragePool2d(_) => "AVERAGE_POOL_2D",
            Self::Add(_) => "ADD",
            Self::Mul(_) => "MUL",
            Self::Reshape(_) => "RESHAPE",
            Self::Softmax { .. } => "SOFTMAX",
            Self::Quantize => "QUANTIZE",
            Self::Dequantize => "DEQUANTIZE",
            Self::Pad => "PAD",
            Self::PadV2 => "PADV2",
            Self::Mean { .. } => "MEAN",
            Self::Relu => "RELU",
            Self::Relu6 => "RELU6",
            Self::Concatenation { .. } => "CONCATENATION",
            Self::Logistic => "LOGISTIC",
            Self::Unsupported(name) => name,
        }
    }
}

impl Quantisation {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i64) -> Self {
        Self { scales: vec![scale], zero_points: vec![zero_point], dimension: 0 }
    }

    /// The scale and the zero point of the whole tensor; `None` if there are none or several.
    pub fn whole(&self) -> Option<(f32, i64)> {
        match (&self.scales[..], &self.zero_points[..]) {
            ([scale], [zero_point]) => Some((*scale, *zero_point)),
            _ => None,
        }
    }
}

impl Tensor<'_> {
    /// Number of elements; `None` if it does not fit the type.
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
    }

    /// The elements of a constant of [`ElementType::I8`], in place.
    ///
    /// # Errors
    /// If it is no constant, of another type, or of more or fewer bytes than its shape needs.
    pub fn i8s(&self) -> Result<&[i8], Problem> {
        Ok(bytemuck::cast_slice(self.bytes_of(ElementType::I8)?))
    }

    /// The elements of a constant of [`ElementType::I32`].
    ///
    /// # Errors
    /// As [`Self::i8s`].
    pub fn i32s(&self) -> Result<Vec<i32>, Problem> {
        let bytes = self.bytes_of(ElementType::I32)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    /// The elements of a constant of [`ElementType::F32`].
    ///
    /// # Errors
    /// As [`Self::i8s`].
    pub fn f32s(&self) -> Result<Vec<f32>, Problem> {
        let bytes = self.bytes_of(ElementType::F32)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn bytes_of(&self, element: ElementType) -> Result<&[u8], Problem> {
        if self.element != element {
            return Err(Problem::Element { expected: element.name(), found: self.element });
        }
        self.check_data()?;
        self.data.as_deref().ok_or(Problem::NotConstant)
    }

    /// A constant has as many bytes as its shape needs, if its type says how many an element has.
    pub(super) fn check_data(&self) -> Result<(), Problem> {
        let (Some(data), Some(size)) = (&self.data, self.element.bytes()) else { return Ok(()) };
        let expected = self.elements().and_then(|elements| elements.checked_mul(size));
        if expected == Some(data.len()) {
            return Ok(());
        }
        Err(Problem::DataLength { shape: self.shape.clone(), size, found: data.len() })
    }
}

impl Graph<'_> {
    /// Name and index of every operator that is not read further; empty if all are.
    pub fn unsupported(&self) -> Vec<(usize, &str)> {
        let all = self.operators.iter().enumerate();
        all.filter(|(_, operator)| matches!(operator.kind, Kind::Unsupported(_)))
            .map(|(index, operator)| (index, operator.kind.name()))
            .collect()
    }

    /// The error of an operator, with its name.
    pub fn operator_error(&self, index: usize, error: impl Into<Error>) -> Error {
        let name = self.operators.get(index).map_or("", |operator| operator.kind.name());
        error.into().at_operator(index, name)
    }

    /// The error of a tensor, with its name.
    pub fn tensor_error(&self, index: usize, error: impl Into<Error>) -> Error {
        let name = self.tensors.get(index).map_or("", |tensor| &tensor.name);
        error.into().at_tensor(index, name)
    }

    /// Every index of a tensor is one of a tensor.
    pub(super) fn check_indices(&self) -> Result<(), Error> {
        let count = self.tensors.len();
        let check = |what: &'static str, mut indices: &mut dyn Iterator<Item = usize>| {
            let wrong = Iterator::find(&mut indices, |index| *index >= count);
            wrong.map_or(Ok(()), |found| Err(Problem::TensorIndex { what, found, count }))
        };
        check("inputs of the graph", &mut self.inputs.iter().copied())?;
        check("outputs of the graph", &mut self.outputs.iter().copied())?;
        for (index, operator) in self.operators.iter().enumerate() {
            let inputs = check("inputs", &mut operator.inputs.iter().flatten().copied());
            let outputs = check("outputs", &mut operator.outputs.iter().copied());
            inputs.and(outputs).map_err(|problem| self.operator_error(index, problem))?;
        }
        Ok(())
    }
}
