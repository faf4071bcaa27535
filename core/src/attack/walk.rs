//! One image on its way, and the two loops that every attack is: steps, and starts from random points.

use super::goal::{Goal, Outcome, Prediction};
use super::quantize::to_grid;
use super::step::{Starts, Step};
use crate::error::{Error, check_class, check_len, check_pixels};
use crate::kernels::int8::Grid;
use crate::network::Shape;
use crate::span::span_mut;

/// One image, and what becomes of it.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use midge_core::attack::{Attack, Fgsm, Walk, perturb_len};
/// use midge_core::{Layer, Level, Model, Network, Shape};
/// use std::sync::atomic::AtomicBool;
///
/// const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
/// let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
/// // A batch goes over whole maps, which takes transposed weights; this network has no convolution, so they are none.
/// let model = model.with_transposed(Level::detect(), &mut [])?;
///
/// let (images, labels, mut adversarial) = ([0.6, 0.4, 0.1, 0.9], [0, 1], [0.0; 4]);
/// let mut walks: Vec<_> = Walk::all_away(2, &images, &labels, &mut adversarial).collect();
/// let mut buffer = vec![0.0; perturb_len(&NETWORK, 2)];
/// Fgsm { eps: 0.2 }.attack_batch(&model, &mut walks, &AtomicBool::new(false), &mut buffer)?;
/// let classes: Vec<_> = walks.iter().filter_map(|walk| Some(walk.outcome()?.after.class)).collect();
/// // The first is misread, the second was further from the border.
/// assert_eq!(classes, [1, 1]);
/// # }
/// # Ok::<(), midge_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Walk<'a> {
    /// The clean image, pixels in [0, 1] (row, column, channel).
    image: &'a [f32],
    /// Where the walk stands; of the same length.
    adversarial: &'a mut [f32],
    goal: Goal,
    /// Whether the goal is still to be made from the logits of the clean image: the class that it is least likely to be,
    /// apart from the goal's. Only a batch does that.
    #[cfg(feature = "std")]
    is_open: bool,
    /// Added to the attack's own seed of random starts.
    seed: u64,
    zero_gradient_steps: usize,
    random_starts: usize,
    /// Passes of this walk: gradients, and looks at logits alone.
    #[cfg(feature = "std")]
    passes: [usize; 2],
    before: Option<Prediction>,
    after: Option<Prediction>,
    /// The number of the walk in its batch, however the walks are sorted on the way.
    place: usize,
}

impl<'a> Walk<'a> {
    /// From `image` to `adversarial`, which is written. Random starts come from `seed` added to the attack's own seed.
    pub fn new(image: &'a [f32], adversarial: &'a mut [f32], goal: Goal, seed: u64) -> Self {
        Self {
            image,
            adversarial,
            goal,
            #[cfg(feature = "std")]
            is_open: false,
            seed,
            zero_gradient_steps: 0,
            random_starts: 0,
            #[cfg(feature = "std")]
            passes: [0; 2],
            before: None,
            after: None,
            place: 0,
        }
    }

