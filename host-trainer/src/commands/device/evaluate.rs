//! `midge device evaluate`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use midge_link::Ability;
use serde::Serialize;

use super::super::attack_arguments::{AttackArguments, Selected, describe, select};
use super::super::eps::{self, Eps};
use super::super::exit::CheckFailed;
use super::super::{Expected, ModelName, json, percent, print_json};
use super::evaluate_file::{self, Identity};
use super::hosts::{self, Others};
use super::session::{self, ImageArguments, Session};
use crate::device::evaluation::{Host, Measured, measure};
use crate::device::farm::{Ended, share};
use crate::device::plan::Plan;
use crate::device::table::{Table, count};
use crate::device::{Device, DeviceInfo};
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Share};
use crate::files::check_writable;
use crate::progress;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    attack: AttackArguments,
    /// Largest change of a pixel, as midge attack takes it
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true)]
    eps: Eps,
    /// The model in f32, to compare with [default: the real numbers that the board's weights stand for]
    #[arg(long, value_name = "MODEL")]
    reference: Option<ModelName>,
    /// Try the attacks on this model, too, on the board: whether they transfer from a model that somebody else has
    #[arg(long, value_name = "MODEL")]
    source: Option<ModelName>,
    /// Write all results as safetensors, what is finished too if the work ends early
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on with what is in --out
    #[arg(long, requires = "out")]
    resume: bool,
    #[command(flatten)]
    gate: Gate,
    /// Print JSON: shares with their counts, agreement and costs
    #[arg(long)]
    json: bool,
}

/// What the board has to reach.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Gate {
    /// End with exit status 3 if the board is below one of the limits
    #[arg(long)]
    check: bool,
    /// Least share of images that the board reads correctly
    #[arg(long, value_name = "SHARE", value_parser = share_of, requires = "check")]
    min_accuracy: Option<f64>,
    /// Least share that it reads correctly before and after its own attack, or the host's if it cannot attack
    #[arg(long, value_name = "SHARE", value_parser = share_of, requires = "check")]
    min_robust: Option<f64>,
    /// Least share of which host and board say the same, clean and under every attack
    #[arg(long, value_name = "SHARE", value_parser = share_of, requires = "check")]
    min_agreement: Option<f64>,
}

fn share_of(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or("expected a share from 0 to 1".into())
}

/// How often what is finished is written down.
const SAVE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Report<'a> {
    board: &'a str,
    model: &'a str,
    dtype: &'static str,
    fingerprint: &'a str,
    attack: String,
    eps: f32,
    data: &'a str,
    seed: u64,
    left_out: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(flatten)]
    table: Table,
    lost: Vec<String>,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    arguments.attack.check()?;
    arguments.gate.check()?;
    arguments.out.as_deref().map_or(Ok(()), check_writable)?;
    let devices = session.devices()?;
    let info = devices.first().context("no board")?.client.info().clone();
    let model = session.model(&info)?;
    let input = model.as_ref().map_or(info.input, |model| model.input());
    let seed = arguments.images.data.seed;
    let eps = arguments.eps.of("--eps", &input)?;
    let expected = model.as_ref().map_or_else(Expected::default, Expected::by);
    let all = arguments.images.load(&input, &expected)?.labelled()?;
    let attack = arguments.attack.attack(seed, &input, &all.classes)?;
    if model.is_none() {
        arguments.check_alone(&info, attack)?;
    }
    let labels: Vec<usize> = (0..all.len()).map(|i| all.label(i)).collect();
    let Selected { data, labels } = select(attack, &all, &labels)?;
    let in_integers = info.can(Ability::Integers);
    let classes = input.classes;
    let plan = Plan { data: &data, labels: &labels, attack, classes, eps, grid: input.grid, in_integers };
    let others = Others { source: arguments.source.as_ref(), reference: arguments.reference.as_ref() };
    let hosts = match model {
        Some(model) => hosts::measure(&session.stop, model, others, &plan)?,
        None => Vec::new(),
    };
    let identity = Identity::new(&plan, &info, &hosts, describe(attack, &data.classes))?;
    let mut work = Work { session, arguments, plan, hosts: &hosts, identity, done: BTreeMap::new() };
    let ended = work.run(devices)?;
    if work.done.is_empty() {
        return work.end(ended);
    }
    let report = work.report(&info, all.len() - data.len(), &ended)?;
    arguments.show(&report, &input.shown(eps))?;
    work.end(ended)?;
    arguments.gate.verdict(&report.table)
}

