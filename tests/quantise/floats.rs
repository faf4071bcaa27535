//! Integers against the floats that they were made of.

use midge_trainer::quantise::Ends;
use midge_trainer::quantised::Int8Weights;
use midge_trainer::weights::Weights;

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
    largest / (high - low)
}

/// Of all layers in all orders: pooled, rectified, averaged, added, shared.
#[test]
fn logits_of_integers_are_near() {
    let mut worst = (0.0, String::new());
    let mut refused = Vec::new();
    for case in cases() {
        match case.quantised(Ends::All) {
            Ok(quantised) => {
                let error = error(&case, &quantised);
                println!("{}: {error}", case.name);
                worst = if error > worst.0 { (error, case.name.clone()) } else { worst };
            }
            Err(error) => refused.push(format!("{}: {error:#}", case.name)),
        }
    }
    println!("{worst:?} {refused:#?}");
    assert!(worst.0 < 0.06, "{worst:?}");
    assert!(refused.len() < 3);
}
