//! A model of a `.tflite` file, of integers or of floats, for `benches/peers/int8.py`: `worker int8 MODEL IMAGES` answers
//! `{"work": "forward" or "fgsm", "count": N, "batch": N, "out": FILE}` with `{"seconds": S}`; logits or images go to `out`, if
//! that is a file, as little-endian f32. `IMAGES` are such numbers too, in the units of the model's input.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use midge_core::attack::{Attack, Fgsm, Walk, perturb_len};
use midge_core::batch::Batch;
use midge_core::{Element, Level, Model};
use midge_trainer::import::tflite::{Imported, from_bytes};
use serde_json::{Value, json};

use crate::protocol::Result;

/// Images that are taken together.
const PART: usize = 32;

/// Answers the requests of `input`.
pub(crate) fn serve(model: &Path, images: &Path, input: impl BufRead, output: impl Write) -> Result<()> {
    let images: Vec<f32> = bytemuck::pod_collect_to_vec(&std::fs::read(images)?);
    match from_bytes(&std::fs::read(model)?)? {
        Imported::Int8(weights) => {
            let mut memory = vec![0.0; Model::<i8>::transposed_len(&weights.network)];
            let model = weights.model()?.with_transposed(Level::detect(), &mut memory)?;
            // Two steps of the grid.
            let eps = model.grid().map_or(0.0, |grid| 2.0 * grid.scale);
            answer(&model, eps, &images, input, output)
        }
        Imported::Float(weights) => {
            let mut memory = vec![0.0; weights.transposed_len()];
            answer(&weights.model(&mut memory)?, 2.0 / 255.0, &images, input, output)
        }
    }
}

fn answer<T: Element>(
    model: &Model<'_, T>,
    eps: f32,
    images: &[f32],
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    writeln!(output, "{}", json!({ "grid": model.grid().map(|grid| (grid.scale, grid.zero_point)) }))?;
    output.flush()?;
    for line in input.lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let number = |key: &str| request[key].as_u64().map(|n| n as usize).ok_or(format!("no number {key:?}"));
        let (count, batch) = (number("count")?, number("batch")?);
        let images = images.get(..count * model.network().input().len()).ok_or("more images than there are")?;
        let mut found = Vec::new();
        let start = Instant::now();
        match request["work"].as_str() {
            Some("forward") if batch == 1 => one_by_one(model, images, &mut found)?,
            Some("forward") => together(model, images, &mut found)?,
            Some("fgsm") => fgsm(model, eps, images, batch, &mut found)?,
            _ => return Err(format!("no work {}", request["work"]).into()),
        }
        let seconds = start.elapsed().as_secs_f64();
        if let Some(out) = request["out"].as_str() {
            std::fs::write(PathBuf::from(out), bytemuck::cast_slice(&found))?;
        }
        writeln!(output, "{}", json!({ "seconds": seconds }))?;
        output.flush()?;
    }
    Ok(())
}

fn one_by_one<T: Element>(model: &Model<'_, T>, images: &[f32], found: &mut Vec<f32>) -> Result<()> {
    let mut buffer = vec![0.0; model.network().inference_len()];
    for image in images.chunks(model.network().input().len()) {
        found.extend_from_slice(model.logits(image, &mut buffer)?);
    }
    Ok(())
}

fn together<T: Element>(model: &Model<'_, T>, images: &[f32], found: &mut Vec<f32>) -> Result<()> {
    let pixels = model.network().input().len();
    let batch = Batch::inference(model.network(), PART);
    let mut buffer = vec![0.0; batch.buffer_len()];
    for images in images.chunks(PART * pixels) {
        let image = |i: usize| &images[i * pixels..][..pixels];
        found.extend_from_slice(batch.forward(model, images.len() / pixels, image, &mut buffer)?.logits());
    }
    Ok(())
}

/// Away from class 0, in batches of at most [`PART`].
fn fgsm<T: Element>(model: &Model<'_, T>, eps: f32, images: &[f32], batch: usize, found: &mut Vec<f32>) -> Result<()> {
    let (pixels, batch) = (model.network().input().len(), batch.min(PART));
    let mut buffer = vec![0.0; perturb_len(model.network(), batch)];
    found.resize(images.len(), 0.0);
    for (images, found) in images.chunks(batch * pixels).zip(found.chunks_mut(batch * pixels)) {
        let labels = vec![0; images.len() / pixels];
        let mut walks: Vec<Walk<'_>> = Walk::all_away(pixels, images, &labels, found).collect();
        Fgsm { eps }.perturb_batch(model, &mut walks, &mut buffer)?;
    }
    Ok(())
}
