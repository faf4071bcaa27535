//! From a graph to the bytes of a `.tflite` file.

use std::collections::HashMap;

use super::builder::{Node, Value};
use super::error::{Error, Named, Problem};
use super::graph::{Conv2d, Graph, Kind, Operator, Pool2d, Quantisation, Tensor};
use super::reader::{MAX_DIMENSIONS, MAX_ELEMENTS, MAX_OPERATORS, MAX_SCALES, MAX_TENSORS, at_most};
use super::schema::{
    ABSENT, AddOptions, Buffer, ConcatenationOptions, Conv2DOptions, DepthwiseConv2DOptions, FullyConnectedOptions,
    IDENTIFIER, Model, MulOptions, Operator as OperatorTable, OperatorCode, PLACEHOLDER, Pool2DOptions,
    QuantizationParameters, ReducerOptions, ReshapeOptions, SoftmaxOptions, SubGraph, Tensor as TensorTable, VERSION,
    operator_code, options_type,
};

/// Constants start at a multiple of this, so that runtimes can read them in place.
const ALIGNMENT: usize = 16;
/// Most bytes of a file: distances to vtables have a sign.
const MAX_FILE: usize = i32::MAX as usize;

/// The bytes of a file with this graph. [`read`](super::read) gives the same graph, but for constants without a byte, which
/// become tensors without data. Equal constants are stored once.
///
/// # Errors
/// If an index is not that of a tensor, a number does not fit the format, a constant does not fill its shape, or something
/// is in the graph that is not read further: an unsupported operator, another graph, a tensor that is none of plain elements.
pub fn write(graph: &Graph<'_>) -> Result<Vec<u8>, Error> {
    check(graph)?;
    let mut parts = Parts::default();
    let mut tensors = Vec::new();
    for (index, tensor) in graph.tensors.iter().enumerate() {
        tensors.push(parts.tensor(tensor).map_err(|problem| graph.tensor_error(index, problem))?);
    }
    let mut operators = Vec::new();
    for (index, operator) in graph.operators.iter().enumerate() {
        operators.push(parts.operator(operator).map_err(|problem| graph.operator_error(index, problem))?);
    }
    let indices = |all: &[usize]| all.iter().map(|index| size(*index)).collect::<Result<_, _>>();
    let table = Node::default()
        .with(SubGraph::tensors, Value::Tables(tensors))
        .with(SubGraph::inputs, Value::I32s(indices(&graph.inputs)?))
        .with(SubGraph::outputs, Value::I32s(indices(&graph.outputs)?))
        .with(SubGraph::operators, Value::Tables(operators))
        .with(SubGraph::name, Value::Text("main"));
    let model = Node::default()
        .with(Model::version, Value::U32(VERSION))
        .with(Model::operator_codes, Value::Tables(parts.codes()))
        .with(Model::subgraphs, Value::Tables(vec![table]))
        .with(Model::description, Value::Text("midge"))
        .with(Model::buffers, Value::Tables(parts.buffers()));
    let file = model.to_file(IDENTIFIER);
    at_most(MAX_FILE, "bytes", file.len())?;
    Ok(file)
}

/// What can be said before anything is written.
fn check(graph: &Graph<'_>) -> Result<(), Error> {
    graph.check_indices()?;
    let unsupported: Vec<_> = graph.unsupported().into_iter().map(|(index, name)| Named::new(index, name)).collect();
    if !unsupported.is_empty() {
        return Err(Problem::Unsupported(unsupported).into());
    }
    if graph.subgraphs != 1 {
        return Err(Problem::Subgraphs(graph.subgraphs).into());
    }
    at_most(MAX_TENSORS, "tensors", graph.tensors.len())?;
    at_most(MAX_OPERATORS, "operators", graph.operators.len())?;
    Ok(())
}

/// A size, an index or a step as the format holds it.
fn size(size: usize) -> Result<i32, Problem> {
    let found = i64::try_from(size).unwrap_or(i64::MAX);
    let wrong = Problem::Number { what: "a size or an index", expected: "at most 2147483647", found };
    i32::try_from(size).map_err(|_| wrong)
}

