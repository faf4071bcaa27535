//! The measurements.

use anyhow::{Result, ensure};
use midge_core::attack::{Attack, Fgsm, Walk, perturb_len};
use midge_core::batch::Batch;
use midge_core::{Error, Layer, Model, Network, Padding, Shape, Size};
use midge_trainer::data::synthetic;
use midge_trainer::training::initialise;
use midge_trainer::weights::Weights;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::limits::least_seconds;

const SIDE: usize = 28;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Row {
    /// What grows.
    pub(crate) what: &'static str,
    /// How far.
    pub(crate) value: f64,
    pub(crate) images: &'static str,
    pub(crate) work: &'static str,
    pub(crate) threads: usize,
    /// Number of images worked through.
    pub(crate) count: usize,
    /// Per image.
    pub(crate) seconds: f64,
    /// Per image, of a network that skips nothing.
    pub(crate) multiply_adds: f64,
    /// Per image, those of them whose input is not zero; forward only.
    pub(crate) executed: Option<f64>,
    /// The buffer of one thread.
    pub(crate) buffer_bytes: usize,
    /// Most memory that the process held, where the system tells.
    pub(crate) peak_mib: Option<f64>,
}

/// A point of a series.
struct Point {
    what: &'static str,
    value: f64,
    side: usize,
    filters: [usize; 2],
    count: usize,
    threads: usize,
}

impl Point {
    fn new(what: &'static str, value: f64) -> Self {
        Self { what, value, side: SIDE, filters: [32, 64], count: 64, threads: 1 }
    }
}

/// All measurements so far.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) rows: Vec<Row>,
}

impl Series {
    /// 1 to 1000 images.
    pub(crate) fn images(&mut self) -> Result<()> {
        [1, 10, 100, 1000]
            .into_iter()
            .try_for_each(|count| self.measure(&Point { count, ..Point::new("images", count as f64) }))
    }

    /// 1 thread to as many as the machine has cores, over 1000 images.
    pub(crate) fn threads(&mut self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.get();
        (1..=cores).try_for_each(|threads| {
            self.measure(&Point { threads, count: 1000, ..Point::new("threads", threads as f64) })
        })
    }

    /// A quarter of the filters to four times as many.
    pub(crate) fn width(&mut self) -> Result<()> {
        [8, 16, 32, 64, 128].into_iter().try_for_each(|filters| {
            let point = Point::new("width", filters as f64 / 32.0);
            self.measure(&Point { filters: [filters, 2 * filters], ..point })
        })
    }

    /// Images of 14 to 112 rows and columns.
    pub(crate) fn size(&mut self) -> Result<()> {
        [14, 28, 56, 112]
            .into_iter()
            .try_for_each(|side| self.measure(&Point { side, ..Point::new("size", side as f64) }))
    }

    fn measure(&mut self, point: &Point) -> Result<()> {
        let weights = initialise(network(point.side, point.filters)?, 1);
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(point.threads).build()?;
        for (name, images) in [("digits", digits(point.count, point.side)), ("dense", random(point.count, point.side))]
        {
            let executed = executed(&weights, &images)?;
            for work in ["forward", "FGSM"] {
                reset_peak();
                let seconds = pool.install(|| seconds(&model, &images, work))?;
                let passes = if work == "forward" { 1.0 } else { 2.0 };
                self.rows.push(Row {
                    what: point.what,
                    value: point.value,
                    images: name,
                    work,
                    threads: point.threads,
                    count: point.count,
                    seconds,
                    multiply_adds: passes * model.network().multiply_adds() as f64,
                    executed: (work == "forward").then_some(executed),
                    buffer_bytes: size_of::<f32>() * buffer_len(model.network(), work, PART.min(point.count)),
                    peak_mib: peak_mib(),
                });
            }
        }
        Ok(())
    }
}

/// The MNIST CNN for other images and with other numbers of filters.
fn network(side: usize, [first, second]: [usize; 2]) -> Result<Network> {
    let conv = |filters| Layer::Conv2d {
        filters,
        kernel: Size::square(3),
        stride: Size::ONE,
        padding: Padding::Same,
        bias: false,
    };
    let pool = Layer::MaxPool2d { pool: 2, padding: Padding::Same };
    let (dense, last) = (Layer::Dense { units: 256, bias: true }, Layer::Dense { units: 10, bias: true });
    let layers =
        [conv(first), Layer::Relu, pool, conv(second), Layer::Relu, pool, Layer::Flatten, dense, Layer::Relu, last];
    Ok(Network::try_new(Shape::hwc(side, side, 1), &layers)?)
}

/// Images that a thread takes together.
const PART: usize = 32;

fn buffer_len(network: &Network, work: &str, count: usize) -> usize {
    if work == "forward" { Batch::inference(network, count).buffer_len() } else { perturb_len(network, count) }
}

