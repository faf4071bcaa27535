//! What the check of a graph takes and refuses, on graphs that differ from a sound one in one place.

use super::sample::Sample;
use crate::tflite::{
    Activation, Conv2d, ElementType, Graph, Kind, Operator, Padding, Peculiarity, Problem, Quantisation, Tensor,
    WeightsFormat, check, read,
};

/// The problem of the sample after a change, and what the message says of its place.
fn refused(change: impl Fn(&mut Graph<'_>)) -> (Problem, String) {
    let file = Sample::new().file();
    let mut graph = read(&file).unwrap();
    check(&graph).unwrap();
    change(&mut graph);
    let error = check(&graph).unwrap_err();
    let operator = error.operator.as_ref().map(|named| format!("{} {}", named.index, named.name));
    let tensor = error.tensor.as_ref().map(|named| named.name.clone());
    let place = [operator, tensor].into_iter().flatten().collect::<Vec<_>>().join(", ");
    (error.problem, place)
}

fn taken(change: impl Fn(&mut Graph<'_>)) {
    let file = Sample::new().file();
    let mut graph = read(&file).unwrap();
    change(&mut graph);
    check(&graph).unwrap();
}

fn shape(expected: &[usize], found: &[usize]) -> Problem {
    Problem::Shape { expected: expected.to_vec(), found: found.to_vec() }
}

#[test]
fn all_unsupported_operators_are_named_at_once() {
    let (problem, _) = refused(|graph| {
        for (index, name) in [(1, "SVDF"), (2, "my_op"), (3, "SVDF")] {
            graph.operators[index].kind = Kind::Unsupported(name.into());
        }
        graph.subgraphs = 2;
    });
    let message = "expected operators that midge has, found SVDF (operators 1, 3), my_op (operator 2)";
    assert_eq!(problem.to_string(), message);
    assert_eq!(refused(|graph| graph.subgraphs = 2).0, Problem::Subgraphs(2));
}

#[test]
fn every_tensor_is_written_once_and_before_it_is_read() {
    let swapped = refused(|graph| graph.operators.swap(0, 1));
    assert_eq!(swapped, (Problem::NotWritten, "0 MAX_POOL_2D, conv".into()));
    let own = refused(|graph| graph.operators[4].inputs = vec![Some(9)]);
    assert_eq!(own, (Problem::NotWritten, "4 SOFTMAX, classes".into()));
    let twice = refused(|graph| graph.operators[4].outputs = vec![8]);
    assert_eq!(twice, (Problem::Written("the result of an operator"), "4 SOFTMAX, logits".into()));
    let input = refused(|graph| graph.operators[4].outputs = vec![0]);
    assert_eq!(input.0, Problem::Written("an input of the graph"));
    let constant = refused(|graph| graph.operators[4].outputs = vec![7]);
    assert_eq!(constant.0, Problem::Written("a constant"));
    assert_eq!(refused(|graph| graph.inputs = vec![7]), (Problem::Written("a constant"), "weights".into()));
    assert_eq!(refused(|graph| graph.inputs = vec![0, 0]).0, Problem::Written("an input of the graph"));
    assert_eq!(refused(|graph| graph.outputs = vec![0]), (Problem::NotWritten, "image".into()));
    let none = Problem::Count { what: "outputs of the graph", expected: "at least 1", found: 0 };
    assert_eq!(refused(|graph| graph.outputs.clear()).0, none);
    let index = Problem::TensorIndex { what: "outputs", found: 10, count: 10 };
    assert_eq!(refused(|graph| graph.operators[4].outputs = vec![10]).0, index);
}

#[test]
fn operators_have_the_tensors_that_they_need() {
    let none = refused(|graph| graph.operators[0].inputs[1] = None);
    assert_eq!(none, (Problem::Absent(1), "0 CONV_2D".into()));
    taken(|graph| graph.operators[0].inputs[2] = None);
    taken(|graph| graph.operators[0].inputs.truncate(2));
    let two = refused(|graph| graph.operators[1].inputs.push(Some(0)));
    assert_eq!(two, (Problem::Count { what: "inputs", expected: "1", found: 2 }, "1 MAX_POOL_2D".into()));
    let outputs = refused(|graph| graph.operators[1].outputs.clear());
    assert_eq!(outputs.0, Problem::Count { what: "outputs", expected: "1", found: 0 });
    for (tensor, place) in [(1, "0 CONV_2D, filter"), (2, "0 CONV_2D, biases"), (5, "2 RESHAPE, shape")] {
        let constant = refused(|graph| graph.tensors[tensor].data = None);
        assert_eq!(constant, (Problem::NotConstant, place.into()));
    }
    let constant = refused(|graph| graph.operators[4].inputs = vec![Some(7)]);
    assert_eq!(constant, (Problem::Constant, "4 SOFTMAX, weights".into()));
    let variable = refused(|graph| graph.tensors[3].peculiarity = Some(Peculiarity::Variable));
    assert_eq!(variable.1, "0 CONV_2D, conv");
    let sparse = refused(|graph| graph.tensors[7].peculiarity = Some(Peculiarity::Sparse));
    assert_eq!(sparse, (Problem::Peculiar("is stored without its zeros"), "3 FULLY_CONNECTED, weights".into()));
    let data = refused(|graph| graph.tensors[7].shape = vec![3, 9]);
    assert_eq!(data.0, Problem::DataLength { shape: vec![3, 9], size: 1, found: 24 });
}

#[test]
fn shapes_follow_from_the_operators() {
    let conv = refused(|graph| graph.tensors[3].shape = vec![1, 3, 4, 2]);
    assert_eq!(conv, (shape(&[1, 4, 4, 2], &[1, 3, 4, 2]), "0 CONV_2D, conv".into()));
    let valid = refused(|graph| match &mut graph.operators[0].kind {
        Kind::Conv2d(conv) => conv.padding = Padding::Valid,
        _ => unreachable!(),
    });
    assert_eq!(valid.0, shape(&[1, 2, 2, 2], &[1, 4, 4, 2]));
    let stride = refused(|graph| match &mut graph.operators[1].kind {
        Kind::MaxPool2d(pool) => pool.stride = [1, 2],
        _ => unreachable!(),
    });
    assert_eq!(stride, (shape(&[1, 3, 2, 2], &[1, 2, 2, 2]), "1 MAX_POOL_2D, pool".into()));
    let batch = refused(|graph| graph.tensors[0].shape = vec![2, 4, 4, 1]);
    assert_eq!(batch.1, "image");
    let channels = refused(|graph| graph.tensors[0].shape = vec![1, 4, 4, 3]);
    assert_eq!(channels, (shape(&[2, 3, 3, 3], &[2, 3, 3, 1]), "0 CONV_2D, filter".into()));
    let bias = refused(|graph| {
        graph.tensors[2].shape = vec![1];
        graph.tensors[2].data = Some(vec![0; 4].into());
    });
    assert_eq!(bias, (shape(&[2], &[1]), "0 CONV_2D, biases".into()));
    let dilated = refused(|graph| match &mut graph.operators[0].kind {
        Kind::Conv2d(conv) => conv.dilation = [1, 2],
        _ => unreachable!(),
    });
    assert_eq!(dilated.0.to_string(), "dilation: expected [1, 1], found [1, 2]");
    let flat = refused(|graph| graph.tensors[6].shape = vec![1, 9]);
    assert_eq!(flat, (shape(&[1, 8], &[1, 9]), "2 RESHAPE, flat".into()));
    let units = refused(|graph| graph.tensors[8].shape = vec![1, 4]);
    assert_eq!(units, (shape(&[1, 3], &[1, 4]), "3 FULLY_CONNECTED, logits".into()));
}

#[test]
fn a_new_shape_is_a_constant_or_an_option() {
    let reshape = |graph: &mut Graph<'_>, new: Option<Vec<i32>>| {
        graph.operators[2].kind = Kind::Reshape(new);
        graph.operators[2].inputs.truncate(1);
    };
    taken(|graph| reshape(graph, Some(vec![1, 8])));
    taken(|graph| reshape(graph, Some(vec![1, -1])));
    assert_eq!(refused(|graph| reshape(graph, Some(vec![-1, 4]))).0, shape(&[2, 4], &[1, 8]));
    for wrong in [vec![-1, -1], vec![1, 7], vec![-1, 3], vec![-2, -4], vec![0, 8], vec![-1, 0], vec![i32::MAX; 4]] {
        let problem = refused(|graph| reshape(graph, Some(wrong.clone()))).0;
        assert_eq!(problem, Problem::NewShape { elements: 8, found: wrong });
    }
    assert!(matches!(refused(|graph| reshape(graph, None)).0, Problem::Missing(_)));
    // The constant counts, as in the runtimes.
    taken(|graph| graph.operators[2].kind = Kind::Reshape(Some(vec![7])));
}

#[test]
fn integers_have_the_quantisation_that_is_computed_with() {
    let scales = |scales: Vec<f32>, dimension| {
        let zero_points = vec![0; scales.len()];
        Quantisation { scales, zero_points, dimension }
    };
    let filter = |quantisation: Quantisation| refused(|graph| graph.tensors[1].quantisation = quantisation.clone());
    taken(|graph| graph.tensors[1].quantisation = scales(vec![0.5], 3));
    let count = Problem::Quantities { what: "scales", expected: 2, found: 3 };
    assert_eq!(filter(scales(vec![0.5; 3], 0)), (count, "0 CONV_2D, filter".into()));
    assert!(matches!(filter(scales(vec![], 0)).0, Problem::Quantities { expected: 2, found: 0, .. }));
    assert!(matches!(filter(scales(vec![0.5; 2], 3)).0, Problem::Number { what: "quantised dimension", .. }));
    assert_eq!(filter(scales(vec![0.5, 0.0], 0)).0, Problem::Scale(0.0));
    assert_eq!(filter(scales(vec![0.5, f32::INFINITY], 0)).0, Problem::Scale(f32::INFINITY));
    assert!(matches!(filter(scales(vec![0.5, f32::NAN], 0)).0, Problem::Scale(_)));
    let shifted = Quantisation { zero_points: vec![0, 1], ..scales(vec![0.5; 2], 0) };
    assert_eq!(filter(shifted).0, Problem::Number { what: "zero point", expected: "0", found: 1 });
    let points = Quantisation { zero_points: vec![0], ..scales(vec![0.5; 2], 0) };
    assert!(matches!(filter(points).0, Problem::Quantities { what: "zero points", expected: 2, found: 1 }));
    let image = refused(|graph| graph.tensors[0].quantisation.zero_points = vec![128]);
    assert_eq!(image.0, Problem::Number { what: "zero point", expected: "-128 to 127", found: 128 });
    let none = refused(|graph| graph.tensors[3].quantisation = Quantisation::default());
    assert_eq!(none, (Problem::Quantities { what: "scales", expected: 1, found: 0 }, "0 CONV_2D, conv".into()));
    let pool = refused(|graph| graph.tensors[4].quantisation = Quantisation::per_tensor(0.03, -128));
    let other = Problem::OtherQuantisation { expected: (0.02, -128), found: Some((0.03, -128)) };
    assert_eq!(pool, (other, "1 MAX_POOL_2D, pool".into()));
    let softmax = refused(|graph| graph.tensors[9].quantisation = Quantisation::per_tensor(0.004, -128));
    assert!(matches!(softmax.0, Problem::OtherQuantisation { expected: (0.00390625, -128), .. }));
}

#[test]
fn elements_have_the_types_that_are_computed_with() {
    let element = |tensor: usize, element| {
        refused(|graph| {
            graph.tensors[tensor].element = element;
            // As long as the shape needs.
            if let (Some(_), Some(size)) = (&graph.tensors[tensor].data, element.bytes()) {
                graph.tensors[tensor].data = Some(vec![0; size * graph.tensors[tensor].elements().unwrap()].into());
            }
        })
    };
    let found = |expected, found| Problem::Element { expected, found };
    let (i8_or_f32, i8, i32) = ("INT8 or FLOAT32", "INT8", "INT32");
    assert_eq!(element(0, ElementType::U8), (found(i8_or_f32, ElementType::U8), "0 CONV_2D, image".into()));
    assert_eq!(element(1, ElementType::F32), (found(i8, ElementType::F32), "0 CONV_2D, filter".into()));
    assert_eq!(element(2, ElementType::I64), (found(i32, ElementType::I64), "0 CONV_2D, biases".into()));
    assert_eq!(element(5, ElementType::I64), (found(i32, ElementType::I64), "2 RESHAPE, shape".into()));
    // Weights of integers and maps of real numbers: a "hybrid" model.
    assert_eq!(element(3, ElementType::F32), (found(i8, ElementType::F32), "0 CONV_2D, conv".into()));
}

#[test]
fn options_that_are_not_computed_are_named() {
    let fully_connected = |change: fn(&mut Activation, &mut WeightsFormat)| {
        refused(|graph| match &mut graph.operators[3].kind {
            Kind::FullyConnected { activation, format, .. } => change(activation, format),
            _ => unreachable!(),
        })
    };
    let tanh = fully_connected(|activation, _| *activation = Activation::Tanh);
    assert_eq!(tanh.0.to_string(), "fused activation: expected none, ReLU or ReLU6, found Tanh");
    let shuffled = fully_connected(|_, format| *format = WeightsFormat::Shuffled4x16Int8);
    assert_eq!(shuffled.0.to_string(), "weights format: expected row by row, found Shuffled4x16Int8");
    for beta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let softmax = refused(|graph| graph.operators[4].kind = Kind::Softmax { beta });
        assert!(matches!(softmax.0, Problem::Option { what: "beta", .. }));
    }
}

