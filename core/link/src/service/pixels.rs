//! What a board keeps of an image, and the jobs on that: real numbers, or bytes for a model of integers.

use midge_core::attack::{AnyAttack, Attack as _, Outcome};
use midge_core::camera::Camera;
use midge_core::loss::Loss;
use midge_core::{Chain, Element, Error, Grid, Model, f16};

use super::jobs::copy;
use super::memory::Memory;
use crate::message::{Ability, Fault, saturated};

/// A pixel as a board keeps it.
pub trait Pixel: Copy {
    /// Whether it has room for an element of a gradient, which lies in front of `work` otherwise.
    #[doc(hidden)]
    const HOLDS_GRADIENT: bool;

    /// The nearest to a number of the model's range.
    fn of(grid: Option<Grid>, value: f32) -> Self;

    /// The number that it stands for.
    fn value(self, grid: Option<Grid>) -> f32;
}

impl Pixel for f32 {
    const HOLDS_GRADIENT: bool = true;

    #[inline(always)]
    fn of(_: Option<Grid>, value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn value(self, _: Option<Grid>) -> f32 {
        self
    }
}

impl Pixel for i8 {
    const HOLDS_GRADIENT: bool = false;

    #[inline(always)]
    fn of(grid: Option<Grid>, value: f32) -> Self {
        grid.map_or(0, |grid| grid.round(value))
    }

    #[inline(always)]
    fn value(self, grid: Option<Grid>) -> f32 {
        grid.map_or(0.0, |grid| grid.value(self))
    }
}

/// A type of weights, and the jobs on the pixels that a board keeps for it.
///
/// | weights | pixel | attacks |
/// |---|---|---|
/// | `f32`, `f16` and their chains | `f32` | [`attack_while`](midge_core::attack::Attack::attack_while) |
/// | `i8` | `i8` | [`attack_integers_while`](midge_core::attack::Attack::attack_integers_while): a quarter of the memory for images, and no gradient of a whole one |
pub trait OnBoard: Element {
    /// What is kept of a pixel.
    type Pixel: Pixel + Default + 'static;

    /// The sum of the [`Ability`] that there is memory for.
    fn abilities(model: &Model<'_, Self>, memory: &Memory<'_, Self::Pixel>) -> u8;

    /// The logits of the image, in `work`.
    #[doc(hidden)]
    fn logits<'b>(model: &Model<'_, Self>, image: &[Self::Pixel], work: &'b mut [f32]) -> Result<&'b mut [f32], Error>;

    /// Leaves logits and gradient of the image, and returns the loss.
    #[doc(hidden)]
    fn gradient(model: &Model<'_, Self>, at: (Loss, usize), memory: &mut Memory<'_, Self::Pixel>)
    -> Result<f32, Fault>;

    /// Attacks the image, until `go_on` says no.
    #[doc(hidden)]
    fn attack(
        attack: &AnyAttack,
        model: &Model<'_, Self>,
        label: usize,
        memory: &mut Memory<'_, Self::Pixel>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Outcome, Fault>;

    /// Takes a picture of the image.
    #[doc(hidden)]
    fn photograph(
        model: &Model<'_, Self>,
        camera: (&Camera, u64),
        memory: &mut Memory<'_, Self::Pixel>,
    ) -> Result<(), Fault>;
}

/// Of real numbers.
macro_rules! float {
    ($($weights:ty),*) => {$(
        impl OnBoard for $weights {
            type Pixel = f32;

            #[inline]
            fn abilities(_: &Model<'_, Self>, _: &Memory<'_, f32>) -> u8 {
                Ability::Gradient as u8 | Ability::Attack as u8 | Ability::Camera as u8
            }

            #[inline]
            fn logits<'b>(
                model: &Model<'_, Self>,
                image: &[f32],
                work: &'b mut [f32],
            ) -> Result<&'b mut [f32], Error> {
                model.logits(image, work)
            }

            #[inline]
            fn gradient(
                model: &Model<'_, Self>,
                (loss, label): (Loss, usize),
                memory: &mut Memory<'_, f32>,
            ) -> Result<f32, Fault> {
                let found = model.loss_gradient(loss, memory.image, label, memory.work)?;
                copy(memory.logits, found.logits);
                copy(memory.result, found.gradient);
                Ok(found.loss)
            }

            #[inline]
            fn attack(
                attack: &AnyAttack,
                model: &Model<'_, Self>,
                label: usize,
                memory: &mut Memory<'_, f32>,
                go_on: &mut dyn FnMut() -> bool,
            ) -> Result<Outcome, Fault> {
                enough(attack.buffer_len(model), memory.work.len())?;
                Ok(attack.attack_while(model, (memory.image, label), memory.result, memory.work, go_on)?)
            }

            #[inline]
            fn photograph(
                model: &Model<'_, Self>,
                (camera, seed): (&Camera, u64),
                memory: &mut Memory<'_, f32>,
            ) -> Result<(), Fault> {
                let shape = model.network().input();
                enough(camera.buffer_len(shape), memory.work.len())?;
                Ok(camera.apply(shape, memory.image, seed, memory.result, memory.work)?)
            }
        }
    )*};
}