    /// For images of `pixels` elements, `[image][pixel]`, each away from its label and with its number as its seed.
    #[cfg(feature = "std")]
    pub fn all_away(
        pixels: usize,
        images: &'a [f32],
        labels: &'a [usize],
        adversarial: &'a mut [f32],
    ) -> impl Iterator<Item = Self> + use<'a> {
        let pairs = images.chunks(pixels.max(1)).zip(adversarial.chunks_mut(pixels.max(1))).zip(labels);
        pairs
            .zip(0..)
            .map(|(((image, adversarial), label), seed)| Self::new(image, adversarial, Goal::Away(*label), seed))
    }

    /// To the class that the clean image is least likely to be, apart from `label`
    /// ([`Target::LeastLikely`](super::Target::LeastLikely)): a batch finds it in its first pass.
    #[cfg(feature = "std")]
    pub fn toward_least_likely(image: &'a [f32], adversarial: &'a mut [f32], label: usize, seed: u64) -> Self {
        Self { is_open: true, ..Self::new(image, adversarial, Goal::Away(label), seed) }
    }

    /// The clean image.
    pub fn image(&self) -> &'a [f32] {
        self.image
    }

    /// The adversarial image.
    pub fn adversarial(&self) -> &[f32] {
        self.adversarial
    }

    /// The class to leave or to reach.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Steps in which the gradient was exactly zero, so that it added nothing.
    pub fn zero_gradient_steps(&self) -> usize {
        self.zero_gradient_steps
    }

    /// Starts that were tried: more than one only if the first did not reach the goal.
    pub fn starts(&self) -> usize {
        self.random_starts.max(1)
    }

    /// Input gradients that a batch computed for this walk, each a forward and a backward pass.
    #[cfg(feature = "std")]
    pub fn gradients(&self) -> usize {
        self.passes[0]
    }

    /// Forward passes without a gradient.
    #[cfg(feature = "std")]
    pub fn looks(&self) -> usize {
        self.passes[1]
    }

    #[cfg(feature = "std")]
    pub(super) fn count_gradient(&mut self) {
        self.passes[0] += 1;
    }

    #[cfg(feature = "std")]
    pub(super) fn count_look(&mut self) {
        self.passes[1] += 1;
    }

    /// What the attack came to; `None` before it, and where nobody looked at the result.
    #[inline(always)]
    pub fn outcome(&self) -> Option<Outcome> {
        let (before, after) = (self.before?, self.after?);
        let changes = self.adversarial.iter().zip(self.image).map(|(x, clean)| (x - clean).abs());
        Some(Outcome {
            before,
            after,
            zero_gradient_steps: self.zero_gradient_steps,
            largest_change: changes.fold(0.0, f32::max),
            target: if let Goal::Toward(class) = self.goal { Some(class) } else { None },
        })
    }

    /// [`Self::outcome`] of an attack that saw both images.
    #[inline(always)]
    pub(super) fn end(&self) -> Result<Outcome, Error> {
        self.outcome().ok_or(Error::NoSteps)
    }

    /// Checks everything, for a model with so many pixels and classes, and stands at the image.
    #[inline(always)]
    pub(super) fn begin(
        &mut self,
        (pixels, classes): (usize, usize),
        range: [f32; 2],
        place: usize,
    ) -> Result<(), Error> {
        check_len("image", pixels, self.image.len())?;
        check_len("adversarial image", self.image.len(), self.adversarial.len())?;
        check_pixels(self.image, range)?;
        check_class(self.goal.class(), classes)?;
        self.adversarial.iter_mut().zip(self.image).for_each(|(x, clean)| *x = *clean);
        (self.zero_gradient_steps, self.random_starts, self.before, self.after, self.place) = (0, 0, None, None, place);
        Ok(())
    }

    /// Makes an open goal from the logits of the clean image, the first that a walk meets.
    #[cfg(feature = "std")]
    pub(super) fn settle_goal(&mut self, logits: &[f32]) {
        if core::mem::take(&mut self.is_open) {
            self.goal = Goal::Toward(super::target::least_likely(logits, self.goal.class()));
        }
    }

    /// Notes what the model makes of the clean image, if that was not yet seen.
    pub(super) fn see_clean(&mut self, prediction: impl FnOnce() -> Prediction) {
        if self.before.is_none() {
            self.before = Some(prediction());
        }
    }

    /// Notes what the model makes of where the walk stands, if that is the goal or nearer to it than what was noted before.
    pub(super) fn see_if_nearer(&mut self, found: Prediction) -> bool {
        let is_nearer = self.after.is_none_or(|after| self.goal.is_nearer(found, after)) || self.goal.is_reached(found);
        if is_nearer {
            self.after = Some(found);
        }
        is_nearer
    }

    /// Counts a gradient that is zero.
    pub(super) fn note_gradient(&mut self, gradient: &[f32]) {
        self.zero_gradient_steps += usize::from(gradient.iter().all(|g| *g == 0.0));
    }

    /// The image, and where the walk stands.
    pub(super) fn images_mut(&mut self) -> (&'a [f32], &mut [f32]) {
        (self.image, self.adversarial)
    }

    /// What is added to the attack's own seed.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// This walk's `len` elements of what is kept of all.
    pub(super) fn part<'k, V>(&self, kept: &'k mut [V], len: usize) -> &'k mut [V] {
        span_mut(kept, self.place * len, len)
    }

    /// Notes what the model makes of where the walk ended.
    pub(super) fn see_end(&mut self, prediction: Prediction) {
        self.after = Some(prediction);
    }

    /// Whether the goal was reached.
    pub(super) fn has_arrived(&self) -> bool {
        self.after.is_some_and(|after| self.goal.is_reached(after))
    }

    /// Moves to the first random point.
    pub(super) fn start(&mut self, step: (&Step, [f32; 2]), starts: Starts) {
        starts.draw(step, (self.seed, 0), self.image, self.adversarial);
    }

    /// The number of the walk in its batch.
    pub(super) fn place(&self) -> usize {
        self.place
    }
}