/// A tensor of real numbers.
fn real() -> Tensor<'static> {
    Tensor {
        name: "map".into(),
        shape: Vec::new(),
        element: ElementType::F32,
        quantisation: Quantisation::default(),
        data: None,
        peculiarity: None,
    }
}

/// A graph of one operator that reads maps of the given shapes, in real numbers.
fn single(kind: Kind, inputs: &[&[usize]], constants: &[(&[usize], &[i32])], output: &[usize]) -> Result<(), Problem> {
    let file = Sample::new().file();
    let mut graph = read(&file).unwrap();
    let real = |shape: &[usize]| Tensor { shape: shape.to_vec(), ..real() };
    graph.tensors = inputs.iter().map(|shape| real(shape)).collect();
    graph.inputs = (0..inputs.len()).collect();
    for (shape, values) in constants {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        graph.tensors.push(Tensor { element: ElementType::I32, data: Some(data.into()), ..real(shape) });
    }
    let all = graph.tensors.len();
    graph.tensors.push(real(output));
    graph.outputs = vec![all];
    graph.operators = vec![Operator { kind, version: 1, inputs: (0..all).map(Some).collect(), outputs: vec![all] }];
    check(&graph).map_err(|error| error.problem)
}

/// The same with one map and weights of zeros.
fn weighted(kind: Kind, input: &[usize], weights: &[usize], output: &[usize]) -> Result<(), Problem> {
    let file = Sample::new().file();
    let mut graph = read(&file).unwrap();
    let real = |shape: &[usize]| Tensor { shape: shape.to_vec(), ..real() };
    let data = vec![0; 4 * weights.iter().product::<usize>()].into();
    graph.tensors = vec![real(input), Tensor { data: Some(data), ..real(weights) }, real(output)];
    graph.operators = vec![Operator { kind, version: 1, inputs: vec![Some(0), Some(1)], outputs: vec![2] }];
    graph.outputs = vec![2];
    check(&graph).map_err(|error| error.problem)
}

