//! Attacks on several images at a time, for hosts: the same images as one by one, without the looks at the results.

use super::step::{Goal, Step, accumulate};
use super::{Bim, Fgsm, MiFgsm, Pgd};
use crate::batch::Batch;
use crate::element::Element;
use crate::error::{Error, check_buffer, check_class, check_len, check_pixels};
use crate::loss::Loss;
use crate::model::Model;
use crate::network::Network;
use crate::span::{span, span_mut, take};

/// Elements of the buffer of an attack on `samples` images at a time.
pub fn perturb_len(network: &Network, samples: usize) -> usize {
    Batch::gradient(network, samples).buffer_len() + 2 * samples * network.input().len()
}

/// One image of a batch, and what becomes of it.
#[derive(Debug)]
pub struct Walk<'a> {
    /// The clean image, pixels in [0, 1] (row, column, channel).
    pub image: &'a [f32],
    /// The adversarial image, of the same length; written.
    pub adversarial: &'a mut [f32],
    /// Added to the seed of [`Pgd`]; the other attacks have no random start.
    pub seed: u64,
    /// Steps in which the gradient was exactly zero, so that it added nothing; written.
    pub zero_gradient_steps: usize,
}

impl<'a> Walk<'a> {
    /// From one image to one adversarial image.
    pub fn new(image: &'a [f32], adversarial: &'a mut [f32], seed: u64) -> Self {
        Self { image, adversarial, seed, zero_gradient_steps: 0 }
    }

    /// For images of `pixels` elements, `[sample][pixel]`, each with its number as its seed.
    pub fn all(pixels: usize, images: &'a [f32], adversarial: &'a mut [f32]) -> impl Iterator<Item = Self> + use<'a> {
        let pairs = images.chunks(pixels.max(1)).zip(adversarial.chunks_mut(pixels.max(1)));
        pairs.zip(0..).map(|((image, adversarial), seed)| Self::new(image, adversarial, seed))
    }
}

