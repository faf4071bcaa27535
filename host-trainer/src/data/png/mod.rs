//! Pictures in PNG files, one image each.

mod problem;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{BitDepth, Decoder, DecodingError, Transformations};

use super::dataset::Loaded;
use super::error::DataError;
use super::input::Input;
use crate::foreign;
pub use problem::{PngError, Problem};

/// Loads PNG files as images for a model that takes `input`. Colours become grey for a model with one channel, with the
/// weights of ITU-R BT.601; grey is the same in all three channels of one with three.
///
/// # Errors
/// [`DataError::Png`] with the file's name, what was expected and what was found.
pub fn load(files: &[PathBuf], input: &Input) -> Result<Loaded, DataError> {
    let name = match files {
        [file] => file.display().to_string(),
        _ => format!("{} PNG files", files.len()),
    };
    let mut images = Vec::new();
    for file in files {
        let pixels = read(file, input).map_err(|problem| PngError { file: file.clone(), problem })?;
        images.extend(pixels.into_iter().map(|pixel| input.picture(pixel)));
    }
    Ok(Loaded { images, labels: None, shape: input.shape, name, places: (0..files.len()).collect() })
}

fn read(path: &Path, input: &Input) -> Result<Vec<f32>, Problem> {
    let [height, width, channels] = input.shape;
    if !input.takes_pictures() || ![1, 3].contains(&channels) {
        return Err(Problem::Model { shape: input.shape, range: input.range });
    }
    let mut decoder = Decoder::new(BufReader::new(File::open(path)?));
    // Palettes become colours, few bits become eight, a transparent colour becomes a channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|error| problem(path, error))?;
    let check = |height_found: u32, width_found: u32| match [height_found as usize, width_found as usize] {
        found if found == [height, width] => Ok(()),
        found => Err(Problem::Size { expected: [height, width], found }),
    };
    check(reader.info().height, reader.info().width)?;
    // As many pixels as the model has: no header makes this large.
    let mut bytes = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let frame = reader.next_frame(&mut bytes).map_err(|error| problem(path, error))?;
    // The first frame of a moving picture may be smaller.
    check(frame.height, frame.width)?;
    let (whole, samples): (f32, Vec<u16>) = match frame.bit_depth {
        BitDepth::Sixteen => (65_535.0, bytes.as_chunks().0.iter().map(|b| u16::from_be_bytes(*b)).collect()),
        _ => (255.0, bytes.iter().map(|byte| u16::from(*byte)).collect()),
    };
    let mut pixels = Vec::with_capacity(input.len());
    for (i, sample) in samples.chunks_exact(frame.color_type.samples()).take(height * width).enumerate() {
        let (colour, alpha) = sample.split_at(if sample.len() > 2 { 3 } else { 1 });
        if alpha.iter().any(|alpha| f32::from(*alpha) < whole) {
            return Err(Problem::Transparent(i / width, i % width));
        }
        append(colour, whole, channels, &mut pixels);
    }
    Ok(pixels)
}

/// Appends one pixel, grey or colour as the model has it.
fn append(colour: &[u16], whole: f32, channels: usize, pixels: &mut Vec<f32>) {
    match *colour {
        [r, g, b] if channels == 1 && !(r == g && g == b) => {
            let grey = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
            pixels.push((grey / whole).min(1.0));
        }
        [_, _, _] if channels == 3 => pixels.extend(colour.iter().map(|sample| f32::from(*sample) / whole)),
        _ => pixels.extend(colour.iter().take(1).cycle().take(channels).map(|sample| f32::from(*sample) / whole)),
    }
}

/// What a failure of the decoder means.
fn problem(path: &Path, error: DecodingError) -> Problem {
    match error {
        DecodingError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Problem::Io(error),
        error => match foreign::not_png(path) {
            Some(what) => Problem::Foreign(what),
            None => Problem::Png(error.to_string()),
        },
    }
}
