//! An attack with its parameters, as it is written down.

use midge_core::attack::{AnyAttack, Bim, Fgsm, MiFgsm, Otcm, Pgd, Target as CoreTarget, Targeted};
use midge_core::loss::Loss as CoreLoss;
use serde::{Deserialize, Serialize};

/// How the steps go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// One step.
    Fgsm,
    /// Steps without momentum.
    Bim,
    /// Steps with momentum.
    MiFgsm,
    /// Steps from random starts.
    Pgd,
}

/// What the steps raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "those of midge_core::loss::Loss")]
pub enum Loss {
    CrossEntropy,
    Margin,
}

/// The class to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "those of midge_core::attack::Target")]
pub enum Target {
    Class(u16),
    LeastLikely,
    Next,
    Random(u64),
}

/// Any attack of the core: what a method does not have is not looked at.
///
/// ```
/// use midge_core::attack::{AnyAttack, MiFgsm, Target, Targeted};
///
/// let attack = AnyAttack::from(Targeted { attack: MiFgsm::new(0.3), target: Target::Class(3) });
/// let written = midge_link::Attack::of(attack).unwrap();
/// assert_eq!((written.steps, AnyAttack::from(written)), (10, attack));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Attack {
    /// How the steps go.
    pub method: Method,
    /// Largest change of a pixel, in the units of the model's input.
    pub eps: f32,
    /// Change of a pixel in one step.
    pub alpha: f32,
    /// Number of steps from each start.
    pub steps: u32,
    /// Decay of the momentum.
    pub decay: f32,
    /// Number of random starts.
    pub restarts: u32,
    /// Seed of the random starts.
    pub seed: u64,
    /// What the steps raise.
    pub loss: Loss,
    /// The class to reach; without one the attack leads away from the label.
    pub target: Option<Target>,
}

impl Attack {
    /// Writes an attack of the core down; `None` for one that the protocol does not know, or of more steps than it can say.
    pub fn of(attack: AnyAttack) -> Option<Self> {
        Some(match attack {
            AnyAttack::Fgsm(Fgsm { eps }) => Self::one_step(eps, None),
            AnyAttack::Otcm(Otcm { eps, target }) => Self::one_step(eps, Some(target)),
            AnyAttack::Bim(bim) => Self::bim(bim, None)?,
            AnyAttack::TargetedBim(Targeted { attack, target }) => Self::bim(attack, Some(target))?,
            AnyAttack::MiFgsm(mi_fgsm) => Self::mi_fgsm(mi_fgsm, None)?,
            AnyAttack::TargetedMiFgsm(Targeted { attack, target }) => Self::mi_fgsm(attack, Some(target))?,
            AnyAttack::Pgd(pgd) => Self::pgd(pgd, None)?,
            AnyAttack::TargetedPgd(Targeted { attack, target }) => Self::pgd(attack, Some(target))?,
            _ => return None,
        })
    }

    fn one_step(eps: f32, target: Option<CoreTarget>) -> Self {
        let target = target.map(Target::of);
        let (alpha, loss) = (eps, Loss::CrossEntropy);
        Self { method: Method::Fgsm, eps, alpha, steps: 1, decay: 0.0, restarts: 1, seed: 0, loss, target }
    }

    fn bim(Bim { eps, alpha, steps, loss }: Bim, target: Option<CoreTarget>) -> Option<Self> {
        let (method, steps, loss) = (Method::Bim, u32::try_from(steps).ok()?, Loss::of(loss));
        Some(Self { method, alpha, steps, loss, ..Self::one_step(eps, target) })
    }

    fn mi_fgsm(MiFgsm { eps, alpha, steps, decay, loss }: MiFgsm, target: Option<CoreTarget>) -> Option<Self> {
        let (method, steps, loss) = (Method::MiFgsm, u32::try_from(steps).ok()?, Loss::of(loss));
        Some(Self { method, alpha, steps, decay, loss, ..Self::one_step(eps, target) })
    }

    fn pgd(Pgd { eps, alpha, steps, restarts, seed, loss }: Pgd, target: Option<CoreTarget>) -> Option<Self> {
        let (method, loss) = (Method::Pgd, Loss::of(loss));
        let (steps, restarts) = (u32::try_from(steps).ok()?, u32::try_from(restarts).ok()?);
        Some(Self { method, alpha, steps, restarts, seed, loss, ..Self::one_step(eps, target) })
    }

