//! What the driver (`benches/peers/run.py`) and every worker say to each other: one JSON object a line.
//!
//! ```text
//! worker <folder> <threads>                      started once for a whole run
//! > {"name": "midge", "version": "0.1.0", "work": {"forward": ["default"], ..}}      its work and its settings
//! < {"work": "forward", "set": "digits", "count": 1000, "batch": 1, "setting": "default", "block": 0, "out": FILE}
//! > {"seconds": 0.0123}                          and "loss" for training; or {"error": TEXT}
//! ```
//! `count` images of a set are worked through in batches of `batch`. Training takes the images of block `block`. If
//! `out` is a file, the results (logits, gradients or adversarial images) go there as little-endian f32. The folder
//! holds `inputs.safetensors` (`<set>.images`: f32 `[N][28][28][1]`, `<set>.labels`: i64 `[N]`), `model.safetensors` and
//! `initial.safetensors` (midge's model files), and `model.onnx`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

/// Any error: the driver only shows it.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Pixels of an image.
pub(crate) const PIXELS: usize = 28 * 28;

/// The attacks' largest change of a pixel.
pub(crate) const EPS: f32 = 0.1;

/// One line of the driver.
#[derive(Debug)]
pub(crate) struct Request {
    /// What to do, for example `fgsm`.
    pub(crate) work: String,
    /// The images: `digits`, `dense` or `train`.
    pub(crate) set: String,
    /// Number of images.
    pub(crate) count: usize,
    /// Images at a time.
    pub(crate) batch: usize,
    /// Which block of the training images.
    pub(crate) block: usize,
    /// Where the results go.
    pub(crate) out: Option<PathBuf>,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Time that the work took, without reading and writing of files.
    pub(crate) seconds: f64,
    /// Mean cross-entropy of training.
    pub(crate) loss: Option<f64>,
    /// Logits, gradients or images.
    pub(crate) values: Vec<f32>,
}

/// A set of images.
#[derive(Debug)]
pub(crate) struct Set {
    /// `[N][28][28][1]`.
    pub(crate) images: Vec<f32>,
    /// `[N]`.
    pub(crate) labels: Vec<usize>,
}

impl Request {
    fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line)?;
        let text = |key: &str| value[key].as_str().map(str::to_owned).ok_or(format!("no text {key:?} in {line}"));
        let number = |key: &str| value[key].as_u64().map(|n| n as usize).ok_or(format!("no number {key:?} in {line}"));
        Ok(Self {
            work: text("work")?,
            set: text("set")?,
            count: number("count")?,
            batch: number("batch")?.max(1),
            block: number("block")?,
            out: value["out"].as_str().map(PathBuf::from),
        })
    }
}

/// Reads the tensors `<name>.images` and `<name>.labels` of every set.
///
/// # Errors
/// If the file cannot be read or lacks one.
pub(crate) fn read_inputs(folder: &Path) -> Result<BTreeMap<String, Set>> {
    let path = folder.join("inputs.safetensors");
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = SafeTensors::deserialize(&bytes)?;
    let names = file.names().into_iter().filter_map(|name| name.strip_suffix(".images"));
    let sets = names.map(|name| {
        let images = floats(file.tensor(&format!("{name}.images"))?.data());
        let labels = file.tensor(&format!("{name}.labels"))?.data().chunks_exact(8);
        let labels = labels.map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap_or_default()) as usize);
        Ok((name.to_owned(), Set { images, labels: labels.collect() }))
    });
    sets.collect()
}

/// Little-endian bytes as numbers.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default())).collect()
}

/// Answers the requests of `input` until the driver closes it. `hello` names each kind of work and its settings.
///
/// # Errors
/// If the pipe breaks. What goes wrong in a request is told to the driver.
pub(crate) fn serve(
    hello: &Value,
    input: impl BufRead,
    mut output: impl Write,
    mut run: impl FnMut(&Request) -> Result<Answer>,
) -> Result<()> {
    writeln!(output, "{hello}")?;
    output.flush()?;
    for line in input.lines() {
        let answer = match Request::parse(&line?).and_then(|request| answer(&request, &mut run)) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(request: &Request, run: &mut impl FnMut(&Request) -> Result<Answer>) -> Result<Value> {
    let Answer { seconds, loss, values } = run(request)?;
    if let Some(out) = &request.out {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(out, bytes).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    Ok(match loss {
        Some(loss) => json!({ "seconds": seconds, "loss": loss }),
        None => json!({ "seconds": seconds }),
    })
}
