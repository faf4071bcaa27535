//! Whether to believe a robust accuracy: signs of a gradient that leads nowhere, or of attacks that are too weak.
//!
//! Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of Security, ICML 2018, section 3.1; Carlini et
//! al.: On Evaluating Adversarial Robustness, 2019, section 5.

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::attack::Target;
use midge_core::loss::Loss;
use serde::Serialize;

use super::attack::{Attack, Method, Sample};
use super::batch::for_each_part;
use super::counts::Share;
use super::probe::Probe;
use super::robust::{Suite, WorstCase, both, count};

/// Share of the images by which two counts may differ and still be called equal; at least one image.
pub const TOLERANCE: f64 = 0.005;

/// Share of the images that may fall to Square alone: where AutoAttack calls a defence's figure unreliable
/// (`check_square_sr` in the official `autoattack/checks.py`).
pub const SQUARE_TOLERANCE: f64 = 0.002;

/// eps of the curve, in parts of the range of a pixel; at their end nothing of an image need be left.
pub const CURVE: [f32; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

/// The points of the curve but the last, in steps of a grid of other pixels than 0 to 1.
const CURVE_STEPS: [f32; CURVE.len() - 1] = [1.0, 2.0, 4.0, 16.0];

/// The verdict of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// The robust accuracy is not to be trusted.
    Fail,
    /// Something that it needs is missing.
    NotRun,
}

impl Verdict {
    fn of(good: bool) -> Self {
        if good { Self::Pass } else { Self::Fail }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Gate {
    /// What should hold.
    pub gate: &'static str,
    /// Whether it does.
    pub verdict: Verdict,
    /// The figures compared.
    pub detail: String,
}

/// Accuracy under APGD at one eps.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    /// Largest change of a pixel.
    pub eps: f32,
    /// Images that are right.
    #[serde(flatten)]
    pub right: Share,
}

impl Suite<'_> {
    /// Images by which equal counts may differ.
    fn slack(&self) -> usize {
        self.share(TOLERANCE)
    }

    /// A share of the images, at least one.
    fn share(&self, part: f64) -> usize {
        ((part * self.data.len() as f64) as usize).max(1)
    }

    /// APGD with the suite's number of steps and with twice as many.
    fn once_and_twice(&self) -> [Attack; 2] {
        let once = self.apgd(Loss::CrossEntropy);
        [once, Attack { steps: 2 * once.steps, ..once }]
    }

    /// The attacks of the curve and the gates.
    pub(super) fn gate_probes(&self) -> Vec<(Probe<'_>, f32)> {
        let [once, twice] = self.once_and_twice().map(Probe::WhiteBox);
        self.curve_eps().into_iter().map(|eps| (once, eps)).chain([(once, self.eps), (twice, self.eps)]).collect()
    }

    /// Accuracy at each eps of [`CURVE`] under APGD.
    ///
    /// # Errors
    /// Those of the attack.
    pub fn curve(&self) -> Result<Vec<Point>> {
        let [once, _] = self.once_and_twice().map(Probe::WhiteBox);
        let point = |eps| Ok(Point { eps, right: Share::new(count(&self.survivors(once, eps)?), self.data.len()) });
        self.curve_eps().into_iter().map(point).collect()
    }

    /// [`CURVE`] in the units of the model's input; on a grid of other pixels than 0 to 1 it starts with [`CURVE_STEPS`].
    fn curve_eps(&self) -> [f32; CURVE.len()] {
        let input = self.model.input();
        let mut curve = CURVE.map(|part| part * input.width());
        if let Some(grid) = input.grid.filter(|_| input.range != [0.0, 1.0]) {
            curve.iter_mut().zip(CURVE_STEPS).for_each(|(eps, steps)| *eps = steps * grid.scale);
        }
        curve
    }

    /// All checks, in a fixed order.
    ///
    /// # Errors
    /// Those of the attacks.
    pub fn gates(&self, worst: &WorstCase<'_>, curve: &[Point]) -> Result<Vec<Gate>> {
        let [eps_zero, zero_gradients] = self.at_eps_zero()?;
        let [falls, chance] = self.curve_gates(curve);
        let [noise, transfer, square] = self.gradient_free(worst);
        let [more_steps, more_starts] = [self.more_steps()?, self.more_starts(worst)?];
        let iterated = Self::iterated(worst, self.slack());
        Ok(vec![eps_zero, zero_gradients, iterated, falls, chance, more_steps, more_starts, noise, transfer, square])
    }

    /// At eps 0 every attack returns the image bit for bit, and so the clean accuracy. The first of them shows the gradient there.
    fn at_eps_zero(&self) -> Result<[Gate; 2]> {
        let pgd = Attack { steps: 2, restarts: 2, ..self.pgd(2, Loss::Margin) };
        let apgd = Attack { steps: 2, ..self.apgd(Loss::CrossEntropy) };
        let square = Attack { steps: 2, ..Attack::new(Method::Square) };
        let [fgsm, mi_fgsm] = [Method::Fgsm, Method::MiFgsm].map(Attack::new);
        let attacks = [fgsm, mi_fgsm, pgd, pgd.towards(Target::Next), apgd, square];
        let found = for_each_part(self.model, self.data.len(), &ProgressBar::hidden(), |attacker, part| {
            let samples: Vec<_> = part.iter().map(|index| Sample::of(self.data, *index)).collect();
            let mut out = vec![0.0; part.len() * attacker.pixels()];
            let mut all = vec![(true, false); part.len()];
            for attack in &attacks {
                let found = attacker.attack(attack, 0.0, &samples, &mut out)?;
                let images = out.chunks(attacker.pixels()).zip(&samples).zip(part);
                for (((same, zero), ((out, sample), index)), found) in all.iter_mut().zip(images).zip(found) {
                    *same &= out.iter().zip(sample.image).all(|(a, b)| a.to_bits() == b.to_bits());
                    *same &= (found.outcome.after.class == sample.label) == self.correct[*index];
                    *zero |= self.correct[*index] && *attack == fgsm && found.outcome.zero_gradient_steps > 0;
                }
            }
            Ok(all)
        })?;
        let (same, zero): (Vec<bool>, Vec<bool>) = found.into_iter().unzip();
        let (same, zero, all) = (count(&same), count(&zero), self.data.len());
        let detail = format!("{same} of {all} images unchanged by {} attacks", attacks.len());
        let slack = self.slack();
        let zeros = format!("{zero} of {} images that are read correctly, at most {slack}", count(&self.correct));
        Ok([
            Gate { gate: "eps 0 is the clean image", verdict: Verdict::of(same == all), detail },
            Gate { gate: "no gradient is zero at the image", verdict: Verdict::of(zero <= slack), detail: zeros },
        ])
    }