/// The work of one run, and what of it is finished.
struct Work<'a> {
    session: &'a Session<'a>,
    arguments: &'a Arguments,
    plan: Plan<'a>,
    hosts: &'a [Host],
    identity: Identity,
    /// By the number of the image.
    done: BTreeMap<usize, Measured>,
}

impl Work<'_> {
    /// Has the boards do what is not finished.
    fn run(&mut self, devices: Vec<Device>) -> Result<Ended> {
        if let Some(path) = self.arguments.out.as_deref().filter(|path| self.arguments.resume && path.exists()) {
            self.done = evaluate_file::read(path, &self.identity, (&self.plan, self.hosts))?;
            note!("{}: {} of {} images are finished", path.display(), self.done.len(), self.plan.data.len());
        }
        let todo: Vec<usize> = (0..self.plan.data.len()).filter(|index| !self.done.contains_key(index)).collect();
        let bar = progress::bar(todo.len() as u64, "on the board");
        let (plan, hosts) = (self.plan, self.hosts);
        let mut saved = Instant::now();
        let work = |device: &mut Device, index: usize| measure(device, &plan, hosts, index);
        let ended = share(devices, todo, work, |index, measured| {
            self.done.insert(index, measured);
            bar.inc(1);
            if saved.elapsed() >= SAVE {
                // Whatever is in the way may be gone at the end, which says so if it is not.
                let _ = self.save();
                saved = Instant::now();
            }
        });
        bar.finish_and_clear();
        self.save()?;
        Ok(ended)
    }

    fn report<'r>(&'r self, info: &'r DeviceInfo, left_out: usize, ended: &Ended) -> Result<Report<'r>> {
        let done: Vec<_> = self.done.iter().map(|(index, measured)| (*index, measured)).collect();
        Ok(Report {
            board: &info.board,
            model: &info.model,
            dtype: session::element_name(info.element),
            fingerprint: &info.fingerprint,
            attack: describe(self.plan.attack, &self.plan.data.classes),
            eps: self.plan.eps,
            data: &self.plan.data.name,
            seed: self.arguments.images.data.seed,
            left_out,
            source: self.arguments.source.as_ref().map(ModelName::shown),
            table: count(&self.plan, self.hosts, &done, info.unit)?,
            lost: ended.lost.iter().map(ToString::to_string).collect(),
        })
    }

    fn save(&self) -> Result<()> {
        let Some(path) = &self.arguments.out else { return Ok(()) };
        if self.done.is_empty() {
            return Ok(());
        }
        evaluate_file::write(path, &self.identity, (&self.plan, self.hosts), &self.done)
    }

    /// Whether everything is done, and what stood in the way.
    fn end(&self, ended: Ended) -> Result<()> {
        let Ended { lost, fatal, left } = ended;
        if left == 0 {
            lost.iter().for_each(|error| eprintln!("midge: {error}; the other boards took its images"));
            return Ok(());
        }
        let hint = match &self.arguments.out {
            Some(path) if !self.done.is_empty() => {
                format!("; what is finished is in {}, --resume goes on", path.display())
            }
            _ => String::new(),
        };
        let cause = fatal.into_iter().chain(lost).map(|error| error.to_string()).collect::<Vec<_>>().join("; ");
        let total = self.plan.data.len();
        // Set by Ctrl-C, whatever became of the line then.
        let stopped = self.session.stop.load(std::sync::atomic::Ordering::Relaxed);
        let cause = if stopped { "stopped".into() } else { cause };
        bail!("{cause}: {left} of {total} images are not measured{hint}")
    }
}

