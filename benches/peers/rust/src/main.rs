//! `midge-peers <tract|candle|burn> <folder> <threads>`: a worker of `benches/peers/run.py` for one library.
//! Built for the processor at hand (`-C target-cpu=native`), which candle and burn profit from.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
#[path = "../../../worker/protocol.rs"]
#[expect(dead_code, reason = "training is not measured here")]
mod protocol;
#[cfg(feature = "tract")]
mod tract;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use protocol::{PIXELS, Request, Result, Set};

/// A tensor in midge's layout.
#[cfg(any(feature = "burn", feature = "candle"))]
struct Weight {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The model's weights by their names there, `<layer>.weight` or `<layer>.bias`.
#[cfg(any(feature = "burn", feature = "candle"))]
fn weights(folder: &Path) -> Result<BTreeMap<String, Weight>> {
    let bytes = std::fs::read(folder.join("model.safetensors"))?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let weight = |t: safetensors::tensor::TensorView<'_>| Weight {
        shape: t.shape().to_vec(),
        values: protocol::floats(t.data()),
    };
    Ok(file.tensors().into_iter().map(|(name, tensor)| (name, weight(tensor))).collect())
}

/// The images and labels of a request, a batch at a time.
fn batches<'a>(set: &'a Set, request: &Request) -> impl Iterator<Item = (&'a [f32], &'a [usize])> {
    let count = request.count.min(set.labels.len());
    let (images, labels) = (&set.images[..count * PIXELS], &set.labels[..count]);
    images.chunks(request.batch * PIXELS).zip(labels.chunks(request.batch))
}

fn set<'a>(sets: &'a BTreeMap<String, Set>, request: &Request) -> Result<&'a Set> {
    Ok(sets.get(&request.set).ok_or_else(|| format!("no set {:?}", request.set))?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder, _threads] = arguments.as_slice() else {
        eprintln!("usage: midge-peers LIBRARY FOLDER THREADS, and RAYON_NUM_THREADS set to the number of threads");
        return ExitCode::FAILURE;
    };
    let folder = Path::new(folder);
    let result = match library.as_str() {
        #[cfg(feature = "tract")]
        "tract" => tract::serve(folder),
        #[cfg(feature = "candle")]
        "candle" => candle::serve(folder),
        #[cfg(feature = "burn")]
        "burn" => burn::serve(folder),
        _ => Err(format!("{library:?}: not built with this library").into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{library}: {error}");
            ExitCode::FAILURE
        }
    }
}
