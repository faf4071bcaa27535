//! Post-training quantisation: a network of floating-point numbers as one of integers of 8 bits, by the rules of TensorFlow's
//! converter ("Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", Jacob et al.,
//! arXiv 1712.05877).
//!
//! ```text
//! part.rs      the network up to a layer, to see what it puts out      ends.rs      where values end: all, or a percentile
//! rounding.rs  ranges -> scales and zero points, weights -> bytes      numbers.rs   the numbers of the graph of integers
//! ```
//! - A map has one scale and zero point, from the range of its values on the calibration images, with 0 in it and exactly a
//!   byte. What a ReLU cuts off is not in the range.
//! - The image has those of the range of the model's pixels: of 0 to 1 the scale 1/255 and the zero point -128.
//! - Poolings put out the bytes that they get.
//! - Weights are symmetric, each output with a scale of its own: from -127 to 127. Biases have the scale of the sums that they
//!   are added to.
//! - A threshold of a ReLU goes into the bias before it, and is refused where there is none.

mod ends;
mod numbers;
mod part;
mod rounding;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;

pub use ends::{Ends, Ranges};

use crate::evaluation;
use crate::export::{Step, graph, steps};
use crate::import::tflite::int8_network;
use crate::quantised::Int8Weights;
use crate::weights::Weights;

/// Images that run at a time; their maps are in memory.
const AT_A_TIME: usize = 64;

/// Images to calibrate with.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// How many there are.
    pub count: usize,
    /// The pixels of one of them.
    pub image: &'a (dyn Fn(usize) -> &'a [f32] + Sync),
}

/// The network in integers, calibrated with images. `progress` counts images, each once for each layer that has a range (twice with
/// a percentile).
///
/// # Errors
/// No images; a threshold that no bias can hold; values that are not finite.
pub fn quantise(weights: &Weights, images: Images<'_>, ends: Ends, progress: &ProgressBar) -> Result<Int8Weights> {
    with_ranges(weights, &calibrate(weights, images, ends, progress)?)
}

/// The ranges of all layers on these images.
///
/// # Errors
/// As [`quantise`].
pub fn calibrate(weights: &Weights, images: Images<'_>, ends: Ends, progress: &ProgressBar) -> Result<Ranges> {
    ensure!(images.count > 0, "expected images to calibrate with, found none");
    let steps = steps(&weights.network)?;
    let measured: Vec<&Step> = steps.iter().filter(|step| step.computes()).collect();
    progress.set_length((measured.len() * images.count * ends.passes()) as u64);
    let mut ranges = Ranges::new();
    for step in measured {
        let layer = || format!("layer {} ({})", step.layer, weights.network.layers()[step.layer]);
        let range = range(weights, step, images, ends, progress).with_context(layer)?;
        detail!("{}: {:?} to {:?}", layer(), range[0], range[1]);
        ranges.insert(step.layer, range);
    }
    Ok(ranges)
}

/// The network in integers, with ranges that are known.
///
/// # Errors
/// A range that is missing; a threshold that no bias can hold.
pub fn with_ranges(weights: &Weights, ranges: &Ranges) -> Result<Int8Weights> {
    let graph = graph(&weights.network, &steps(&weights.network)?, &mut numbers::Calibrated { weights, ranges })?;
    let quantised = Int8Weights { metadata: weights.metadata.clone(), ..int8_network(&graph, None)? };
    quantised.model()?;
    Ok(quantised)
}

/// Where the values end that a step puts out.
fn range(weights: &Weights, step: &Step, images: Images<'_>, ends: Ends, progress: &ProgressBar) -> Result<[f32; 2]> {
    let part = part::up_to(weights, &step.layers)?;
    ends.of(&mut |visit| {
        for first in (0..images.count).step_by(AT_A_TIME) {
            let count = AT_A_TIME.min(images.count - first);
            let values = evaluation::logits(&part, count, |i| (images.image)(first + i), &ProgressBar::hidden())?;
            visit(&values);
            progress.inc(count as u64);
        }
        Ok(())
    })
}
