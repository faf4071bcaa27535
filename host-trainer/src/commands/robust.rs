//! `midge evaluate --robust`

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::HumanDuration;
use serde::Serialize;

use super::eps::{self, Eps};
use super::exit::CheckFailed;
use super::{ModelName, TestArguments, percent};
use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::data::{Dataset, Input};
use crate::evaluation::budget::Budget;
use crate::evaluation::classifier::Classifier;
use crate::evaluation::gates::{Gate, Point, Verdict};
use crate::evaluation::robust::{Options, ProbeResult, Suite, WorstCase, count};
use crate::evaluation::{Evaluation, Passes, Share};
use crate::progress;
use crate::twin::float_twin;

/// Forward passes in the time of a gradient, roughly.
const GRADIENT: f64 = 3.0;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RobustArguments {
    /// Attack with FGSM, MI-FGSM, APGD also at every target, noise, transfer and Square; report the worst case of each image, and
    /// checks of whether to believe it
    #[arg(long)]
    robust: bool,
    /// How much the attacks may take: a first look; the steps and queries of AutoAttack; or PGD from ten starts too, and every
    /// attack on every image
    #[arg(long, value_enum, default_value_t = Preset::Standard, requires = "robust")]
    preset: Preset,
    /// Run every attack on every image that is read correctly, not only on those that stand before it
    #[arg(long, requires = "robust")]
    every: bool,
    /// Largest change of a pixel, in the units of the model's input, [0, 1] unless it says otherwise; also as a fraction such as
    /// 8/255, and of a model of integers in steps of its grid, such as 2q [default: 0.3; 2q if the input is not [0, 1]]
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true, requires = "robust")]
    eps: Option<Eps>,
    /// Steps of APGD and PGD [default: the preset's: 20, 100, 100]
    #[arg(long, value_name = "T", requires = "robust")]
    steps: Option<usize>,
    /// Random starts of PGD; from 2 on it also goes for the margin, and at every target once [default: the preset's: 0, 0, 10]
    #[arg(long, value_name = "N", requires = "robust")]
    restarts: Option<usize>,
    /// Images that Square asks the model about [default: the preset's: 500, 5000, 5000]
    #[arg(long, value_name = "N", requires = "robust")]
    queries: Option<usize>,
    /// Also try images made with this model [default: another bundled model, if there is one; of a model of integers, the
    /// network of the floating-point numbers that they stand for]
    #[arg(long, value_name = "MODEL", requires = "robust")]
    transfer_from: Option<ModelName>,
    /// End with exit status 3 if a check fails
    #[arg(long, requires = "robust")]
    check: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Preset {
    Quick,
    Standard,
    Full,
}

/// What one attack left right.
#[derive(Debug, Serialize)]
struct AttackReport {
    attack: String,
    /// Whether it follows the model's own gradient.
    white_box: bool,
    /// Images that it ran on, and how many of them it left right.
    attacked: usize,
    robust_correct: usize,
    /// The share of all images, if it ran on all that are read correctly.
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<Share>,
    /// Images that fell to this attack and to none above it, and their numbers in the data set.
    first: usize,
    fallen: Vec<usize>,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    model: String,
    data: String,
    seed: u64,
    eps: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    eps_steps: Option<f32>,
    budget: Budget,
    transfer_from: Option<String>,
    #[serde(flatten)]
    clean: Evaluation,
    accuracy_interval: [f64; 2],
    /// Right under every attack, of all images.
    robust_accuracy: Option<f64>,
    robust_correct: usize,
    robust_interval: [f64; 2],
    attacks: Vec<AttackReport>,
    /// Accuracy under APGD.
    curve: Vec<Point>,
    gates: Vec<Gate>,
    gates_failed: usize,
    /// Input gradients that all of it took.
    input_gradients: usize,
}

impl RobustArguments {
    pub(crate) fn is_wanted(&self) -> bool {
        self.robust
    }

