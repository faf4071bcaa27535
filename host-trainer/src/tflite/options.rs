//! The options of the operators that are read further.

use super::copies::Copies;
use super::error::Problem;
use super::flatbuffer::{Field, Scalar, Table};
use super::graph::{Activation, Conv2d, Kind, Padding, Pool2d, WeightsFormat};
use super::schema::{
    AddOptions, ConcatenationOptions, Conv2DOptions, DepthwiseConv2DOptions, FullyConnectedOptions, MulOptions,
    Operator, Pool2DOptions, ReducerOptions, ReshapeOptions, SoftmaxOptions, options_type,
};

/// What the builtin operator with this word does; `None` if its options are not read.
pub(super) fn read(copies: &Copies, operator: Table<'_>, word: &str) -> Result<Option<Kind>, Problem> {
    let options = Options::of(operator, options_type(word))?;
    Ok(Some(match word {
        "CONV_2D" => Kind::Conv2d(options.conv_2d()?),
        "DEPTHWISE_CONV_2D" => options.depthwise_conv_2d()?,
        "FULLY_CONNECTED" => options.fully_connected()?,
        "MAX_POOL_2D" => Kind::MaxPool2d(options.pool_2d()?),
        "AVERAGE_POOL_2D" => Kind::AveragePool2d(options.pool_2d()?),
        "ADD" => Kind::Add(options.activation(AddOptions::fused_activation_function)?),
        "MUL" => Kind::Mul(options.activation(MulOptions::fused_activation_function)?),
        "RESHAPE" => Kind::Reshape(options.new_shape(copies)?),
        "SOFTMAX" => Kind::Softmax { beta: options.number(SoftmaxOptions::beta, 0.0)? },
        "QUANTIZE" => Kind::Quantize,
        "DEQUANTIZE" => Kind::Dequantize,
        "PAD" => Kind::Pad,
        "PADV2" => Kind::PadV2,
        "MEAN" => Kind::Mean { keep_dims: options.number(ReducerOptions::keep_dims, false)? },
        "RELU" => Kind::Relu,
        "RELU6" => Kind::Relu6,
        "CONCATENATION" => Kind::Concatenation {
            axis: options.number(ConcatenationOptions::axis, 0)?,
            activation: options.activation(ConcatenationOptions::fused_activation_function)?,
        },
        "LOGISTIC" => Kind::Logistic,
        _ => return Ok(None),
    }))
}

/// The table of an operator's options. Where a file leaves it out every option has its default.
struct Options<'a>(Option<Table<'a>>);

impl<'a> Options<'a> {
    /// `expected` is the number of the table's type in the schema, `None` if the operator has no options.
    fn of(operator: Table<'a>, expected: Option<u8>) -> Result<Self, Problem> {
        let Some(expected) = expected else { return Ok(Self(None)) };
        match operator.number(Operator::builtin_options_type, 0u8)? {
            0 => Ok(Self(None)),
            found if found == expected => Ok(Self(operator.table(Operator::builtin_options)?)),
            found => Err(Problem::OptionsType { expected, found }),
        }
    }

    fn number<T: Scalar>(&self, field: Field, default: T) -> Result<T, Problem> {
        Ok(self.0.map_or(Ok(default), |table| table.number(field, default))?)
    }

    /// A size or a step.
    fn positive(&self, field: Field, default: i32) -> Result<usize, Problem> {
        let found = self.number(field, default)?;
        let wrong = Problem::Number { what: field.name, expected: "at least 1", found: found.into() };
        usize::try_from(found).ok().filter(|number| *number > 0).ok_or(wrong)
    }

    fn activation(&self, field: Field) -> Result<Activation, Problem> {
        let code: i8 = self.number(field, 0)?;
        let known = Activation::ALL.into_iter().find(|activation| *activation as i8 == code);
        known.ok_or(Problem::Code { what: field.name, found: code.into() })
    }

    fn padding(&self, field: Field) -> Result<Padding, Problem> {
        match self.number::<i8>(field, 0)? {
            0 => Ok(Padding::Same),
            1 => Ok(Padding::Valid),
            other => Err(Problem::Code { what: field.name, found: other.into() }),
        }
    }

    fn conv_2d(&self) -> Result<Conv2d, Problem> {
        use Conv2DOptions::*;
        Ok(Conv2d {
            padding: self.padding(padding)?,
            stride: [self.positive(stride_h, 0)?, self.positive(stride_w, 0)?],
            dilation: [self.positive(dilation_h_factor, 1)?, self.positive(dilation_w_factor, 1)?],
            activation: self.activation(fused_activation_function)?,
        })
    }

    fn depthwise_conv_2d(&self) -> Result<Kind, Problem> {
        use DepthwiseConv2DOptions::*;
        let conv = Conv2d {
            padding: self.padding(padding)?,
            stride: [self.positive(stride_h, 0)?, self.positive(stride_w, 0)?],
            dilation: [self.positive(dilation_h_factor, 1)?, self.positive(dilation_w_factor, 1)?],
            activation: self.activation(fused_activation_function)?,
        };
        Ok(Kind::DepthwiseConv2d { conv, multiplier: self.positive(depth_multiplier, 0)? })
    }

    fn pool_2d(&self) -> Result<Pool2d, Problem> {
        use Pool2DOptions::*;
        Ok(Pool2d {
            padding: self.padding(padding)?,
            stride: [self.positive(stride_h, 0)?, self.positive(stride_w, 0)?],
            filter: [self.positive(filter_height, 0)?, self.positive(filter_width, 0)?],
            activation: self.activation(fused_activation_function)?,
        })
    }

    fn fully_connected(&self) -> Result<Kind, Problem> {
        use FullyConnectedOptions::*;
        let format = match self.number::<i8>(weights_format, 0)? {
            0 => WeightsFormat::Default,
            1 => WeightsFormat::Shuffled4x16Int8,
            other => return Err(Problem::Code { what: weights_format.name, found: other.into() }),
        };
        Ok(Kind::FullyConnected {
            activation: self.activation(fused_activation_function)?,
            format,
            keep_num_dims: self.number(keep_num_dims, false)?,
            asymmetric_quantize_inputs: self.number(asymmetric_quantize_inputs, false)?,
        })
    }

    fn new_shape(&self, copies: &Copies) -> Result<Option<Vec<i32>>, Problem> {
        let Some(table) = self.0 else { return Ok(None) };
        if !table.has(ReshapeOptions::new_shape)? {
            return Ok(None);
        }
        copies.list(table, ReshapeOptions::new_shape).map(Some)
    }
}
