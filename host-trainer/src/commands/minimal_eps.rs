//! `midge minimal-eps`

use anyhow::{Result, ensure};
use serde::Serialize;

use super::attack_arguments::{AttackArguments, Selected, describe, select};
use super::eps::{self, Eps};
use super::{TestArguments, percent, print_json};
use crate::data::Input;
use crate::evaluation::Share;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::minimal::{MinimalEps, minimal_eps, quantile};
use crate::progress;

/// Most points of the grid.
const MAX_POINTS: f32 = 1000.0;
/// Most lines of the histogram, and characters of its longest bar.
const BINS: usize = 20;
const BAR: usize = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    test: TestArguments,
    #[command(flatten)]
    attack: AttackArguments,
    /// Distance of two points of the grid, also as a fraction such as 1/255, or in steps such as 2q [default: 0.01; of a model of
    /// integers 1q]
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true)]
    grid: Option<Eps>,
    /// Largest eps of the grid [default: half of the range of a pixel, 0.5 or 127q]
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true)]
    max_eps: Option<Eps>,
    /// Print JSON: quartiles, histogram, and every image
    #[arg(long)]
    json: bool,
}

/// Images whose minimal eps is this one.
#[derive(Debug, Serialize)]
struct Bin {
    eps: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    eps_steps: Option<f32>,
    images: usize,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    attack: String,
    model: &'a str,
    data: &'a str,
    seed: u64,
    /// Images left out because the target class is their own.
    left_out: usize,
    /// Images read correctly without an attack; the others are not searched.
    searched: Share,
    /// Of the searched, those that no eps of the grid fools.
    not_found: Share,
    /// The eps below which a quarter, half and three quarters of the searched are fooled; null beyond the grid.
    quartiles: [Option<f32>; 3],
    /// Every point of the grid.
    histogram: Vec<Bin>,
    images: Vec<MinimalEps>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.attack.check()?;
    let model = arguments.test.model()?;
    let input = model.input();
    let grid = arguments.grid(&input)?;
    arguments.attack.check_for(&input)?;
    let data = arguments.test.images(&model)?.labelled()?;
    let attack = arguments.attack.attack(arguments.test.seed(), &input, &data.classes)?;
    let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
    let left_out = data.len();
    let Selected { data, .. } = select(attack, &data, &labels)?;
    let left_out = left_out - data.len();
    let bar = progress::bar(data.len() as u64, "minimal eps");
    let images = minimal_eps(&model, &data, attack, &grid, &bar)?;
    bar.finish_and_clear();
    let searched = images.iter().filter(|image| image.is_correct()).count();
    let missed = images.iter().filter(|image| image.is_correct() && image.eps.is_none()).count();
    let at = |eps: f32| images.iter().filter(|image| image.eps == Some(eps)).count();
    let bin = |eps: &f32| Bin { eps: *eps, eps_steps: input.steps(*eps), images: at(*eps) };
    let report = Report {
        attack: describe(attack, &data.classes),
        model: arguments.test.model_name(),
        data: &data.name,
        seed: arguments.test.seed(),
        left_out,
        searched: Share::new(searched, images.len()),
        not_found: Share::new(missed, searched),
        quartiles: [0.25, 0.5, 0.75].map(|q| quantile(&images, q)),
        histogram: grid.iter().map(bin).collect(),
        images,
    };
    if arguments.json {
        return print_json(super::json::MINIMAL_EPS, &report);
    }
    print(&report, &input);
    Ok(())
}

impl Arguments {
    /// The points of the grid, for a model that takes `input`.
    fn grid(&self, input: &Input) -> Result<Vec<f32>> {
        let of = |eps: Option<Eps>, option, default| eps.map_or(Ok(default), |eps| eps.of(option, input));
        let (step, most) =
            input.grid.map_or((0.01 * input.width(), 0.5 * input.width()), |g| (g.scale, 127.0 * g.scale));
        grid(of(self.grid, "--grid", step)?, of(self.max_eps, "--max-eps", most)?)
    }
}

/// `step`, `2 * step` and so on up to `max`.
fn grid(step: f32, max: f32) -> Result<Vec<f32>> {
    ensure!(step.is_finite() && step > 0.0, "--grid is {step}: expected a number above 0");
    ensure!(max.is_finite() && max >= step, "--max-eps is {max}: expected a number not below --grid, {step}");
    ensure!(max / step <= MAX_POINTS, "--grid {step} up to {max}: expected at most {MAX_POINTS} points");
    // A little room, so that rounding does not lose the last point.
    let points = (max / step + 1e-3).floor() as usize;
    // In f64, so that 3 * 0.1 is the 0.3 that a user would type.
    let step: f64 = step.to_string().parse()?;
    Ok((1..=points).map(|k| (k as f64 * step) as f32).collect())
}

fn print(report: &Report<'_>, input: &Input) {
    println!("{}  model {}  {}  seed {}", report.attack, report.model, report.data, report.seed);
    let searched = report.searched.count;
    if report.left_out > 0 {
        println!("{} images left out: the target is their own class", report.left_out);
    }
    println!("{searched} of {} images are read correctly and were searched\n", report.searched.of);
    let width = if input.grid.is_some() { 20 } else { 10 };
    let (bins_of, last) = (report.histogram.len().div_ceil(BINS), report.histogram.last().map_or(0.0, |bin| bin.eps));
    let bins: Vec<(f32, usize)> = report
        .histogram
        .chunks(bins_of)
        .map(|bins| (bins.last().map_or(0.0, |bin| bin.eps), bins.iter().map(|bin| bin.images).sum()))
        .collect();
    let largest = bins.iter().map(|(_, images)| *images).chain([report.not_found.count]).max().unwrap_or(0).max(1);
    let line = |what: String, images: usize| {
        let bar = "#".repeat(images * BAR / largest);
        let share = percent(Share::new(images, searched).fraction);
        println!("{}", format!("{what:>width$}{images:>8}{share:>10}  {bar}").trim_end());
    };
    println!("{:>width$}{:>8}", "eps up to", "images");
    bins.iter().for_each(|(eps, images)| line(input.shown(*eps), *images));
    line("not found".into(), report.not_found.count);
    let words = report.quartiles.map(|eps| eps.map_or(format!("above {}", input.shown(last)), |eps| input.shown(eps)));
    println!("\na quarter is fooled at eps {}, half at {}, three quarters at {}", words[0], words[1], words[2]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_the_points_that_one_would_type() {
        assert_eq!(grid(0.1, 0.5).unwrap(), [0.1, 0.2, 0.3, 0.4, 0.5]);
        assert_eq!(grid(0.01, 0.5).unwrap().len(), 50);
        assert_eq!(grid(0.2, 0.5).unwrap(), [0.2, 0.4]);
        for (step, max) in [(0.0, 0.5), (f32::NAN, 0.5), (0.1, 0.05), (1e-6, 1.0), (0.1, f32::INFINITY)] {
            assert!(grid(step, max).is_err(), "{step} {max}");
        }
    }
}