    /// Before anything is loaded.
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in [("--steps", self.steps), ("--restarts", self.restarts), ("--queries", self.queries)] {
            let Some(value) = value else { continue };
            ensure!((1..=1_000_000).contains(&value), "{name} is {value}: expected 1 to 1000000");
        }
        Ok(())
    }

    /// The preset's, with what was asked for in its place.
    fn budget(&self) -> Budget {
        let preset = match self.preset {
            Preset::Quick => Budget::QUICK,
            Preset::Standard => Budget::STANDARD,
            Preset::Full => Budget::FULL,
        };
        Budget {
            restarts: self.restarts.unwrap_or(preset.restarts),
            steps: self.steps.unwrap_or(preset.steps),
            queries: self.queries.unwrap_or(preset.queries),
            every: self.every || preset.every,
            ..preset
        }
    }

    /// The eps for a model that takes `input`.
    pub(crate) fn eps(&self, input: &Input) -> Result<f32> {
        self.eps.map_or(Ok(eps::default_of(input)), |eps| eps.of("--eps", input))
    }

    pub(crate) fn measure(
        &self,
        test: &TestArguments,
        (model, eps): (&AnyWeights, f32),
        data: &Dataset,
        clean: Evaluation,
    ) -> Result<Report> {
        let (source, input) = (self.source(model)?, model.input());
        let options = Options { eps, budget: self.budget(), seed: test.seed() };
        let mut suite = Suite::new(model, data, source.as_ref().map(|(_, other)| other as &dyn Classifier), options)?;
        announce(&suite)?;
        suite.progress = progress::bar(suite.passes(&[]) as u64, "robust accuracy");
        let worst = suite.worst_case()?;
        let curve = suite.curve()?;
        let gates = suite.gates(&worst, &curve)?;
        suite.progress.finish_and_clear();
        let accuracy = Share::new(clean.correct, clean.samples);
        let robust = Share::new(count(&worst.survives), data.len());
        Ok(Report {
            model: test.model_name().to_string(),
            data: data.name.clone(),
            seed: test.seed(),
            eps,
            eps_steps: input.steps(eps),
            budget: options.budget,
            transfer_from: source.as_ref().map(|(name, _)| name.clone()),
            clean,
            accuracy_interval: accuracy.interval,
            robust_accuracy: robust.fraction,
            robust_correct: robust.count,
            robust_interval: robust.interval,
            attacks: attack_reports(&worst, data),
            curve,
            gates_failed: gates.iter().filter(|gate| gate.verdict == Verdict::Fail).count(),
            gates,
            input_gradients: suite.gradients(),
        })
    }

    /// With `--check`, whether all checks of the report passed.
    ///
    /// # Errors
    /// [`CheckFailed`].
    pub(crate) fn verdict(&self, report: &Report) -> Result<()> {
        match report.gates_failed {
            failed if self.check && failed > 0 => Err(CheckFailed(self::failed(failed)).into()),
            _ => Ok(()),
        }
    }

    /// The model that transfer starts from, with its name.
    fn source(&self, model: &AnyWeights) -> Result<Option<(String, AnyWeights)>> {
        let Some(name) = &self.transfer_from else {
            if let AnyWeights::Int8(weights) = model {
                return Ok(Some(("its float twin".into(), AnyWeights::Float(float_twin(weights)?))));
            }
            return Ok(bundled::other_than(model)?.map(|(name, other)| (name.to_string(), other)));
        };
        let other = name.load_classifier().context("--transfer-from")?;
        let (name, input) = (name.shown(), model.input());
        ensure!(other.input().has_shape_of(&input), "--transfer-from {name}: other images or classes than the model's");
        ensure!(!other.has_tensors_of(model), "--transfer-from {name}: is the model itself");
        Ok(Some((name.to_string(), other.taking_pixels_of(&input))))
    }
}

fn failed(checks: usize) -> String {
    format!("{checks} check{} failed", if checks == 1 { "" } else { "s" })
}

/// Says what the attacks will take: few steps of PGD tell how long a gradient takes, and the others follow from that.
fn announce(suite: &Suite<'_>) -> Result<()> {
    let Passes { forward, gradients } = suite.passes_of_each(&[]);
    let images = count(&suite.correct);
    let seconds = suite.time_of_a_gradient()? * images as f64 * (gradients as f64 + forward as f64 / GRADIENT);
    note!(
        "at most {gradients} gradients and {forward} forward passes for each of {images} images: at most {}",
        HumanDuration(Duration::from_secs_f64(seconds))
    );
    Ok(())
}

fn attack_reports(worst: &WorstCase<'_>, data: &Dataset) -> Vec<AttackReport> {
    let report = |result: &ProbeResult<'_>| AttackReport {
        attack: result.probe.name(),
        white_box: result.probe.is_white_box(),
        attacked: result.attacked,
        robust_correct: result.count(),
        right: result.on_all.then(|| Share::new(result.count(), result.survives.len())),
        first: result.first.len(),
        fallen: result.first.iter().map(|index| data.places[*index]).collect(),
    };
    worst.probes.iter().map(report).collect()
}

/// `96.00 %  96/100  [90.16, 98.43]`
pub(crate) fn cell(share: Share) -> String {
    let [low, high] = share.interval.map(|x| 100.0 * x);
    format!(
        "{:>8}  {:<12}{:<16}",
        percent(share.fraction),
        format!("{}/{}", share.count, share.of),
        format!("[{low:.2}, {high:.2}]")
    )
}

impl Report {
    pub(crate) fn print(&self, input: &Input) {
        println!("model {}  {}  eps {}  seed {}", self.model, self.data, input.shown(self.eps), self.seed);
        if let Some(source) = &self.transfer_from {
            println!("transfer from {source}");
        }
        // The cells of the last column may end in spaces.
        let line = |what: &str, cells: String| println!("{}", format!("{what:<32}{cells}").trim_end());
        let header = |what: &str| {
            println!();
            line(what, format!("{:>8}  {:<12}{}", "right", "images", "95 % interval"));
        };
        header("attack");
        line("none", cell(Share::new(self.clean.correct, self.clean.samples)));
        for attack in &self.attacks {
            let of_attacked = || format!("{:>8}  {:<28}", "", format!("{}/{}", attack.robust_correct, attack.attacked));
            let cells = attack.right.map_or_else(of_attacked, cell);
            line(&attack.attack, format!("{cells}{:>6} fell first to it", attack.first));
        }
        line("worst case", cell(Share::new(self.robust_correct, self.clean.samples)));
        println!("{}", self.who_was_attacked());
        println!("shares are of all images.");
        header("APGD, eps");
        for Point { eps, right } in &self.curve {
            line(&input.shown(*eps), cell(*right));
        }
        println!();
        self.print_gates();
    }

    fn who_was_attacked(&self) -> &'static str {
        if self.budget.every {
            "Every attack runs on every image that is read correctly, whatever the others did;"
        } else {
            "An attack without a share runs on what stands before it (--every: on all that is read correctly);"
        }
    }

    fn print_gates(&self) {
        for Gate { gate, verdict, detail } in &self.gates {
            let word = match verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "FAIL",
                Verdict::NotRun => "not run",
            };
            println!("{word:<8} {gate}\n         {detail}");
        }
        if self.gates_failed > 0 {
            println!("{}: do not believe the worst case before you know why", failed(self.gates_failed));
        }
    }
}
