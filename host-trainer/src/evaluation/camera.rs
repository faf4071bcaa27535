//! What is left of an attack on its way through a display and a camera.
//!
//! Kurakin, Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, section 3.2: the
//! destruction rate is the part of the adversarial images that fool the model no more after a transformation, of those
//! whose clean image is read correctly and that fooled it before.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::to_8_bits;
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::attack::is_fooled;
use super::batch::{Attacked, for_each_part};
use super::counts::Share;
use super::seeds::{Purpose, stream};
use crate::data::Dataset;
use crate::weights::Weights;

/// A change that knows nothing of the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Transform {
    /// Round to 8 bits, as a file or a display does; adversarial images stay in their ball.
    EightBit,
    /// Round to 8 bits, as a camera's sensor does.
    Sensor,
    /// Gaussian blur of this standard deviation, in pixels; the border is repeated outwards.
    Blur(f32),
    /// Gaussian noise of this standard deviation, from the seed.
    Noise(f32, u64),
    /// Add this to every pixel.
    Brightness(f32),
    /// Move down and right by whole pixels; the border is repeated.
    Shift(usize),
    /// One after the other.
    Chain(Vec<Self>),
}

/// An image on its way.
struct Picture<'a> {
    pixels: Vec<f32>,
    shape: [usize; 3],
    /// The image without an attack, and how far the attack may go.
    clean: &'a [f32],
    eps: f32,
    /// Place in the whole data set.
    place: usize,
}

impl Transform {
    fn apply(&self, picture: &mut Picture<'_>) {
        let Picture { shape, clean, eps, place, .. } = *picture;
        let pixels = &mut picture.pixels;
        match self {
            Self::EightBit => {
                let ball = pixels.iter_mut().zip(clean);
                ball.for_each(|(x, clean)| *x = f32::from(to_8_bits(*x, *clean, eps)) / 255.0);
            }
            Self::Sensor => pixels.iter_mut().for_each(|x| *x = (*x * 255.0).round() / 255.0),
            Self::Blur(sigma) => blur(pixels, shape, *sigma),
            Self::Noise(sigma, seed) => {
                let mut random = Xoshiro128PlusPlus::seed_from_u64(stream(*seed, Purpose::Camera, place, 0));
                pixels.iter_mut().for_each(|x| *x = (*x + sigma * gaussian(&mut random)).clamp(0.0, 1.0));
            }
            Self::Brightness(change) => pixels.iter_mut().for_each(|x| *x = (*x + change).clamp(0.0, 1.0)),
            Self::Shift(by) => {
                let source = pixels.clone();
                remap(&source, pixels, shape, |y, x| (y.saturating_sub(*by), x.saturating_sub(*by)));
            }
            Self::Chain(steps) => steps.iter().for_each(|step| step.apply(picture)),
        }
    }
}

/// Fills `target` from the positions of `source` that `from` names.
fn remap(
    source: &[f32],
    target: &mut [f32],
    [_, width, channels]: [usize; 3],
    from: impl Fn(usize, usize) -> (usize, usize),
) {
    for (position, pixel) in target.chunks_exact_mut(channels).enumerate() {
        let (y, x) = from(position / width, position % width);
        let start = (y * width + x) * channels;
        pixel.copy_from_slice(&source[start..start + channels]);
    }
}

/// Rows, then columns.
fn blur(pixels: &mut [f32], [height, width, channels]: [usize; 3], sigma: f32) {
    if sigma == 0.0 {
        return;
    }
    let radius = (3.0 * sigma).ceil() as isize;
    // Divided first: the square of a tiny sigma is 0.
    let weight = |d: isize| (-0.5 * (d as f32 / sigma).powi(2)).exp();
    let total: f32 = (-radius..=radius).map(weight).sum();
    for (dy, dx) in [(0, 1), (1, 0)] {
        let source = pixels.to_vec();
        for (i, value) in pixels.iter_mut().enumerate() {
            let (y, x, channel) = (i / channels / width, i / channels % width, i % channels);
            let at = |d: isize| {
                let y = y.saturating_add_signed(dy * d).min(height - 1);
                let x = x.saturating_add_signed(dx * d).min(width - 1);
                source[(y * width + x) * channels + channel]
            };
            // Rounding of the weights' sum must not push a pixel out of range.
            *value = ((-radius..=radius).map(|d| weight(d) * at(d)).sum::<f32>() / total).clamp(0.0, 1.0);
        }
    }
}

/// A normally distributed number (Box and Muller 1958).
fn gaussian(random: &mut impl Rng) -> f32 {
    let mut uniform = || (f64::from(random.next_u32()) + 0.5) / f64::from(u32::MAX);
    let (a, b) = (uniform().min(1.0), uniform());
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

/// What one transformation did to a data set and to its adversarial images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transformed {
    /// Clean images that are still read correctly after it, of all.
    pub clean: Share,
    /// Adversarial images that still fool the model, of those that did before and whose clean image is read correctly.
    pub still_fool: Share,
}

