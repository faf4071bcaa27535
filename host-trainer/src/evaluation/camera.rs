//! What is left of an attack on its way through a display and a camera.
//!
//! Kurakin, Goodfellow, Bengio: Adversarial Examples in the Physical World, ICLR workshop 2017, section 3.2: the
//! destruction rate is the part of the adversarial images that fool the model no more after a transformation, of those
//! whose clean image is read correctly and that fooled it before.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::camera::Camera;
use midge_core::{Error, Shape};

use super::attack::is_fooled;
use super::batch::{Attacked, for_each_part};
use super::classifier::Classifier;
use super::counts::Share;
use super::levels::Levels;
use super::seeds::{Purpose, stream};
use crate::data::Dataset;

/// A change that knows nothing of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// Whether pixels are rounded to 8 bits first, as a file or a display does; adversarial images stay in their ball. (Those of a
    /// model of integers are.)
    pub display: bool,
    /// What happens to the image after that.
    pub camera: Camera,
    /// Seed of the noise, mixed with the image's index.
    pub seed: u64,
}

/// An image before the transformation.
struct Picture<'a> {
    pixels: &'a [f32],
    /// The image without an attack, and how far the attack may go.
    clean: &'a [f32],
    eps: f32,
    /// Seed of this image's noise.
    seed: u64,
}

impl Transform {
    /// A camera sees 0 as the smallest pixel of the model and 1 as the largest.
    fn apply(
        &self,
        (shape, levels): (Shape, Levels),
        picture: &Picture<'_>,
        buffer: &mut [f32],
    ) -> Result<Vec<f32>, Error> {
        let Picture { pixels, clean, eps, seed } = *picture;
        let shown = |(x, clean): (&f32, &f32)| match self.display {
            true => levels.to_8_bits(*x, *clean, eps),
            false => *x,
        };
        let shown: Vec<f32> = pixels.iter().zip(clean).map(shown).map(|x| levels.to_unit(x)).collect();
        let mut result = vec![0.0; shown.len()];
        self.camera.apply(shape, &shown, seed, &mut result, buffer)?;
        result.iter_mut().for_each(|x| *x = levels.of_unit(*x));
        Ok(result)
    }
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
/// If an option of the camera is out of range, or logits overflow.
pub fn transformed(
    model: &dyn Classifier,
    data: &Dataset,
    (attacked, eps): (&[Attacked], f32),
    transform: &Transform,
    progress: &ProgressBar,
) -> Result<Transformed> {
    let [height, width, channels] = data.shape;
    let shape = Shape::hwc(height, width, channels);
    let results = for_each_part(model, data.len(), progress, |attacker, part| {
        let (mut buffer, levels) = (vec![0.0; transform.camera.buffer_len(shape)], attacker.levels());
        let mut read = |images: Vec<&[f32]>| -> Result<Vec<usize>, Error> {
            let transform = |(index, pixels): (&usize, &[f32])| {
                let seed = stream(transform.seed, Purpose::Camera, data.places[*index], 0);
                transform.apply((shape, levels), &Picture { pixels, clean: data.image(*index), eps, seed }, &mut buffer)
            };
            let pictures = part.iter().zip(images).map(transform).collect::<Result<Vec<_>, Error>>()?;
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

    const NONE: Transform = Transform { display: false, camera: Camera::NONE, seed: 1 };

    fn apply(transform: Transform, pixels: &[f32], clean: &[f32], eps: f32) -> Vec<f32> {
        let shape = Shape::hwc(1, pixels.len(), 1);
        let mut buffer = vec![0.0; transform.camera.buffer_len(shape)];
        let levels = Levels::new([0.0, 1.0], None);
        transform.apply((shape, levels), &Picture { pixels, clean, eps, seed: 3 }, &mut buffer).unwrap()
    }

    #[test]
    fn a_display_rounds_inside_the_ball_and_a_sensor_to_the_nearest() {
        let display = Transform { display: true, ..NONE };
        assert_eq!(apply(NONE, &[0.5, 0.1], &[0.5, 0.1], 0.0), [0.5, 0.1]);
        assert_eq!(apply(display, &[0.5], &[0.5], 0.0), [128.0 / 255.0]);
        // 25.5 would be rounded up, out of the ball.
        assert_eq!(apply(display, &[0.1], &[0.0], 0.1), [25.0 / 255.0]);
        let sensor = Camera { brightness: 0.3, eight_bit: true, ..Camera::NONE };
        assert_eq!(apply(Transform { camera: sensor, ..display }, &[0.1], &[0.0], 0.1), [102.0 / 255.0]);
        assert_eq!(apply(Transform { camera: sensor, ..NONE }, &[0.5], &[0.5], 0.0), [204.0 / 255.0]);
    }
}