#[test]
fn shapes_of_layers_with_weights() {
    let conv = Conv2d { padding: Padding::Same, stride: [2, 2], dilation: [1, 1], activation: Activation::Relu6 };
    let conv_2d =
        |input: &[usize], weights: &[usize], output: &[usize]| weighted(Kind::Conv2d(conv), input, weights, output);
    // Of the keyword model.
    assert_eq!(conv_2d(&[1, 49, 10, 1], &[64, 10, 4, 1], &[1, 25, 5, 64]), Ok(()));
    let grouped = conv_2d(&[1, 4, 4, 4], &[8, 3, 3, 2], &[1, 2, 2, 8]);
    assert_eq!(grouped, Err(shape(&[8, 3, 3, 4], &[8, 3, 3, 2])));
    assert!(matches!(conv_2d(&[1, 16], &[8, 3, 3, 2], &[1, 2, 2, 8]), Err(Problem::Dimensions { .. })));
    let depthwise = |multiplier, input: &[usize], weights: &[usize], output: &[usize]| {
        weighted(Kind::DepthwiseConv2d { conv, multiplier }, input, weights, output)
    };
    // Of the person model.
    assert_eq!(depthwise(8, &[1, 96, 96, 1], &[1, 3, 3, 8], &[1, 48, 48, 8]), Ok(()));
    assert_eq!(depthwise(1, &[1, 5, 4, 8], &[1, 3, 3, 8], &[1, 3, 2, 8]), Ok(()));
    let other = depthwise(1, &[1, 96, 96, 1], &[1, 3, 3, 8], &[1, 48, 48, 8]);
    assert_eq!(other, Err(shape(&[1, 3, 3, 1], &[1, 3, 3, 8])));
    let dense = |keep_num_dims, input: &[usize], weights: &[usize], output: &[usize]| {
        let (activation, format) = (Activation::None, WeightsFormat::Default);
        let kind = Kind::FullyConnected { activation, format, keep_num_dims, asymmetric_quantize_inputs: false };
        weighted(kind, input, weights, output)
    };
    assert_eq!(dense(false, &[1, 2, 3, 4], &[5, 24], &[1, 5]), Ok(()));
    assert_eq!(dense(true, &[1, 2, 3, 4], &[5, 4], &[1, 2, 3, 5]), Ok(()));
    // Six samples at once.
    assert!(matches!(dense(false, &[1, 2, 3, 4], &[5, 4], &[6, 5]), Err(Problem::Dimensions { .. })));
    assert!(matches!(dense(true, &[1, 2, 3, 4], &[5, 24], &[1, 5]), Err(Problem::Dimensions { .. })));
}

