//! One image of integers, in a byte for each pixel and without the gradient of a whole image: all that a device with little memory needs.

use super::goal::{Goal, Outcome, Prediction};
use super::one::always;
use super::step::{Starts, Step, accumulate};
use crate::error::{Error, check_buffer, check_class, check_len};
use crate::model::Model;
use crate::pass::{Int8Image, UNITS, Unit};
use crate::span::{span, span_mut, split_mut, take};

/// Elements of the buffer of an attack.
pub(super) fn buffer_len(model: &Model<'_, i8>, step: &Step, starts: Option<Starts>) -> usize {
    let (network, pixels) = (model.network(), model.network().input().len());
    match step.decay {
        // Its sum needs the norm of a whole gradient.
        Some(_) => network.integers_len() + 2 * pixels,
        None => network.integers_len() + step.kept_images(starts) * pixels.div_ceil(4),
    }
}

/// Says before each gradient whether it is still wanted.
type GoOn<'g> = &'g mut dyn FnMut() -> bool;

/// Takes the changes, and pixels of the gradient in their order: the number of the first, values, and the exponent of their unit.
type RowSink<'s> = &'s mut dyn FnMut(&mut [i8], usize, &[i32], i32);

/// The image on its way.
struct IntegerWalk<'m, 'w, 'a, 'b> {
    model: &'m Model<'w, i8>,
    step: Step,
    goal: Goal,
    unit: Unit,
    clean: &'a [i8],
    changes: &'a mut [i8],
    buffer: &'b mut [f32],
    go_on: GoOn<'b>,
    zero_gradient_steps: usize,
    before: Option<Prediction>,
}

