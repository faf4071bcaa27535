//! `midge classify`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::ProgressBar;
use midge_core::loss::{argmax, softmax};
use serde::Serialize;

use super::tensor_file::{self, Values};
use super::{TestArguments, percent, print_json};
use crate::any_weights::AnyWeights;
use crate::data::{Classes, Loaded};
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Share, logits};
use crate::files::check_writable;
use crate::progress;

const IMAGES: &str = "\
A picture is a PNG, JPEG or BMP file. One of another size than the model's is averaged to that. Black is 0 and white the largest \
value, 1 or as the model says; a model of integers sees the byte less 128. For a model with one channel colours become grey \
(0.299 R + 0.587 G + 0.114 B), for one with three grey is the same in all. What is transparent lies over white.";

#[derive(Debug, clap::Args)]
#[command(after_help = IMAGES)]
pub(crate) struct Arguments {
    /// Pictures to classify (PNG, JPEG, BMP), in place of --data
    #[arg(value_name = "IMAGE", conflicts_with_all = ["data", "offset", "limit"])]
    images: Vec<PathBuf>,
    #[command(flatten)]
    test: TestArguments,
    /// Write logits ([N, classes], F32), classes ([N], I32) and, of a model of integers, logits_int8 ([N, classes], I8) as
    /// safetensors; the metadata say how they came about
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON: class and confidence of each image, and the accuracy if there are labels
    #[arg(long)]
    json: bool,
}

/// What the model reads in one image.
#[derive(Debug, Serialize)]
struct Reading {
    /// Its place in the data set.
    index: usize,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    class: usize,
    /// What the class is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Probability of the class.
    confidence: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    data: &'a str,
    samples: usize,
    /// Of all images; null without labels.
    accuracy: Option<f64>,
    correct: Option<usize>,
    images: Vec<Reading>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.out.as_deref().map_or(Ok(()), check_writable)?;
    let model = arguments.test.model()?;
    let input = model.input();
    let images = arguments.test.pictures(&arguments.images, &model)?;
    let bar = progress::bar(images.len() as u64, "classifying");
    let logits = Logits::of(&model, &images, &bar)?;
    bar.finish_and_clear();
    let readings = readings(&images, logits.values.chunks(input.classes));
    if let Some(path) = &arguments.out {
        let metadata = metadata(arguments, &model, &images)?;
        write(path, &readings, &logits, metadata)?;
    }
    let right = images.labels.as_ref().map(|_| readings.iter().filter(|reading| reading.is_right()).count());
    let share = right.map(|right| Share::new(right, images.len()));
    let report = Report {
        model: arguments.test.model_name(),
        data: &images.name,
        samples: images.len(),
        accuracy: share.and_then(|share| share.fraction),
        correct: right,
        images: readings,
    };
    if arguments.json {
        return print_json(super::json::CLASSIFY, &report);
    }
    print(&report, &images.classes);
    Ok(())
}

/// Logits of all images, `[N, classes]`, and the integers that they are.
struct Logits {
    values: Vec<f32>,
    int8: Option<Vec<i8>>,
}

impl Logits {
    fn of(model: &AnyWeights, images: &Loaded, bar: &ProgressBar) -> Result<Self> {
        let values = logits(model, images.len(), |i| images.image(i), bar)?;
        let mut memory = vec![0.0; model.memory_len()];
        let grid = model.any_model(&mut memory)?.logit_grid();
        let int8 = grid.map(|grid| values.iter().map(|x| grid.round(*x)).collect());
        Ok(Self { values, int8 })
    }
}

/// Writes the file of `--out`.
fn write(path: &Path, readings: &[Reading], logits: &Logits, metadata: BTreeMap<&str, String>) -> Result<()> {
    let classes = readings.iter().map(|reading| Ok(reading.class.try_into()?)).collect::<Result<Vec<i32>>>()?;
    let n = readings.len();
    let shape = vec![n, logits.values.len() / n.max(1)];
    let mut tensors =
        vec![("logits", shape.clone(), Values::F32(&logits.values)), ("classes", vec![n], Values::I32(&classes))];
    // As a model of integers computes them.
    tensors.extend(logits.int8.as_ref().map(|logits| ("logits_int8", shape, Values::I8(logits))));
    tensor_file::write(path, tensors, metadata)
}

/// How the tensors of `--out` came about.
fn metadata(arguments: &Arguments, model: &AnyWeights, images: &Loaded) -> Result<BTreeMap<&'static str, String>> {
    Ok(BTreeMap::from([
        ("midge.version", env!("CARGO_PKG_VERSION").to_string()),
        ("model", arguments.test.model_name().to_string()),
        ("model.checksum", model.checksum()?),
        ("data", images.name.clone()),
        ("offset", arguments.test.offset.to_string()),
    ]))
}

fn readings<'l>(images: &Loaded, logits: impl Iterator<Item = &'l [f32]>) -> Vec<Reading> {
    let reading = |(i, logits): (usize, &[f32])| {
        let class = argmax(logits);
        let mut probabilities = logits.to_vec();
        softmax(&mut probabilities);
        Reading {
            index: images.places[i],
            file: images.files.get(i).cloned(),
            class,
            name: (!images.classes.is_empty()).then(|| images.classes.name(class).into_owned()),
            confidence: probabilities.get(class).copied().unwrap_or(0.0),
            label: images.labels.as_ref().map(|labels| labels[i]),
        }
    };
    logits.enumerate().map(reading).collect()
}

impl Reading {
    fn is_right(&self) -> bool {
        self.label.is_some_and(|label| usize::from(label) == self.class)
    }
}

fn print(report: &Report<'_>, classes: &Classes) {
    println!("model {}  {}", report.model, report.data);
    let names: Vec<String> =
        report.images.iter().map(|image| image.file.clone().unwrap_or(image.index.to_string())).collect();
    let widest = |words: &mut dyn Iterator<Item = usize>, heading: &str| words.max().unwrap_or(0).max(heading.len());
    let width = widest(&mut names.iter().map(|name| name.chars().count()), "image");
    let class_width = widest(&mut report.images.iter().map(|image| classes.name(image.class).chars().count()), "class");
    let labels = report.images.iter().filter_map(|image| image.label);
    let label_width = widest(&mut labels.map(|label| classes.name(label.into()).chars().count()), "label");
    let label = if report.correct.is_some() { format!("  {:>label_width$}", "label") } else { String::new() };
    println!("{:<width$}  {:>class_width$}  confidence{label}", "image", "class");
    for (image, name) in report.images.iter().zip(names) {
        let confidence = percent(f64::from(image.confidence));
        let label = match image.label.map(|label| classes.name(label.into())) {
            Some(label) if image.is_right() => format!("  {label:>label_width$}"),
            Some(label) => format!("  {label:>label_width$}  wrong"),
            None => String::new(),
        };
        println!("{name:<width$}  {:>class_width$}  {confidence:>10}{label}", classes.name(image.class));
    }
    if let Some(correct) = report.correct {
        println!("accuracy {}  ({correct} of {})", percent(report.accuracy), report.samples);
    }
}
