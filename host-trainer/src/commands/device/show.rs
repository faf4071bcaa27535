//! `midge device list`, `info`, `classify`, `attack`.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use midge_core::attack::Outcome;
use midge_core::loss::{argmax, softmax};
use midge_link::Ability;
use serde::Serialize;

use super::super::attack_arguments::{self, Selected, describe, select};
use super::super::eps::{self, Eps};
use super::super::{json, percent, print_json};
use super::session::{self, ImageArguments, Session, element_name};
use crate::data::Classes;
use crate::device::table::unit_name;
use crate::device::{Client, DeviceError, DeviceInfo, port};
use crate::evaluation::Share;
use crate::progress;

#[derive(Debug, clap::Args)]
pub(super) struct InfoOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ClassifyOptions {
    #[command(flatten)]
    images: ImageArguments,
    /// Print JSON: class, confidence and cost of each image, and the accuracy if there are labels
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct AttackOptions {
    #[command(flatten)]
    images: ImageArguments,
    #[command(flatten)]
    attack: attack_arguments::AttackArguments,
    /// Largest change of a pixel, as midge attack takes it
    #[arg(long, value_parser = eps::parse, value_name = "E", allow_negative_numbers = true)]
    eps: Eps,
    /// Print JSON: classes before and after, and the cost, of each image
    #[arg(long)]
    json: bool,
}

/// Which lines there are, and who answers.
pub(super) fn list(patience: Duration) -> Result<()> {
    let ports = port::candidates();
    for name in &ports {
        let answer = port::open(name).map_err(|error| error.to_string()).and_then(|line| {
            let client = Client::open(line, patience, Arc::new(AtomicBool::new(false)));
            client.map(|client| in_a_line(client.info())).map_err(|error| match error {
                DeviceError::Silent { .. } => "no answer".into(),
                other => other.to_string(),
            })
        });
        println!("{name}  {}", answer.unwrap_or_else(|error| error));
    }
    if ports.is_empty() {
        note!("no serial line is there; midge device --emulator info starts an emulated board");
    }
    Ok(())
}

fn in_a_line(info: &DeviceInfo) -> String {
    format!("{}  model {} {}, {}", info.board, info.model, element_name(info.element), info.fingerprint)
}

#[derive(Serialize)]
struct About<'a> {
    port: String,
    board: &'a str,
    model: &'a str,
    fingerprint: &'a str,
    dtype: &'static str,
    shape: [usize; 3],
    classes: usize,
    range: [f32; 2],
    scale: Option<f32>,
    zero_point: Option<i32>,
    abilities: Vec<&'static str>,
    memory_elements: usize,
    chunk_bytes: usize,
    unit: &'static str,
    protocol: u8,
}

pub(super) fn info(session: &Session<'_>, arguments: &InfoOptions) -> Result<()> {
    let device = session.device()?;
    let about = About::of(device.client.port(), device.client.info());
    if arguments.json {
        return print_json(json::DEVICE, &about);
    }
    about.print();
    Ok(())
}

impl<'a> About<'a> {
    fn of(port: String, info: &'a DeviceInfo) -> Self {
        let abilities = [
            ("gradient", Ability::Gradient),
            ("attack", Ability::Attack),
            ("camera", Ability::Camera),
            ("integers", Ability::Integers),
        ];
        let grid = info.input.grid;
        Self {
            port,
            board: &info.board,
            model: &info.model,
            fingerprint: &info.fingerprint,
            dtype: element_name(info.element),
            shape: info.input.shape,
            classes: info.input.classes,
            range: info.input.range,
            scale: grid.map(|grid| grid.scale),
            zero_point: grid.map(|grid| grid.zero_point),
            abilities: [("classify", true), ("logits", true)]
                .into_iter()
                .chain(abilities.map(|(name, ability)| (name, info.can(ability))))
                .filter_map(|(name, can)| can.then_some(name))
                .collect(),
            memory_elements: info.memory,
            chunk_bytes: info.chunk,
            unit: unit_name(info.unit),
            protocol: midge_link::VERSION,
        }
    }

    fn print(&self) {
        let [height, width, channels] = self.shape;
        let [low, high] = self.range;
        println!("port      {}", self.port);
        println!("board     {}", self.board);
        println!("model     {} ({}), {}", self.model, self.dtype, self.fingerprint);
        println!("input     {height}x{width}x{channels}, {low} to {high}");
        if let (Some(scale), Some(zero_point)) = (self.scale, self.zero_point) {
            println!("grid      {scale} * (integer - {zero_point})");
        }
        println!("classes   {}", self.classes);
        println!("can       {}", self.abilities.join(", "));
        println!(
            "memory    {} elements for jobs; {} bytes of elements in a message",
            self.memory_elements, self.chunk_bytes
        );
        println!("counts    {}", self.unit);
        println!("protocol  {}", self.protocol);
    }
}

/// What the board reads in one image.
#[derive(Debug, Serialize)]
struct Reading {
    index: usize,
    class: usize,
    /// What the class is called, if it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    confidence: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<u16>,
    ticks: u64,
    stack_bytes: u32,
}

#[derive(Debug, Serialize)]
struct Readings {
    board: String,
    model: String,
    unit: &'static str,
    accuracy: Option<Share>,
    images: Vec<Reading>,
}

