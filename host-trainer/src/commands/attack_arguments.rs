//! The options of an attack, for every command that runs one.

use anyhow::{Context, Result, ensure};
use midge_core::attack::Target;
use midge_core::loss::Loss;

use super::eps::{self, Eps};
use crate::data::{Classes, Dataset, Input};
use crate::evaluation::attack::loss_name;
use crate::evaluation::{Attack, Method};
use crate::names;

/// Which attack, and how.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AttackArguments {
    /// The attack
    #[arg(long, value_enum, default_value_t = AttackName::MiFgsm)]
    attack: AttackName,
    /// Steps of an iterated attack, queries of Square [default: 10; PGD: 40; APGD: 100; Square: 5000]
    #[arg(long, value_name = "T", visible_alias = "queries")]
    steps: Option<usize>,
    /// Step size of an iterated attack, in the units of eps [default: eps / steps; PGD: eps / 30, more with few steps]
    #[arg(long, value_parser = eps::parse, value_name = "A", allow_negative_numbers = true)]
    alpha: Option<Eps>,
    /// Momentum's decay of MI-FGSM [default: 1]
    #[arg(long, value_name = "MU", allow_negative_numbers = true)]
    decay: Option<f32>,
    /// What an iterated attack raises [default: cross-entropy; Square: margin]
    #[arg(long, value_enum)]
    loss: Option<LossName>,
    /// Random starts of PGD; the worst image is kept [default: 1]
    #[arg(long, value_name = "N")]
    restarts: Option<usize>,
    /// Target of OTCM and the targeted attacks: a class by its number or name, least-likely, random (by --seed) or next
    /// [default: next]
    #[arg(long, value_name = "CLASS", value_parser = parse_target)]
    target: Option<TargetName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AttackName {
    /// One step away from the label (Goodfellow 2015)
    Fgsm,
    /// Steps away from the label, also called I-FGSM (Kurakin 2017)
    #[value(alias = "i-fgsm")]
    Bim,
    /// Steps with momentum away from the label (Dong 2018)
    MiFgsm,
    /// Steps away from the label from random starts (Madry 2018)
    Pgd,
    /// Steps of their own choice away from the label, from a random start (Croce 2020)
    Apgd,
    /// Random search in squares, without a gradient (Andriushchenko 2020)
    Square,
    /// One step towards a target class (Kurakin 2017)
    Otcm,
    /// Steps with momentum towards a target class (Dong 2018)
    TargetedMiFgsm,
    /// Steps towards a target class from random starts
    TargetedPgd,
    /// Steps of their own choice towards a target class
    TargetedApgd,
}

impl AttackName {
    fn method(self) -> Method {
        match self {
            Self::Fgsm | Self::Otcm => Method::Fgsm,
            Self::Bim => Method::Bim,
            Self::MiFgsm | Self::TargetedMiFgsm => Method::MiFgsm,
            Self::Pgd | Self::TargetedPgd => Method::Pgd,
            Self::Apgd | Self::TargetedApgd => Method::Apgd,
            Self::Square => Method::Square,
        }
    }

