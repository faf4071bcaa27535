//! One image at a time: all that a device needs.

use core::slice;

use super::goal::{Goal, Outcome, Prediction};
use super::step::{Starts, Step};
use super::walk::{Gradients, Walk};
use crate::error::{Error, check_buffer};
use crate::loss::Loss;
use crate::model::Model;
use crate::pass::{Element, InputGradient};
use crate::span::take;

/// The gradients of one image.
struct One<'m, 'b, T> {
    model: &'m Model<'m, T>,
    loss: Loss,
    buffer: &'b mut [f32],
}

impl<T: Element> Gradients for One<'_, '_, T> {
    #[inline(always)]
    fn gradients(
        &mut self,
        walks: &mut [Walk<'_>],
        mut follow: impl FnMut(usize, &mut Walk<'_>, &[f32]),
    ) -> Result<(), Error> {
        let Some(walk) = walks.first_mut() else { return Ok(()) };
        let class = walk.goal().class();
        let InputGradient { loss, logits, gradient } =
            self.model.loss_gradient(self.loss, walk.adversarial(), class, self.buffer)?;
        walk.see_clean(|| Prediction::of(logits, loss));
        follow(0, walk, gradient);
        Ok(())
    }

    #[inline(always)]
    fn look(&mut self, walks: &mut [Walk<'_>], mut see: impl FnMut(&mut Walk<'_>, Prediction)) -> Result<(), Error> {
        let Some(walk) = walks.first_mut() else { return Ok(()) };
        let logits = self.model.logits(walk.adversarial(), self.buffer)?;
        let loss = self.loss.value(logits, walk.goal().class());
        see(walk, Prediction::of(logits, loss));
        Ok(())
    }

    #[inline(always)]
    fn still_walking(&self, walks: &mut [Walk<'_>]) -> usize {
        usize::from(walks.first().is_some_and(|walk| !walk.has_arrived()))
    }
}

/// Checks the options and the length of the buffer; returns how much of it is for an image that is kept.
fn check<T: Element>(
    model: &Model<'_, T>,
    (step, starts): (&Step, Option<Starts>),
    buffer_len: usize,
) -> Result<usize, Error> {
    step.check_options()?;
    let kept = step.kept_images(starts) * model.network().input().len();
    check_buffer(model.gradient_len() + kept, buffer_len)?;
    Ok(kept)
}

/// Checks everything; the walk stands at its image then. Returns memory for one image, if the attack needs it, and the
/// source of gradients.
#[inline(always)]
fn begin<'m, 'b, T: Element>(
    model: &'m Model<'m, T>,
    (step, starts): (&Step, Option<Starts>),
    walk: &mut Walk<'_>,
    mut buffer: &'b mut [f32],
) -> Result<(&'b mut [f32], One<'m, 'b, T>), Error> {
    let kept = check(model, (step, starts), buffer.len())?;
    walk.begin(model.network(), 0)?;
    Ok((take(&mut buffer, kept), One { model, loss: step.loss, buffer }))
}

/// From the image itself. Not inlined, as the other, so that only the stack of the attack that runs is in use.
#[inline(never)]
pub(super) fn from_image<T: Element>(
    model: &Model<'_, T>,
    step: &Step,
    (image, goal): (&[f32], Goal),
    adversarial: &mut [f32],
    buffer: &mut [f32],
) -> Result<Outcome, Error> {
    let walk = &mut Walk::new(image, adversarial, goal, 0);
    let (momentum, mut source) = begin(model, (step, None), walk, buffer)?;
    let walks = slice::from_mut(walk);
    step.walk(&mut source, walks, momentum)?;
    source.look(walks, |walk, prediction| walk.see_end(prediction))?;
    walk.end()
}

/// From random points.
#[inline(never)]
pub(super) fn from_random_points<T: Element>(
    model: &Model<'_, T>,
    (step, starts): (&Step, Starts),
    (image, goal): (&[f32], Goal),
    adversarial: &mut [f32],
    buffer: &mut [f32],
) -> Result<Outcome, Error> {
    starts.check()?;
    let walk = &mut Walk::new(image, adversarial, goal, 0);
    let (kept, mut source) = begin(model, (step, Some(starts)), walk, buffer)?;
    step.walk_from_random_points(starts, &mut source, slice::from_mut(walk), kept)?;
    walk.end()
}
