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

/// Where images start from and which way they go; each function has the number of the image as its first argument.
struct Course<'a, S, O> {
    /// Clean images, `[sample][pixel]`.
    images: &'a [f32],
    /// May move an adversarial image, its last argument, from its clean one.
    start: S,
    /// From logits to the gradient of what is to be raised.
    objective: O,
}

impl<S: Fn(usize, &[f32], &mut [f32]), O: Fn(usize, &[f32], &mut [f32])> Course<'_, S, O> {
    /// [`Step::walk`] for all images.
    fn walk<T: Element>(
        &self,
        step: &Step,
        model: &Model<'_, T>,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        let (network, images) = (model.network(), self.images);
        let (pixels, classes) = (network.input().len(), network.classes());
        let count = images.len() / pixels.max(1);
        step.check_options()?;
        check_len("images", count * pixels, images.len())?;
        check_len("adversarial images", images.len(), adversarial.len())?;
        check_buffer(perturb_len(network, count), buffer.len())?;
        check_pixels(images)?;
        for (sample, x) in adversarial.chunks_exact_mut(pixels.max(1)).enumerate() {
            let image = span(images, sample * pixels, pixels);
            x.iter_mut().zip(image).for_each(|(x, clean)| *x = *clean);
            (self.start)(sample, image, x);
        }
        let batch = Batch::gradient(network, count);
        let mut rest = buffer;
        let momentum = take(&mut rest, images.len());
        let gradient = take(&mut rest, images.len());
        momentum.fill(0.0);
        for _ in 0..step.steps {
            batch.forward(model, count, |sample| span(adversarial, sample * pixels, pixels), rest)?;
            let (logits, logit_gradient) = batch.logit_gradient(rest);
            for sample in 0..count {
                let target = span_mut(logit_gradient, sample * classes, classes);
                (self.objective)(sample, span(logits, sample * classes, classes), target);
            }
            batch.input_gradient(model, count, rest, gradient)?;
            for (sample, x) in adversarial.chunks_exact_mut(pixels.max(1)).enumerate() {
                let (first, gradient) = (sample * pixels, span(gradient, sample * pixels, pixels));
                step.advance_one(span(images, first, pixels), gradient, span_mut(momentum, first, pixels), x);
            }
        }
        Ok(())
    }
}

impl Step {
    /// One image's step away from its label.
    fn advance_one(&self, image: &[f32], gradient: &[f32], momentum: &mut [f32], x: &mut [f32]) {
        let direction = match self.decay {
            Some(decay) => {
                accumulate(momentum, decay, gradient);
                &*momentum
            }
            None => gradient,
        };
        self.advance(image, direction, self.signed_alpha(Goal::Away(0)), x);
    }

    /// Away from `labels`, one for each image.
    fn walk_batch<T: Element>(
        &self,
        model: &Model<'_, T>,
        (images, labels): (&[f32], &[usize]),
        start: impl Fn(usize, &[f32], &mut [f32]),
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        let network = model.network();
        check_len("images", labels.len() * network.input().len(), images.len())?;
        labels.iter().try_for_each(|label| check_class(*label, network.classes()))?;
        let objective = |sample: usize, logits: &[f32], gradient: &mut [f32]| {
            self.loss.gradient(logits, labels.get(sample).copied().unwrap_or(0), gradient);
        };
        Course { images, start, objective }.walk(self, model, adversarial, buffer)
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

impl Pgd {
    /// [`Self::perturb_batch`] up any function of the logits: `objective(sample, logits, gradient)` fills the gradient of
    /// that function with respect to the sample's logits.
    ///
    /// # Errors
    /// Those of [`Self::perturb_batch`].
    pub fn perturb_batch_along<T: Element>(
        &self,
        model: &Model<'_, T>,
        images: &[f32],
        objective: impl Fn(usize, &[f32], &mut [f32]),
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        let start = |sample: usize, image: &[f32], x: &mut [f32]| self.start_at_random(sample, image, x);
        Course { images, start, objective }.walk(&self.step(), model, adversarial, buffer)
    }
}

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
        // Any function of the logits: here, up one of them.
        let mut buffer = vec![f32::NAN; perturb_len(&NETWORK, 5)];
        let up = |_: usize, _: &[f32], gradient: &mut [f32]| {
            gradient.fill(0.0);
            gradient[2] = 1.0;
        };
        pgd.perturb_batch_along(&model, &images, up, &mut found, &mut buffer).unwrap();
        let mut logit = |image: &[f32]| model.logits(image, &mut buffer).unwrap()[2];
        for (image, raised) in images.chunks(PIXELS).zip(found.chunks(PIXELS)) {
            assert!(logit(raised) > logit(image));
        }
    }
}