float!(f32, f16, Chain<f32>, Chain<f16>);

impl OnBoard for i8 {
    type Pixel = i8;

    #[inline]
    fn abilities(model: &Model<'_, Self>, memory: &Memory<'_, i8>) -> u8 {
        let (pixels, most) = (memory.image.len(), memory.work.len());
        let gradient = model.network().integers_len() + pixels <= most;
        // Two images of real numbers, and a camera without a blur.
        let camera = 2 * pixels + Camera::NONE.buffer_len(model.network().input()) <= most;
        let own = Ability::Attack as u8 | Ability::Integers as u8;
        own + u8::from(gradient) * Ability::Gradient as u8 + u8::from(camera) * Ability::Camera as u8
    }

    #[inline]
    fn logits<'b>(model: &Model<'_, Self>, image: &[i8], work: &'b mut [f32]) -> Result<&'b mut [f32], Error> {
        model.logits_of_integers(image, work)
    }

    #[inline]
    fn gradient(model: &Model<'_, Self>, at: (Loss, usize), memory: &mut Memory<'_, i8>) -> Result<f32, Fault> {
        let pixels = memory.image.len();
        enough(model.network().integers_len() + pixels, memory.work.len())?;
        let (gradient, work) = parts(memory.work, pixels);
        let found = model.loss_gradient_of_integers(at, memory.image, gradient, work)?;
        copy(memory.logits, found.logits);
        Ok(found.loss)
    }

    #[inline]
    fn attack(
        attack: &AnyAttack,
        model: &Model<'_, Self>,
        label: usize,
        memory: &mut Memory<'_, i8>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Outcome, Fault> {
        enough(attack.integers_buffer_len(model), memory.work.len())?;
        Ok(attack.attack_integers_while(model, (memory.image, label), memory.result, memory.work, go_on)?)
    }

    #[inline]
    fn photograph(
        model: &Model<'_, Self>,
        (camera, seed): (&Camera, u64),
        memory: &mut Memory<'_, i8>,
    ) -> Result<(), Fault> {
        let (shape, pixels, grid) = (model.network().input(), memory.image.len(), model.grid());
        enough(2 * pixels + camera.buffer_len(shape), memory.work.len())?;
        let (image, work) = parts(memory.work, pixels);
        let (picture, work) = parts(work, pixels);
        image.iter_mut().zip(&*memory.image).for_each(|(x, pixel)| *x = pixel.value(grid));
        camera.apply(shape, image, seed, picture, work)?;
        memory.result.iter_mut().zip(&*picture).for_each(|(pixel, x)| *pixel = i8::of(grid, *x));
        Ok(())
    }
}

/// The first elements and the others; nothing where there are not so many.
fn parts(work: &mut [f32], len: usize) -> (&mut [f32], &mut [f32]) {
    work.split_at_mut_checked(len).unwrap_or_default()
}

/// Whether there is memory for a job.
fn enough(needed: usize, most: usize) -> Result<(), Fault> {
    if needed > most { Err(Fault::TooLarge { most: saturated(most) }) } else { Ok(()) }
}