fn positive(number: usize) -> Result<Value<'static>, Problem> {
    match size(number)? {
        0 => Err(Problem::Number { what: "a size or a step", expected: "at least 1", found: 0 }),
        number => Ok(Value::I32(number)),
    }
}

/// What tensors and operators refer to, in the order in which it was first needed.
#[derive(Default)]
struct Parts<'g> {
    constants: Vec<&'g [u8]>,
    /// Where a constant of these bytes is.
    places: HashMap<&'g [u8], u32>,
    /// Codes of operators and their versions.
    operators: Vec<(i32, i32)>,
}

impl<'g> Parts<'g> {
    fn tensor(&mut self, tensor: &'g Tensor<'g>) -> Result<Node<'g>, Problem> {
        if let Some(peculiarity) = tensor.peculiarity {
            return Err(Problem::Peculiar(peculiarity.description()));
        }
        at_most(MAX_DIMENSIONS, "dimensions", tensor.shape.len())?;
        at_most(MAX_ELEMENTS, "elements", tensor.elements().unwrap_or(usize::MAX))?;
        tensor.check_data()?;
        let shape = tensor.shape.iter().map(|length| size(*length)).collect::<Result<_, _>>()?;
        let node = Node::default()
            .with(TensorTable::shape, Value::I32s(shape))
            .with(TensorTable::type_, Value::I8(tensor.element.code()))
            .with(TensorTable::buffer, Value::U32(self.buffer(tensor.data.as_deref().unwrap_or_default())))
            .with(TensorTable::name, Value::Text(&tensor.name));
        if tensor.quantisation == Quantisation::default() {
            return Ok(node);
        }
        Ok(node.with(TensorTable::quantization, Value::Table(quantisation(&tensor.quantisation)?)))
    }

    /// The index of a buffer with these bytes. The first one is empty.
    fn buffer(&mut self, data: &'g [u8]) -> u32 {
        if data.is_empty() {
            return 0;
        }
        let next = self.constants.len() as u32 + 1;
        let place = *self.places.entry(data).or_insert(next);
        if place == next {
            self.constants.push(data);
        }
        place
    }

    fn buffers(&self) -> Vec<Node<'g>> {
        let full = |data: &&'g [u8]| Node::default().with(Buffer::data, Value::Bytes(data, ALIGNMENT));
        std::iter::once(Node::default()).chain(self.constants.iter().map(full)).collect()
    }

    fn operator(&mut self, operator: &'g Operator) -> Result<Node<'g>, Problem> {
        let code = (operator_code(operator.kind.name()).unwrap_or_default(), operator.version);
        let index = self.operators.iter().position(|known| *known == code).unwrap_or_else(|| {
            self.operators.push(code);
            self.operators.len() - 1
        });
        let inputs = operator.inputs.iter().map(|index| index.map_or(Ok(ABSENT), size)).collect::<Result<_, _>>()?;
        let outputs = operator.outputs.iter().map(|index| size(*index)).collect::<Result<_, _>>()?;
        let node = Node::default()
            .with(OperatorTable::opcode_index, Value::U32(index as u32))
            .with(OperatorTable::inputs, Value::I32s(inputs))
            .with(OperatorTable::outputs, Value::I32s(outputs));
        Ok(match (options(&operator.kind)?, options_type(operator.kind.name())) {
            (Some(options), Some(number)) => node
                .with(OperatorTable::builtin_options_type, Value::U8(number))
                .with(OperatorTable::builtin_options, Value::Table(options)),
            _ => node,
        })
    }

    fn codes(&self) -> Vec<Node<'static>> {
        let code = |(code, version): &(i32, i32)| {
            Node::default()
                .with(OperatorCode::deprecated_builtin_code, Value::I8((*code).min(PLACEHOLDER) as i8))
                .with(OperatorCode::builtin_code, Value::I32(*code))
                .with(OperatorCode::version, Value::I32(*version))
        };
        self.operators.iter().map(code).collect()
    }
}

