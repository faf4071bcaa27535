//! Attacks on several images at a time, for hosts: the same images as one by one.

use core::sync::atomic::{AtomicBool, Ordering};

use super::course::{Course, Steps};
use super::goal::Prediction;
use super::step::Starts;
use super::walk::{Gradients, Walk};
use crate::error::{Error, check_buffer};
use crate::loss::Loss;
use crate::model::{Model, Weights};
use crate::network::{Network, Shape};
use crate::pass::Element;
use crate::pass::batch::Batch;
use crate::span::{span, span_mut, take};

/// For work that nobody stops.
pub(super) static NEVER: AtomicBool = AtomicBool::new(false);

/// Elements of the buffer of an attack of steps on `samples` images at a time.
pub fn perturb_len(network: &Network, samples: usize) -> usize {
    len(network, samples, network.input().len())
}

/// Elements of the buffer of an attack with this course.
pub(super) fn course_len(network: &Network, samples: usize, course: &impl Course) -> usize {
    len(network, samples, course.kept_len(network.input().len()))
}

/// Elements of the buffer of an attack that keeps `kept` elements for each image.
fn len(network: &Network, samples: usize, kept: usize) -> usize {
    Batch::gradient(network, samples).buffer_len() + samples * (network.input().len() + kept)
}

/// The gradients of several images. `objective` goes from the number of an image, its walk and its logits to the gradient,
/// with respect to the logits, of what the walk follows; `loss` is what predictions note.
struct Many<'w, 'm, 'b, T: Weights, O> {
    model: &'m Model<'w, T>,
    /// Once it is set, no further step is taken.
    stop: &'m AtomicBool,
    loss: Loss,
    objective: O,
    /// Of all images, `[image][pixel]`.
    gradient: &'b mut [f32],
    buffer: &'b mut [f32],
}

