//! midge's worker for `benches/peers/run.py`: `worker FOLDER THREADS` answers its requests, and
//! `worker prepare FOLDER DATA TRAIN TEST` first writes what all workers read. DATA is that of `midge --data`, or `default`;
//! TRAIN and TEST are the numbers of training and of test images. `worker int8 MODEL IMAGES` is that of `benches/peers/int8.py`.

mod int8;
mod prepare;
mod protocol;

use std::collections::BTreeMap;
use std::io::{stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use indicatif::ProgressBar;
use midge_core::attack::{Attack, Fgsm, MiFgsm, Walk, perturb_len};
use midge_core::batch::Batch;
use midge_core::{Error, Model};
use midge_trainer::data::Dataset;
use midge_trainer::training::adversarial::{Adversarial, Method};
use midge_trainer::training::optimiser::Optimiser;
use midge_trainer::training::{self, Recipe, Training};
use midge_trainer::weights::Weights;
use protocol::{Answer, EPS, PIXELS, Request, Result, Set};
use rayon::prelude::*;
use serde_json::{Value, json};

/// Images and labels of one request.
struct Batches<'a> {
    images: &'a [f32],
    labels: &'a [usize],
    size: usize,
}

impl<'a> Batches<'a> {
    fn of(set: &'a Set, request: &Request) -> Self {
        let count = request.count.min(set.labels.len());
        Self { images: &set.images[..count * PIXELS], labels: &set.labels[..count], size: request.batch }
    }

    /// Calls `work(images, labels, results, buffer)` for parts of every batch and returns all results, each of `len` elements
    /// an image. The parts, of at most [`PART`] images, are spread over the threads.
    fn map(
        &self,
        len: usize,
        buffer_len: impl Fn(usize) -> usize + Sync,
        work: impl Fn(&[f32], &[usize], &mut [f32], &mut [f32]) -> std::result::Result<(), Error> + Sync,
    ) -> Result<Vec<f32>> {
        let mut results = vec![0.0; self.labels.len() * len];
        let batches = self.images.chunks(self.size * PIXELS).zip(self.labels.chunks(self.size));
        let mut single = vec![0.0; buffer_len(1)];
        for ((images, labels), results) in batches.zip(results.chunks_mut(self.size * len)) {
            if let [_] = labels {
                work(images, labels, results, &mut single)?;
                continue;
            }
            images
                .par_chunks(PART * PIXELS)
                .zip(labels.par_chunks(PART))
                .zip(results.par_chunks_mut(PART * len))
                .try_for_each_init(
                    || vec![0.0; buffer_len(PART)],
                    |buffer, ((images, labels), results)| work(images, labels, results, buffer),
                )?;
        }
        Ok(results)
    }
}

/// Images that a thread takes together.
const PART: usize = 32;

fn forward(model: &Model<'_, f32>, batches: &Batches<'_>) -> Result<Vec<f32>> {
    let network = model.network();
    let batch = |samples| Batch::inference(network, samples);
    let buffer_len = |samples| batch(samples).buffer_len().max(network.inference_len());
    batches.map(network.classes(), buffer_len, |images, labels, results, buffer| {
        if labels.len() == 1 {
            results.copy_from_slice(model.logits(images, buffer)?);
            return Ok(());
        }
        let batch = batch(labels.len());
        let pass = batch.forward(model, labels.len(), |i| &images[i * PIXELS..][..PIXELS], buffer)?;
        results.copy_from_slice(pass.logits());
        Ok(())
    })
}

fn gradient(model: &Model<'_, f32>, batches: &Batches<'_>) -> Result<Vec<f32>> {
    let batches = &Batches { size: 1, ..*batches };
    batches.map(
        PIXELS,
        |_| model.gradient_len(),
        |image, labels, result, buffer| {
            result.copy_from_slice(model.input_gradient(image, labels[0], buffer)?.gradient);
            Ok(())
        },
    )
}

