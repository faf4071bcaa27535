//! `midge attack IMAGE...`: a line for each picture, and pictures as results.
//!
//! A picture of another size than the model's is averaged before the attack. Its adversarial twin has the size that it came with:
//! each of its pixels changes by as much as the model's pixel above it, so the means change by that too but where black and
//! white end. What the model reads in the file is measured on the file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use midge_core::attack::to_8_bits;
use midge_core::loss::{argmax, softmax};
use serde::Serialize;

use super::percent;
use crate::any_weights::AnyWeights;
use crate::data::decode::{self, Bitmap};
use crate::data::{Classes, Fit, Input, Reading};
use crate::drawing::Picture;
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attacked, Job, logits};
use crate::files::{check_writable, write_atomically};
use crate::picture::{self, Example};
use crate::report::examples::example;

/// Examples on one picture, at most.
const EXAMPLES: usize = 40;

/// Where the results of an attack go.
#[derive(Debug, Clone)]
pub(super) enum Out {
    /// All of them, as safetensors.
    Tensors(PathBuf),
    /// The adversarial twin of each picture: its place among the images, and its file.
    Pictures(Vec<PathBuf>),
}

impl Out {
    /// A file that ends in `.png` takes the only picture, a folder one file for each.
    ///
    /// # Errors
    /// If there are several pictures or none for a file, or the place cannot be written.
    pub(super) fn of(path: &Path, pictures: &[PathBuf]) -> Result<Self> {
        let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        if !is_png && !path.is_dir() {
            check_writable(path)?;
            return Ok(Self::Tensors(path.into()));
        }
        let shown = path.display();
        ensure!(!pictures.is_empty(), "--out {shown}: PNG files are for pictures that are named on the command line");
        if is_png {
            ensure!(
                pictures.len() == 1,
                "--out {shown}: one file for {} pictures; a folder takes them all",
                pictures.len()
            );
            check_writable(path)?;
            return Ok(Self::Pictures(vec![path.into()]));
        }
        let named: Vec<PathBuf> = pictures.iter().map(|picture| path.join(adversarial_name(picture))).collect();
        let mut sorted = named.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            anyhow::bail!("--out {shown}: two pictures would become {}", pair[0].display());
        }
        named.iter().try_for_each(|path| check_writable(path))?;
        Ok(Self::Pictures(named))
    }
}

/// `name-adversarial.png`
fn adversarial_name(picture: &Path) -> OsString {
    let mut name = picture.file_stem().unwrap_or_default().to_os_string();
    name.push("-adversarial.png");
    name
}

/// What the model reads in an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Read {
    class: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    confidence: f32,
}

/// What an attack did to one picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    file: String,
    eps: f32,
    /// The class that it walked away from.
    label: usize,
    before: Read,
    after: Read,
    /// The class of the adversarial image with pixels of 8 bits.
    class_8_bits: usize,
    /// The PNG file, and what the model reads in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<(String, Read)>,
}

fn read(classes: &Classes, class: usize, confidence: f32) -> Read {
    let name = (!classes.is_empty()).then(|| classes.name(class).into_owned());
    Read { class, name, confidence }
}