/// Images, one after another.
struct Images {
    pixels: Vec<f32>,
    len: usize,
}

/// Digits that midge drew, every pixel repeated or left out to fit.
fn digits(count: usize, side: usize) -> Images {
    let data = synthetic::dataset(1, count.min(1000), 0);
    let pixel = |i: usize, at: usize| {
        let (row, column) = (at / side * SIDE / side, at % side * SIDE / side);
        data.image(i % data.len())[row * SIDE + column]
    };
    let len = side * side;
    Images { pixels: (0..count * len).map(|at| pixel(at / len, at % len)).collect(), len }
}

/// Uniform random pixels.
fn random(count: usize, side: usize) -> Images {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    let len = side * side;
    Images { pixels: (0..count * len).map(|_| (generator.next_u64() >> 40) as f32 / (1 << 24) as f32).collect(), len }
}

/// Seconds per image.
fn seconds(model: &Model<'_, f32>, images: &Images, work: &str) -> Result<f64> {
    let mut result = Ok(());
    // Short work is repeated until the clock can see it.
    let repeats = 64usize.div_ceil(images.pixels.len() / images.len).max(1);
    let once = |result: &mut Result<(), Error>| *result = all(model, images, work);
    once(&mut result);
    let seconds = least_seconds(5, || (0..repeats).for_each(|_| once(&mut result)));
    result?;
    Ok(seconds / (repeats * images.pixels.len() / images.len) as f64)
}

fn all(model: &Model<'_, f32>, images: &Images, work: &str) -> Result<(), Error> {
    let (network, count) = (model.network(), PART.min(images.pixels.len() / images.len));
    let buffers = || (vec![0.0; buffer_len(network, work, count)], vec![0.0; count * images.len]);
    images.pixels.par_chunks(count * images.len).try_for_each_init(buffers, |(buffer, adversarial), part| {
        let samples = part.len() / images.len;
        if work == "forward" {
            let batch = Batch::inference(network, samples);
            return batch.forward(model, samples, |i| &part[i * images.len..][..images.len], buffer).map(drop);
        }
        let labels = vec![3; samples];
        let walks = Walk::all_away(images.len, part, &labels, &mut adversarial[..part.len()]);
        Fgsm { eps: 0.1 }.perturb_batch(model, &mut walks.collect::<Vec<_>>(), buffer)
    })
}

/// Multiply-adds of a forward pass whose input is not zero, mean over the first images. The activations are the
/// outputs of the network cut off before each layer with weights.
fn executed(weights: &Weights, images: &Images) -> Result<f64> {
    const SAMPLE: usize = 16;
    let network = &weights.network;
    let samples: Vec<&[f32]> = images.pixels.chunks(images.len).take(SAMPLE).collect();
    let mut total = 0;
    for (index, layer) in network.layers().iter().enumerate() {
        if !matches!(layer, Layer::Conv2d { .. } | Layer::Dense { .. }) {
            continue;
        }
        for image in &samples {
            total += live(network, index, &activations(weights, index, image)?);
        }
    }
    ensure!(!samples.is_empty(), "no images");
    Ok(total as f64 / samples.len() as f64)
}

/// What comes into layer `index`.
fn activations(weights: &Weights, index: usize, image: &[f32]) -> Result<Vec<f32>> {
    let mut layers = weights.network.layers()[..index].to_vec();
    if index == 0 {
        return Ok(image.to_vec());
    }
    if !layers.contains(&Layer::Flatten) {
        layers.push(Layer::Flatten);
    }
    let network = Network::try_new(weights.network.input(), &layers)?;
    let count = midge_trainer::weights::tensor_infos(&network).len();
    let tensors: Vec<&[f32]> = weights.tensors.iter().take(count).map(|tensor| tensor.as_slice()).collect();
    let model = Model::<f32>::from_tensors(&network, &tensors)?;
    Ok(model.logits(image, &mut vec![0.0; network.inference_len()])?.to_vec())
}

/// Multiply-adds of layer `index` for the inputs that are not zero; a 3x3 window at the border is not whole.
fn live(network: &Network, index: usize, inputs: &[f32]) -> usize {
    let outputs = network.output_shape(index).map_or(0, |shape| shape.channels);
    let shape = index.checked_sub(1).and_then(|i| network.output_shape(i)).unwrap_or(network.input());
    let reach = |at: usize, len: usize| 3 - usize::from(at == 0) - usize::from(at + 1 == len);
    let windows = |at: usize| match network.layers().get(index) {
        Some(Layer::Conv2d { .. }) => {
            let (row, column) = (at / shape.channels / shape.width, at / shape.channels % shape.width);
            reach(row, shape.height) * reach(column, shape.width)
        }
        _ => 1,
    };
    inputs.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(at, _)| outputs * windows(at)).sum()
}

/// Forgets the most memory that the process held (Linux).
fn reset_peak() {
    // Where this cannot be done the figure stays that of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
