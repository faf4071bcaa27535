//! `midge export`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{ModelArguments, from_one, load};
use crate::any_weights::AnyWeights;
use crate::data::{Part, Source, Split};
use crate::export::{float_tflite, int8_tflite};
use crate::files::{check_writable, write_atomically};
use crate::progress;
use crate::quantise::{Ends, Images, quantise};
use crate::quantised::Int8Weights;
use crate::twin::float_twin;
use crate::weights::{DType, Weights};
use anyhow::{Context, Result, ensure};

/// Images that a model is calibrated with if no other number is given.
const IMAGES: usize = 1000;

const INTEGERS: &str = "\
--dtype i8 makes integers of 8 bits of a model of floating-point numbers, by the rules of TensorFlow's converter: weights \
symmetric with a scale for each output, activations with a scale and a zero point for each layer, from the values that the \
layer has on the images of --calibrate. TensorFlow Lite for Microcontrollers computes the same integers with what --to tflite \
writes. A ReLU with a threshold needs a convolution or a dense layer before it, in whose bias the threshold goes.";

#[derive(Debug, clap::Args)]
#[command(after_help = INTEGERS)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArguments,
    /// Type of the stored weights: from a model of integers also floats that they stand for; a .tflite file has f32 or i8 [default
    /// with --to: that of the model]
    #[arg(long, value_enum, required_unless_present = "to")]
    dtype: Option<Type>,
    /// Format of the file [default: midge]
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Format>,
    #[command(flatten)]
    calibration: CalibrationArguments,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Type {
    F32,
    F16,
    /// Integers.
    I8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Safetensors, as all commands and the core read it.
    Midge,
    /// TensorFlow Lite.
    Tflite,
}

/// The images that say where the values of a layer end.
#[derive(Debug, clap::Args)]
struct CalibrationArguments {
    /// With --dtype i8: training images that tell the ranges of all layers, as --data takes them elsewhere [without DATA:
    /// $MIDGE_DATA, else MNIST from the cache, downloaded]
    #[arg(long, num_args = 0..=1, value_name = "DATA")]
    calibrate: Option<Option<OsString>>,
    /// Number of images to calibrate with [default: 1000, or all if there are fewer]
    #[arg(long, value_name = "N", value_parser = from_one, requires = "calibrate")]
    limit: Option<usize>,
    /// Let the middle P percent of a layer's values decide its range, above 50 and at most 100 [default: all values]
    #[arg(long, value_name = "P", value_parser = parse_percentile, requires = "calibrate", allow_negative_numbers = true)]
    percentile: Option<f64>,
    /// Seed of synthetic images
    #[arg(long, default_value_t = 1, value_name = "N", requires = "calibrate")]
    seed: u64,
}

fn parse_percentile(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| *percent > 50.0 && *percent <= 100.0);
    percent.ok_or_else(|| format!("{text:?}: expected a number above 50 and at most 100"))
}

pub(crate) fn export(arguments: &Export) -> Result<()> {
    check_writable(&arguments.out)?;
    let (model, calibration) = (arguments.model.load()?, &arguments.calibration);
    let (name, to_tflite) = (arguments.model.name(), arguments.to == Some(Format::Tflite));
    let is_int8 = matches!(model, AnyWeights::Int8(_));
    ensure!(
        calibration.calibrate.is_none() || !is_int8,
        "{name}: a model of integers already: expected no --calibrate"
    );
    match (model, arguments.dtype) {
        (AnyWeights::Float(weights), Some(Type::I8)) => {
            export_int8(&calibration.quantise(&weights)?, to_tflite, &arguments.out)
        }
        (AnyWeights::Int8(weights), None | Some(Type::I8)) => export_int8(&weights, to_tflite, &arguments.out),
        (model, dtype) => {
            ensure!(calibration.calibrate.is_none(), "--calibrate is for --dtype i8");
            let weights = match model {
                AnyWeights::Float(weights) => weights,
                AnyWeights::Int8(weights) => float_twin(&weights)?,
            };
            export_float(&weights, dtype, to_tflite, &arguments.out)
        }
    }
}

fn export_float(weights: &Weights, dtype: Option<Type>, to_tflite: bool, path: &Path) -> Result<()> {
    let dtype = match dtype {
        Some(Type::F16) => DType::F16,
        None if !to_tflite => weights.dtype,
        _ => DType::F32,
    };
    if to_tflite {
        ensure!(dtype == DType::F32, "a .tflite file has weights of type f32 or i8: expected no --dtype f16");
        write_atomically(path, &float_tflite(weights)?)?;
    } else {
        weights.save(path, dtype)?;
    }
    report(weights, dtype, path);
    Ok(())
}

fn export_int8(weights: &Int8Weights, to_tflite: bool, path: &Path) -> Result<()> {
    if to_tflite {
        write_atomically(path, &int8_tflite(weights)?)?;
    } else {
        weights.save(path)?;
    }
    report_int8(weights, path);
    Ok(())
}

impl CalibrationArguments {
    /// The model in integers.
    fn quantise(&self, weights: &Weights) -> Result<Int8Weights> {
        let data = self.calibrate.as_ref();
        let data =
            data.context("--dtype i8 of a model of floating-point numbers needs images: expected --calibrate")?;
        let source = Source::from_option(data.as_deref(), self.seed);
        let part = Part { offset: 0, limit: Some(self.limit.unwrap_or(IMAGES)) };
        let images = load(&source, Split::Train, &weights.input(), part)?;
        let ends = self.percentile.map_or(Ends::All, Ends::Percentile);
        let bar = progress::bar(images.len() as u64, "calibrating");
        let image = |index: usize| images.image(index);
        let quantised = quantise(weights, Images { count: images.len(), image: &image }, ends, &bar);
        bar.finish_and_clear();
        println!("calibrated with {} of {}", images.len(), images.name);
        let range = self.percentile.map_or("all values".into(), |percent| format!("the middle {percent} % of values"));
        let mut quantised = quantised?;
        quantised.metadata.extend([
            // Without where it lies.
            ("calibration.data".into(), images.name.split(" (").next().unwrap_or_default().into()),
            ("calibration.images".into(), images.len().to_string()),
            ("calibration.range".into(), range),
        ]);
        Ok(quantised)
    }
}

pub(super) fn report_int8(weights: &Int8Weights, path: &Path) {
    println!("{}: {} weights and biases, i8", path.display(), weights.network.parameters());
}

pub(super) fn report(weights: &Weights, dtype: DType, path: &Path) {
    println!("{}: {} parameters, {dtype}", path.display(), weights.network.parameters());
}
