//! One attack with its options.

use midge_core::Error;
use midge_core::attack::{
    AnyAttack, Apgd, Attack as _, Bim, Fgsm, MiFgsm, Otcm, Outcome, Pgd, Remote, Square, Target, Targeted,
};
use midge_core::loss::Loss;

use super::seeds::{Purpose, stream};
use crate::data::Dataset;

/// How the steps go; each is described with the type of that name in `midge_core::attack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One step; towards a target, OTCM.
    Fgsm,
    /// Steps without momentum.
    Bim,
    /// Steps with momentum.
    MiFgsm,
    /// Steps from random starts.
    Pgd,
    /// Steps from a random start that choose their own size.
    Apgd,
    /// Random search, without a gradient.
    Square,
}

/// An attack at one eps.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each is described with its type")]
pub enum AttackAt {
    Steps(AnyAttack),
    Apgd(Apgd),
    TargetedApgd(Targeted<Apgd>),
    Square(Square),
    TargetedSquare(Targeted<Square>),
}

impl AttackAt {
    /// The attack, if it is made of steps along gradients: what a board runs.
    pub fn steps(self) -> Option<AnyAttack> {
        if let Self::Steps(attack) = self { Some(attack) } else { None }
    }

    /// Whether anything but logits is asked for.
    pub fn needs_gradient(self) -> bool {
        !matches!(self, Self::Square(_) | Self::TargetedSquare(_))
    }

    /// Attacks one image of a model that is somewhere else.
    ///
    /// # Errors
    /// Those of [`attack_remote`](midge_core::attack::Attack::attack_remote).
    pub fn remote(
        self,
        model: &mut impl Remote,
        path: (&[f32], usize),
        adversarial: &mut [f32],
    ) -> Result<Outcome, Error> {
        match self {
            Self::Steps(attack) => attack.attack_remote(model, path, adversarial),
            Self::Apgd(attack) => attack.attack_remote(model, path, adversarial),
            Self::TargetedApgd(attack) => attack.attack_remote(model, path, adversarial),
            Self::Square(attack) => attack.attack_remote(model, path, adversarial),
            Self::TargetedSquare(attack) => attack.attack_remote(model, path, adversarial),
        }
    }
}

impl<A: Into<AnyAttack>> From<A> for AttackAt {
    fn from(attack: A) -> Self {
        Self::Steps(attack.into())
    }
}

/// An attack with its options but `eps`. A method ignores the options that it does not have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attack {
    /// The way the steps go.
    pub method: Method,
    /// The class to reach; without it, away from the label. A random target's seed goes through [`stream`].
    pub target: Option<Target>,
    /// Number of steps; of Square, of queries.
    pub steps: usize,
    /// Step size; the method's default for `eps` and `steps` if absent.
    pub alpha: Option<f32>,
    /// Decay of the momentum.
    pub decay: f32,
    /// Number of random starts.
    pub restarts: usize,
    /// Seed of the random starts; it goes through [`stream`].
    pub seed: u64,
    /// What to raise (towards a target: to lower).
    pub loss: Loss,
}

/// An image with its place in the data set, which seeds what is random about its attack.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Place in the whole data set.
    pub place: usize,
    /// Pixels.
    pub image: &'a [f32],
    /// The class to walk away from.
    pub label: usize,
}

impl<'a> Sample<'a> {
    /// An image of a data set, to be led away from its own class.
    pub fn of(data: &'a Dataset, index: usize) -> Self {
        Self { place: data.places[index], image: data.image(index), label: data.label(index) }
    }
}

impl Attack {
    /// An attack with the defaults of its paper: 10 steps, PGD 40, APGD 100, Square 5000 queries; decay 1, one start,
    /// cross-entropy, Square margin, seed 0.
    pub fn new(method: Method) -> Self {
        let steps = match method {
            Method::Fgsm => 1,
            Method::Bim | Method::MiFgsm => 10,
            Method::Pgd => 40,
            Method::Apgd => 100,
            Method::Square => 5000,
        };
        let loss = if method == Method::Square { Loss::Margin } else { Loss::CrossEntropy };
        let (decay, restarts) = (1.0, 1);
        Self { method, target: None, steps, alpha: None, decay, restarts, seed: 0, loss }
    }