impl Step {
    /// [`Self::start`] for all images.
    fn start_batch(&self, network: &Network, walks: &mut [Walk<'_>], buffer: &[f32]) -> Result<(), Error> {
        self.check_options()?;
        check_buffer(perturb_len(network, walks.len()), buffer.len())?;
        for Walk { image, adversarial, zero_gradient_steps, .. } in walks {
            check_len("image", network.input().len(), image.len())?;
            check_len("adversarial image", image.len(), adversarial.len())?;
            check_pixels(image)?;
            adversarial.iter_mut().zip(*image).for_each(|(x, clean)| *x = *clean);
            *zero_gradient_steps = 0;
        }
        Ok(())
    }

    /// [`Self::go_on`] for all images after [`Self::start_batch`]; `objective` goes from the number of an image and its
    /// logits to the gradient of what is to be raised.
    fn go_on_batch<T: Element>(
        &self,
        model: &Model<'_, T>,
        walks: &mut [Walk<'_>],
        objective: impl Fn(usize, &[f32], &mut [f32]),
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        let (network, count) = (model.network(), walks.len());
        let (pixels, classes) = (network.input().len(), network.classes());
        let batch = Batch::gradient(network, count);
        let mut rest = buffer;
        let momentum = take(&mut rest, count * pixels);
        let gradient = take(&mut rest, count * pixels);
        momentum.fill(0.0);
        for _ in 0..self.steps {
            let image = |sample: usize| walks.get(sample).map_or(&[][..], |walk| &*walk.adversarial);
            batch.forward(model, count, image, rest)?;
            let (logits, logit_gradient) = batch.logit_gradient(rest);
            for sample in 0..count {
                let target = span_mut(logit_gradient, sample * classes, classes);
                objective(sample, span(logits, sample * classes, classes), target);
            }
            batch.input_gradient(model, count, rest, gradient)?;
            for (sample, walk) in walks.iter_mut().enumerate() {
                let gradient = span(gradient, sample * pixels, pixels);
                self.advance_one(walk, gradient, span_mut(momentum, sample * pixels, pixels));
            }
        }
        Ok(())
    }

    /// One image's step up its gradient.
    fn advance_one(&self, walk: &mut Walk<'_>, gradient: &[f32], momentum: &mut [f32]) {
        walk.zero_gradient_steps += usize::from(gradient.iter().all(|g| *g == 0.0));
        let direction = match self.decay {
            Some(decay) => {
                accumulate(momentum, decay, gradient);
                &*momentum
            }
            None => gradient,
        };
        self.advance(walk.image, direction, self.alpha, walk.adversarial);
    }
}

impl Goal {
    /// Fills the gradient of what a walk there raises: the loss, or towards a target minus the loss.
    pub fn gradient(self, loss: Loss, logits: &[f32], gradient: &mut [f32]) {
        loss.gradient(logits, self.class(), gradient);
        if let Self::Toward(_) = self {
            gradient.iter_mut().for_each(|g| *g = -*g);
        }
    }
}

/// The methods of one attack, with where its images start.
macro_rules! perturb_batch {
    ($attack:ident, |$own:ident, $walk:ident| $start:expr) => {
        impl $attack {
            /// Writes the adversarial images, each on the way to its own goal, as one by one; the looks at the results are
            /// left to the caller. There is one start for each image. The buffer has [`perturb_len`] elements or more.
            ///
            /// # Errors
            /// Wrong lengths, a model without transposed weights, a bad pixel, class or option, and a gradient that is
            /// not finite.
            pub fn perturb_batch<T: Element>(
                &self,
                model: &Model<'_, T>,
                walks: &mut [Walk<'_>],
                goals: &[Goal],
                buffer: &mut [f32],
            ) -> Result<(), Error> {
                check_len("goals", walks.len(), goals.len())?;
                goals.iter().try_for_each(|goal| check_class(goal.class(), model.network().classes()))?;
                let loss = self.step().loss;
                let objective = |sample: usize, logits: &[f32], gradient: &mut [f32]| {
                    goals.get(sample).copied().unwrap_or(Goal::Away(0)).gradient(loss, logits, gradient);
                };
                self.perturb_batch_along(model, walks, objective, buffer)
            }

            /// [`Self::perturb_batch`] up any function of the logits: `objective(sample, logits, gradient)` fills the
            /// gradient of that function with respect to the sample's logits.
            ///
            /// # Errors
            /// Those of [`Self::perturb_batch`].
            pub fn perturb_batch_along<T: Element>(
                &self,
                model: &Model<'_, T>,
                walks: &mut [Walk<'_>],
                objective: impl Fn(usize, &[f32], &mut [f32]),
                buffer: &mut [f32],
            ) -> Result<(), Error> {
                self.step().start_batch(model.network(), walks, buffer)?;
                for $walk in walks.iter_mut() {
                    let $own = self;
                    $start;
                }
                self.step().go_on_batch(model, walks, objective, buffer)
            }
        }
    };
}

perturb_batch!(Fgsm, |_own, _walk| {});
perturb_batch!(Bim, |_own, _walk| {});
perturb_batch!(MiFgsm, |_own, _walk| {});
perturb_batch!(Pgd, |own, walk| {
    match own.restarts {
        0 => return Err(Error::NoRestarts),
        1 => {}
        restarts => return Err(Error::BatchRestarts { restarts }),
    }
    let own = Self { seed: own.seed.wrapping_add(walk.seed), ..*own };
    own.start_at_random(0, walk.image, walk.adversarial);
});

#[cfg(test)]
mod tests {
    use std::vec;

    use super::super::step::Attack;
    use super::*;
    use crate::network::{Layer, Padding, Shape};
    use crate::simd::Level;
    use crate::span::CACHE_LINE;

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
        let images: vec::Vec<f32> = weights(5 * PIXELS, 3).iter().map(|x| x.abs()).collect();
        let goals = [Goal::Away(0), Goal::Away(1), Goal::Toward(2), Goal::Away(3), Goal::Toward(1)];
        let mi_fgsm = MiFgsm { loss: Loss::Margin, ..MiFgsm::new(0.1) };
        let pgd = Pgd::with_steps(0.1, 3, 5);
        let mut buffer = vec![f32::NAN; perturb_len(&NETWORK, 5)];
        // The length at which one image goes the same way.
        let mut buffer_of_one = vec![f32::NAN; NETWORK.gradient_len().max(perturb_len(&NETWORK, 1)) + PIXELS];
        macro_rules! compare {
            ($attack:expr, |$sample:ident| $alone:expr) => {
                let mut found = vec![f32::NAN; images.len()];
                let mut walks: vec::Vec<_> = Walk::all(PIXELS, &images, &mut found).collect();
                $attack.perturb_batch(&model, &mut walks, &goals, &mut buffer).unwrap();
                for ($sample, walk) in walks.iter().enumerate() {
                    let mut alone = [0.0; PIXELS];
                    let outcome =
                        $alone.run(&model, walk.image, goals[$sample], &mut alone, &mut buffer_of_one).unwrap();
                    assert_eq!(*walk.adversarial, alone);
                    assert_eq!(walk.zero_gradient_steps, outcome.zero_gradient_steps);
                }
                assert!(found != images);
            };
        }
        compare!(mi_fgsm, |_sample| mi_fgsm);
        compare!(Bim::new(0.1), |_sample| Bim::new(0.1));
        compare!(pgd, |sample| Pgd { seed: pgd.seed.wrapping_add(sample as u64), ..pgd });
        // Wherever the buffer lies in a cache line, and with not an element more than it must have.
        let len = perturb_len(&NETWORK, 5);
        let mut memory = vec![f32::NAN; len + CACHE_LINE];
        let results: vec::Vec<vec::Vec<f32>> = (0..CACHE_LINE)
            .map(|shift| {
                let mut found = vec![f32::NAN; images.len()];
                let mut walks: vec::Vec<_> = Walk::all(PIXELS, &images, &mut found).collect();
                mi_fgsm.perturb_batch(&model, &mut walks, &goals, &mut memory[shift..][..len]).unwrap();
                found
            })
            .collect();
        assert!(results[0].iter().all(|x| x.is_finite()) && results[0] != images);
        assert!(results.iter().all(|found| *found == results[0]));
        // Any function of the logits: here, up one of them.
        let up = |_: usize, _: &[f32], gradient: &mut [f32]| {
            gradient.fill(0.0);
            gradient[2] = 1.0;
        };
        let mut found = images.clone();
        let mut walks: vec::Vec<_> = Walk::all(PIXELS, &images, &mut found).collect();
        pgd.perturb_batch_along(&model, &mut walks, up, &mut buffer).unwrap();
        let mut logit = |image: &[f32]| model.logits(image, &mut buffer).unwrap()[2];
        for (image, raised) in images.chunks(PIXELS).zip(found.chunks(PIXELS)) {
            assert!(logit(raised) > logit(image));
        }
    }
}