/// A line for each picture of `job`, of the files `files`, whose adversarial twins are written to `out`.
///
/// # Errors
/// If a picture cannot be read again or written.
pub(super) fn lines(
    (job, model): (&Job<'_>, &AnyWeights),
    attacked: &[Attacked],
    (files, out): (&[PathBuf], &[PathBuf]),
    invert: bool,
) -> Result<Vec<Line>> {
    let classes = &job.data.classes;
    let line = |(i, attacked): (usize, &Attacked)| {
        let place = job.data.places[i];
        let file = files.get(place).context("a picture without a file")?;
        let write = |out: &PathBuf| write_twin(model, (job, i, attacked), (file, out), invert);
        let [before, after] =
            [attacked.outcome.before, attacked.outcome.after].map(|p| read(classes, p.class, p.confidence));
        Ok(Line {
            file: file.display().to_string(),
            eps: job.eps,
            label: job.labels[i],
            before,
            after,
            class_8_bits: attacked.class_8_bits,
            out: out.get(place).map(write).transpose()?,
        })
    };
    attacked.iter().enumerate().map(line).collect()
}

/// Writes the adversarial twin of a picture, and says what the model reads in the file.
fn write_twin(
    model: &AnyWeights,
    (job, i, attacked): (&Job<'_>, usize, &Attacked),
    (file, out): (&Path, &Path),
    invert: bool,
) -> Result<(String, Read)> {
    let (input, original) = (model.input(), decode::read(file)?);
    let change = Change { clean: job.data.image(i), adversarial: &attacked.adversarial, eps: job.eps, input, invert };
    let bytes = change.of(&original).png()?;
    let reading = Reading { invert, ..Reading::default() };
    let mut image = vec![0.0; input.len()];
    Fit::new(&input, &reading).fill(&decode::decode(&bytes)?, &mut image);
    let mut found = logits(model, 1, |_| &image, &ProgressBar::hidden())?;
    let class = argmax(&found);
    softmax(&mut found);
    write_atomically(out, &bytes)?;
    let confidence = found.get(class).copied().unwrap_or(0.0);
    Ok((out.display().to_string(), read(&job.data.classes, class, confidence)))
}

/// What an attack changed.
struct Change<'a> {
    clean: &'a [f32],
    adversarial: &'a [f32],
    eps: f32,
    input: Input,
    invert: bool,
}

impl Change<'_> {
    /// The picture with the change, in 8 bits that stay inside the ball.
    fn of(&self, original: &Bitmap) -> Picture {
        let [height, width, _] = self.input.shape;
        let whole = original.samples.whole() as f32;
        Picture::from_fn(original.width, original.height, |x, y| {
            let row = (2 * y + 1) * height / (2 * original.height);
            let column = (2 * x + 1) * width / (2 * original.width);
            [0, 1, 2].map(|colour: usize| {
                let first = (y * original.width + x) * original.channels;
                let sample = original.samples.at(first + colour.min(original.channels - 1)) as f32 / whole;
                to_8_bits(sample + self.at((row * width + column, colour)), sample, self.eps / self.input.width())
            })
        })
    }

    /// The change of a colour at a pixel of the model's input, in units from black to white.
    fn at(&self, (pixel, colour): (usize, usize)) -> f32 {
        let channels = self.input.shape[2];
        let index = pixel * channels + colour.min(channels - 1);
        let change = (self.adversarial[index] - self.clean[index]) / self.input.width();
        if self.invert { -change } else { change }
    }
}

/// Draws clean + noise = adversarial of the first images.
///
/// # Errors
/// If the picture cannot be drawn or written.
pub(super) fn draw(path: &Path, job: &Job<'_>, attacked: &[Attacked]) -> Result<()> {
    let shown = attacked.iter().enumerate().take(EXAMPLES);
    let examples: Vec<Example> = shown.map(|(i, one)| example(&job.attack, job.eps, job.data, i, one)).collect();
    write_atomically(path, &picture::draw("midge", &examples)?.png()?)
}

/// Prints a line for each picture.
pub(super) fn print(lines: &[Line], classes: &Classes, shown_eps: impl Fn(f32) -> String) {
    let says = |read: &Read| format!("{}  {}", classes.name(read.class), percent(f64::from(read.confidence)));
    let mut rows = vec![["image", "eps", "label", "before", "after", "8-bit", "written"].map(String::from)];
    rows.extend(lines.iter().map(|line| {
        let out = line.out.as_ref().map(|(file, read)| format!("{file}, read as {}", says(read)));
        [
            line.file.clone(),
            shown_eps(line.eps),
            classes.name(line.label).into(),
            says(&line.before),
            says(&line.after),
            classes.name(line.class_8_bits).into(),
            out.unwrap_or_default(),
        ]
    }));
    if lines.iter().all(|line| line.out.is_none()) {
        rows.iter_mut().for_each(|row| row[6].clear());
    }
    let width = |k: usize| rows.iter().map(|row| row[k].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}
