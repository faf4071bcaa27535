//! The jobs: what takes long enough to be measured.

use midge_core::attack::{AnyAttack, Attack as _, Outcome, Prediction as CorePrediction};
use midge_core::{Element, Error, Model};

use super::memory::Memory;
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

    /// Does it; an attack asks `go_on` before each gradient. Not inlined: its stack is what is measured.
    #[inline(never)]
    pub(super) fn run<T: Element>(
        &self,
        model: &Model<'_, T>,
        memory: &mut Memory<'_>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Done, Fault> {
        memory.whole_image()?;
        memory.leave([false; 2]);
        let (done, left) = match self {
            Self::Classify => (classify(model, memory)?, [true, false]),
            Self::Logits => (logits(model, memory)?, [true, false]),
            Self::Gradient(label, loss) => (gradient(model, memory, *label, *loss)?, [true, true]),
            Self::Attack(attack, label) => (perturb(model, memory, (attack, *label), go_on)?, [false, true]),
            Self::Camera(camera, seed) => (photograph(model, memory, (camera, *seed))?, [false, true]),
        };
        memory.leave(left);
        Ok(done)
    }
}

fn logits<T: Element>(model: &Model<'_, T>, memory: &mut Memory<'_>) -> Result<Done, Error> {
    let logits = model.logits(memory.image, memory.work)?;
    copy(memory.logits, logits);
    Ok(Done::Logits)
}

fn classify<T: Element>(model: &Model<'_, T>, memory: &mut Memory<'_>) -> Result<Done, Error> {
    logits(model, memory)?;
    let classes = memory.work.get_mut(..memory.logits.len()).unwrap_or(&mut []);
    copy(classes, memory.logits);
    let class = midge_core::loss::argmax(classes);
    midge_core::loss::softmax(classes);
    Ok(Done::Class { class: short(class), confidence: classes.get(class).copied().unwrap_or(0.0) })
}

fn gradient<T: Element>(model: &Model<'_, T>, memory: &mut Memory<'_>, label: u16, loss: Loss) -> Result<Done, Error> {
    let found = model.loss_gradient(loss.into(), memory.image, usize::from(label), memory.work)?;
    copy(memory.logits, found.logits);
    copy(memory.result, found.gradient);
    Ok(Done::Gradient { loss: found.loss })
}

fn perturb<T: Element>(
    model: &Model<'_, T>,
    memory: &mut Memory<'_>,
    (attack, label): (&Attack, u16),
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Done, Fault> {
    let attack = AnyAttack::from(*attack);
    let most = memory.work.len();
    if attack.buffer_len(model) > most {
        return Err(Fault::TooLarge { most: saturated(most) });
    }
    let path = (&*memory.image, usize::from(label));
    let outcome = attack.attack_while(model, path, memory.result, memory.work, go_on)?;
    let Outcome { before, after, zero_gradient_steps, largest_change, target } = outcome;
    Ok(Done::Attack {
        before: prediction(before),
        after: prediction(after),
        zero_gradient_steps: saturated(zero_gradient_steps),
        largest_change,
        target: target.map(short),
    })
}

fn photograph<T: Element>(
    model: &Model<'_, T>,
    memory: &mut Memory<'_>,
    (camera, seed): (&Camera, u64),
) -> Result<Done, Fault> {
    let (shape, camera) = (model.network().input(), midge_core::camera::Camera::from(*camera));
    camera.check()?;
    let most = memory.work.len();
    if camera.buffer_len(shape) > most {
        return Err(Fault::TooLarge { most: saturated(most) });
    }
    camera.apply(shape, memory.image, seed, memory.result, memory.work)?;
    Ok(Done::Picture)
}

fn prediction(CorePrediction { class, confidence, loss }: CorePrediction) -> Prediction {
    Prediction { class: short(class), confidence, loss }
}

fn short(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn copy(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
