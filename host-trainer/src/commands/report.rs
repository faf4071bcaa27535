//! `midge report`

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use super::device::Boards;
use super::eps::{self, Eps};
use super::{DataArguments, Expected, ModelName, print_json};
use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::data::{Input, Part, Split};
use crate::evaluation::classifier::Classifier as _;
use crate::report::folder::Folder;
use crate::report::settings::{default_curve, default_grid};
use crate::report::{Report, Settings, Subject, gradients, measure, page};
use crate::training::history::Entry;
use crate::training::{checkpoint, history};
use crate::twin::float_twin;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file of midge's or .tflite file, or the name of a bundled model: plain, robust, plain-int8, robust-int8; given twice, both
    /// stand side by side; beside a single model of integers stands its float twin
    #[arg(long, default_value = "plain", value_name = "MODEL")]
    model: Vec<ModelName>,
    /// The model of floating-point numbers from which the model of integers was made [default: the network whose weights the
    /// integers stand for]
    #[arg(long, value_name = "MODEL")]
    twin: Option<ModelName>,
    /// Put a board that runs one of the models beside the host, on the same images: a port as midge device takes it; given several
    /// times, the boards share the images
    #[arg(long, value_name = "PORT")]
    device: Vec<String>,
    /// Folder to write: index.html, every plot as SVG and PNG, the images as PNG; a report that is there is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    data: DataArguments,
    /// Number of images, the first of the test set
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Largest changes of a pixel, in the units of the model's input or in steps such as 2q, of the accuracy curves [default:
    /// 0.05 to 0.4; 1q to 16q if the input is not [0, 1]]
    #[arg(long, value_parser = eps::parse_list, value_name = "E", allow_negative_numbers = true)]
    eps: Vec<eps::List>,
    /// eps of the robust evaluation, the examples and the targeted attacks [default: 0.3; 2q if the input is not [0, 1]]
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true)]
    robust_eps: Option<Eps>,
    /// Steps of PGD
    #[arg(long, default_value_t = 100, value_name = "T")]
    steps: usize,
    /// Random starts of PGD in the robust evaluation
    #[arg(long, default_value_t = 3, value_name = "N")]
    restarts: usize,
    /// Images that Square asks the model about in the robust evaluation
    #[arg(long, default_value_t = 1000, value_name = "N")]
    queries: usize,
    /// Print JSON: all figures of the page
    #[arg(long)]
    json: bool,
}

/// A model before its images are there.
struct Candidate {
    name: String,
    source: String,
    weights: AnyWeights,
    training: Vec<Entry>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.check()?;
    let candidates = arguments.candidates()?;
    let input = common_input(&candidates).context("--model")?;
    let (eps, robust_eps) = arguments.eps(&input)?;
    let subjects = candidates.into_iter().map(|candidate| arguments.subject(candidate, &input));
    let subjects = subjects.collect::<Result<Vec<_>>>()?;
    let folder = Folder::open(&arguments.out)?;
    // A board that is not there is no reason to wait for the figures.
    let mut boards = if arguments.device.is_empty() { None } else { Some(Boards::open(&arguments.device)?) };
    let board = boards.as_mut().map(|boards| boards.measure(&subjects, robust_eps)).transpose().context("--device")?;
    let &Arguments { steps, restarts, queries, .. } = arguments;
    let data = &subjects.first().context("--model")?.data;
    let settings = Settings {
        data: data.name.clone(),
        images: data.len(),
        seed: arguments.data.seed,
        eps,
        robust_eps,
        steps,
        restarts,
        queries,
        grid: default_grid(&input),
        quantisation_step: input.grid.map(|grid| grid.scale),
    };
    let models = measure::all(&subjects, &settings)?;
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let gradients = gradients::compare(&subjects)?;
    let report = Report { version: env!("CARGO_PKG_VERSION"), date, settings, models, gradients, board };
    let page = page::layout(&report)?;
    let path = folder.write(&page.html, &page.files)?;
    if arguments.json {
        return print_json(super::json::REPORT, &report);
    }
    println!("{}", path.display());
    Ok(())
}