/// What an attack away from the labels starts with.
fn walks<'a>(images: &'a [f32], labels: &'a [usize], results: &'a mut [f32]) -> Vec<Walk<'a>> {
    Walk::all_away(PIXELS, images, labels, results).collect()
}

fn fgsm(model: &Model<'_, f32>, batches: &Batches<'_>) -> Result<Vec<f32>> {
    batches.map(
        PIXELS,
        |samples| perturb_len(model.network(), samples),
        |images, labels, results, buffer| {
            Fgsm { eps: EPS }.perturb_batch(model, &mut walks(images, labels, results), buffer)
        },
    )
}

fn mi_fgsm(model: &Model<'_, f32>, batches: &Batches<'_>) -> Result<Vec<f32>> {
    batches.map(
        PIXELS,
        |samples| perturb_len(model.network(), samples),
        |images, labels, results, buffer| {
            MiFgsm::new(EPS).perturb_batch(model, &mut walks(images, labels, results), buffer)
        },
    )
}

/// SGD on clean images, or on those of PGD-7: seven steps of 0.1 from a random start within 0.3.
fn recipe(request: &Request) -> Recipe {
    let plain = Recipe::plain(request.batch, 0.01, 1);
    let pgd = Adversarial { alpha: 0.1, steps: 7, ..Adversarial::new(Method::Pgd, 0.3) };
    Recipe { adversarial: (request.work == "adversarial_train").then_some(pgd), ..plain }
}

/// One pass over the images, in an order of midge's own within them.
fn train(training: &mut Training, data: &Dataset, recipe: &Recipe) -> Result<f64> {
    let epoch = training::train_epoch(training, data, recipe, 1, &ProgressBar::hidden(), &AtomicBool::new(false))?;
    Ok(epoch.ok_or("interrupted")?.loss)
}

/// All that the worker keeps between requests.
struct Worker<'a> {
    sets: &'a BTreeMap<String, Set>,
    model: Model<'a, f32>,
    initial: &'a Weights,
    /// Weights under training for each kind of it; block 0 starts anew.
    trained: BTreeMap<String, Training>,
}

impl Worker<'_> {
    fn hello() -> Value {
        let settings = ["default"];
        let work = ["forward", "gradient", "fgsm", "mi_fgsm", "train", "adversarial_train"];
        let work = work.map(|work| (work.to_owned(), json!(settings)));
        let work = Value::Object(work.into_iter().collect());
        json!({ "name": "midge", "version": env!("CARGO_PKG_VERSION"), "work": work })
    }

    fn run(&mut self, request: &Request) -> Result<Answer> {
        let set = self.sets.get(&request.set).ok_or_else(|| format!("no set {:?}", request.set))?;
        if ["train", "adversarial_train"].contains(&request.work.as_str()) {
            return self.train(set, request);
        }
        let batches = Batches::of(set, request);
        let start = Instant::now();
        let values = match request.work.as_str() {
            "forward" => forward(&self.model, &batches)?,
            "gradient" => gradient(&self.model, &batches)?,
            "fgsm" => fgsm(&self.model, &batches)?,
            "mi_fgsm" => mi_fgsm(&self.model, &batches)?,
            other => return Err(format!("no work {other:?}").into()),
        };
        Ok(Answer { seconds: start.elapsed().as_secs_f64(), values, loss: None })
    }

    /// Block `b` of `count` images; the blocks wrap round.
    fn train(&mut self, set: &Set, request: &Request) -> Result<Answer> {
        if request.block == 0 {
            self.trained.remove(&request.work);
        }
        let start = || Training::new(self.initial.clone(), &Optimiser::PLAIN);
        let training = self.trained.entry(request.work.clone()).or_insert_with(start);
        let blocks = (set.labels.len() / request.count.max(1)).max(1);
        let first = request.block % blocks * request.count;
        let labels = set.labels.iter().skip(first).take(request.count);
        let images = set.images.iter().copied().skip(first * PIXELS).take(request.count * PIXELS).collect();
        let labels = labels.map(|&label| label as u16).collect();
        let data = Dataset::new(images, labels, [28, 28, 1], request.set.clone());
        let start = Instant::now();
        let loss = train(training, &data, &recipe(request))?;
        Ok(Answer { seconds: start.elapsed().as_secs_f64(), loss: Some(loss), values: Vec::new() })
    }
}

