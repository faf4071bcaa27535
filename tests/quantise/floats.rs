//! Integers against the floats that they were made of.

use midge_trainer::quantise::Ends;
use midge_trainer::quantised::Int8Weights;
use midge_trainer::training::initialise;
use midge_trainer::weights::Weights;
use proptest::prelude::*;

use super::{Case, cases};

/// Logits of one image.
pub(super) fn float_logits(weights: &Weights, image: &[f32]) -> Vec<f32> {
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed).unwrap();
    model.logits(image, &mut vec![0.0; model.network().inference_len()]).unwrap().to_vec()
}

fn int8_logits(weights: &Int8Weights, image: &[f32]) -> Vec<f32> {
    let model = weights.model().unwrap();
    let [low, high] = model.range();
    let image: Vec<f32> = image.iter().map(|x| x.clamp(low, high)).collect();
    model.logits(&image, &mut vec![0.0; model.network().inference_len()]).unwrap().to_vec()
}

/// The largest difference of a logit, as a part of the range of all.
fn error(case: &Case, quantised: &Int8Weights) -> f32 {
    let (mut largest, mut low, mut high) = (0f32, 0f32, 0f32);
    for index in 0..case.len() {
        let logits = float_logits(&case.weights, case.image(index));
        for (x, y) in logits.iter().zip(int8_logits(quantised, case.image(index))) {
            largest = largest.max((x - y).abs());
            (low, high) = (low.min(*x), high.max(*x));
        }
    }
    largest / (high - low).max(f32::MIN_POSITIVE)
}

/// Of all layers in all orders: pooled, rectified, averaged, added, shared.
#[test]
fn logits_of_integers_are_near() {
    let (mut refused, mut compared) = (Vec::new(), 0);
    for case in cases() {
        let Ok(quantised) = case.quantised(Ends::All) else {
            refused.push(case.name);
            continue;
        };
        let error = error(&case, &quantised);
        // Rounding errors add up over the 28 layers of the deepest.
        let most = if case.name == "mobilenet" { 0.08 } else { 0.03 };
        assert!(error < most, "{}: {error}", case.name);
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
    // It begins with a threshold.
    assert_eq!(refused, ["shifted_pool3"]);
}

const NETWORKS: [&str; 4] = [
    "input(8,7,2) conv2d(filters=5,kernel=3) relu maxpool2d(pool=2) conv2d(filters=6,kernel=2) relu flatten dense(units=4)",
    "input(6,6,1) conv2d(filters=4,kernel=3,bias=false) shifted_relu(hundredths=10) flatten dense(units=8) relu dense(units=3)",
    "input(7,7,3) depthwise_conv2d(kernel=3) relu6 conv2d(filters=6,kernel=1) relu6 avgpool2d(pool=7) flatten dense(units=5)",
    "input(6,5,2) conv2d(filters=4,kernel=3) relu conv2d(filters=4,kernel=3) add(layer=1) relu flatten dense(units=3)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the weights and the images are, also if they are small, large or all the same.
    #[test]
    fn logits_of_random_networks_are_near(
        seed in 0..1000u64,
        network in 0..NETWORKS.len(),
        size in prop::sample::select(vec![0.01f32, 1.0, 30.0]),
        pixels in prop::collection::vec(0f32..=1.0, 6 * 147),
    ) {
        let mut weights = initialise(NETWORKS[network].parse().unwrap(), seed);
        weights.tensors.iter_mut().for_each(|tensor| tensor.iter_mut().for_each(|w| *w *= size));
        let len = weights.network.input().len();
        let images = pixels[..pixels.len() / len * len].to_vec();
        let case = Case { name: seed.to_string(), weights, images };
        let quantised = case.quantised(Ends::All).unwrap();
        let error = error(&case, &quantised);
        prop_assert!(error < 0.06, "{error}");
    }
}
