//! Through the bytes of a `.tflite` file and of a model file.

use midge_core::Network;
use midge_trainer::export::{float_tflite, int8_tflite};
use midge_trainer::import::tflite::{Imported, from_bytes};
use midge_trainer::quantise::Ends;
use midge_trainer::quantised::{Int8Stage, Int8Weights};
use midge_trainer::tflite::{Activation, Kind, Operator, read, write};

use super::cases;
use super::floats::float_logits;

#[test]
fn integers_are_the_same_behind_a_tflite_file() {
    let mut compared = 0;
    for case in cases() {
        let Ok(quantised) = case.quantised(Ends::Percentile(99.9)) else { continue };
        let file = int8_tflite(&quantised).unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
        let Imported::Int8(back) = from_bytes(&file).unwrap() else { panic!("{}: expected integers", case.name) };
        assert!(back == quantised, "{}", case.name);
        let back = Int8Weights::from_bytes(&quantised.to_bytes().unwrap()).unwrap();
        assert!(back == quantised, "{}: its model file", case.name);
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

/// A file says a network in one way only: where midge says it otherwise, what is read back computes the same.
#[test]
fn floats_are_the_same_behind_a_tflite_file() {
    let (mut same, mut others) = (0, 0);
    for case in cases() {
        let Ok(file) = float_tflite(&case.weights) else { continue };
        let import = |file: &[u8]| match from_bytes(file) {
            Ok(Imported::Float(weights)) => weights,
            other => panic!("{}: {other:?}", case.name),
        };
        let back = import(&file);
        assert!(import(&float_tflite(&back).unwrap()) == back, "{}: a second time", case.name);
        if back.network == case.weights.network {
            assert_eq!(back.tensors, case.weights.tensors, "{}", case.name);
            same += 1;
        } else {
            others += 1;
        }
        for index in 0..case.len() {
            let pairs = [&back, &case.weights].map(|weights| float_logits(weights, case.image(index)));
            let largest = pairs[1].iter().fold(1f32, |largest, x| largest.max(x.abs()));
            for (found, expected) in pairs[0].iter().zip(&pairs[1]) {
                assert!((found - expected).abs() < 1e-5 * largest, "{}: {found} {expected}", case.name);
            }
        }
    }
    assert!(same > 40 && others > 3, "{same} {others}");
}

/// One dense layer whose numbers are made by hand.
fn by_hand(change: impl Fn(&mut Int8Stage)) -> Int8Weights {
    let network: Network = "input(1,1,2) flatten dense(units=2)".parse().unwrap();
    let mut stage = Int8Stage {
        weights: vec![1, 2, 3, 4],
        bias: vec![5, 6],
        multipliers: vec![[1 << 30, -7], [3 << 29, -7]],
        range: [-128, 3, 0, -128, 127],
        scales: [0.5, 0.25],
    };
    change(&mut stage);
    Int8Weights::new(network.int8(), vec![stage])
}

#[test]
fn what_no_tflite_file_can_say_is_refused() {
    int8_tflite(&by_hand(|_| {})).unwrap();
    let refused = |change: fn(&mut Int8Stage)| format!("{:#}", int8_tflite(&by_hand(change)).unwrap_err());
    // A multiplier with more bits than a scale has.
    assert!(refused(|stage| stage.multipliers[1][0] += 1).contains("multipliers"));
    // The ends of a ReLU without one.
    assert!(refused(|stage| stage.range[3] = 3).contains("smallest and largest output"));
}

#[test]
fn a_threshold_needs_a_bias_before_it() {
    let text =
        "input(4,4,1) conv2d(filters=2,kernel=3) avgpool2d(pool=2) shifted_relu(hundredths=10) flatten dense(units=2)";
    let weights = midge_trainer::training::initialise(text.parse().unwrap(), 1);
    let message = format!("{:#}", float_tflite(&weights).unwrap_err());
    assert!(message.starts_with("layer 1 (avgpool2d") && message.contains("threshold"), "{message}");
}

/// The graph with an activation as an operator of its own behind the operator `index`, whose output has another scale by `factor`.
fn with_relu_apart(file: &[u8], index: usize, factor: f32) -> Vec<u8> {
    let mut graph = read(file).unwrap();
    let output = graph.operators[index].outputs[0];
    let mut before = graph.tensors[output].clone();
    before.quantisation.scales[0] *= factor;
    graph.tensors.push(before);
    let between = graph.tensors.len() - 1;
    let Kind::Conv2d(conv) = &mut graph.operators[index].kind else { panic!("expected a convolution") };
    conv.activation = Activation::None;
    graph.operators[index].outputs = vec![between];
    let relu = Operator { kind: Kind::Relu, version: 2, inputs: vec![Some(between)], outputs: vec![output] };
    graph.operators.insert(index + 1, relu);
    write(&graph).unwrap()
}

#[test]
fn a_relu_of_its_own_is_not_lost() {
    let cases = cases();
    let case = cases.iter().find(|case| case.name == "lecture").unwrap();
    let quantised = case.quantised(Ends::All).unwrap();
    let file = int8_tflite(&quantised).unwrap();
    let Ok(Imported::Int8(back)) = from_bytes(&with_relu_apart(&file, 0, 1.0)) else { panic!("expected integers") };
    assert!(back == quantised);
    let message = format!("{:#}", from_bytes(&with_relu_apart(&file, 0, 2.0)).unwrap_err());
    assert!(message.contains("(CONV_2D): the RELU behind it has an output of another scale"), "{message}");
}
