//! A small model for tests, part by part: quantised digits of 4x4 pixels to three classes.

use crate::tflite::builder::{Node, Value};
use crate::tflite::element::ElementType;
use crate::tflite::flatbuffer::Field;
use crate::tflite::schema::{
    Buffer, Conv2DOptions, FullyConnectedOptions, IDENTIFIER, Model, Operator, OperatorCode, Pool2DOptions,
    QuantizationParameters, SoftmaxOptions, SubGraph, Tensor, VERSION,
};

/// The parts of a file.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) codes: Vec<Node<'static>>,
    pub(super) tensors: Vec<Node<'static>>,
    pub(super) operators: Vec<Node<'static>>,
    pub(super) buffers: Vec<Node<'static>>,
    pub(super) graph: Node<'static>,
    pub(super) model: Node<'static>,
}

const FILTER: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 254, 253, 252, 251, 250, 249, 248, 247];
const BIASES: &[u8] = &[1, 0, 0, 0, 255, 255, 255, 255];
const SHAPE: &[u8] = &[1, 0, 0, 0, 8, 0, 0, 0];
const WEIGHTS: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 128];

pub(super) fn code(number: i8, version: i32) -> Node<'static> {
    Node::default()
        .with(OperatorCode::deprecated_builtin_code, Value::I8(number))
        .with(OperatorCode::builtin_code, Value::I32(number.into()))
        .with(OperatorCode::version, Value::I32(version))
}

pub(super) fn operator(code: u32, inputs: &[i32], output: i32) -> Node<'static> {
    Node::default()
        .with(Operator::opcode_index, Value::U32(code))
        .with(Operator::inputs, Value::I32s(inputs.to_vec()))
        .with(Operator::outputs, Value::I32s(vec![output]))
}

pub(super) fn tensor(name: &'static str, element: ElementType, shape: &[i32], buffer: u32) -> Node<'static> {
    Node::default()
        .with(Tensor::name, Value::Text(name))
        .with(Tensor::type_, Value::I8(element.code()))
        .with(Tensor::shape, Value::I32s(shape.to_vec()))
        .with(Tensor::buffer, Value::U32(buffer))
}

/// Quantisation with a scale for each index of a dimension.
pub(super) fn quantised(scales: &[f32], zero_point: i64, dimension: i32) -> Value<'static> {
    Value::Table(
        Node::default()
            .with(QuantizationParameters::scale, Value::F32s(scales.to_vec()))
            .with(QuantizationParameters::zero_point, Value::I64s(vec![zero_point; scales.len()]))
            .with(QuantizationParameters::quantized_dimension, Value::I32(dimension)),
    )
}

fn options(operator: Node<'static>, number: u8, table: Node<'static>) -> Node<'static> {
    operator
        .with(Operator::builtin_options_type, Value::U8(number))
        .with(Operator::builtin_options, Value::Table(table))
}

fn tensors() -> Vec<Node<'static>> {
    use ElementType::{I8, I32};
    let map = |name, shape: &[i32], scale, zero_point| {
        tensor(name, I8, shape, 0).with(Tensor::quantization, quantised(&[scale], zero_point, 0))
    };
    vec![
        map("image", &[1, 4, 4, 1], 1.0 / 255.0, -128),
        tensor("filter", I8, &[2, 3, 3, 1], 1).with(Tensor::quantization, quantised(&[0.5, 0.25], 0, 0)),
        tensor("biases", I32, &[2], 2),
        map("conv", &[1, 4, 4, 2], 0.02, -128),
        map("pool", &[1, 2, 2, 2], 0.02, -128),
        tensor("shape", I32, &[2], 3),
        map("flat", &[1, 8], 0.02, -128),
        tensor("weights", I8, &[3, 8], 4).with(Tensor::quantization, quantised(&[0.125], 0, 0)),
        map("logits", &[1, 3], 0.1, 5),
        map("classes", &[1, 3], 1.0 / 256.0, -128),
    ]
}

fn operators() -> Vec<Node<'static>> {
    let conv = Node::default()
        .with(Conv2DOptions::stride_h, Value::I32(1))
        .with(Conv2DOptions::stride_w, Value::I32(1))
        .with(Conv2DOptions::fused_activation_function, Value::I8(1));
    let pool = Node::default()
        .with(Pool2DOptions::padding, Value::I8(1))
        .with(Pool2DOptions::stride_h, Value::I32(2))
        .with(Pool2DOptions::stride_w, Value::I32(2))
        .with(Pool2DOptions::filter_height, Value::I32(2))
        .with(Pool2DOptions::filter_width, Value::I32(2));
    let dense = Node::default().with(FullyConnectedOptions::keep_num_dims, Value::Bool(false));
    let softmax = Node::default().with(SoftmaxOptions::beta, Value::F32(1.0));
    vec![
        options(operator(0, &[0, 1, 2], 3), 1, conv),
        options(operator(1, &[3], 4), 5, pool),
        operator(2, &[4, 5], 6),
        options(operator(3, &[6, 7, -1], 8), 8, dense),
        options(operator(4, &[8], 9), 9, softmax),
    ]
}

impl Sample {
    /// A sound model.
    pub(super) fn new() -> Self {
        let buffers = [None, Some(FILTER), Some(BIASES), Some(SHAPE), Some(WEIGHTS)];
        let buffer = |data: Option<&'static [u8]>| match data {
            Some(data) => Node::default().with(Buffer::data, Value::Bytes(data, 16)),
            None => Node::default(),
        };
        let graph =
            Node::default().with(SubGraph::inputs, Value::I32s(vec![0])).with(SubGraph::outputs, Value::I32s(vec![9]));
        Self {
            codes: vec![code(3, 3), code(17, 2), code(22, 1), code(9, 4), code(25, 2)],
            tensors: tensors(),
            operators: operators(),
            buffers: buffers.map(buffer).into(),
            graph,
            model: Node::default().with(Model::version, Value::U32(VERSION)),
        }
    }

    /// The graph's table.
    pub(super) fn subgraph(&self) -> Node<'static> {
        let graph = self.graph.clone().with(SubGraph::tensors, Value::Tables(self.tensors.clone()));
        graph.with(SubGraph::operators, Value::Tables(self.operators.clone()))
    }

    /// The root of the file.
    pub(super) fn root(&self) -> Node<'static> {
        let model = self.model.clone().with(Model::operator_codes, Value::Tables(self.codes.clone()));
        let model = model.with(Model::buffers, Value::Tables(self.buffers.clone()));
        model.with(Model::subgraphs, Value::Tables(vec![self.subgraph()]))
    }

    pub(super) fn file(&self) -> Vec<u8> {
        self.root().to_file(IDENTIFIER)
    }

    /// The file with another field in a tensor.
    pub(super) fn with_tensor(&self, index: usize, field: Field, value: Value<'static>) -> Vec<u8> {
        let mut sample = self.clone();
        sample.tensors[index] = sample.tensors[index].clone().with(field, value);
        sample.file()
    }

    /// The file with another field in an operator.
    pub(super) fn with_operator(&self, index: usize, field: Field, value: Value<'static>) -> Vec<u8> {
        let mut sample = self.clone();
        sample.operators[index] = sample.operators[index].clone().with(field, value);
        sample.file()
    }
}