    fn iterated(worst: &WorstCase<'_>, slack: usize) -> Gate {
        let right = |method| {
            let is = |probe: &Probe<'_>| matches!(probe, Probe::WhiteBox(attack) if attack.method == method);
            worst.probes.iter().find(|result| is(&result.probe)).map_or(0, |result| result.count())
        };
        let (fgsm, mi_fgsm, apgd) = (right(Method::Fgsm), right(Method::MiFgsm), right(Method::Apgd));
        let good = mi_fgsm.max(apgd) <= fgsm + slack;
        let detail = format!("right: FGSM {fgsm}, MI-FGSM {mi_fgsm}, APGD {apgd}; at most {slack} more");
        Gate { gate: "many steps are at least as strong as one", verdict: Verdict::of(good), detail }
    }

    fn curve_gates(&self, curve: &[Point]) -> [Gate; 2] {
        let right: Vec<usize> =
            std::iter::once(count(&self.correct)).chain(curve.iter().map(|p| p.right.count)).collect();
        let falls = right.windows(2).all(|pair| pair[1] <= pair[0] + self.slack());
        let words: Vec<String> = right.iter().map(usize::to_string).collect();
        let eps = self.curve_eps();
        let detail = format!("right at eps 0 and {eps:?}: {}; at most {} more", words.join(" "), self.slack());
        let last = right.last().copied().unwrap_or(0);
        let (all, classes) = (self.data.len(), self.model.network().classes());
        let most = eps[CURVE.len() - 1];
        let at_chance = format!("{last} of {all} right at eps {most}; chance is 1 in {classes}");
        let gate = if most == 0.5 { "at eps 0.5 it is at chance" } else { "at half of the range it is at chance" };
        [
            Gate { gate: "accuracy falls with eps", verdict: Verdict::of(falls), detail },
            Gate { gate, verdict: Verdict::of(last * classes <= all), detail: at_chance },
        ]
    }

    /// Twice the steps fell no more of what the steps leave.
    fn more_steps(&self) -> Result<Gate> {
        let [once, twice] = self.once_and_twice();
        let standing = self.survivors(Probe::WhiteBox(once), self.eps)?;
        let left = count(&self.left_of(&standing, Probe::WhiteBox(twice), self.eps)?);
        let (few, slack) = (count(&standing), self.slack());
        let detail = format!(
            "right after {} steps {few}, of them after {} {left}; at most {slack} less",
            once.steps, twice.steps
        );
        let verdict = Verdict::of(few - left <= slack);
        Ok(Gate { gate: "twice the steps change nothing", verdict, detail })
    }

    /// Many random starts of PGD fell what one does.
    fn more_starts(&self, worst: &WorstCase<'_>) -> Result<Gate> {
        let gate = "more random starts change nothing";
        let many = worst.probes.iter().find_map(|result| match result.probe {
            Probe::WhiteBox(attack) if attack.method == Method::Pgd && attack.restarts > 1 => Some((attack, result)),
            _ => None,
        });
        let Some((attack, result)) = many else {
            return Ok(Gate {
                gate,
                verdict: Verdict::NotRun,
                detail: "PGD has no restarts: --restarts N".to_string(),
            });
        };
        let one = count(&self.survivors(Probe::WhiteBox(self.pgd(1, attack.loss)), self.eps)?);
        let (all, slack) = (result.count(), self.slack());
        let detail = format!("right after one start {one}, after {} {all}; at most {slack} less", attack.restarts);
        Ok(Gate { gate, verdict: Verdict::of(one - all <= slack), detail })
    }

    /// Noise, transfer and random search know less than the gradient, so they must not find what it does not.
    fn gradient_free(&self, worst: &WorstCase<'_>) -> [Gate; 3] {
        let left = count(&worst.white_box);
        let gate = |gate, slack, is: fn(&Probe<'_>) -> bool| {
            let Some(other) = worst.probes.iter().find(|result| is(&result.probe)) else {
                let detail = "no other model: --transfer-from MODEL".to_string();
                return Gate { gate, verdict: Verdict::NotRun, detail };
            };
            let only = left - count(&both(&worst.white_box, &other.survives));
            let detail = format!("of {left} images that the gradient leaves, {only} fell to this; at most {slack}");
            Gate { gate, verdict: Verdict::of(only <= slack), detail }
        };
        [
            gate("noise does not beat the gradient", self.slack(), |probe| matches!(probe, Probe::Noise)),
            gate("transfer does not beat the gradient", self.slack(), |probe| matches!(probe, Probe::Transfer(..))),
            gate("Square does not beat the gradient", self.share(SQUARE_TOLERANCE), |probe| {
                matches!(probe, Probe::Search(_))
            }),
        ]
    }
}