    /// The same towards a target.
    pub fn towards(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// The attack at one `eps`. The images bring seeds of their own.
    pub fn at(&self, eps: f32) -> AttackAt {
        let &Self { method, target, steps, alpha, decay, restarts, loss, .. } = self;
        match (method, target) {
            (Method::Fgsm, None) => Fgsm { eps }.into(),
            (Method::Fgsm, Some(target)) => Otcm { eps, target }.into(),
            (Method::Bim, target) => {
                let default = Bim::with_steps(eps, steps);
                let attack = Bim { alpha: alpha.unwrap_or(default.alpha), loss, ..default };
                target.map_or(attack.into(), |target| Targeted { attack, target }.into())
            }
            (Method::MiFgsm, target) => {
                let default = MiFgsm::with_steps(eps, steps);
                let attack = MiFgsm { alpha: alpha.unwrap_or(default.alpha), loss, decay, ..default };
                target.map_or(attack.into(), |target| Targeted { attack, target }.into())
            }
            (Method::Pgd, target) => {
                let default = Pgd::with_steps(eps, steps, 0);
                let attack = Pgd { alpha: alpha.unwrap_or(default.alpha), loss, restarts, ..default };
                target.map_or(attack.into(), |target| Targeted { attack, target }.into())
            }
            (Method::Apgd, target) => {
                let attack = Apgd { eps, steps, seed: 0, loss };
                let targeted = |target| AttackAt::TargetedApgd(Targeted { attack, target });
                target.map_or(AttackAt::Apgd(attack), targeted)
            }
            (Method::Square, target) => {
                let attack = Square { eps, queries: steps, seed: 0, loss };
                let targeted = |target| AttackAt::TargetedSquare(Targeted { attack, target });
                target.map_or(AttackAt::Square(attack), targeted)
            }
        }
    }

    /// [`Self::at`] with the seeds of the image at a place of the data set, for who attacks one image by itself.
    pub fn at_place(&self, eps: f32, place: usize) -> AttackAt {
        let target = self.target.map(|target| match target {
            Target::Random(seed) => Target::Random(stream(seed, Purpose::Target, place, 0)),
            other => other,
        });
        let seed = stream(self.seed, Purpose::Start, place, 0);
        match (Self { target, ..*self }).at(eps) {
            AttackAt::Steps(AnyAttack::Pgd(pgd)) => Pgd { seed, ..pgd }.into(),
            AttackAt::Steps(AnyAttack::TargetedPgd(Targeted { attack, target })) => {
                Targeted { attack: Pgd { seed, ..attack }, target }.into()
            }
            AttackAt::Apgd(apgd) => AttackAt::Apgd(Apgd { seed, ..apgd }),
            AttackAt::TargetedApgd(Targeted { attack, target }) => {
                AttackAt::TargetedApgd(Targeted { attack: Apgd { seed, ..attack }, target })
            }
            AttackAt::Square(square) => AttackAt::Square(Square { seed, ..square }),
            AttackAt::TargetedSquare(Targeted { attack, target }) => {
                AttackAt::TargetedSquare(Targeted { attack: Square { seed, ..attack }, target })
            }
            other @ AttackAt::Steps(_) => other,
        }
    }

    /// Steps from each start, which is as many input gradients; of Square, forward passes.
    pub(crate) fn steps(&self) -> usize {
        if self.method == Method::Fgsm { 1 } else { self.steps }
    }

    /// Starts from which an image is attacked until one reaches the goal.
    pub(crate) fn starts(&self) -> usize {
        if self.method == Method::Pgd { self.restarts } else { 1 }
    }

    /// The attack's name as papers write it.
    pub fn name(&self) -> &'static str {
        match self.at(0.0) {
            AttackAt::Steps(attack) => attack.name(),
            AttackAt::Apgd(_) => "APGD",
            AttackAt::TargetedApgd(_) => "targeted APGD",
            AttackAt::Square(_) => "Square",
            AttackAt::TargetedSquare(_) => "targeted Square",
        }
    }

    /// The name with the number of steps and, where it is not cross-entropy, the loss.
    pub fn long_name(&self) -> String {
        let name = self.name();
        match (self.method, self.loss == Self::new(self.method).loss) {
            (Method::Fgsm, _) => name.to_string(),
            (_, true) => format!("{name}-{}", self.steps),
            (_, false) => format!("{name}-{}, {}", self.steps, loss_name(self.loss)),
        }
    }

    /// Whether the attack aims at a class.
    pub fn is_targeted(&self) -> bool {
        self.target.is_some()
    }
}

/// The option's word for a loss.
pub fn loss_name(loss: Loss) -> &'static str {
    match loss {
        Loss::CrossEntropy => "cross-entropy",
        Loss::Margin => "margin",
    }
}

/// Whether a model that reads `class` was fooled: it is at the target or, without one, off the label.
pub fn is_fooled(class: usize, label: usize, target: Option<usize>) -> bool {
    target.map_or(class != label, |target| class == target)
}