impl<T: Element, O: Fn(usize, &Walk<'_>, &[f32], &mut [f32])> Gradients for Many<'_, '_, '_, T, O> {
    fn gradients(
        &mut self,
        walks: &mut [Walk<'_>],
        mut follow: impl FnMut(usize, &mut Walk<'_>, (&[f32], &[f32])),
    ) -> Result<(), Error> {
        self.check_stop()?;
        let (network, count) = (self.model.network(), walks.len());
        let (pixels, classes) = (network.input().len(), network.classes());
        let image = |number: usize| walks.get(number).map_or(&[][..], Walk::adversarial);
        let mut pass = Batch::gradient(network, count).forward(self.model, count, image, self.buffer)?;
        let (logits, logit_gradient) = pass.logit_gradient();
        for (number, walk) in walks.iter_mut().enumerate() {
            let (logits, target) = (span(logits, number * classes, classes), number * classes);
            walk.settle_goal(logits);
            walk.count_gradient();
            (self.objective)(number, walk, logits, span_mut(logit_gradient, target, classes));
        }
        let gradient = span_mut(self.gradient, 0, count * pixels);
        let logits = pass.input_gradient(gradient)?;
        for (number, walk) in walks.iter_mut().enumerate() {
            let class = walk.goal().class();
            let logits = span_mut(logits, number * classes, classes);
            follow(number, walk, (span(gradient, number * pixels, pixels), logits));
            walk.see_clean(|| {
                let loss = self.loss.value(logits, class);
                Prediction::of(logits, loss)
            });
        }
        Ok(())
    }

    fn check_stop(&mut self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    fn look(&mut self, walks: &mut [Walk<'_>], mut see: impl FnMut(&mut Walk<'_>, Prediction)) -> Result<(), Error> {
        let (network, count) = (self.model.network(), walks.len());
        let image = |number: usize| walks.get(number).map_or(&[][..], Walk::adversarial);
        let pass = Batch::inference(network, count).forward(self.model, count, image, self.buffer)?;
        for (walk, logits) in walks.iter_mut().zip(pass.into_logits().chunks_exact_mut(network.classes())) {
            walk.settle_goal(logits);
            walk.count_look();
            let loss = self.loss.value(logits, walk.goal().class());
            see(walk, Prediction::of(logits, loss));
        }
        Ok(())
    }

    fn input(&self) -> Shape {
        self.model.network().input()
    }

    #[inline(always)]
    fn range(&self) -> [f32; 2] {
        self.model.range()
    }

    #[inline(always)]
    fn settle(&self, eps: f32, walks: &mut [Walk<'_>]) {
        if T::IS_INT8
            && let Some(grid) = self.model.grid()
        {
            walks.iter_mut().for_each(|walk| walk.settle(grid, eps));
        }
    }

    fn to_the_front(&self, walks: &mut [Walk<'_>], is_walking: impl Fn(&Walk<'_>) -> bool) -> usize {
        let mut count = 0;
        for i in 0..walks.len() {
            if is_walking(&walks[i]) {
                walks.swap(i, count);
                count += 1;
            }
        }
        count
    }
}

/// An attack on several images: the model, the way, and memory.
pub(super) struct RunBatch<'w, 'm, 'b, T: Weights, C> {
    pub model: &'m Model<'w, T>,
    pub course: C,
    pub stop: &'m AtomicBool,
    pub buffer: &'b mut [f32],
}

impl<'w, T: Element, C: Course> RunBatch<'w, '_, '_, T, C> {
    /// To the outcomes of all walks.
    pub(super) fn attack(self, walks: &mut [Walk<'_>]) -> Result<(), Error> {
        let course = self.course;
        let (kept, mut source) = self.begin(walks, follow_loss(course.loss()))?;
        let result = course.run(&mut source, walks, kept);
        // Those that arrived early were moved to the end.
        walks.sort_unstable_by_key(Walk::place);
        result
    }

    /// Checks everything; the walks stand at their images then. Returns memory for what is kept of each and the source of
    /// gradients.
    fn begin<'r, O: Fn(usize, &Walk<'_>, &[f32], &mut [f32])>(
        self,
        walks: &mut [Walk<'_>],
        objective: O,
    ) -> Result<(&'r mut [f32], Many<'w, 'r, 'r, T, O>), Error>
    where
        Self: 'r,
    {
        let Self { model, course, stop, mut buffer } = self;
        let (network, pixels) = (model.network(), model.network().input().len());
        course.check()?;
        check_buffer(course_len(network, walks.len(), &course), buffer.len())?;
        for (place, walk) in walks.iter_mut().enumerate() {
            walk.begin((pixels, network.classes()), model.range(), place)?;
        }
        let kept = take(&mut buffer, walks.len() * course.kept_len(pixels));
        let gradient = take(&mut buffer, walks.len() * pixels);
        Ok((kept, Many { model, stop, loss: course.loss(), objective, gradient, buffer }))
    }
}

impl<T: Element> RunBatch<'_, '_, '_, T, Steps> {
    /// To the adversarial images only, from one start up any function of the logits.
    pub(super) fn perturb(
        self,
        walks: &mut [Walk<'_>],
        objective: impl Fn(usize, &Walk<'_>, &[f32], &mut [f32]),
    ) -> Result<(), Error> {
        let Steps { step, starts } = self.course;
        if let Some(Starts { restarts: restarts @ 2.., .. }) = starts {
            // Which start is the best would need a look at each.
            return Err(Error::BatchRestarts { restarts });
        }
        let (momentum, mut source) = self.begin(walks, objective)?;
        if let Some(starts) = starts {
            let range = source.range();
            walks.iter_mut().for_each(|walk| walk.start((&step, range), starts));
        }
        step.walk(&mut source, walks, momentum)
    }
}

/// The loss at the class of each walk's goal.
pub(super) fn follow_loss(loss: Loss) -> impl Fn(usize, &Walk<'_>, &[f32], &mut [f32]) {
    move |_, walk, logits, gradient| loss.gradient(logits, walk.goal().class(), gradient)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::super::{AnyAttack, Apgd, Attack, Bim, Fgsm, Goal, MiFgsm, Outcome, Pgd, Square, Target};
    use super::*;
    use crate::network::{Layer, Padding, Shape, Size};
    use crate::span::CACHE_LINE;
    use crate::vector::Level;

    const NETWORK: Network = Network::new(
        Shape::hwc(6, 5, 2),
        &[
            Layer::Conv2d {
                filters: 5,
                kernel: Size::square(3),
                stride: Size::ONE,
                padding: Padding::Same,
                bias: true,
            },
            Layer::Relu,
            Layer::MaxPool2d { pool: 2, padding: Padding::Same },
            Layer::Flatten,
            Layer::Dense { units: 4, bias: true },
        ],
    );
    const PIXELS: usize = NETWORK.input().len();

    const GOALS: [Goal; 5] = [Goal::Away(0), Goal::Away(1), Goal::Toward(2), Goal::Away(3), Goal::Toward(1)];

    fn weights(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 1e7 - 0.8).collect()
    }

    fn images() -> Vec<f32> {
        weights(5 * PIXELS, 3).iter().map(|x| x.abs()).collect()
    }

    /// Calls `test` with a model that has transposed weights.
    fn with_model(test: impl FnOnce(&Model<'_, f32>)) {
        let tensors = [weights(90, 1), weights(5, 7), weights(180, 13), weights(4, 99)];
        let mut transposed = vec![0.0; Model::<f32>::transposed_len(&NETWORK)];
        let model = Model::from_tensors(&NETWORK, &tensors.each_ref().map(|t| t.as_slice())).unwrap();
        test(&model.with_transposed(Level::detect(), &mut transposed).unwrap());
    }

    fn walks<'a>(images: &'a [f32], adversarial: &'a mut [f32]) -> Vec<Walk<'a>> {
        let pairs = images.chunks(PIXELS).zip(adversarial.chunks_mut(PIXELS)).zip(GOALS).zip(10..);
        pairs.map(|(((image, adversarial), goal), seed)| Walk::new(image, adversarial, goal, seed)).collect()
    }

    /// The images and outcomes of a batch are those of `alone`, the attack on one image with the seed of its own.
    fn check<A: Attack, B: Attack>(model: &Model<'_, f32>, attack: A, alone: impl Fn(u64) -> B) -> Vec<Outcome> {
        let images = images();
        let mut buffer = vec![f32::NAN; attack.batch_len(&NETWORK, 5).max(attack.buffer_len(model))];
        let mut found = vec![f32::NAN; images.len()];
        let mut walks = walks(&images, &mut found);
        attack.attack_batch(model, &mut walks, &NEVER, &mut buffer).unwrap();
        let check = |(number, walk): (usize, &Walk<'_>)| {
            assert_eq!((walk.image(), walk.goal()), (&images[number * PIXELS..][..PIXELS], GOALS[number]));
            let mut adversarial = [0.0; PIXELS];
            let attack = alone(10 + number as u64);
            let outcome =
                attack.attack_towards(model, walk.image(), walk.goal(), &mut adversarial, &mut buffer).unwrap();
            assert_eq!(walk.adversarial(), adversarial);
            assert_eq!(walk.outcome(), Some(outcome));
            outcome
        };
        let outcomes = walks.iter().enumerate().map(check).collect();
        assert!(found != images);
        outcomes
    }

    #[test]
    fn a_batch_is_attacked_as_one_by_one() {
        with_model(|model| {
            let mi_fgsm = MiFgsm { loss: Loss::Margin, ..MiFgsm::new(0.1) };
            check(model, mi_fgsm, |_| mi_fgsm);
            check(model, Fgsm { eps: 0.1 }, |_| Fgsm { eps: 0.1 });
            check(model, Bim::new(0.1), |_| Bim::new(0.1));
            let pgd = Pgd::with_steps(0.1, 3, 5);
            check(model, pgd, |seed| Pgd { seed: pgd.seed + seed, ..pgd });
            // Some arrive early and are left alone then, the others are not.
            let pgd = Pgd { restarts: 4, eps: 0.02, alpha: 0.01, ..pgd };
            let outcomes = check(model, pgd, |seed| Pgd { seed: pgd.seed + seed, ..pgd });
            let arrived = outcomes.iter().zip(GOALS).filter(|(outcome, goal)| goal.is_reached(outcome.after)).count();
            assert!((1..5).contains(&arrived), "{arrived} of 5 arrived: the test does not see what it is for");
            let apgd = Apgd { steps: 12, loss: Loss::Margin, ..Apgd::new(0.02, 5) };
            check(model, apgd, |seed| Apgd { seed: apgd.seed + seed, ..apgd });
            let square = Square { queries: 40, ..Square::new(0.05, 5) };
            check(model, square, |seed| Square { seed: square.seed + seed, ..square });
        });
    }

    #[test]
    fn the_least_likely_class_is_found_on_the_way() {
        with_model(|model| {
            let images = images();
            let (mut found, mut alone) = (vec![f32::NAN; images.len()], [f32::NAN; PIXELS]);
            let mut buffer = vec![f32::NAN; perturb_len(&NETWORK, 5).max(model.attack_len())];
            for attack in [AnyAttack::from(MiFgsm::new(0.1)), Pgd::with_steps(0.1, 3, 5).into()] {
                let pairs = images.chunks(PIXELS).zip(found.chunks_mut(PIXELS));
                let mut walks: Vec<_> = pairs.map(|(x, out)| Walk::toward_least_likely(x, out, 1, 0)).collect();
                attack.attack_batch(model, &mut walks, &NEVER, &mut buffer).unwrap();
                for walk in &walks {
                    let class = Target::LeastLikely.class(model, walk.image(), 1, &mut buffer).unwrap();
                    let goal = Goal::Toward(class);
                    let outcome = attack.attack_towards(model, walk.image(), goal, &mut alone, &mut buffer);
                    assert_eq!((walk.goal(), walk.outcome()), (goal, Some(outcome.unwrap())));
                    assert_eq!(walk.adversarial(), alone);
                }
            }
        });
    }

    #[test]
    fn a_batch_stops_when_it_is_told_to() {
        with_model(|model| {
            let images = images();
            let mut found = images.clone();
            let mut buffer = vec![f32::NAN; perturb_len(&NETWORK, 5)];
            let result = Fgsm { eps: 0.1 }.attack_batch(
                model,
                &mut walks(&images, &mut found),
                &AtomicBool::new(true),
                &mut buffer,
            );
            assert_eq!(result, Err(Error::Stopped));
        });
    }

    #[test]
    fn a_buffer_may_start_anywhere_in_a_cache_line() {
        with_model(|model| {
            let images = images();
            let len = perturb_len(&NETWORK, 5);
            let mut memory = vec![f32::NAN; len + CACHE_LINE];
            let results: Vec<Vec<f32>> = (0..CACHE_LINE)
                .map(|shift| {
                    let mut found = vec![f32::NAN; images.len()];
                    let mut walks = walks(&images, &mut found);
                    MiFgsm::new(0.1).perturb_batch(model, &mut walks, &mut memory[shift..][..len]).unwrap();
                    found
                })
                .collect();
            assert!(results[0].iter().all(|x| x.is_finite()) && results[0] != images);
            assert!(results.iter().all(|found| *found == results[0]));
        });
    }

    #[test]
    fn any_function_of_the_logits_can_be_followed() {
        with_model(|model| {
            let images = images();
            let mut buffer = vec![f32::NAN; perturb_len(&NETWORK, 5)];
            let up = |_: usize, _: &Walk<'_>, _: &[f32], gradient: &mut [f32]| {
                gradient.fill(0.0);
                gradient[2] = 1.0;
            };
            let mut found = images.clone();
            let pgd = Pgd::with_steps(0.1, 3, 5);
            let mut walks = walks(&images, &mut found);
            pgd.perturb_batch_along(model, &mut walks, up, &mut buffer).unwrap();
            let two = Pgd { restarts: 2, ..pgd };
            assert!(matches!(
                two.perturb_batch(model, &mut walks, &mut buffer),
                Err(Error::BatchRestarts { restarts: 2 })
            ));
            drop(walks);
            let mut logit = |image: &[f32]| model.logits(image, &mut buffer).unwrap()[2];
            for ((image, moved), goal) in images.chunks(PIXELS).zip(found.chunks(PIXELS)).zip(GOALS) {
                let is_up = logit(moved) > logit(image);
                assert_eq!(is_up, matches!(goal, Goal::Away(_)));
            }
        });
    }
}