#[test]
fn shapes_of_the_other_operators() {
    let add = |a: &[usize], b: &[usize], output: &[usize]| single(Kind::Add(Activation::None), &[a, b], &[], output);
    assert_eq!(add(&[1, 4, 5, 6], &[1, 4, 5, 6], &[1, 4, 5, 6]), Ok(()));
    assert_eq!(add(&[1, 4, 5, 6], &[1, 1, 1, 6], &[1, 4, 5, 6]), Ok(()));
    assert_eq!(add(&[1, 6], &[1, 4, 5, 6], &[1, 4, 5, 6]), Ok(()));
    assert_eq!(add(&[1, 4, 5, 6], &[1, 4, 5, 3], &[1, 4, 5, 6]), Err(shape(&[1, 4, 5, 6], &[1, 4, 5, 3])));
    let pad = |amounts: &[i32], output: &[usize]| single(Kind::Pad, &[&[1, 4, 5, 2]], &[(&[4, 2], amounts)], output);
    assert_eq!(pad(&[0, 0, 1, 2, 3, 0, 0, 0], &[1, 7, 8, 2]), Ok(()));
    assert_eq!(pad(&[0, 0, 1, 1, 3, 0, 0, 0], &[1, 7, 8, 2]), Err(shape(&[1, 6, 8, 2], &[1, 7, 8, 2])));
    assert!(matches!(
        pad(&[0, 0, -1, 2, 3, 0, 0, 0], &[1, 5, 8, 2]),
        Err(Problem::Number { what: "paddings", found: -1, .. })
    ));
    let mean = |axes: &[i32], keep_dims, output: &[usize]| {
        single(Kind::Mean { keep_dims }, &[&[1, 4, 5, 2]], &[(&[axes.len()], axes)], output)
    };
    assert_eq!(mean(&[1, 2], true, &[1, 1, 1, 2]), Ok(()));
    assert_eq!(mean(&[-3, -2], false, &[1, 2]), Ok(()));
    assert_eq!(mean(&[1], false, &[1, 2]), Err(shape(&[1, 5, 2], &[1, 2])));
    assert!(matches!(mean(&[4], true, &[1, 4, 5, 2]), Err(Problem::Number { what: "axes", found: 4, .. })));
    assert!(matches!(mean(&[1; 9], true, &[1, 1, 5, 2]), Err(Problem::Dimensions { .. })));
    let concatenation = |axis, other: &[usize], output: &[usize]| {
        let kind = Kind::Concatenation { axis, activation: Activation::None };
        single(kind, &[&[1, 4, 5, 2], other, &[1, 4, 5, 1]], &[], output)
    };
    assert_eq!(concatenation(-1, &[1, 4, 5, 3], &[1, 4, 5, 6]), Ok(()));
    assert_eq!(concatenation(3, &[1, 4, 4, 3], &[1, 4, 5, 6]), Err(shape(&[1, 4, 5, 3], &[1, 4, 4, 3])));
    assert!(matches!(concatenation(4, &[1, 4, 5, 3], &[1, 4, 5, 6]), Err(Problem::Number { what: "axis", .. })));
    for kind in [Kind::Relu, Kind::Relu6, Kind::Logistic, Kind::Softmax { beta: 1.0 }] {
        assert_eq!(single(kind.clone(), &[&[1, 3]], &[], &[1, 3]), Ok(()));
        assert_eq!(single(kind, &[&[1, 3]], &[], &[1, 4]), Err(shape(&[1, 3], &[1, 4])));
    }
    // Real numbers are no integers.
    let quantised = single(Kind::Quantize, &[&[1, 3]], &[], &[1, 3]);
    assert_eq!(quantised, Err(Problem::Element { expected: "INT8", found: ElementType::F32 }));
    let dequantised = single(Kind::Dequantize, &[&[1, 3]], &[], &[1, 3]);
    assert_eq!(dequantised, Err(Problem::Element { expected: "INT8", found: ElementType::F32 }));
}
