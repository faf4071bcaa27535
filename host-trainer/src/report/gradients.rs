//! The gradients of a model of integers beside those of floating-point numbers: whether rounding hides the way.

use anyhow::Result;
use indicatif::ProgressBar;
use serde::Serialize;

use super::settings::Subject;
use crate::any_weights::AnyWeights;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Share, input_gradients};

/// Two models' gradients of the cross-entropy at the label, with respect to the same images.
#[derive(Debug, Clone, Serialize)]
pub struct Gradients {
    /// The cosine below which a quarter, half and three quarters of the images lie; null if no image has both gradients.
    pub quartiles: [Option<f64>; 3],
    /// For each model, images whose gradient is exactly zero.
    pub zero: [Share; 2],
    /// Every image.
    pub images: Vec<Pair>,
}

/// The two gradients at one image.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Pair {
    /// Place in the data set.
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// Cosine of the angle between them; null if one is zero.
    pub cosine: Option<f64>,
}

/// The comparison, if one of two models of the same kind of images is of integers.
///
/// # Errors
/// If a gradient overflows.
pub fn compare(subjects: &[Subject]) -> Result<Option<Gradients>> {
    let [a, b] = subjects else { return Ok(None) };
    let is_int8 = |subject: &Subject| matches!(subject.weights, AnyWeights::Int8(_));
    if !(is_int8(a) || is_int8(b)) || !a.weights.input().has_shape_of(&b.weights.input()) {
        return Ok(None);
    }
    let gradients = |subject: &Subject| input_gradients(&subject.weights, &subject.data, &ProgressBar::hidden());
    let (of_a, of_b) = (gradients(a)?, gradients(b)?);
    let pair = |(i, (a_i, b_i)): (usize, (&Vec<f32>, &Vec<f32>))| Pair {
        index: a.data.places[i],
        label: a.data.label(i),
        cosine: cosine(a_i, b_i),
    };
    let images: Vec<Pair> = of_a.iter().zip(&of_b).enumerate().map(pair).collect();
    let zero = [&of_a, &of_b].map(|all| {
        let zero = all.iter().filter(|gradient| gradient.iter().all(|g| *g == 0.0)).count();
        Share::new(zero, all.len())
    });
    let mut cosines: Vec<f64> = images.iter().filter_map(|pair| pair.cosine).collect();
    cosines.sort_by(f64::total_cmp);
    let quartiles = [0.25, 0.5, 0.75].map(|q| quantile(&cosines, q));
    Ok(Some(Gradients { quartiles, zero, images }))
}

/// The value at part `q` of ascending ones.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// `a * b / (|a| |b|)`; nothing if one is zero. The largest is divided out, because the squares of small numbers vanish.
fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    let unit = |x: &[f32]| {
        let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let scaled: Vec<f64> = x.iter().map(|x| f64::from(*x) / f64::from(largest)).collect();
        let norm = scaled.iter().map(|x| x * x).sum::<f64>().sqrt();
        (largest > 0.0).then_some((scaled, norm))
    };
    let ((a, a_norm), (b, b_norm)) = (unit(a)?, unit(b)?);
    Some(a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / (a_norm * b_norm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_those_of_the_angle() {
        let close = |a: &[f32], b: &[f32], expected: f64| (cosine(a, b).unwrap() - expected).abs() < 1e-12;
        assert!(close(&[1.0, 0.0], &[0.0, 2.0], 0.0) && close(&[1.0, 1.0], &[-3.0, -3.0], -1.0));
        assert!(close(&[1e-30, 0.0], &[1e-30, 1e-30], 0.5f64.sqrt()));
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), None);
        assert_eq!([0.25, 0.5, 0.75].map(|q| quantile(&[1.0, 2.0, 3.0, 4.0], q)), [Some(1.0), Some(2.0), Some(3.0)]);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
