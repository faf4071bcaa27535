//! Attacks on several images at a time, for hosts: the same images as one by one, without the looks at the results.

use super::step::{Goal, Step, accumulate};
use super::{Fgsm, MiFgsm, Pgd};
use crate::batch::Batch;
use crate::element::Element;
use crate::error::{Error, check_buffer, check_class, check_len, check_pixels};
use crate::model::Model;
use crate::network::Network;
use crate::span::{span, span_mut, take};

/// Elements of the buffer of an attack on `samples` images at a time.
pub fn perturb_len(network: &Network, samples: usize) -> usize {
    Batch::gradient(network, samples).buffer_len() + 2 * samples * network.input().len()
}

impl Step {
    /// [`Step::walk`] for images `[sample][pixel]` of classes `labels`. `start` may move an adversarial image from its
    /// clean one.
    fn walk_batch<T: Element>(
        &self,
        model: &Model<'_, T>,
        (images, labels): (&[f32], &[usize]),
        start: impl Fn(usize, &[f32], &mut [f32]),
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        let (network, count) = (model.network(), labels.len());
        let (pixels, classes) = (network.input().len(), network.classes());
        self.check_options()?;
        check_len("images", count * pixels, images.len())?;
        check_len("adversarial images", images.len(), adversarial.len())?;
        check_buffer(perturb_len(network, count), buffer.len())?;
        check_pixels(images)?;
        labels.iter().try_for_each(|label| check_class(*label, classes))?;
        for (sample, x) in adversarial.chunks_exact_mut(pixels.max(1)).enumerate() {
            let image = span(images, sample * pixels, pixels);
            x.iter_mut().zip(image).for_each(|(x, clean)| *x = *clean);
            start(sample, image, x);
        }
        let batch = Batch::gradient(network, count);
        let mut rest = buffer;
        let momentum = take(&mut rest, images.len());
        let gradient = take(&mut rest, images.len());
        momentum.fill(0.0);
        for _ in 0..self.steps {
            batch.forward(model, count, |sample| span(adversarial, sample * pixels, pixels), rest)?;
            let (logits, logit_gradient) = batch.logit_gradient(rest);
            for (sample, label) in labels.iter().enumerate() {
                let target = span_mut(logit_gradient, sample * classes, classes);
                self.loss.gradient(span(logits, sample * classes, classes), *label, target);
            }
            batch.input_gradient(model, count, rest, gradient)?;
            for (sample, x) in adversarial.chunks_exact_mut(pixels.max(1)).enumerate() {
                let gradient = span(gradient, sample * pixels, pixels);
                let direction = match self.decay {
                    Some(decay) => {
                        let momentum = span_mut(momentum, sample * pixels, pixels);
                        accumulate(momentum, decay, gradient);
                        &*momentum
                    }
                    None => gradient,
                };
                self.advance(span(images, sample * pixels, pixels), direction, self.signed_alpha(Goal::Away(0)), x);
            }
        }
        Ok(())
    }
}

/// The method of one attack: its step and, with the number of the image, where it starts.
macro_rules! perturb_batch {
    ($attack:ident, |$own:ident| $start:expr) => {
        impl $attack {
            /// The adversarial images of `images` (`[sample][row][column][channel]`) of classes `labels`, to `adversarial`. The
            /// buffer has [`perturb_len`] elements or more.
            ///
            /// # Errors
            /// Wrong lengths, a model without transposed weights, a bad pixel, class or option, and a gradient that is
            /// not finite.
            pub fn perturb_batch<T: Element>(
                &self,
                model: &Model<'_, T>,
                images: &[f32],
                labels: &[usize],
                adversarial: &mut [f32],
                buffer: &mut [f32],
            ) -> Result<(), Error> {
                let $own = self;
                self.step().walk_batch(model, (images, labels), $start, adversarial, buffer)
            }
        }
    };
}

perturb_batch!(Fgsm, |_own| |_, _, _| {});
perturb_batch!(MiFgsm, |_own| |_, _, _| {});
// One start for each image, from a seed of its own.
perturb_batch!(Pgd, |own| |sample, image, x| own.start_at_random(sample, image, x));

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::loss::Loss;
    use crate::network::{Layer, Padding, Shape};
    use crate::simd::Level;

    const NETWORK: Network = Network::new(
        Shape::hwc(6, 5, 2),
        &[
            Layer::Conv2d { filters: 5, kernel: 3, stride: 1, padding: Padding::Same, bias: true },
            Layer::Relu,
            Layer::MaxPool2d { pool: 2, padding: Padding::Same },
            Layer::Flatten,
            Layer::Dense { units: 4, bias: true },
        ],
    );
    const PIXELS: usize = NETWORK.input().len();

    #[test]
    fn a_batch_is_attacked_as_one_by_one() {
        let weights = |n: usize, seed: u32| -> vec::Vec<f32> {
            (0..n as u32).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e7 - 0.8).collect()
        };
        let tensors = [weights(90, 1), weights(5, 7), weights(180, 13), weights(4, 99)];
        let mut transposed = vec![0.0; Model::<f32>::transposed_len(&NETWORK)];
        let model = Model::from_tensors(&NETWORK, &tensors.each_ref().map(|t| t.as_slice())).unwrap();
        let model = model.with_transposed(Level::detect(), &mut transposed).unwrap();
        let (images, labels) =
            (weights(5 * PIXELS, 3).iter().map(|x| x.abs()).collect::<vec::Vec<_>>(), [0, 1, 2, 3, 1]);
        let mut buffer = vec![f32::NAN; perturb_len(&NETWORK, 5)];
        let mut found = vec![0.0; images.len()];
        let mi_fgsm = MiFgsm { loss: Loss::Margin, ..MiFgsm::new(0.1) };
        mi_fgsm.perturb_batch(&model, &images, &labels, &mut found, &mut buffer).unwrap();
        let pgd = Pgd::with_steps(0.1, 3, 5);
        let mut from_random = found.clone();
        pgd.perturb_batch(&model, &images, &labels, &mut from_random, &mut buffer).unwrap();
        // The length at which one image goes the same way.
        let mut buffer = vec![f32::NAN; NETWORK.gradient_len().max(perturb_len(&NETWORK, 1)) + PIXELS];
        for (i, image) in images.chunks(PIXELS).enumerate() {
            let mut alone = [0.0; PIXELS];
            mi_fgsm.attack(&model, image, labels[i], &mut alone, &mut buffer).unwrap();
            assert_eq!(found[i * PIXELS..][..PIXELS], alone);
            let pgd = Pgd { seed: pgd.seed.wrapping_add(i as u64), ..pgd };
            pgd.attack(&model, image, labels[i], &mut alone, &mut buffer).unwrap();
            assert_eq!(from_random[i * PIXELS..][..PIXELS], alone);
        }
        assert!(found != images && from_random != images);
    }
}