/// Gives the gradients that walks follow, and looks at where they stand: of one image, or of a batch.
pub trait Gradients {
    /// Passes the gradient and the logits at each walk's place on to `follow`, with the number of the walk.
    fn gradients(
        &mut self,
        walks: &mut [Walk<'_>],
        follow: impl FnMut(usize, &mut Walk<'_>, (&[f32], &[f32])),
    ) -> Result<(), Error>;

    /// An error once the attack was told to stop; each gradient asks for itself.
    fn check_stop(&mut self) -> Result<(), Error>;

    /// Passes what the model makes of each walk's place on to `see`.
    fn look(&mut self, walks: &mut [Walk<'_>], see: impl FnMut(&mut Walk<'_>, Prediction)) -> Result<(), Error>;

    /// The shape of an image.
    fn input(&self) -> Shape;

    /// The smallest and the largest pixel.
    fn range(&self) -> [f32; 2];

    /// Moves the walks to pixels that there are, inside the ball: those of a quantised network lie on a grid.
    fn settle(&self, eps: f32, walks: &mut [Walk<'_>]);

    /// Brings the walks that are still walking to the front; returns how many they are. Of one walk there is nothing to bring.
    #[inline(always)]
    fn to_the_front(&self, walks: &mut [Walk<'_>], is_walking: impl Fn(&Walk<'_>) -> bool) -> usize {
        usize::from(walks.first().is_some_and(is_walking))
    }
}

impl Step {
    /// All steps from where the walks stand. `momentum` has an image's length for each, or is empty without momentum.
    #[inline(always)]
    pub(super) fn walk(
        &self,
        source: &mut impl Gradients,
        walks: &mut [Walk<'_>],
        momentum: &mut [f32],
    ) -> Result<(), Error> {
        momentum.fill(0.0);
        let range = source.range();
        for _ in 0..self.steps {
            source.gradients(walks, |number, walk, (gradient, _)| {
                let own = if self.decay.is_some() { gradient.len() } else { 0 };
                self.follow((walk, range), gradient, span_mut(momentum, number * own, own));
            })?;
        }
        source.settle(self.eps, walks);
        Ok(())
    }

    /// One step along a gradient.
    #[inline(always)]
    fn follow(&self, (walk, range): (&mut Walk<'_>, [f32; 2]), gradient: &[f32], momentum: &mut [f32]) {
        walk.note_gradient(gradient);
        let direction = match self.decay {
            Some(decay) => {
                super::step::accumulate(momentum, decay, gradient);
                &*momentum
            }
            None => gradient,
        };
        self.advance((walk.image, range), direction, self.signed_alpha(walk.goal), walk.adversarial);
    }

    /// From one random point after the other, until each walk has arrived; those that never do end at the place nearest to
    /// their goal. `kept` holds that place while others are tried, an image's length for each walk; it is empty where there
    /// is only one start.
    #[inline(always)]
    pub(super) fn walk_from_random_points(
        &self,
        starts: Starts,
        source: &mut impl Gradients,
        walks: &mut [Walk<'_>],
        kept: &mut [f32],
    ) -> Result<(), Error> {
        // No attack that starts at random points has momentum; what is said here is not in the program.
        let step = Step { decay: None, ..*self };
        source.look(walks, |walk, prediction| walk.see_clean(|| prediction))?;
        for restart in 0..starts.restarts {
            let count = source.to_the_front(walks, |walk| !walk.has_arrived());
            let walking = span_mut(walks, 0, count);
            for walk in walking.iter_mut() {
                walk.random_starts += 1;
                starts.draw((self, source.range()), (walk.seed, restart), walk.image, walk.adversarial);
            }
            if walking.is_empty() {
                break;
            }
            step.walk(source, walking, &mut [])?;
            source.look(walking, |walk, found| walk.keep_nearest(found, kept))?;
        }
        for walk in walks {
            let own = walk.own(kept);
            walk.adversarial.iter_mut().zip(own).for_each(|(x, kept)| *x = *kept);
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Moves to the nearest points of a grid that lie in the ball.
    pub(super) fn settle(&mut self, grid: Grid, eps: f32) {
        for (x, clean) in self.adversarial.iter_mut().zip(self.image) {
            *x = to_grid(grid, *x, *clean, eps);
        }
    }

    /// The part of `kept` that is this walk's; nothing if nothing is kept.
    fn own<'k>(&self, kept: &'k mut [f32]) -> &'k mut [f32] {
        self.part(kept, if kept.is_empty() { 0 } else { self.image.len() })
    }

    /// Keeps the place where the walk stands if it is the goal, or nearer to it than the one that was kept before.
    fn keep_nearest(&mut self, found: Prediction, kept: &mut [f32]) {
        if self.see_if_nearer(found) {
            self.own(kept).iter_mut().zip(&*self.adversarial).for_each(|(kept, x)| *kept = *x);
        }
    }
}
