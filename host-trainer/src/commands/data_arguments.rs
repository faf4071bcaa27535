//! Images for a command, with and without a model.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::model_arguments::ModelArguments;
use crate::any_weights::AnyWeights;
use crate::data::{self, Classes, ClassesProblem, Input, Loaded, Part, Reading, Source, Split};
use crate::evaluation::classifier::Classifier as _;
use crate::training::history::{BORDER, CLASSES, DATA};

/// Where images come from, and how they are read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArguments {
    /// Images: a folder of pictures (PNG, JPEG, BMP) with a folder for each class or a labels.csv, of MNIST's or CIFAR-10's
    /// files; a picture, a .safetensors, .npy or .npz file; or "synthetic" for digits that midge draws [default:
    /// $MIDGE_DATA, else MNIST from the cache, downloaded]
    #[arg(long, value_name = "DATA")]
    pub(super) data: Option<OsString>,
    /// Turn bright and dark around, for dark digits on white paper
    #[arg(long)]
    pub(super) invert: bool,
    /// File with the name of a class on each line, in the model's order [default: those of the model, else of the data]
    #[arg(long, value_name = "FILE")]
    pub(super) labels: Option<PathBuf>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) seed: u64,
}

/// What a model knows of its images beside their shape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(super) classes: Classes,
    /// Whether it was trained on images with a dark border.
    is_dark: bool,
}

/// Parts of the way from the smallest to the largest value from which on a border is bright, and up to which it is dark.
const BRIGHT: f32 = 0.6;
const DARK: f32 = 0.3;

impl Expected {
    /// Classes of these names.
    pub(crate) fn of(classes: Classes) -> Self {
        Self { classes, is_dark: false }
    }

    /// What its file says; an unknown model of MNIST's shape is taken for one of digits.
    pub(crate) fn by(model: &AnyWeights) -> Self {
        let note = |key: &str| model.metadata().get(key).map(String::as_str);
        let border = note(BORDER).and_then(|border| border.parse::<f32>().ok());
        let is_digits = note(DATA).map_or(model.input().shape == [28, 28, 1], |data| {
            ["MNIST", "synthetic"].iter().any(|name| data.starts_with(name))
        });
        let classes = note(CLASSES).map(Classes::of_text).unwrap_or_default();
        Self { classes, is_dark: border.map_or(is_digits, |border| border <= DARK) }
    }
}

impl DataArguments {
    /// A part of a split, for a model that takes `input`.
    pub(crate) fn load(&self, split: Split, input: &Input, expected: &Expected, part: Part) -> Result<Loaded> {
        self.load_from(&self.source(), split, input, expected, part)
    }

    /// [`Self::load`] from another place.
    pub(crate) fn load_from(
        &self,
        source: &Source,
        split: Split,
        input: &Input,
        expected: &Expected,
        part: Part,
    ) -> Result<Loaded> {
        let reading = self.reading(input, expected)?;
        show(data::load(source, split, input, part, &reading)?, input, (&reading, expected))
    }

    /// Pictures that are named one by one.
    pub(crate) fn load_files(&self, files: &[PathBuf], input: &Input, expected: &Expected) -> Result<Loaded> {
        let reading = self.reading(input, expected)?;
        let mut loaded = data::load_files(files, &data::Fit::new(input, &reading))?;
        loaded.classes = reading.classes.clone();
        show(loaded, input, (&reading, expected))
    }

    /// The names of the classes that the user gives, if any.
    pub(crate) fn names(&self) -> Result<Classes> {
        Ok(self.labels.as_deref().map(Classes::read).transpose()?.unwrap_or_default())
    }

    fn reading(&self, input: &Input, expected: &Expected) -> Result<Reading> {
        let names = self.names()?;
        if let (Some(file), true) = (&self.labels, names.len() != input.classes) {
            return Err(ClassesProblem::Count { expected: input.classes, found: names.len() }.at(file).into());
        }
        // A model's names that do not fit are none.
        let own = expected.classes.clone();
        let own = if own.len() == input.classes { own } else { Classes::default() };
        Ok(Reading { invert: self.invert, classes: names.or(&own) })
    }

    pub(crate) fn source(&self) -> Source {
        Source::from_option(self.data.as_deref(), self.seed)
    }
}

/// [`data::load`] that says what it found.
pub(crate) fn load(source: &Source, split: Split, input: &Input, part: Part) -> Result<Loaded> {
    let reading = Reading::default();
    show(data::load(source, split, input, part, &reading)?, input, (&reading, &Expected::default()))
}

/// Says what was found and what was done to it.
fn show(data: Loaded, input: &Input, (reading, expected): (&Reading, &Expected)) -> Result<Loaded> {
    let [height, width, channels] = data.shape;
    detail!("data: {}, {} images of {height}x{width}x{channels}", data.name, data.len());
    data.notices.iter().for_each(|notice| once(notice));
    let border = data::border(&data.images, data.shape);
    let part = (border - input.range[0]) / input.width();
    if !reading.invert && expected.is_dark && part > BRIGHT && !data.is_empty() {
        once(
            "the images have a bright border, those that the model was trained on a dark one: --invert turns them around",
        );
    }
    Ok(data)
}

/// Notices that were printed already.
static PRINTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A note that is printed once, however many data sets it is true of.
fn once(notice: &str) {
    if PRINTED.lock().unwrap_or_else(PoisonError::into_inner).insert(notice.to_string()) {
        note!("{notice}");
    }
}

/// A model and images of the test set.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TestArguments {
    #[command(flatten)]
    pub(super) model: ModelArguments,
    #[command(flatten)]
    pub(super) data: DataArguments,
    /// First image of the test set
    #[arg(long, default_value_t = 0, value_name = "I")]
    pub(super) offset: usize,
    /// Number of images [default: all]
    #[arg(long, value_name = "N", value_parser = from_one)]
    pub(super) limit: Option<usize>,
}

/// Reads a number of images.
pub(crate) fn from_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or("expected a whole number from 1".into())
}

impl TestArguments {
    /// The model, which tells classes apart.
    pub(crate) fn model(&self) -> Result<AnyWeights> {
        self.model.load_classifier()
    }

    /// Images for `model`, and labels if there are any.
    pub(crate) fn images(&self, model: &AnyWeights) -> Result<Loaded> {
        let part = Part { offset: self.offset, limit: self.limit };
        self.data.load(Split::Test, &model.input(), &Expected::by(model), part)
    }

    /// The pictures in some files; without files, [`Self::images`].
    pub(crate) fn pictures(&self, files: &[PathBuf], model: &AnyWeights) -> Result<Loaded> {
        match files {
            [] => self.images(model),
            files => self.data.load_files(files, &model.input(), &Expected::by(model)),
        }
    }

    pub(crate) fn model_name(&self) -> &str {
        self.model.name()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.data.seed
    }
}
