//! What is read is what is in the files.

use midge_trainer::tflite::{ElementType, Graph, Kind, Operator, Problem, Tensor, check, read, write};
use safetensors::SafeTensors;

use super::expected::{Expected, MODELS, OPERATORS};
use super::{folder, model};

/// Values of a constant of any type that these files have.
fn values(tensor: &Tensor<'_>) -> Vec<f64> {
    match tensor.element {
        ElementType::I8 => tensor.i8s().unwrap().iter().map(|value| f64::from(*value)).collect(),
        ElementType::I32 => tensor.i32s().unwrap().into_iter().map(f64::from).collect(),
        _ => tensor.f32s().unwrap().into_iter().map(f64::from).collect(),
    }
}

fn weighted(sum: f64, tensor: &Tensor<'_>) -> f64 {
    let values = values(tensor).into_iter().enumerate();
    sum + values.fold(0.0, |sum, (index, value)| sum + value * (index % 97 + 1) as f64)
}

/// Operators with weights, and their weights, biases and results.
fn layers<'g>(graph: &'g Graph<'g>) -> impl Iterator<Item = (&'g Operator, [&'g Tensor<'g>; 3])> {
    let tensor = |index: usize| &graph.tensors[index];
    let has_weights = |operator: &&Operator| {
        matches!(operator.kind, Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. } | Kind::FullyConnected { .. })
    };
    graph.operators.iter().filter(has_weights).map(move |operator| {
        let input = |place: usize| tensor(operator.inputs[place].unwrap());
        (operator, [input(1), input(2), tensor(operator.outputs[0])])
    })
}

fn multiply_adds(graph: &Graph<'_>) -> usize {
    let products = layers(graph).map(|(operator, [weights, _, output])| {
        let each = match operator.kind {
            Kind::DepthwiseConv2d { .. } => weights.shape[1] * weights.shape[2],
            _ => weights.shape[1..].iter().product(),
        };
        output.elements().unwrap() * each
    });
    products.sum()
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn graphs_are_those_that_python_reads() {
    for expected in MODELS {
        let bytes = model(expected.name);
        let graph = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", expected.name));
        compare(&graph, &expected);
        println!("{}: {} operators, {} multiply-adds", expected.name, graph.operators.len(), multiply_adds(&graph));
    }
}

fn compare(graph: &Graph<'_>, expected: &Expected) {
    let name = expected.name;
    let word = |letter: char| OPERATORS.iter().find(|(known, _)| *known == letter).unwrap().1;
    let operators: Vec<_> = graph.operators.iter().map(|operator| operator.kind.name()).collect();
    assert_eq!(operators, expected.operators.chars().map(word).collect::<Vec<_>>(), "{name}");
    assert_eq!((graph.tensors.len(), graph.subgraphs), (expected.tensors, 1), "{name}");
    let (input, output) = (&graph.tensors[graph.inputs[0]], &graph.tensors[graph.outputs[0]]);
    assert_eq!((&input.shape[..], &output.shape[..]), (expected.input, expected.output), "{name}");
    assert_eq!((graph.inputs.len(), graph.outputs.len()), (1, 1), "{name}");
    assert_eq!(input.quantisation.whole(), expected.quantisation, "{name}");
    assert_eq!(multiply_adds(graph), expected.multiply_adds, "{name}");
    let weights = layers(graph).map(|(_, [weights, ..])| weights.elements().unwrap());
    assert_eq!(weights.sum::<usize>(), expected.weights, "{name}");
    let near = |what: &str, found: f64, expected: f64| {
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{name}: {what}: {found}, expected {expected}");
    };
    near("weights", layers(graph).fold(0.0, |sum, (_, [weights, ..])| weighted(sum, weights)), expected.weight_sum);
    near("biases", layers(graph).fold(0.0, |sum, (_, [_, bias, _])| weighted(sum, bias)), expected.bias_sum);
    let scales: Vec<_> = graph.tensors.iter().flat_map(|tensor| &tensor.quantisation.scales).collect();
    assert_eq!(scales.len(), expected.scales, "{name}");
    near("scales", scales.iter().map(|scale| f64::from(**scale)).sum(), expected.scale_sum);
    let zero_points = graph.tensors.iter().flat_map(|tensor| &tensor.quantisation.zero_points);
    assert_eq!(zero_points.sum::<i64>(), expected.zero_point_sum, "{name}");
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn all_but_the_hybrid_model_can_be_computed() {
    for Expected { name, .. } in MODELS {
        let bytes = model(name);
        let checked = check(&read(&bytes).unwrap());
        if name != "kws_dscnn_hybrid" {
            checked.unwrap_or_else(|error| panic!("{name}: {error}"));
            continue;
        }
        // Its weights are integers, what it computes with are real numbers.
        let error = checked.unwrap_err();
        assert_eq!(error.problem, Problem::Element { expected: "FLOAT32", found: ElementType::I8 });
        assert!(error.to_string().starts_with("operator 0 (CONV_2D): tensor 17 ("), "{error}");
    }
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn what_is_written_is_read_as_the_same_graph() {
    for Expected { name, .. } in MODELS {
        let bytes = model(name);
        let graph = read(&bytes).unwrap();
        let written = write(&graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name}: {} bytes, {} written", bytes.len(), written.len());
        assert!(read(&written).unwrap() == graph, "{name}");
        // For a look with the runtime's own tools.
        if let Some(folder) = std::env::var_os("MIDGE_WRITTEN") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.tflite")), written).unwrap();
        }
    }
}

/// TFLite Micro's own intermediate tensors have the indices and the shapes that are read.
#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn shapes_are_those_that_tflite_micro_computes() {
    let layers = [
        ("ad_autoencoder_int8", "ad_reference"),
        ("ic_resnet8_int8", "ic_synthetic"),
        ("kws_dscnn_int8", "kws_synthetic"),
        ("micro_speech", "micro_speech"),
        ("mnist_cnn_int8", "mnist_cnn"),
        ("person_detect", "person_detect"),
        ("sww_conv1d_int8", "sww"),
        ("vww_mobilenet_int8", "vww_synthetic"),
    ];
    for (name, reference) in layers {
        let (bytes, path) = (model(name), folder().join(format!("reference/{reference}.layers.safetensors")));
        let graph = read(&bytes).unwrap();
        let file = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
        let order = metadata.metadata().as_ref().unwrap()["order"].clone();
        let ours: Vec<_> = graph
            .operators
            .iter()
            .map(|operator| format!("t{}:{}", operator.outputs[0], operator.kind.name()))
            .collect();
        assert_eq!(ours.join(","), order, "{name}");
        for (tensor, view) in SafeTensors::deserialize(&file).unwrap().tensors() {
            let index: usize = tensor.strip_prefix('t').unwrap().parse().unwrap();
            assert_eq!(view.shape()[1..], graph.tensors[index].shape[1..], "{name} {tensor}");
        }
    }
}