/// Checks everything; the walk stands at its image then, and `adversarial` holds its changes. Returns memory for what is kept, too.
fn begin<'m, 'w, 'a, 'b>(
    model: &'m Model<'w, i8>,
    (step, starts): (Step, Option<Starts>),
    (clean, goal): (&'a [i8], Goal),
    adversarial: &'a mut [i8],
    (mut buffer, go_on): (&'b mut [f32], GoOn<'b>),
) -> Result<(&'b mut [f32], IntegerWalk<'m, 'w, 'a, 'b>), Error> {
    step.check_options()?;
    starts.map_or(Ok(()), |starts| starts.check())?;
    let network = model.network();
    check_len("image", network.input().len(), clean.len())?;
    check_len("adversarial image", clean.len(), adversarial.len())?;
    check_class(goal.class(), network.classes())?;
    let needed = buffer_len(model, &step, starts);
    check_buffer(needed, buffer.len())?;
    let kept = take(&mut buffer, needed - network.integers_len());
    adversarial.fill(0);
    let (unit, changes) = (Unit::of(step.eps, model.image_grid()), adversarial);
    let (zero_gradient_steps, before) = (0, None);
    Ok((kept, IntegerWalk { model, step, goal, unit, clean, changes, buffer, go_on, zero_gradient_steps, before }))
}

/// Attacks an image, until `go_on` says no.
#[inline(never)]
pub(super) fn attack(
    model: &Model<'_, i8>,
    (step, starts): (Step, Option<Starts>),
    path: (&[i8], Goal),
    adversarial: &mut [i8],
    (buffer, go_on): (&mut [f32], GoOn<'_>),
) -> Result<Outcome, Error> {
    let (kept, mut walk) = begin(model, (step, starts), path, adversarial, (buffer, go_on))?;
    let after = match starts {
        Some(starts) => walk.walk_from_random_points(starts, kept)?,
        None => {
            walk.steps(kept)?;
            walk.look()
        }
    };
    let before = walk.before.ok_or(Error::NoSteps)?;
    let largest_change = walk.settle() as f32 * model.image_grid().scale;
    let target = if let Goal::Toward(class) = path.1 { Some(class) } else { None };
    Ok(Outcome { before, after, zero_gradient_steps: walk.zero_gradient_steps, largest_change, target })
}

/// [`attack`] from the image itself, without momentum and without a look at the result; says whether the gradient was zero in each step.
#[inline(never)]
pub(super) fn perturb(
    model: &Model<'_, i8>,
    step: Step,
    path: (&[i8], Goal),
    adversarial: &mut [i8],
    buffer: &mut [f32],
) -> Result<bool, Error> {
    let mut go_on = always;
    let (kept, mut walk) = begin(model, (step, None), path, adversarial, (buffer, &mut go_on))?;
    walk.steps(kept)?;
    walk.settle();
    Ok(walk.zero_gradient_steps == step.steps)
}

impl IntegerWalk<'_, '_, '_, '_> {
    /// Makes pixels of the changes; returns the largest.
    fn settle(&mut self) -> i32 {
        let mut largest = 0;
        for (x, clean) in self.changes.iter_mut().zip(self.clean) {
            *x = self.unit.pixel(*clean, *x);
            largest = largest.max((i32::from(*x) - i32::from(*clean)).abs());
        }
        largest
    }

    /// What the model makes of where the walk stands.
    fn look(&mut self) -> Prediction {
        let logits = self.model.logits_of(Int8Image::Moved(self.clean, self.changes, self.unit), self.buffer);
        let loss = self.step.loss.value(logits, self.goal.class());
        Prediction::of(logits, loss)
    }

    /// All steps from where the walk stands. `kept` has two images for an attack with momentum.
    fn steps(&mut self, kept: &mut [f32]) -> Result<(), Error> {
        // In units of the change.
        let units = (self.step.signed_alpha(self.goal) / self.step.eps * UNITS as f32)
            .clamp(-2.0 * UNITS as f32, 2.0 * UNITS as f32);
        let rounded = (units + if units < 0.0 { -0.5 } else { 0.5 }) as i32;
        // The smallest step there is, for one that is smaller.
        let units = if rounded == 0 { i32::from(units > 0.0) - i32::from(units < 0.0) } else { rounded };
        kept.fill(0.0);
        for _ in 0..self.step.steps {
            if !(self.go_on)() {
                return Err(Error::Stopped);
            }
            match self.step.decay {
                Some(decay) => self.step_with_momentum(decay, units, kept),
                None => self.step_along(units),
            }
        }
        Ok(())
    }

    /// Looks at where the walk stands and goes back; notes what the model makes of the clean image.
    fn gradient(&mut self, sink: RowSink<'_>) {
        let at = (self.step.loss, self.goal.class());
        let image = Int8Image::Moved(self.clean, self.changes, self.unit);
        let mut observation = self.model.observe(image, self.buffer);
        // The network has seen the whole image before the first row of its gradient comes, so that the row may move.
        let mut is_zero = true;
        observation.gradient(at, &mut |first, values, exponent| {
            is_zero &= values.iter().all(|value| *value == 0);
            sink(self.changes, first, values, exponent);
        });
        self.zero_gradient_steps += usize::from(is_zero);
        if self.before.is_none() {
            let loss = at.0.value(observation.logits, at.1);
            self.before = Some(Prediction::of(observation.logits, loss));
        }
    }

    /// One step along a gradient, row by row.
    fn step_along(&mut self, units: i32) {
        let (clean, unit) = (self.clean, self.unit);
        self.gradient(&mut |changes, first, values, _| {
            let (changes, clean) = (span_mut(changes, first, values.len()), span(clean, first, values.len()));
            for ((change, clean), g) in changes.iter_mut().zip(clean).zip(values) {
                *change = unit.advance(*clean, *change, g.signum() * units);
            }
        });
    }

    /// One step along the sum of all gradients so far. `kept` has two images.
    #[inline(never)]
    fn step_with_momentum(&mut self, decay: f32, units: i32, kept: &mut [f32]) {
        let (momentum, gradient) = split_mut(kept, self.clean.len());
        self.gradient(&mut |_, first, values, exponent| {
            let power = libm::ldexpf(1.0, exponent);
            let gradient = span_mut(gradient, first, values.len());
            gradient.iter_mut().zip(values).for_each(|(g, value)| *g = *value as f32 * power);
        });
        accumulate(momentum, decay, gradient);
        for ((change, clean), m) in self.changes.iter_mut().zip(self.clean).zip(momentum) {
            let direction = i32::from(*m > 0.0) - i32::from(*m < 0.0);
            *change = self.unit.advance(*clean, *change, direction * units);
        }
    }

    /// From one random point after the other, until the goal is reached; else the walk ends at the place nearest to it. `kept` has room for
    /// one image if there are several points.
    #[inline(never)]
    fn walk_from_random_points(&mut self, starts: Starts, kept: &mut [f32]) -> Result<Prediction, Error> {
        let nearest = bytemuck::cast_slice_mut::<f32, i8>(kept);
        let mut after = self.look();
        self.before = Some(after);
        for restart in 0..starts.restarts {
            if restart > 0 && self.goal.is_reached(after) {
                break;
            }
            starts.draw_changes(restart, self.changes);
            let (clean, unit) = (self.clean, self.unit);
            self.changes.iter_mut().zip(clean).for_each(|(change, clean)| *change = unit.advance(*clean, *change, 0));
            self.steps(&mut [])?;
            let found = self.look();
            if restart == 0 || self.goal.is_reached(found) || self.goal.is_nearer(found, after) {
                after = found;
                nearest.iter_mut().zip(&*self.changes).for_each(|(kept, change)| *kept = *change);
            }
        }
        self.changes.iter_mut().zip(nearest).for_each(|(change, kept)| *change = *kept);
        Ok(after)
    }
}