pub(super) fn classify(session: &Session<'_>, arguments: &ClassifyOptions) -> Result<()> {
    let mut device = session.device()?;
    let info = device.client.info().clone();
    let data = arguments.images.load(&info.input, &session.expected(&info)?)?;
    let bar = progress::bar(data.len() as u64, "classifying");
    let mut images = Vec::new();
    for i in 0..data.len() {
        let (mut logits, cost) = device.logits(data.image(i))?;
        let class = argmax(&logits);
        softmax(&mut logits);
        images.push(Reading {
            index: data.places[i],
            class,
            name: (!data.classes.is_empty()).then(|| data.classes.name(class).into_owned()),
            confidence: logits[class],
            label: data.labels.as_ref().map(|labels| labels[i]),
            ticks: cost.ticks,
            stack_bytes: cost.stack,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let is_right = |image: &&Reading| image.label.is_some_and(|label| usize::from(label) == image.class);
    let right = images.iter().filter(is_right).count();
    let accuracy = data.labels.as_ref().map(|_| Share::new(right, images.len()));
    let readings = Readings { board: info.board, model: info.model, unit: unit_name(info.unit), accuracy, images };
    if arguments.json {
        return print_json(json::DEVICE_CLASSIFY, &readings);
    }
    readings.print(&data.name, &data.classes);
    Ok(())
}

impl Readings {
    fn print(&self, data: &str, classes: &Classes) {
        println!("{}  model {}  {data}", self.board, self.model);
        let width = widest(classes, self.images.iter().map(|image| image.class), "class");
        println!("image  {:>width$}  confidence  {:>12}", "class", self.unit);
        for image in &self.images {
            let wrong = match image.label {
                Some(label) if usize::from(label) != image.class => format!("  wrong: {}", classes.name(label.into())),
                _ => String::new(),
            };
            let confidence = percent(f64::from(image.confidence));
            let class = classes.name(image.class);
            println!("{:>5}  {class:>width$}  {confidence:>10}  {:>12}{wrong}", image.index, image.ticks);
        }
        if let Some(accuracy) = self.accuracy {
            println!("accuracy {}  ({} of {})", percent(accuracy.fraction), accuracy.count, accuracy.of);
        }
    }
}

/// What the attack on the board's model did to one image.
#[derive(Debug, Serialize)]
struct Attacked {
    index: usize,
    label: usize,
    before: usize,
    after: usize,
    confidence: f32,
    target: Option<usize>,
    zero_gradient_steps: usize,
    largest_change: f32,
    ticks: u64,
    stack_bytes: u32,
}

#[derive(Debug, Serialize)]
struct Attacks {
    board: String,
    model: String,
    attack: String,
    eps: f32,
    unit: &'static str,
    images: Vec<Attacked>,
}

pub(super) fn attack(session: &Session<'_>, arguments: &AttackOptions) -> Result<()> {
    arguments.attack.check()?;
    let mut device = session.device()?;
    let expected = session.expected(device.client.info())?;
    let DeviceInfo { board, model, input, unit, .. } = device.client.info().clone();
    let eps = arguments.eps.of("--eps", &input)?;
    let data = arguments.images.load(&input, &expected)?.labelled()?;
    let attack = arguments.attack.attack(arguments.images.data.seed, &input, &data.classes)?;
    session::check_way(device.client.info(), attack)?;
    let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
    let Selected { data, labels } = select(attack, &data, &labels)?;
    let bar = progress::bar(data.len() as u64, attack.name());
    let mut images = Vec::new();
    for (i, label) in labels.into_iter().enumerate() {
        let index = data.places[i];
        let found = device.attack(attack.at_place(eps, index), (data.image(i), label))?;
        let Outcome { before, after, zero_gradient_steps, largest_change, target } = found.outcome;
        images.push(Attacked {
            index,
            label,
            before: before.class,
            after: after.class,
            confidence: after.confidence,
            target,
            zero_gradient_steps,
            largest_change,
            ticks: found.cost.ticks,
            stack_bytes: found.cost.stack,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let attack = describe(attack, &data.classes);
    let report = Attacks { board, model, attack, eps, unit: unit_name(unit), images };
    if arguments.json {
        return print_json(json::DEVICE_ATTACK, &report);
    }
    report.print(&input.shown(eps), &data.name, &data.classes);
    Ok(())
}

impl Attacks {
    fn print(&self, eps: &str, data: &str, classes: &Classes) {
        println!("{}  model {}  {}  eps {eps}  {data}", self.board, self.model, self.attack);
        let cells = |image: &Attacked| [image.label, image.before, image.after];
        let titles = ["label", "before", "after"];
        let widths = [0, 1, 2].map(|k| widest(classes, self.images.iter().map(|image| cells(image)[k]), titles[k]));
        let row = |cells: [Cow<'_, str>; 3]| {
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}"));
            cells.collect::<Vec<_>>().join("  ")
        };
        println!("image  {}  confidence  {:>12}  stack", row(titles.map(Cow::from)), self.unit);
        for image in &self.images {
            let confidence = percent(f64::from(image.confidence));
            println!(
                "{:>5}  {}  {confidence:>10}  {:>12}  {:>5}",
                image.index,
                row(cells(image).map(|class| classes.name(class))),
                image.ticks,
                image.stack_bytes
            );
        }
    }
}

/// Characters of a column of classes under a title.
fn widest(classes: &Classes, shown: impl Iterator<Item = usize>, title: &str) -> usize {
    shown.map(|class| classes.name(class).chars().count()).max().unwrap_or(0).max(title.len())
}