/// Transforms clean and adversarial images and asks the model again.
///
/// # Errors
/// If logits overflow.
pub fn transformed(
    weights: &Weights,
    data: &Dataset,
    (attacked, eps): (&[Attacked], f32),
    transform: &Transform,
    progress: &ProgressBar,
) -> Result<Transformed> {
    let results = for_each_part(weights, data.len(), progress, |attacker, part| {
        let mut read = |images: Vec<&[f32]>| {
            let transform = |(index, pixels): (&usize, &[f32])| {
                let (pixels, clean) = (pixels.to_vec(), data.image(*index));
                let mut picture = Picture { pixels, shape: data.shape, clean, eps, place: data.places[*index] };
                transform.apply(&mut picture);
                picture.pixels
            };
            let pictures: Vec<Vec<f32>> = part.iter().zip(images).map(transform).collect();
            attacker.read(part.len(), |i| &pictures[i])
        };
        let clean = read(part.iter().map(|index| data.image(*index)).collect())?;
        let adversarial = read(part.iter().map(|index| attacked[*index].adversarial.as_slice()).collect())?;
        let result = |((index, clean), adversarial): ((&usize, usize), usize)| {
            let (label, outcome) = (data.label(*index), attacked[*index].outcome);
            let fooled = |class| is_fooled(class, label, outcome.target);
            let counts = outcome.before.class == label && fooled(outcome.after.class);
            (clean == label, counts, counts && fooled(adversarial))
        };
        Ok(part.iter().zip(clean).zip(adversarial).map(result).collect())
    })?;
    let count = |f: fn(&(bool, bool, bool)) -> bool| results.iter().filter(|result| f(result)).count();
    Ok(Transformed {
        clean: Share::new(count(|r| r.0), data.len()),
        still_fool: Share::new(count(|r| r.2), count(|r| r.1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(transform: &Transform, pixels: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let mut picture = Picture { pixels: pixels.to_vec(), shape, clean: pixels, eps: 0.0, place: 3 };
        transform.apply(&mut picture);
        picture.pixels
    }

    #[test]
    fn a_shift_repeats_the_border() {
        let image = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        assert_eq!(apply(&Transform::Shift(1), &image, [3, 2, 1]), [0.1, 0.1, 0.1, 0.1, 0.3, 0.3]);
        assert_eq!(apply(&Transform::Shift(1), &image, [1, 3, 2]), [0.1, 0.2, 0.1, 0.2, 0.3, 0.4]);
    }

    #[test]
    fn a_blur_spreads_a_point_and_keeps_its_light() {
        let mut image = vec![0.0; 2 * 15 * 15];
        image[2 * (7 * 15 + 7)] = 1.0;
        let blurred = apply(&Transform::Blur(1.0), &image, [15, 15, 2]);
        let light: f32 = blurred.iter().sum();
        assert!((light - 1.0).abs() < 1e-5, "{light}");
        // The density of a Gaussian in two dimensions; the other channel stays dark.
        assert!((blurred[2 * (7 * 15 + 7)] - 0.159).abs() < 1e-3);
        assert!((blurred[2 * (6 * 15 + 7)] - 0.159 * (-0.5f32).exp()).abs() < 1e-3);
        assert!(blurred.iter().skip(1).step_by(2).all(|x| *x == 0.0));
        for none in [0.0, 1e-45, 1e-30] {
            assert_eq!(apply(&Transform::Blur(none), &image, [15, 15, 2]), image);
        }
    }

    #[test]
    fn noise_has_its_size_and_its_seed() {
        let image = vec![0.5; 10_000];
        let noisy = |seed| apply(&Transform::Noise(0.05, seed), &image, [100, 100, 1]);
        let changes: Vec<f32> = noisy(1).iter().map(|x| x - 0.5).collect();
        let mean = changes.iter().sum::<f32>() / 1e4;
        let deviation = (changes.iter().map(|d| d * d).sum::<f32>() / 1e4).sqrt();
        assert!(mean.abs() < 2e-3 && (deviation - 0.05).abs() < 2e-3, "{mean} {deviation}");
        assert_eq!(noisy(1), noisy(1));
        assert_ne!(noisy(1), noisy(2));
    }

    #[test]
    fn a_chain_goes_in_order() {
        let chain = Transform::Chain(vec![Transform::Brightness(0.5), Transform::Brightness(-0.5)]);
        assert_eq!(apply(&chain, &[0.75, 0.25], [1, 2, 1]), [0.5, 0.25]);
        assert_eq!(apply(&Transform::EightBit, &[0.5], [1, 1, 1]), [128.0 / 255.0]);
        let chain = Transform::Chain(vec![Transform::Brightness(0.3), Transform::Sensor]);
        assert_eq!(apply(&chain, &[0.5], [1, 1, 1]), [204.0 / 255.0]);
    }
}
