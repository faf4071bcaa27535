//! Whether a model computes what the framework does that it came from: the framework's outputs on some images, and midge's.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::loss::{argmax, softmax};

use super::classifier::Classifier;
use super::logits;
use super::reference::{Layout, Reference, ReferenceError};

/// How far a row of probabilities may be from a sum of 1.
const SUM: f64 = 1e-3;

/// What the framework's outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// What midge's are too.
    Logits,
    /// Behind a softmax.
    Probabilities,
    /// Behind the logarithm of a softmax.
    LogProbabilities,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Number of images.
    pub images: usize,
    /// How they lay in the file.
    pub layout: Layout,
    /// What was compared.
    pub outputs: Outputs,
    /// Largest difference of an output.
    pub largest_difference: f32,
    /// The image that has it.
    pub image: usize,
    /// Mean difference of an output.
    pub mean_difference: f64,
    /// Largest output of the framework, without its sign.
    pub largest_output: f32,
    /// Images of which both have the same class.
    pub same_class: usize,
}

/// Compares a model with a framework.
///
/// # Errors
/// If the images or outputs are not those of such a model.
pub fn verify(model: &dyn Classifier, reference: &Reference, bar: &ProgressBar) -> Result<Comparison> {
    let input = model.input();
    let [height, width, channels] = input.shape;
    let (layout, pixels) = (reference.layout(input.shape)?, height * width * channels);
    let images = reference.shape[0];
    let classes = reference.outputs.len() / images;
    if classes != input.classes {
        return Err(ReferenceError::Classes { expected: input.classes, found: classes }.into());
    }
    let image = |index: usize| {
        let own = &reference.inputs[index * pixels..][..pixels];
        let at = |i: usize| match layout {
            Layout::Nhwc => i,
            Layout::Nchw => i % channels * height * width + i / channels,
        };
        (0..pixels).map(|i| own[at(i)]).collect::<Vec<f32>>()
    };
    let turned: Vec<f32> = (0..images).flat_map(image).collect();
    let mut found = logits(model, images, |index| &turned[index * pixels..][..pixels], bar)?;
    let outputs = outputs(&reference.outputs, input.classes);
    for row in found.chunks_mut(input.classes).filter(|_| outputs != Outputs::Logits) {
        softmax(row);
        if outputs == Outputs::LogProbabilities {
            row.iter_mut().for_each(|p| *p = p.max(f32::MIN_POSITIVE).ln());
        }
    }
    Ok(compare(&found, &reference.outputs, input.classes, (layout, outputs)))
}

/// Whether rows are probabilities, or logarithms of some.
fn outputs(rows: &[f32], classes: usize) -> Outputs {
    let all = |f: &dyn Fn(f32) -> f64, is_possible: &dyn Fn(f32) -> bool| {
        rows.chunks(classes).all(|row| {
            row.iter().all(|x| is_possible(*x)) && (row.iter().map(|x| f(*x)).sum::<f64>() - 1.0).abs() < SUM
        })
    };
    if all(&|x| f64::from(x), &|x| x >= 0.0) {
        Outputs::Probabilities
    } else if all(&|x| f64::from(x).exp(), &|x| x <= 0.0) {
        Outputs::LogProbabilities
    } else {
        Outputs::Logits
    }
}

fn compare(found: &[f32], expected: &[f32], classes: usize, (layout, outputs): (Layout, Outputs)) -> Comparison {
    let differences: Vec<f32> = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).collect();
    let largest = argmax(&differences);
    let rows = found.chunks(classes).zip(expected.chunks(classes));
    Comparison {
        images: expected.len() / classes,
        layout,
        outputs,
        largest_difference: differences[largest],
        image: largest / classes,
        mean_difference: differences.iter().map(|d| f64::from(*d)).sum::<f64>() / differences.len() as f64,
        largest_output: expected.iter().fold(0.0, |a, b| a.max(b.abs())),
        same_class: rows.filter(|(a, b)| argmax(a) == argmax(b)).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_told_apart() {
        assert_eq!(outputs(&[0.25, 0.75, 1.0, 0.0], 2), Outputs::Probabilities);
        assert_eq!(outputs(&[0.25f32.ln(), 0.75f32.ln()], 2), Outputs::LogProbabilities);
        assert_eq!(outputs(&[0.25, 0.85], 2), Outputs::Logits);
        assert_eq!(outputs(&[2.0, -1.0], 2), Outputs::Logits);
    }

    #[test]
    fn the_largest_difference_is_found() {
        let found = compare(&[1.0, 2.0, 3.0, 1.0], &[1.0, 2.5, 0.0, 1.0], 2, (Layout::Nhwc, Outputs::Logits));
        assert_eq!((found.largest_difference, found.image, found.same_class, found.images), (3.0, 1, 1, 2));
        assert_eq!(found.largest_output, 2.5);
    }
}