    /// Input gradients that the attack takes at most.
    pub fn gradients(&self) -> u32 {
        match self.method {
            Method::Fgsm => 1,
            Method::Bim | Method::MiFgsm => self.steps,
            Method::Pgd => self.steps.saturating_mul(self.restarts),
        }
    }
}

impl From<Attack> for AnyAttack {
    fn from(written: Attack) -> Self {
        let Attack { method, eps, alpha, decay, seed, .. } = written;
        let (steps, restarts) = (written.steps as usize, written.restarts as usize);
        let loss = written.loss.into();
        let target = written.target.map(CoreTarget::from);
        let bim = Bim { eps, alpha, steps, loss };
        let mi_fgsm = MiFgsm { eps, alpha, steps, decay, loss };
        let pgd = Pgd { eps, alpha, steps, restarts, seed, loss };
        match (method, target) {
            (Method::Fgsm, None) => Fgsm { eps }.into(),
            (Method::Fgsm, Some(target)) => Otcm { eps, target }.into(),
            (Method::Bim, None) => bim.into(),
            (Method::Bim, Some(target)) => Targeted { attack: bim, target }.into(),
            (Method::MiFgsm, None) => mi_fgsm.into(),
            (Method::MiFgsm, Some(target)) => Targeted { attack: mi_fgsm, target }.into(),
            (Method::Pgd, None) => pgd.into(),
            (Method::Pgd, Some(target)) => Targeted { attack: pgd, target }.into(),
        }
    }
}

impl Loss {
    /// As it is written.
    pub fn of(loss: CoreLoss) -> Self {
        match loss {
            CoreLoss::CrossEntropy => Self::CrossEntropy,
            CoreLoss::Margin => Self::Margin,
        }
    }
}

impl From<Loss> for CoreLoss {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::CrossEntropy => Self::CrossEntropy,
            Loss::Margin => Self::Margin,
        }
    }
}

impl Target {
    fn of(target: CoreTarget) -> Self {
        match target {
            CoreTarget::Class(class) => Self::Class(u16::try_from(class).unwrap_or(u16::MAX)),
            CoreTarget::LeastLikely => Self::LeastLikely,
            CoreTarget::Next => Self::Next,
            CoreTarget::Random(seed) => Self::Random(seed),
        }
    }
}

impl From<Target> for CoreTarget {
    fn from(target: Target) -> Self {
        match target {
            Target::Class(class) => Self::Class(usize::from(class)),
            Target::LeastLikely => Self::LeastLikely,
            Target::Next => Self::Next,
            Target::Random(seed) => Self::Random(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_can_be_written_down() {
        let bim = Bim { eps: 0.1, alpha: 0.02, steps: 7, loss: CoreLoss::Margin };
        let mi_fgsm = MiFgsm { decay: 0.5, loss: CoreLoss::Margin, ..MiFgsm::with_steps(0.3, 4) };
        let pgd = Pgd { restarts: 3, loss: CoreLoss::Margin, ..Pgd::new(0.2, u64::MAX) };
        let targets = [CoreTarget::Class(3), CoreTarget::LeastLikely, CoreTarget::Next, CoreTarget::Random(9)];
        let towards = targets.into_iter().flat_map(|target| -> [AnyAttack; 4] {
            [
                Otcm { eps: 0.25, target }.into(),
                Targeted { attack: bim, target }.into(),
                Targeted { attack: mi_fgsm, target }.into(),
                Targeted { attack: pgd, target }.into(),
            ]
        });
        let away: [AnyAttack; 4] = [Fgsm { eps: 0.25 }.into(), bim.into(), mi_fgsm.into(), pgd.into()];
        for attack in away.into_iter().chain(towards) {
            let written = Attack::of(attack).unwrap();
            let mut bytes = [0; 64];
            let bytes = postcard::to_slice(&written, &mut bytes).unwrap();
            let read: Attack = postcard::from_bytes(bytes).unwrap();
            assert_eq!((read, AnyAttack::from(read)), (written, attack));
        }
        let gradients = |attack: AnyAttack| Attack::of(attack).unwrap().gradients();
        let endless = usize::try_from(1_u64 << 32).map(|steps| Attack::of(Bim { steps, ..bim }.into()));
        assert!(endless.is_err() || endless == Ok(None));
        assert_eq!([gradients(bim.into()), gradients(Fgsm { eps: 0.1 }.into()), gradients(pgd.into())], [7, 1, 120]);
    }
}
