//! `midge report`

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use super::{DataArguments, ModelName, eps, print_json};
use crate::bundled;
use crate::data::Split;
use crate::evaluation::check_fit;
use crate::report::folder::Folder;
use crate::report::{Report, Settings, Subject, measure, page};
use crate::training::{checkpoint, history};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file, or the name of a bundled model: plain, robust; given twice, both stand side by side
    #[arg(long, default_value = "plain", value_name = "MODEL")]
    model: Vec<ModelName>,
    /// Folder to write: index.html, every plot as SVG and PNG, the images as PNG; a report that is there is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    data: DataArguments,
    /// Number of images, the first of the test set
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Largest changes of a pixel, in units of [0, 1], of the accuracy curves
    #[arg(
        long,
        value_parser = eps::parse_list,
        default_value = "0.05,0.1,0.15,0.2,0.25,0.3,0.35,0.4",
        value_name = "E",
        allow_negative_numbers = true
    )]
    eps: Vec<eps::List>,
    /// eps of the robust evaluation, the examples and the targeted attacks
    #[arg(long, value_parser = eps::parse, default_value = "0.3", value_name = "E", allow_negative_numbers = true)]
    robust_eps: f32,
    /// Steps of PGD
    #[arg(long, default_value_t = 100, value_name = "T")]
    steps: usize,
    /// Random starts of PGD in the robust evaluation
    #[arg(long, default_value_t = 3, value_name = "N")]
    restarts: usize,
    /// Print JSON: all figures of the page
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let eps = arguments.check()?;
    let subjects = arguments.subjects()?;
    let data = arguments.data.load(Split::Test, 0, Some(arguments.limit))?;
    for subject in &subjects {
        check_fit(&subject.weights, &data).with_context(|| subject.source.clone())?;
    }
    let folder = Folder::open(&arguments.out)?;
    let &Arguments { robust_eps, steps, restarts, .. } = arguments;
    let (images, seed) = (data.len(), arguments.data.seed);
    let settings = Settings { data: data.name.clone(), images, seed, eps, robust_eps, steps, restarts };
    let models = measure::all(&subjects, &data, &settings)?;
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let report = Report { version: env!("CARGO_PKG_VERSION"), date, settings, models };
    let page = page::layout(&report)?;
    let path = folder.write(&page.html, &page.files)?;
    if arguments.json {
        return print_json(super::json::REPORT, &report);
    }
    println!("{}", path.display());
    Ok(())
}

impl Arguments {
    /// Before anything is loaded. The eps of the curves, ascending.
    fn check(&self) -> Result<Vec<f32>> {
        ensure!(self.model.len() <= 2, "--model is given {} times: expected one or two models", self.model.len());
        ensure!(self.robust_eps > 0.0, "--robust-eps is 0: expected a number above 0");
        ensure!(self.steps > 0, "--steps must be at least 1");
        ensure!(self.restarts > 0, "--restarts must be at least 1");
        ensure!(self.limit > 0, "--limit must be at least 1");
        let mut eps = eps::List::flatten(&self.eps);
        eps.retain(|eps| *eps > 0.0);
        ensure!(!eps.is_empty(), "--eps needs a number above 0");
        eps.sort_by(f32::total_cmp);
        eps.dedup();
        Ok(eps)
    }

    /// The models, with names that differ.
    fn subjects(&self) -> Result<Vec<Subject>> {
        let mut subjects = self.model.iter().map(subject).collect::<Result<Vec<_>>>()?;
        if let [a, b] = &mut subjects[..]
            && a.name == b.name
        {
            (a.name, b.name) = if a.source == b.source {
                (format!("{} (A)", a.name), format!("{} (B)", b.name))
            } else {
                (a.source.clone(), b.source.clone())
            };
        }
        Ok(subjects)
    }
}

fn subject(model: &ModelName) -> Result<Subject> {
    let weights = model.load()?;
    let (path, source) = (model.path(), model.shown());
    let bundled = bundled::MODELS.iter().any(|(name, _)| *name == source);
    let beside = (!bundled).then(|| checkpoint::path(path));
    let training = history::of_run(&weights, beside.as_deref()).with_context(|| source.to_string())?;
    let name = path.file_stem().map_or(source.into(), |stem| stem.to_string_lossy());
    Ok(Subject { name: name.into_owned(), source: source.to_string(), weights, training })
}