impl Arguments {
    /// Whether a board can be measured whose model the host has not.
    fn check_alone(&self, info: &DeviceInfo, attack: Attack) -> Result<()> {
        let unknown =
            || format!("{}, which is no bundled model: expected --model with its file", session::on_board(info));
        session::check_way(info, attack).with_context(unknown)?;
        ensure!(self.source.is_none() && self.reference.is_none(), "{}", unknown());
        note!(
            "{}, which is no bundled model: without --model with its file it is measured alone",
            session::on_board(info)
        );
        Ok(())
    }

    fn show(&self, report: &Report<'_>, eps: &str) -> Result<()> {
        if self.json {
            return print_json(json::DEVICE_EVALUATE, report);
        }
        print(report, eps);
        Ok(())
    }
}

impl Gate {
    fn check(&self) -> Result<()> {
        let limits = [self.min_accuracy, self.min_robust, self.min_agreement];
        let expected = "--check: expected --min-accuracy, --min-robust or --min-agreement with it";
        ensure!(!self.check || limits.iter().any(Option::is_some), expected);
        Ok(())
    }

    /// Whether the board reaches every limit.
    fn verdict(&self, table: &Table) -> Result<()> {
        let board = table.board().context("no board")?;
        let limits = [
            ("accuracy", self.min_accuracy, Some(board.right)),
            ("robust accuracy", self.min_robust, board.own(table.readers.len() - 1)),
            ("agreement", self.min_agreement, table.closest().map(|closest| closest.all)),
        ];
        let mut failed = Vec::new();
        for (what, least, found) in limits {
            let Some(least) = least else { continue };
            match found.and_then(|share: Share| share.fraction) {
                Some(found) if found >= least => {}
                Some(found) => failed.push(format!("{what} {} is below {}", percent(found), percent(least))),
                None => failed.push(format!("{what} is not known")),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(CheckFailed(failed.join("; ")).into()) }
    }
}

const LABELS: usize = 30;
const COLUMN: usize = 20;

fn line(label: &str, cells: impl IntoIterator<Item = String>) {
    let cells: String = cells.into_iter().map(|cell| format!("{cell:<COLUMN$}")).collect();
    println!("{}", format!("{label:<LABELS$}{cells}").trim_end());
}

fn cell(share: Option<Share>) -> String {
    share.map_or("-".into(), |share| format!("{:>8}  {}/{}", percent(share.fraction), share.count, share.of))
}

fn print(report: &Report<'_>, eps: &str) {
    let Report { board, model, dtype, fingerprint, attack, data, seed, table, .. } = report;
    println!("{board} runs {model} ({dtype}, {fingerprint})");
    println!("{attack}  eps {eps}  {data}, {} images  seed {seed}", table.samples);
    if report.left_out > 0 {
        println!("{} images left out: the target is their own class", report.left_out);
    }
    if let Some(source) = report.source {
        println!("source of attacks: {source}");
    }
    println!();
    line("", table.readers.iter().map(|reader| reader.name.clone()));
    line("right", table.readers.iter().map(|reader| cell(Some(reader.right))));
    println!("right before and after the attack of");
    for (maker, of) in table.readers.iter().enumerate() {
        line(&format!("  {}", of.name), table.readers.iter().map(|reader| cell(reader.robust[maker])));
    }
    print_agreement(table);
    println!();
    for cost in &table.costs {
        println!("{:<8} {} {}, {} bytes of stack", cost.job, cost.ticks, cost.unit, cost.stack_bytes);
    }
}

fn print_agreement(table: &Table) {
    if table.agreement.is_empty() {
        return;
    }
    println!("same class as the device");
    line("  clean", table.agreement.iter().map(|a| cell(Some(a.clean))));
    line("  clean and under all attacks", table.agreement.iter().map(|a| cell(Some(a.all))));
    line("same adversarial image", table.agreement.iter().map(|a| cell(a.adversarial)));
    let pixels = |a: &crate::device::table::Agreement| a.pixels.map_or("-".into(), |pixels| format!("{pixels:.2}"));
    line("  pixels that differ, mean", table.agreement.iter().map(pixels));
    line("largest difference of a logit", table.agreement.iter().map(|a| format!("{:.2e}", a.logits)));
}