fn quantisation(quantisation: &Quantisation) -> Result<Node<'static>, Problem> {
    at_most(MAX_SCALES, "scales", quantisation.scales.len())?;
    at_most(MAX_SCALES, "zero points", quantisation.zero_points.len())?;
    Ok(Node::default()
        .with(QuantizationParameters::scale, Value::F32s(quantisation.scales.clone()))
        .with(QuantizationParameters::zero_point, Value::I64s(quantisation.zero_points.clone()))
        .with(QuantizationParameters::quantized_dimension, Value::I32(size(quantisation.dimension)?)))
}

/// The table of an operator's options, if it has one.
fn options(kind: &Kind) -> Result<Option<Node<'static>>, Problem> {
    let empty = Node::default;
    Ok(Some(match kind {
        Kind::Conv2d(conv) => conv_2d(conv)?,
        Kind::DepthwiseConv2d { conv, multiplier } => depthwise_conv_2d(conv, *multiplier)?,
        Kind::MaxPool2d(pool) | Kind::AveragePool2d(pool) => pool_2d(pool)?,
        Kind::FullyConnected { activation, format, keep_num_dims, asymmetric_quantize_inputs } => empty()
            .with(FullyConnectedOptions::fused_activation_function, Value::I8(*activation as i8))
            .with(FullyConnectedOptions::weights_format, Value::I8(*format as i8))
            .with(FullyConnectedOptions::keep_num_dims, Value::Bool(*keep_num_dims))
            .with(FullyConnectedOptions::asymmetric_quantize_inputs, Value::Bool(*asymmetric_quantize_inputs)),
        Kind::Add(activation) => empty().with(AddOptions::fused_activation_function, Value::I8(*activation as i8)),
        Kind::Mul(activation) => empty().with(MulOptions::fused_activation_function, Value::I8(*activation as i8)),
        Kind::Reshape(Some(shape)) => empty().with(ReshapeOptions::new_shape, Value::I32s(shape.clone())),
        Kind::Softmax { beta } => empty().with(SoftmaxOptions::beta, Value::F32(*beta)),
        Kind::Mean { keep_dims } => empty().with(ReducerOptions::keep_dims, Value::Bool(*keep_dims)),
        Kind::Concatenation { axis, activation } => empty()
            .with(ConcatenationOptions::axis, Value::I32(*axis))
            .with(ConcatenationOptions::fused_activation_function, Value::I8(*activation as i8)),
        Kind::Reshape(None)
        | Kind::Quantize
        | Kind::Dequantize
        | Kind::Pad
        | Kind::PadV2
        | Kind::Relu
        | Kind::Relu6
        | Kind::Logistic
        | Kind::Unsupported(_) => return Ok(None),
    }))
}

fn conv_2d(conv: &Conv2d) -> Result<Node<'static>, Problem> {
    use Conv2DOptions::*;
    Ok(Node::default()
        .with(padding, Value::I8(conv.padding as i8))
        .with(stride_h, positive(conv.stride[0])?)
        .with(stride_w, positive(conv.stride[1])?)
        .with(fused_activation_function, Value::I8(conv.activation as i8))
        .with(dilation_h_factor, positive(conv.dilation[0])?)
        .with(dilation_w_factor, positive(conv.dilation[1])?))
}

fn depthwise_conv_2d(conv: &Conv2d, multiplier: usize) -> Result<Node<'static>, Problem> {
    use DepthwiseConv2DOptions::*;
    Ok(Node::default()
        .with(padding, Value::I8(conv.padding as i8))
        .with(stride_h, positive(conv.stride[0])?)
        .with(stride_w, positive(conv.stride[1])?)
        .with(depth_multiplier, positive(multiplier)?)
        .with(fused_activation_function, Value::I8(conv.activation as i8))
        .with(dilation_h_factor, positive(conv.dilation[0])?)
        .with(dilation_w_factor, positive(conv.dilation[1])?))
}

fn pool_2d(pool: &Pool2d) -> Result<Node<'static>, Problem> {
    use Pool2DOptions::*;
    Ok(Node::default()
        .with(padding, Value::I8(pool.padding as i8))
        .with(stride_h, positive(pool.stride[0])?)
        .with(stride_w, positive(pool.stride[1])?)
        .with(filter_height, positive(pool.filter[0])?)
        .with(filter_width, positive(pool.filter[1])?)
        .with(fused_activation_function, Value::I8(pool.activation as i8)))
}
