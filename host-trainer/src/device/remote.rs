//! Attacks that are made on the host, step by step, with what a board says of each image.

use midge_core::attack::{Outcome, Remote};
use midge_core::loss::Loss;
use midge_core::{Error, Grid, Shape};
use midge_link::{Ability, Cost, Fault};

use super::client::DeviceInfo;
use super::error::DeviceError;
use super::images::{Attacked, Device};
use crate::data::Input;
use crate::evaluation::attack::AttackAt;

/// How an attack on a board's model is made, where the host has no such model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the board alone.
    OnBoard,
    /// By the host, with the board's gradients.
    Gradients,
    /// By the host, with the board's logits.
    Logits,
}

impl Way {
    /// `None` if the board does not give what the attack needs.
    pub fn of(info: &DeviceInfo, attack: AttackAt) -> Option<Self> {
        if attack.steps().is_some() && info.can(Ability::Attack) {
            return Some(Self::OnBoard);
        }
        if !attack.needs_gradient() {
            return Some(Self::Logits);
        }
        info.can(Ability::Gradient).then_some(Self::Gradients)
    }
}

/// A board that is asked, and what it took so far.
struct Asked<'d> {
    device: &'d mut Device,
    input: Input,
    cost: Cost,
    /// What befell the board, which the attack only knows as an end.
    failed: Option<DeviceError>,
}

impl Asked<'_> {
    fn note<R>(&mut self, answer: Result<(R, Cost), DeviceError>) -> Result<R, Error> {
        let (found, cost) = answer.map_err(|error| {
            self.failed = Some(error);
            Error::Stopped
        })?;
        self.cost.ticks = self.cost.ticks.saturating_add(cost.ticks);
        self.cost.stack = self.cost.stack.max(cost.stack);
        Ok(found)
    }
}

impl Remote for Asked<'_> {
    fn input(&self) -> Shape {
        let [height, width, channels] = self.input.shape;
        Shape::hwc(height, width, channels)
    }

    fn classes(&self) -> usize {
        self.input.classes
    }

    fn range(&self) -> [f32; 2] {
        self.input.range
    }

    fn grid(&self) -> Option<Grid> {
        self.input.grid
    }

    fn logits(&mut self, image: &[f32], logits: &mut [f32]) -> Result<(), Error> {
        let answer = self.device.logits(image);
        logits.copy_from_slice(&self.note(answer)?);
        Ok(())
    }

    fn gradient(
        &mut self,
        at: (Loss, usize),
        image: &[f32],
        logits: &mut [f32],
        gradient: &mut [f32],
    ) -> Result<(), Error> {
        let answer = self.device.gradient(at, image);
        let (found, direction) = self.note(answer)?;
        logits.copy_from_slice(&found);
        gradient.copy_from_slice(&direction);
        Ok(())
    }
}

impl Device {
    /// An attack on an image: the board's own, or one that asks it again and again.
    ///
    /// # Errors
    /// Those of [`Self::logits`], an attack for which the board does not give what it needs, and options without a meaning.
    pub fn attack(&mut self, attack: AttackAt, path: (&[f32], usize)) -> Result<Attacked, DeviceError> {
        let way = Way::of(self.client.info(), attack);
        match (way, attack.steps().and_then(midge_link::Attack::of)) {
            (Some(Way::OnBoard), Some(attack)) => self.attack_on_board(attack, path),
            (Some(Way::Gradients | Way::Logits), _) => ask(self, attack, path),
            _ => Err(DeviceError::Fault { port: self.client.port(), fault: Fault::Unknown }),
        }
    }
}

/// Attacks an image with what the board says of others.
fn ask(device: &mut Device, attack: AttackAt, (image, label): (&[f32], usize)) -> Result<Attacked, DeviceError> {
    let (input, port) = (device.client.info().input, device.client.port());
    let mut adversarial = vec![0.0; image.len()];
    let mut asked = Asked { device, input, cost: Cost::default(), failed: None };
    let ended: Result<Outcome, Error> = attack.remote(&mut asked, (image, label), &mut adversarial);
    let Asked { cost, failed, .. } = asked;
    match (ended, failed) {
        (Ok(outcome), _) => Ok(Attacked { adversarial, outcome, cost }),
        (Err(_), Some(error)) => Err(error),
        (Err(source), None) => Err(DeviceError::Attack { port, source }),
    }
}
