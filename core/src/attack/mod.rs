//! Attacks: small changes of an image that raise the loss.
//!
//! All but the last two are the same iterated step with different options. `eps` and `alpha` are in pixel units, where an
//! image spans [0, 1].
//!
//! | attack | steps | starts at | direction | buffer |
//! |---|---|---|---|---|
//! | [`Fgsm`] | 1 | the image | away from the label | `gradient_len` |
//! | [`Otcm`] | 1 | the image | towards a target | `gradient_len` |
//! | [`Bim`] | T | the image | away; with [`Targeted`] towards | `gradient_len` |
//! | [`MiFgsm`] | T, with momentum | the image | away; with [`Targeted`] towards | `attack_len` |
//! | [`Pgd`] | T from each start | random points | away; with [`Targeted`] towards | `gradient_len`, with restarts `attack_len` |
//! | [`Apgd`] | T, of a size that it finds itself | a random point | away; with [`Targeted`] towards | two images more than `gradient_len` |
//! | [`Square`] | none: random search in T queries | stripes | away; with [`Targeted`] towards | a bit a pixel more than `inference_len` |
//!
//! Each is a type with its options that implements [`Attack`]; [`AnyAttack`] is whichever attack of steps a user chose. A new attack
//! is a file with its formula and its source, and a line in [`AnyAttack`]; one that is not made of such steps has a course of its own.
//!
//! ```
//! use midge_core::{Layer, Model, Network, Shape, attack::{Attack, MiFgsm, Target, Targeted}};
//!
//! const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
//! let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
//! let mut buffer = [0.0; NETWORK.attack_len()];
//! let mut adversarial = [0.0; 2];
//!
//! let away = MiFgsm::new(0.2).attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?;
//! assert_eq!((away.before.class, away.after.class), (0, 1));
//! assert!(away.largest_change <= 0.2 + 1e-6);
//!
//! let towards = Targeted { attack: MiFgsm::new(0.2), target: Target::Class(1) };
//! assert_eq!(towards.attack(&model, &[0.6, 0.4], 0, &mut adversarial, &mut buffer)?.after.class, 1);
//! # Ok::<(), midge_core::Error>(())
//! ```

mod any;
mod apgd;
#[cfg(feature = "std")]
mod batch;
mod bim;
mod course;
mod fgsm;
mod goal;
mod integers;
mod mi_fgsm;
mod one;
mod otcm;
mod pgd;
mod quantize;
#[cfg(feature = "std")]
mod remote;
mod square;
mod step;
mod target;
mod targeted;
mod walk;

#[cfg(feature = "std")]
use core::sync::atomic::AtomicBool;

#[cfg(feature = "std")]
use self::batch::{NEVER, RunBatch, follow_loss};
use self::course::Steps;
use self::one::{Alone, always};
use crate::error::Error;
use crate::model::Model;
#[cfg(feature = "std")]
use crate::network::Network;
use crate::pass::Element;

pub use any::AnyAttack;
pub use apgd::Apgd;
#[cfg(feature = "std")]
pub use batch::perturb_len;
pub use bim::Bim;
pub use fgsm::Fgsm;
pub use goal::{Goal, Outcome, Prediction};
pub use mi_fgsm::MiFgsm;
pub use otcm::Otcm;
pub use pgd::Pgd;
pub use quantize::{to_8_bits, to_grid};
#[cfg(feature = "std")]
pub use remote::Remote;
pub use square::Square;
pub use step::start_seed;
pub use target::{Target, least_likely};
pub use targeted::Targeted;
pub use walk::Walk;

/// A way to change an image so that the model misreads it.
///
/// ```text
/// attack           one image    one.rs      rows: a device, or maps with transposed weights
/// attack_integers  the same in bytes, integers.rs, with a loop of its own: its image moves row by row
/// attack_batch     several      batch.rs    maps, dense layers together
/// attack_remote    one          remote.rs   logits and gradients of a model that is somewhere else
///                       all but integers walk through walk.rs, with the options of step.rs
/// ```
pub trait Attack {
    /// What the attack does with gradients.
    #[doc(hidden)]
    type Course: Alone;

    #[doc(hidden)]
    fn course(&self) -> Self::Course;

    /// The class to reach; without one the attack leads away from the true class.
    #[inline(always)]
    fn target(&self) -> Option<Target> {
        None
    }

