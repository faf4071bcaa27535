//! The way of an attack from images to adversarial ones, over whatever gives gradients.

use super::step::{Starts, Step};
use super::walk::{Gradients, Walk};
use crate::error::Error;
use crate::loss::Loss;

/// What an attack does with the gradients of one image or of several.
pub trait Course: Copy {
    /// Whether anything but logits is asked for.
    const NEEDS_GRADIENT: bool = true;

    /// What predictions note, and what is followed.
    fn loss(&self) -> Loss;

    /// An option without a meaning is an error.
    fn check(&self) -> Result<(), Error>;

    /// Elements of memory beside what a gradient takes, for each image of `pixels` elements.
    fn kept_len(&self, pixels: usize) -> usize;

    /// All the way from the images, where the walks stand, to their outcomes. `kept` has [`Self::kept_len`] elements for each
    /// walk, in the order of their places. The walks may end in another order.
    fn run(&self, source: &mut impl Gradients, walks: &mut [Walk<'_>], kept: &mut [f32]) -> Result<(), Error>;
}

/// Steps along gradients, from the image or from random points.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    /// How each step goes.
    pub step: Step,
    /// Where the steps start; at the image if there are no random points.
    pub starts: Option<Starts>,
}

impl From<Step> for Steps {
    #[inline(always)]
    fn from(step: Step) -> Self {
        Self { step, starts: None }
    }
}

/// Steps from the image itself.
#[derive(Clone, Copy)]
pub(super) struct FromImage<'s>(pub &'s Step);

/// Steps from random points.
#[derive(Clone, Copy)]
pub(super) struct FromPoints<'s>(pub &'s Step, pub Starts);

impl Course for Steps {
    #[inline(always)]
    fn loss(&self) -> Loss {
        self.step.loss
    }

    #[inline(always)]
    fn check(&self) -> Result<(), Error> {
        self.step.check_options()?;
        self.starts.map_or(Ok(()), |starts| starts.check())
    }

    #[inline(always)]
    fn kept_len(&self, pixels: usize) -> usize {
        self.step.kept_images(self.starts) * pixels
    }

    #[inline(always)]
    fn run(&self, source: &mut impl Gradients, walks: &mut [Walk<'_>], kept: &mut [f32]) -> Result<(), Error> {
        match self.starts {
            None => FromImage(&self.step).run(source, walks, kept),
            Some(starts) => FromPoints(&self.step, starts).run(source, walks, kept),
        }
    }
}

impl Course for FromImage<'_> {
    #[inline(always)]
    fn loss(&self) -> Loss {
        self.0.loss
    }

    #[inline(always)]
    fn check(&self) -> Result<(), Error> {
        self.0.check_options()
    }

    #[inline(always)]
    fn kept_len(&self, pixels: usize) -> usize {
        self.0.kept_images(None) * pixels
    }

    #[inline(always)]
    fn run(&self, source: &mut impl Gradients, walks: &mut [Walk<'_>], kept: &mut [f32]) -> Result<(), Error> {
        self.0.walk(source, walks, kept)?;
        source.look(walks, |walk, prediction| walk.see_end(prediction))
    }
}

impl Course for FromPoints<'_> {
    #[inline(always)]
    fn loss(&self) -> Loss {
        self.0.loss
    }

    #[inline(always)]
    fn check(&self) -> Result<(), Error> {
        self.1.check()?;
        self.0.check_options()
    }

    #[inline(always)]
    fn kept_len(&self, pixels: usize) -> usize {
        self.0.kept_images(Some(self.1)) * pixels
    }

    #[inline(always)]
    fn run(&self, source: &mut impl Gradients, walks: &mut [Walk<'_>], kept: &mut [f32]) -> Result<(), Error> {
        self.0.walk_from_random_points(self.1, source, walks, kept)
    }
}