/// What the models take, on the grid of the first that has one.
fn common_input(candidates: &[Candidate]) -> Option<Input> {
    let mut inputs = candidates.iter().map(|candidate| candidate.weights.input());
    inputs.clone().find(|input| input.grid.is_some()).or_else(|| inputs.next())
}

impl Arguments {
    /// Before anything is loaded.
    fn check(&self) -> Result<()> {
        ensure!(self.model.len() <= 2, "--model is given {} times: expected one or two models", self.model.len());
        ensure!(self.steps > 0, "--steps must be at least 1");
        ensure!(self.restarts > 0, "--restarts must be at least 1");
        ensure!(self.queries > 0, "--queries must be at least 1");
        ensure!(self.limit > 0, "--limit must be at least 1");
        Ok(())
    }

    /// The eps of the curves, ascending, and that of the robust evaluation.
    fn eps(&self, input: &Input) -> Result<(Vec<f32>, f32)> {
        let robust = self.robust_eps.map_or(Ok(eps::default_of(input)), |eps| eps.of("--robust-eps", input))?;
        ensure!(robust > 0.0, "--robust-eps is 0: expected a number above 0");
        let mut eps = match &self.eps[..] {
            [] => default_curve(input),
            lists => eps::List::flatten(lists, "--eps", input)?,
        };
        eps.retain(|eps| *eps > 0.0);
        ensure!(!eps.is_empty(), "--eps needs a number above 0");
        eps.sort_by(f32::total_cmp);
        eps.dedup();
        Ok((eps, robust))
    }

    /// The models, with names that differ.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let mut all = self.model.iter().map(candidate).collect::<Result<Vec<_>>>()?;
        if let [a, b] = &mut all[..]
            && a.name == b.name
        {
            (a.name, b.name) = if a.source == b.source {
                (format!("{} (A)", a.name), format!("{} (B)", b.name))
            } else {
                (a.source.clone(), b.source.clone())
            };
        }
        let twin = match &all[..] {
            [only] => self.twin(only)?,
            _ => None,
        };
        ensure!(
            self.twin.is_none() || twin.is_some(),
            "--twin stands beside a single model of integers: expected one --model of 8-bit integers"
        );
        all.extend(twin);
        Ok(all)
    }

    /// What stands beside a single model of integers.
    fn twin(&self, only: &Candidate) -> Result<Option<Candidate>> {
        let AnyWeights::Int8(weights) = &only.weights else { return Ok(None) };
        let name = format!("{} in f32", only.name);
        let Some(twin) = &self.twin else {
            let source = format!("float twin of {}", only.source);
            let weights = AnyWeights::Float(float_twin(weights)?);
            return Ok(Some(Candidate { name, source, weights, training: Vec::new() }));
        };
        let twin = candidate(twin).context("--twin")?;
        let fits = twin.weights.input().has_shape_of(&weights.input());
        ensure!(fits, "--twin {}: other images or classes than the model's", twin.source);
        Ok(Some(Candidate { name, ..twin }))
    }

    /// The model with the images that it sees: a model of floats beside one of integers sees the integers.
    fn subject(&self, candidate: Candidate, common: &Input) -> Result<Subject> {
        let Candidate { name, source, weights, training } = candidate;
        let weights = if common.grid.is_some() { weights.taking_pixels_of(common) } else { weights };
        let own = weights.input();
        let input = match common.grid {
            Some(_) if own.grid.is_none() => Input { shape: own.shape, classes: own.classes, ..*common },
            _ => own,
        };
        let part = Part { offset: 0, limit: Some(self.limit) };
        let data = self.data.load(Split::Test, &input, &Expected::by(&weights), part);
        let data = data.with_context(|| source.clone())?.labelled()?;
        Ok(Subject { name, source, weights, data, training })
    }
}

fn candidate(model: &ModelName) -> Result<Candidate> {
    let weights = model.load_classifier()?;
    let (path, source) = (model.path(), model.shown());
    let bundled = bundled::names().any(|name| name == source);
    let beside = (!bundled).then(|| checkpoint::path(path));
    let training = history::of_run(weights.metadata(), beside.as_deref()).with_context(|| source.to_string())?;
    let name = path.file_stem().map_or(source.into(), |stem| stem.to_string_lossy());
    Ok(Candidate { name: name.into_owned(), source: source.to_string(), weights, training })
}