    /// Elements of the buffer, as the table of this module says.
    fn buffer_len<T: Element>(&self, model: &Model<'_, T>) -> usize {
        one::buffer_len(model, &self.course()).0
    }

    /// Attacks `image` (pixels in [0, 1], row, column, channel) of class `label`; writes `adversarial`, of the same
    /// length. The buffer has [`Self::buffer_len`] elements or more. The losses of a targeted attack's outcome are those at
    /// the target class, so success lowers them.
    ///
    /// # Errors
    /// Wrong lengths, a bad pixel, class or option, a target that is the label, and a gradient that is not finite.
    fn attack<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        label: usize,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        self.attack_while(model, (image, label), adversarial, buffer, always)
    }

    /// [`Self::attack`] that asks `go_on` before each gradient and gives up once the answer is no: a device looks for messages
    /// there.
    ///
    /// ```
    /// use midge_core::{Error, Layer, Model, Network, Shape, attack::{Attack, Bim}};
    /// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
    /// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
    /// let (mut adversarial, mut buffer, mut steps) = ([0.0; 2], [0.0; NETWORK.gradient_len()], 0);
    /// let mut go_on = || {
    ///     steps += 1;
    ///     steps < 3
    /// };
    /// let ended = Bim::new(0.2).attack_while(&model, (&[0.6, 0.4], 0), &mut adversarial, &mut buffer, &mut go_on);
    /// assert_eq!((ended, steps), (Err(Error::Stopped), 3));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::attack`], and [`Error::Stopped`].
    fn attack_while<T: Element>(
        &self,
        model: &Model<'_, T>,
        (image, label): (&[f32], usize),
        adversarial: &mut [f32],
        buffer: &mut [f32],
        go_on: impl FnMut() -> bool,
    ) -> Result<Outcome, Error> {
        let goal = match self.target() {
            Some(target) => Goal::Toward(target.class(model, image, label, buffer)?),
            None => Goal::Away(label),
        };
        self.course().attack_one(model, (image, goal), adversarial, buffer, go_on)
    }

    /// [`Self::attack`] with the goal in place of label and target.
    ///
    /// # Errors
    /// Those of [`Self::attack`].
    fn attack_towards<T: Element>(
        &self,
        model: &Model<'_, T>,
        image: &[f32],
        goal: Goal,
        adversarial: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error> {
        self.course().attack_one(model, (image, goal), adversarial, buffer, always)
    }

    /// Elements of the buffer of [`Self::attack_integers`]: [`Network::integers_len`](crate::Network::integers_len), two images more
    /// with momentum, and a quarter of one with several starts.
    fn integers_buffer_len(&self, model: &Model<'_, i8>) -> usize
    where
        Self: Attack<Course = Steps>,
    {
        let Steps { step, starts } = self.course();
        integers::buffer_len(model, &step, starts)
    }

    /// Attacks an image of integers, row by row: neither real numbers of a whole image nor its gradient are ever in memory, except
    /// with momentum. `eps` and `alpha` are in units of the model's input, as for [`Self::attack`]; a change is counted in 120ths of
    /// `eps`, and `alpha` is rounded to those. `image` may stay in flash. `adversarial` is of the same length, and holds the changes
    /// on the way.
    ///
    /// ```
    /// use midge_core::attack::{Attack, Bim};
    /// use midge_core::{Int8Tensors, Layer, Model, Network, Shape};
    ///
    /// const NETWORK: Network =
    ///     Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]).int8();
    /// // The logits are the pixels; a step of a pixel is worth a quarter.
    /// let tensors = Int8Tensors {
    ///     weights: &[1, 0, 0, 1],
    ///     bias: &[0, 0],
    ///     multipliers: &[[1 << 30, 1]; 2],
    ///     range: &[0, 0, 0, -128, 127],
    ///     scales: &[0.25, 0.25],
    /// };
    /// let model = Model::from_int8_tensors(&NETWORK, &[tensors])?;
    /// let (mut adversarial, mut buffer) = ([0; 2], [0.0; NETWORK.integers_len()]);
    /// let outcome = Bim::new(0.5).attack_integers(&model, &[5, 2], 0, &mut adversarial, &mut buffer)?;
    /// assert_eq!((adversarial, outcome.largest_change, outcome.after.class), ([3, 4], 0.5, 1));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Wrong lengths, a bad class or option, and a target that is the label.
    fn attack_integers(
        &self,
        model: &Model<'_, i8>,
        image: &[i8],
        label: usize,
        adversarial: &mut [i8],
        buffer: &mut [f32],
    ) -> Result<Outcome, Error>
    where
        Self: Attack<Course = Steps>,
    {
        self.attack_integers_while(model, (image, label), adversarial, buffer, &mut always)
    }

    /// [`Self::attack_integers`] that asks `go_on` before each gradient and gives up once the answer is no, as
    /// [`Self::attack_while`] does.
    ///
    /// # Errors
    /// Those of [`Self::attack_integers`], and [`Error::Stopped`].
    fn attack_integers_while(
        &self,
        model: &Model<'_, i8>,
        (image, label): (&[i8], usize),
        adversarial: &mut [i8],
        buffer: &mut [f32],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Outcome, Error>
    where
        Self: Attack<Course = Steps>,
    {
        let goal = match self.target() {
            Some(target) => Goal::Toward(target.class_or_else(model.network().classes(), label, || {
                Ok(least_likely(model.logits_of_integers(image, buffer)?, label))
            })?),
            None => Goal::Away(label),
        };
        let Steps { step, starts } = self.course();
        integers::attack(model, (step, starts), (image, goal), adversarial, (buffer, go_on))
    }

    /// [`Self::attack`] of a model that is somewhere else, such as on a board; it is asked for no gradient where the attack needs
    /// none ([`Square`]). Without a bit of difference in logits and gradients there is none in the result.
    ///
    /// # Errors
    /// Those of [`Self::attack`], and those of the model.
    #[cfg(feature = "std")]
    fn attack_remote(
        &self,
        model: &mut impl Remote,
        (image, label): (&[f32], usize),
        adversarial: &mut [f32],
    ) -> Result<Outcome, Error> {
        remote::attack((self.course(), self.target()), model, (image, label), adversarial)
    }

    /// Attacks several images, each on the way to its own goal ([`Self::target`] is left to the caller): the same results
    /// as one by one. Each walk has its [`Walk::outcome`] then. The buffer has [`Self::batch_len`] elements or more. Once `stop`
    /// is set, no further step is taken.
    ///
    /// # Errors
    /// Those of [`Self::attack`], a model without transposed weights, and [`Error::Stopped`].
    #[cfg(feature = "std")]
    fn attack_batch<T: Element>(
        &self,
        model: &Model<'_, T>,
        walks: &mut [Walk<'_>],
        stop: &AtomicBool,
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        RunBatch { model, course: self.course(), stop, buffer }.attack(walks)
    }

    /// Elements of the buffer of [`Self::attack_batch`] on `samples` images at a time; [`perturb_len`] is enough for every attack
    /// of steps.
    #[cfg(feature = "std")]
    fn batch_len(&self, network: &Network, samples: usize) -> usize {
        batch::course_len(network, samples, &self.course())
    }

    /// [`Self::attack_batch`] without a look at the results, from one start.
    ///
    /// # Errors
    /// Those of [`Self::attack_batch`], and more than one start.
    #[cfg(feature = "std")]
    fn perturb_batch<T: Element>(
        &self,
        model: &Model<'_, T>,
        walks: &mut [Walk<'_>],
        buffer: &mut [f32],
    ) -> Result<(), Error>
    where
        Self: Attack<Course = Steps>,
    {
        self.perturb_batch_along(model, walks, follow_loss(self.course().step.loss), buffer)
    }

    /// [`Self::perturb_batch`] up any function of the logits: `objective(number, walk, logits, gradient)` fills the gradient
    /// of that function with respect to the logits of walk `number`. (It is descended where the goal is [`Goal::Toward`].)
    ///
    /// # Errors
    /// Those of [`Self::perturb_batch`].
    #[cfg(feature = "std")]
    fn perturb_batch_along<T: Element>(
        &self,
        model: &Model<'_, T>,
        walks: &mut [Walk<'_>],
        objective: impl Fn(usize, &Walk<'_>, &[f32], &mut [f32]),
        buffer: &mut [f32],
    ) -> Result<(), Error>
    where
        Self: Attack<Course = Steps>,
    {
        RunBatch { model, course: self.course(), stop: &NEVER, buffer }.perturb(walks, objective)
    }
}

/// An attack that is made of steps along gradients: what also runs on images of integers and up any function of the logits. Every
/// attack is but those that choose their steps as they go, [`Apgd`], or that need no gradient, [`Square`].
pub trait Stepwise: Attack<Course = Steps> {}

impl<A: Attack<Course = Steps>> Stepwise for A {}
