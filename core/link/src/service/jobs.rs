//! The jobs: what takes long enough to be measured.

use midge_core::attack::{AnyAttack, Outcome, Prediction as CorePrediction};
use midge_core::{Error, Model};

use super::memory::{Left, Memory, Place};
use super::pixels::{OnBoard, Pixel as _};
use crate::attack::{Attack, Loss};
use crate::message::{Camera, Done, Fault, Prediction, saturated};

/// One of the jobs of [`Request`](crate::Request).
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    Classify,
    Logits,
    Gradient(u16, Loss),
    Attack(Attack, u16),
    Camera(Camera, u64),
}

impl Job {
    /// Input gradients that it takes at most.
    pub(super) fn gradients(&self) -> u32 {
        match self {
            Self::Classify | Self::Logits | Self::Camera(..) => 0,
            Self::Gradient(..) => 1,
            Self::Attack(attack, _) => attack.gradients(),
        }
    }

    /// The class of the image, if the host said one.
    pub(super) fn label(&self) -> Option<usize> {
        match self {
            Self::Gradient(label, _) | Self::Attack(_, label) => Some(usize::from(*label)),
            Self::Classify | Self::Logits | Self::Camera(..) => None,
        }
    }

    /// Does it; an attack asks `go_on` before each gradient. Not inlined: its stack is what is measured.
    #[inline(never)]
    pub(super) fn run<T: OnBoard>(
        &self,
        model: &Model<'_, T>,
        memory: &mut Memory<'_, T::Pixel>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Done, Fault> {
        memory.whole_image()?;
        memory.leave(Left::default());
        let (done, logits, image) = match self {
            Self::Classify => (classify(model, memory)?, true, None),
            Self::Logits => (logits(model, memory)?, true, None),
            Self::Gradient(label, loss) => {
                let loss = T::gradient(model, ((*loss).into(), usize::from(*label)), memory)?;
                let place = if T::Pixel::HOLDS_GRADIENT { Place::Result } else { Place::Work };
                (Done::Gradient { loss }, true, Some(place))
            }
            Self::Attack(attack, label) => {
                (perturb(model, memory, (attack, *label), go_on)?, false, Some(Place::Result))
            }
            Self::Camera(camera, seed) => (photograph(model, memory, (camera, *seed))?, false, Some(Place::Result)),
        };
        memory.leave(Left { logits, image });
        Ok(done)
    }
}

fn logits<T: OnBoard>(model: &Model<'_, T>, memory: &mut Memory<'_, T::Pixel>) -> Result<Done, Error> {
    let logits = T::logits(model, memory.image, memory.work)?;
    copy(memory.logits, logits);
    Ok(Done::Logits)
}

fn classify<T: OnBoard>(model: &Model<'_, T>, memory: &mut Memory<'_, T::Pixel>) -> Result<Done, Error> {
    logits(model, memory)?;
    let classes = memory.work.get_mut(..memory.logits.len()).unwrap_or(&mut []);
    copy(classes, memory.logits);
    let class = midge_core::loss::argmax(classes);
    midge_core::loss::softmax(classes);
    Ok(Done::Class { class: short(class), confidence: classes.get(class).copied().unwrap_or(0.0) })
}

fn perturb<T: OnBoard>(
    model: &Model<'_, T>,
    memory: &mut Memory<'_, T::Pixel>,
    (attack, label): (&Attack, u16),
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Done, Fault> {
    let attack = AnyAttack::from(*attack);
    let outcome = T::attack(&attack, model, usize::from(label), memory, go_on)?;
    let Outcome { before, after, zero_gradient_steps, largest_change, target } = outcome;
    Ok(Done::Attack {
        before: prediction(before),
        after: prediction(after),
        zero_gradient_steps: saturated(zero_gradient_steps),
        largest_change,
        target: target.map(short),
    })
}

fn photograph<T: OnBoard>(
    model: &Model<'_, T>,
    memory: &mut Memory<'_, T::Pixel>,
    (camera, seed): (&Camera, u64),
) -> Result<Done, Fault> {
    let camera = midge_core::camera::Camera::from(*camera);
    camera.check()?;
    T::photograph(model, (&camera, seed), memory)?;
    Ok(Done::Picture)
}

fn prediction(CorePrediction { class, confidence, loss }: CorePrediction) -> Prediction {
    Prediction { class: short(class), confidence, loss }
}

fn short(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

pub(super) fn copy(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
