//! What is written is read as it was.

use super::sample::Sample;
use crate::tflite::{
    Activation, Conv2d, ElementType, Graph, Kind, Operator, Padding, Peculiarity, Pool2d, Problem, Quantisation,
    Tensor, WeightsFormat, check, read, write,
};

#[test]
fn a_model_is_read_as_it_was_written() {
    let file = Sample::new().file();
    let graph = read(&file).unwrap();
    let written = write(&graph).unwrap();
    let again = read(&written).unwrap();
    assert_eq!(again, graph);
    check(&again).unwrap();
    assert_eq!(write(&again).unwrap(), written);
}

/// Each kind of operator with options that are not the format's defaults.
fn kinds() -> Vec<Kind> {
    let (padding, activation) = (Padding::Valid, Activation::Relu6);
    let conv = Conv2d { padding, stride: [2, 3], dilation: [4, 5], activation };
    let pool = Pool2d { padding, stride: [2, 3], filter: [4, 5], activation };
    let format = WeightsFormat::Shuffled4x16Int8;
    vec![
        Kind::Conv2d(conv),
        Kind::DepthwiseConv2d { conv, multiplier: 6 },
        Kind::FullyConnected { activation, format, keep_num_dims: true, asymmetric_quantize_inputs: false },
        Kind::FullyConnected { activation, format, keep_num_dims: false, asymmetric_quantize_inputs: true },
        Kind::MaxPool2d(pool),
        Kind::AveragePool2d(pool),
        Kind::Add(Activation::Tanh),
        Kind::Mul(Activation::SignBit),
        Kind::Reshape(None),
        Kind::Reshape(Some(vec![])),
        Kind::Reshape(Some(vec![1, -1])),
        Kind::Softmax { beta: 0.5 },
        Kind::Quantize,
        Kind::Dequantize,
        Kind::Pad,
        Kind::PadV2,
        Kind::Mean { keep_dims: true },
        Kind::Relu,
        Kind::Relu6,
        Kind::Concatenation { axis: -1, activation: Activation::ReluN1To1 },
        Kind::Logistic,
    ]
}

fn graph(tensors: Vec<Tensor<'static>>, kinds: Vec<Kind>) -> Graph<'static> {
    let operators = (1..).zip(kinds).map(|(version, kind)| {
        let (inputs, outputs) = (vec![Some(0), None], vec![0]);
        Operator { kind, version, inputs, outputs }
    });
    Graph { tensors, operators: operators.collect(), inputs: vec![0], outputs: vec![0], subgraphs: 1 }
}

fn tensor(data: &[u8], shape: &[usize]) -> Tensor<'static> {
    Tensor {
        name: "a \"name\", ümlaut".into(),
        shape: shape.to_vec(),
        element: ElementType::I8,
        quantisation: Quantisation { scales: vec![0.5, 2.0], zero_points: vec![-3, i64::MAX], dimension: 3 },
        data: (!data.is_empty()).then(|| data.to_vec().into()),
        peculiarity: None,
    }
}

#[test]
fn every_option_survives() {
    let made = graph(vec![tensor(&[], &[1, 0, 7])], kinds());
    assert_eq!(read(&write(&made).unwrap()).unwrap(), made);
}

#[test]
fn every_type_survives() {
    let types: Vec<_> = (0..).map_while(ElementType::from_code).collect();
    assert_eq!(types.len(), 23);
    let made = graph(types.iter().map(|element| Tensor { element: *element, ..tensor(&[], &[2]) }).collect(), vec![]);
    assert_eq!(read(&write(&made).unwrap()).unwrap(), made);
}

/// Runtimes read constants in place, and a device has no memory for the same one twice.
#[test]
fn constants_are_aligned_and_stored_once() {
    let constants = [vec![1; 5], vec![2; 33], vec![1; 5], vec![3; 64]];
    let made = graph(constants.iter().map(|data| tensor(data, &[data.len()])).collect(), vec![]);
    let file = write(&made).unwrap();
    let graph = read(&file).unwrap();
    assert_eq!(graph, made);
    let places: Vec<_> =
        graph.tensors.iter().map(|t| t.data.as_deref().unwrap().as_ptr() as usize - file.as_ptr() as usize).collect();
    assert!(places.iter().all(|place| place % 16 == 0), "{places:?}");
    assert_eq!(places[0], places[2]);
    assert!(places[0] < places[1] && places[1] < places[3]);
}

#[test]
fn what_cannot_be_read_again_is_not_written() {
    let problem = |graph: Graph<'_>| write(&graph).unwrap_err().problem;
    let with = |change: fn(&mut Graph<'_>)| {
        let mut made = graph(vec![tensor(&[1, 2], &[2])], kinds());
        change(&mut made);
        problem(made)
    };
    let unsupported = with(|graph| graph.operators[3].kind = Kind::Unsupported("SVDF".into()));
    assert_eq!(unsupported.to_string(), "expected operators that midge has, found SVDF (operator 3)");
    assert_eq!(with(|graph| graph.subgraphs = 2), Problem::Subgraphs(2));
    assert!(matches!(with(|graph| graph.outputs[0] = 1), Problem::TensorIndex { found: 1, count: 1, .. }));
    let variable = with(|graph| graph.tensors[0].peculiarity = Some(Peculiarity::Variable));
    assert_eq!(variable, Problem::Peculiar("keeps its elements from run to run"));
    assert!(matches!(with(|graph| graph.tensors[0].shape[0] = 3), Problem::DataLength { found: 2, .. }));
    assert!(matches!(with(|graph| graph.tensors[0].shape = vec![1; 9]), Problem::TooMany { what: "dimensions", .. }));
    let large = with(|graph| graph.tensors[0].shape = vec![1 << 16; 3]);
    assert!(matches!(large, Problem::TooMany { what: "elements", .. }));
    let dimension = with(|graph| graph.tensors[0].quantisation.dimension = 1 << 31);
    assert!(matches!(dimension, Problem::Number { found: 0x8000_0000, .. }));
    let stride = with(|graph| match &mut graph.operators[0].kind {
        Kind::Conv2d(conv) => conv.stride[1] = 0,
        _ => unreachable!(),
    });
    assert!(matches!(stride, Problem::Number { expected: "at least 1", found: 0, .. }));
    assert!(matches!(
        problem(graph(vec![tensor(&[], &[1])], vec![Kind::Relu; 4097])),
        Problem::TooMany { what: "operators", .. }
    ));
}