/// Answers the requests of `input` with what [`prepare::prepare`] left in `folder`.
fn serve(folder: &Path, input: impl std::io::BufRead, output: impl std::io::Write) -> Result<()> {
    let sets = protocol::read_inputs(folder)?;
    let weights = Weights::load(&folder.join("model.safetensors"))?;
    let initial = Weights::load(&folder.join("initial.safetensors"))?;
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed)?;
    let mut worker = Worker { sets: &sets, model, initial: &initial, trained: BTreeMap::new() };
    protocol::serve(&Worker::hello(), input, output, |request| worker.run(request))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["prepare", folder, data, train, test] => prepare::prepare(Path::new(folder), data, train, test),
        ["int8", model, images] => int8::serve(Path::new(model), Path::new(images), stdin().lock(), stdout()),
        [folder, threads] => rayon_threads(threads).and_then(|()| serve(Path::new(folder), stdin().lock(), stdout())),
        _ => {
            Err("usage: worker FOLDER THREADS, worker prepare FOLDER DATA TRAIN TEST, or worker int8 MODEL IMAGES"
                .into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rayon_threads(threads: &str) -> Result<()> {
    let threads = threads.parse().map_err(|error| format!("THREADS {threads:?}: {error}"))?;
    Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(folder: &Path, requests: &[Value]) -> Vec<Value> {
        let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
        let mut output = Vec::new();
        serve(folder, lines.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_worker_speaks_the_protocol() {
        let folder = tempfile::tempdir().unwrap();
        prepare::prepare(folder.path(), "synthetic", "64", "20").unwrap();
        let out = folder.path().join("out");
        let request = |work: &str, set: &str, count: usize| {
            let mut request = json!({ "work": work, "set": set, "count": count, "batch": 4 });
            request["block"] = json!(0);
            request["setting"] = json!("default");
            request["out"] = json!(out);
            request
        };
        let sizes = [("forward", 10), ("gradient", PIXELS), ("fgsm", PIXELS), ("mi_fgsm", PIXELS)];
        for (work, len) in sizes {
            for set in ["digits", "dense"] {
                let answers = ask(folder.path(), &[request(work, set, 9)]);
                assert_eq!(answers[0], Worker::hello());
                assert!(answers[1]["seconds"].as_f64().unwrap() > 0.0, "{work}: {answers:?}");
                let values = protocol::floats(&std::fs::read(&out).unwrap());
                assert_eq!(values.len(), 9 * len, "{work} of {set}");
                assert!(values.iter().any(|x| *x != 0.0) && values.iter().all(|x| x.is_finite()));
            }
        }
        let hard = ask(folder.path(), &[request("adversarial_train", "train", 64)]);
        let train = request("train", "train", 64);
        let losses = ask(folder.path(), &[train.clone(), train, json!({}), request("sleep", "digits", 1)]);
        assert!(losses[1]["loss"].as_f64().unwrap() > 1.0, "{losses:?}");
        assert_eq!(losses[1]["loss"], losses[2]["loss"], "block 0 starts anew");
        assert!(hard[1]["loss"].as_f64() > losses[1]["loss"].as_f64(), "PGD raises the loss: {hard:?}");
        assert!(losses[3]["error"].as_str().unwrap().contains("no text \"work\""), "{losses:?}");
        assert!(losses[4]["error"].as_str().unwrap().contains("no work \"sleep\""), "{losses:?}");
    }
}
