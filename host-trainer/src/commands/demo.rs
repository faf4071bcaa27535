//! `midge demo`

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use midge_core::attack::Target;
use serde::Serialize;

use super::{ModelArguments, eps, json, percent, print_json};
use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::data::{Dataset, pictures};
use crate::evaluation::attack::is_fooled;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Attacked, Evaluation, Method, Robustness, attack_all, evaluate};
use crate::files::write_atomically;
use crate::picture::{self, Example, View};
use crate::report::examples::example;
use crate::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Largest changes of a pixel, in units of [0, 1] or of the model's input, or in steps such as 2q; pictures show the middle one
    #[arg(long, value_parser = eps::parse_list, default_value = "0.1,0.2,0.3", value_name = "E")]
    eps: Vec<eps::List>,
    /// Picture to write [default: midge-demo.png, or the next free name if another picture is there]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON instead of tables: clean, attacks, picture
    #[arg(long)]
    json: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            model: ModelArguments { model: OsString::from("plain").into() },
            eps: eps::parse_list("0.1,0.2,0.3").into_iter().collect(),
            out: None,
            json: false,
        }
    }
}

/// Examples of each attack in the picture.
const EXAMPLES: usize = 2;

/// An attack at every eps.
struct Run {
    attack: Attack,
    results: Vec<Robustness>,
    examples: Vec<Example>,
}

#[derive(Serialize)]
struct Report<'a> {
    clean: Evaluation,
    attacks: Vec<AttackReport<'a>>,
    picture: String,
}

#[derive(Serialize)]
struct AttackReport<'a> {
    attack: &'a str,
    results: &'a [Robustness],
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let weights = arguments.model.load_classifier()?;
    let eps = eps::List::flatten(&arguments.eps, "--eps", &weights.input())?;
    ensure!(!eps.is_empty(), "--eps needs a number");
    ensure!(eps.iter().all(|eps| *eps > 0.0), "--eps is 0: expected numbers above 0");
    let digits = pictures(bundled::digits()?, &weights.input())?;
    let clean = evaluate(&weights, &digits, &ProgressBar::hidden())?;
    let attacks =
        [Attack::new(Method::Fgsm), Attack::new(Method::MiFgsm), Attack::new(Method::Fgsm).towards(Target::Next)];
    let mut runs = Vec::new();
    for (i, attack) in attacks.into_iter().enumerate() {
        runs.push(one_attack(&weights, &digits, attack, &eps, i)?);
    }
    let examples: Vec<Example> = runs.iter().flat_map(|run| run.examples.iter().cloned()).collect();
    let picture = picture::draw("midge", &examples)?.png()?;
    let path = arguments.out.clone().map_or_else(|| free_name(&picture), Ok)?;
    if arguments.json {
        write_atomically(&path, &picture)?;
        let attacks = runs.iter().map(|run| AttackReport { attack: run.attack.name(), results: &run.results });
        let report = Report { clean, attacks: attacks.collect(), picture: path.display().to_string() };
        return print_json(json::DEMO, &report);
    }
    // The figures are of use even where the picture cannot be written.
    print(&weights, &clean, &runs);
    write_atomically(&path, &picture)?;
    println!("\npicture: {}", path.display());
    Ok(())
}

/// A name in the current folder that no other file has; a file of the same bytes is no other.
fn free_name(picture: &[u8]) -> Result<PathBuf> {
    let names = (1..=1000).map(|n| if n == 1 { "midge-demo.png".into() } else { format!("midge-demo-{n}.png") });
    let is_free = |path: &PathBuf| match std::fs::read(path) {
        Ok(bytes) => bytes == picture,
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    names.map(PathBuf::from).find(is_free).context("there are 1000 pictures here already; --out FILE names another")
}

/// Attacks all digits at every eps; examples at the middle one, from another place in the list for each attack.
fn one_attack(weights: &AnyWeights, digits: &Dataset, attack: Attack, eps: &[f32], number: usize) -> Result<Run> {
    let labels: Vec<usize> = (0..digits.len()).map(|i| digits.label(i)).collect();
    let (mut results, mut examples) = (Vec::new(), Vec::new());
    for (k, &eps_k) in eps.iter().enumerate() {
        let attacked = attack_all(weights, digits, &labels, attack, eps_k, &ProgressBar::hidden())?;
        results.push(Robustness::count(eps_k, &weights.input(), digits, &attacked));
        if k == eps.len() / 2 {
            let first = number * digits.len() / 3;
            let order = (0..digits.len()).map(|i| (first + i) % digits.len());
            let (misread, read): (Vec<usize>, Vec<usize>) = order.partition(|i| is_misread(&attacked[*i], labels[*i]));
            let chosen = misread.into_iter().chain(read).take(EXAMPLES);
            examples = chosen.map(|i| example(&attack, eps_k, digits, i, &attacked[i])).collect();
        }
    }
    Ok(Run { attack, results, examples })
}

/// The attack reached what it aimed at.
fn is_misread(attacked: &Attacked, label: usize) -> bool {
    is_fooled(attacked.outcome.after.class, label, attacked.outcome.target)
}

fn print(weights: &AnyWeights, clean: &Evaluation, runs: &[Run]) {
    let colour = terminal::colour();
    println!(
        "midge: a CNN of {} parameters reads {} digits that midge drew",
        weights.network().parameters(),
        clean.samples
    );
    println!("clean: {} of {} right\n", clean.correct, clean.samples);
    for example in runs.iter().filter_map(|run| run.examples.first()) {
        print_example(example, colour);
    }
    let input = weights.input();
    let width = if input.grid.is_some() { 20 } else { 6 };
    println!("{:<10}{:>width$}{:>16}{:>18}{:>18}", "attack", "eps", "still right", "misread", "target reached");
    for run in runs {
        for r in &run.results {
            let right = format!("{} of {}", r.robust_correct, r.samples);
            let misread = format!("{}  {}/{}", percent(r.success_rate), r.successes, r.correct);
            let target = match (r.target_hits, r.target_candidates) {
                (Some(hits), Some(candidates)) => format!("{hits} of {candidates}"),
                _ => String::new(),
            };
            let eps = input.shown(r.eps);
            let line = format!("{:<10}{eps:>width$}{right:>16}{misread:>18}{target:>18}", run.attack.name());
            println!("{}", line.trim_end());
        }
    }
}

fn print_example(example: &Example, colour: bool) {
    let Example { eps, shape, clean, adversarial, .. } = example;
    let target = example.target.map_or(String::new(), |target| format!(", target {}", example.classes.name(target)));
    println!("{}, eps {eps}{target}", example.attack);
    let blocks = [
        terminal::digit(&clean.pixels, *shape, colour),
        terminal::noise(&clean.pixels, &adversarial.pixels, *eps, *shape, colour),
        terminal::digit(&adversarial.pixels, *shape, colour),
    ];
    for line in terminal::side_by_side(&blocks, "   ") {
        println!("{}", format!("  {line}").trim_end());
    }
    let caption =
        |view: &View| format!("\"{}\" {}", example.classes.name(view.class), percent(f64::from(view.confidence)));
    let noise = format!("+ {eps} x noise =");
    println!("  {:<31}{:<31}{}\n", caption(clean), noise, caption(adversarial));
}