    fn is_targeted(self) -> bool {
        matches!(self, Self::Otcm | Self::TargetedMiFgsm | Self::TargetedPgd | Self::TargetedApgd)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LossName {
    /// Softmax cross-entropy
    CrossEntropy,
    /// The largest other logit minus the label's (Carlini and Wagner 2017)
    Margin,
}

#[derive(Debug, Clone)]
enum TargetName {
    /// A number or a name.
    Class(String),
    LeastLikely,
    Random,
    Next,
}

fn parse_target(text: &str) -> Result<TargetName, String> {
    Ok(match text {
        "" => return Err("expected a class, least-likely, random or next".into()),
        "least-likely" => TargetName::LeastLikely,
        "random" => TargetName::Random,
        "next" => TargetName::Next,
        class => TargetName::Class(class.into()),
    })
}

/// A class by its name or number, which option `name` takes beside some words.
pub(crate) fn class_of((name, words): (&str, &str), text: &str, classes: &Classes, count: usize) -> Result<usize> {
    let class = classes.find(text).or_else(|| text.parse().ok().filter(|class| *class < count));
    let hint = || names::hint(text, classes.names().iter().map(String::as_str));
    class.with_context(|| {
        let named = if classes.is_empty() { "" } else { ", or the name of one" };
        format!("{name} is {text}: expected {words}, or a class from 0 to {}{named}{}", count - 1, hint())
    })
}

impl AttackArguments {
    /// Before anything is loaded: whether the options are those of the attack.
    pub(crate) fn check(&self) -> Result<()> {
        let method = self.attack.method();
        ensure!(
            method != Method::Fgsm || self.steps.is_none() && self.alpha.is_none() && self.loss.is_none(),
            "--steps, --alpha and --loss belong to iterated attacks, not to --attack fgsm and otcm"
        );
        ensure!(
            !matches!(method, Method::Apgd | Method::Square) || self.alpha.is_none(),
            "--alpha belongs to --attack bim, mi-fgsm, pgd, targeted-mi-fgsm and targeted-pgd"
        );
        ensure!(
            method == Method::MiFgsm || self.decay.is_none(),
            "--decay belongs to --attack mi-fgsm and targeted-mi-fgsm"
        );
        ensure!(
            method == Method::Pgd || self.restarts.is_none(),
            "--restarts belongs to --attack pgd and targeted-pgd"
        );
        ensure!(
            self.attack.is_targeted() || self.target.is_none(),
            "--target belongs to --attack otcm, targeted-mi-fgsm, targeted-pgd and targeted-apgd"
        );
        Ok(())
    }

    /// Before images are loaded: whether the model takes such steps.
    pub(crate) fn check_for(&self, input: &Input) -> Result<()> {
        self.alpha.map_or(Ok(()), |alpha| alpha.of("--alpha", input).map(drop))
    }

    /// The attack on a model that takes `input` and calls its classes so, with `seed` for what is random about it.
    pub(crate) fn attack(&self, seed: u64, input: &Input, classes: &Classes) -> Result<Attack> {
        let method = self.attack.method();
        let default = Attack::new(method);
        Ok(Attack {
            method,
            target: self.attack.is_targeted().then(|| self.target(seed, input, classes)).transpose()?,
            steps: self.steps.unwrap_or(default.steps),
            alpha: self.alpha.map(|alpha| alpha.of("--alpha", input)).transpose()?,
            decay: self.decay.unwrap_or(default.decay),
            restarts: self.restarts.unwrap_or(default.restarts),
            seed,
            loss: match self.loss {
                Some(LossName::Margin) => Loss::Margin,
                Some(LossName::CrossEntropy) => Loss::CrossEntropy,
                None => default.loss,
            },
        })
    }

    fn target(&self, seed: u64, input: &Input, classes: &Classes) -> Result<Target> {
        Ok(match self.target.as_ref().unwrap_or(&TargetName::Next) {
            TargetName::Class(class) => {
                let option = ("--target", "least-likely, random, next");
                Target::Class(class_of(option, class, classes, input.classes)?)
            }
            TargetName::LeastLikely => Target::LeastLikely,
            TargetName::Random => Target::Random(seed),
            TargetName::Next => Target::Next,
        })
    }
}

/// The attack and its options in words, on a model that calls its classes so.
pub(crate) fn describe(attack: Attack, classes: &Classes) -> String {
    let mut words = vec![attack.name().to_string()];
    if attack.method != Method::Fgsm {
        let what = if attack.method == Method::Square { "queries" } else { "steps" };
        words.push(format!("{} {what}", attack.steps));
        words.extend(attack.alpha.map(|alpha| format!("alpha {alpha}")));
        words.push(format!("{} loss", loss_name(attack.loss)));
    }
    match attack.method {
        Method::MiFgsm => words.push(format!("decay {}", attack.decay)),
        Method::Pgd => {
            words.push(format!("{} random start{}", attack.restarts, if attack.restarts == 1 { "" } else { "s" }))
        }
        Method::Fgsm | Method::Bim | Method::Apgd | Method::Square => {}
    }
    words.extend(attack.target.map(|target| match target {
        Target::Class(class) => format!("target {}", classes.name(class)),
        Target::LeastLikely => "target least likely".into(),
        Target::Next => "target label + 1".into(),
        Target::Random(_) => "random target".into(),
    }));
    words.join(", ")
}

/// Images that can be attacked.
pub(crate) struct Selected {
    pub data: Dataset,
    /// The class of each image that the attack walks away from.
    pub labels: Vec<usize>,
}

/// Leaves out the images of the target class itself: nothing can walk there from them.
pub(crate) fn select(attack: Attack, data: &Dataset, labels: &[usize]) -> Result<Selected> {
    let target = if let Some(Target::Class(class)) = attack.target { Some(class) } else { None };
    let kept = (0..data.len()).filter(|i| Some(labels[*i]) != target);
    let selected = Selected { data: data.subset(kept.clone()), labels: kept.map(|i| labels[i]).collect() };
    ensure!(!selected.labels.is_empty(), "every image has the target class {}", data.classes.name(target.unwrap_or(0)));
    Ok(selected)
}
