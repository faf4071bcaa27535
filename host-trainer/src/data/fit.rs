//! From a picture to a model's input: averaged to its size, grey or in colour as the model has it, inverted if asked for.
//!
//! Each pixel of the input is the mean of the area of the picture that it covers, with parts of pixels at the edges. The sum is
//! one of integers and the quotient is rounded once, so a picture of the right size keeps its values to the bit, and one whose
//! pixels were doubled gets them back.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::classes::Classes;
use super::decode::{Bitmap, Samples};
use super::error::DataError;
use super::input::Input;

/// How a data set is read, whatever its format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether dark becomes bright and bright dark.
    pub invert: bool,
    /// What the model's classes are called, if that is known.
    pub classes: Classes,
}

/// Makes inputs of pictures, and remembers what it did to them.
pub struct Fit<'a> {
    pub(super) input: &'a Input,
    pub(super) reading: &'a Reading,
    seen: Mutex<Seen>,
}

/// What was done to pictures.
#[derive(Debug, Default)]
struct Seen {
    /// Height and width before; of many sizes the first few.
    sizes: BTreeSet<[usize; 2]>,
    resized: usize,
    made_grey: usize,
    transparent: usize,
    turned: usize,
}

/// Sizes that are remembered.
const SIZES: usize = 2;

impl<'a> Fit<'a> {
    /// For a model that takes `input`.
    pub fn new(input: &'a Input, reading: &'a Reading) -> Self {
        Self { input, reading, seen: Mutex::default() }
    }

    /// Whether the model takes pictures at all.
    ///
    /// # Errors
    /// [`DataError::Units`], [`DataError::NoPictures`].
    pub(super) fn check(&self, name: &str) -> Result<(), DataError> {
        if !self.input.takes_pictures() {
            return Err(DataError::Units { name: name.into(), range: self.input.range });
        }
        match self.input.shape[2] {
            1 | 3 => Ok(()),
            _ => Err(DataError::NoPictures { name: name.into(), shape: self.input.shape }),
        }
    }

    /// The model's input that `picture` is, in `values`.
    pub fn fill(&self, picture: &Bitmap, values: &mut [f32]) {
        self.note(picture);
        match &picture.samples {
            Samples::Bytes(samples) => self.average(picture, samples, values),
            Samples::Words(samples) => self.average(picture, samples, values),
        }
    }

    fn average<T: Copy + Into<u64>>(&self, picture: &Bitmap, samples: &[T], values: &mut [f32]) {
        let [height, width, channels] = self.input.shape;
        let (rows, columns) = (Axis::new(picture.height, height), Axis::new(picture.width, width));
        let area = (picture.height * picture.width) as f64 * f64::from(picture.samples.whole());
        let of_picture = picture.channels;
        if [picture.height, picture.width] == [height, width] {
            // The same quotients without a look around.
            let whole = f64::from(picture.samples.whole());
            for (pixel, samples) in values.chunks_exact_mut(channels).zip(samples.chunks_exact(of_picture)) {
                let mut sums = [0; 3];
                sums.iter_mut().zip(samples).for_each(|(sum, sample)| *sum = (*sample).into());
                self.paint(sums, of_picture, whole, pixel);
            }
            return;
        }
        for (y, row) in values.chunks_exact_mut(width * channels).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let mut sums = [0u64; 3];
                for (i, row_weight) in rows.covered(y) {
                    let line = &samples[i * picture.width * of_picture..][..picture.width * of_picture];
                    for (j, weight) in columns.covered(x) {
                        let pixel = &line[j * of_picture..][..of_picture];
                        sums.iter_mut()
                            .zip(pixel)
                            .for_each(|(sum, sample)| *sum += (*sample).into() * row_weight * weight);
                    }
                }
                self.paint(sums, of_picture, area, pixel);
            }
        }
    }

    /// What the model sees of a value of its input.
    pub(super) fn seen(&self, value: f32) -> f32 {
        let [low, high] = self.input.range;
        self.input.seen(if self.reading.invert { low + (high - value) } else { value })
    }

    /// One pixel, from the sums over its area, one or three; white has the sum `area`.
    fn paint(&self, sums: [u64; 3], of_picture: usize, area: f64, pixel: &mut [f32]) {
        // Below 2^53: at most 2^26 pixels of 2^16.
        let part = |sum: u64| ((if self.reading.invert { area - sum as f64 } else { sum as f64 }) / area) as f32;
        match (of_picture, &mut *pixel) {
            (1, pixel) => pixel.fill(part(sums[0])),
            (_, [grey]) => {
                let [r, g, b] = sums.map(part);
                *grey = if r == g && g == b { r } else { luma([r, g, b]) };
            }
            (_, pixel) => pixel.copy_from_slice(&sums.map(part)),
        }
        pixel.iter_mut().for_each(|value| *value = self.input.picture(*value));
    }

    fn note(&self, picture: &Bitmap) {
        let [height, width, channels] = self.input.shape;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if [picture.height, picture.width] != [height, width] {
            seen.resized += 1;
            if seen.sizes.len() <= SIZES {
                seen.sizes.insert([picture.height, picture.width]);
            }
        }
        seen.made_grey += usize::from(channels == 1 && picture.has_colours());
        seen.transparent += usize::from(picture.was_transparent);
        seen.turned += usize::from(picture.was_turned);
    }

    /// What was done to the pictures, for the user to know, a line each.
    pub(super) fn notices(&self) -> Vec<String> {
        let Seen { sizes, resized, made_grey, transparent, turned } =
            &*self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        let [height, width, _] = self.input.shape;
        if *resized > 0 {
            let is_stretched = sizes.iter().any(|[h, w]| h * width != w * height);
            let shown: Vec<String> = sizes.iter().take(SIZES).map(|[h, w]| format!("{h} x {w}")).collect();
            let more = if sizes.len() > SIZES { " and others" } else { "" };
            let stretched = if is_stretched { ", stretched" } else { "" };
            lines.push(format!(
                "pictures of {}{more} are averaged to the model's {height} x {width} (height x width){stretched}",
                shown.join(", ")
            ));
        }
        if *made_grey > 0 {
            lines.push("colours become grey: 0.299 R + 0.587 G + 0.114 B".into());
        }
        if *transparent > 0 {
            lines.push(format!("{} with transparent pixels: they lie over white", pictures(*transparent)));
        }
        if *turned > 0 {
            lines.push(format!("{} turned upright, as Exif says", pictures(*turned)));
        }
        lines
    }
}

fn pictures(count: usize) -> String {
    if count == 1 { "1 picture".into() } else { format!("{count} pictures") }
}

/// Grey with the weights of ITU-R BT.601; rounding does not leave the range.
fn luma([r, g, b]: [f32; 3]) -> f32 {
    (0.299 * r + 0.587 * g + 0.114 * b).min(1.0)
}

/// One direction of a picture, of `n` pixels, that becomes `m` pixels. In units in which a pixel of the picture is `m` long and
/// one of the result `n`, all lengths are integers.
struct Axis {
    n: usize,
    m: usize,
}

impl Axis {
    fn new(n: usize, m: usize) -> Self {
        Self { n, m }
    }

    /// The pixels that pixel `k` of the result covers, and how much of each. They add up to `n`.
    fn covered(&self, k: usize) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (n, m) = (self.n, self.m);
        let (start, end) = (k * n, (k + 1) * n);
        (start / m..end.div_ceil(m)).map(move |i| (i, (end.min((i + 1) * m) - start.max(i * m)) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::below;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    fn fitted(picture: &Bitmap, shape: [usize; 3], invert: bool) -> (Vec<f32>, Vec<String>) {
        let (input, reading) = (Input::pixels(shape, 2), Reading { invert, ..Reading::default() });
        let fit = Fit::new(&input, &reading);
        let mut values = vec![f32::NAN; input.len()];
        fit.fill(picture, &mut values);
        (values, fit.notices())
    }

    /// Exact thirds and halves of pixels.
    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers() {
        let row = Bitmap::of_bytes([1, 3, 1], vec![0, 51, 255]);
        let (values, notices) = fitted(&row, [1, 2, 1], false);
        assert_eq!(values, [17.0 / 255.0, 187.0 / 255.0]);
        assert_eq!(notices, ["pictures of 1 x 3 are averaged to the model's 1 x 2 (height x width), stretched"]);
        assert_eq!(fitted(&row, [2, 6, 1], false).0, [0.0, 0.0, 0.2, 0.2, 1.0, 1.0].repeat(2));
        let square = Bitmap::of_bytes([2, 2, 3], (0..12).map(|x| 21 * x).collect());
        let means = [0, 1, 2].map(|c| ((0..4).map(|k| 21 * (3 * k + c)).sum::<u32>() as f64 / (4.0 * 255.0)) as f32);
        assert_eq!(fitted(&square, [1, 1, 3], false).0, means);
    }

    #[test]
    fn grey_and_colours_become_each_other() {
        let colour = Bitmap::of_bytes([1, 2, 3], vec![255, 0, 51, 7, 7, 7]);
        let (values, notices) = fitted(&colour, [1, 2, 1], false);
        assert_eq!(values, [0.299 + 0.114 * 0.2, 7.0 / 255.0]);
        assert_eq!(notices, ["colours become grey: 0.299 R + 0.587 G + 0.114 B"]);
        let grey = Bitmap::of_bytes([1, 1, 1], vec![51]);
        assert_eq!(fitted(&grey, [1, 1, 3], false), (vec![0.2; 3], vec![]));
        let words = Bitmap { samples: Samples::Words(vec![13_107]), ..grey };
        assert_eq!(fitted(&words, [1, 1, 1], false).0, [0.2]);
    }

    /// To the bit what a byte is, whatever was doubled and turned to its opposite on the way.
    #[test]
    fn doubled_pixels_come_back() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        for case in 0..200 {
            let bytes: Vec<u8> = (0..12).map(|_| below(&mut generator, 256) as u8).collect();
            let (factor, invert) = (1 + case % 4, case % 3 == 0);
            let side = [3 * factor, 4 * factor];
            let at = |i: usize| bytes[i / side[1] / factor * 4 + i % side[1] / factor];
            let large = (0..side[0] * side[1]).map(|i| if invert { 255 - at(i) } else { at(i) }).collect();
            let (values, _) = fitted(&Bitmap::of_bytes([side[0], side[1], 1], large), [3, 4, 1], invert);
            assert_eq!(values, bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect::<Vec<_>>());
        }
    }

    /// Means stay means in any size.
    #[test]
    fn what_is_even_stays_even() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(2);
        for _ in 0..200 {
            let [height, width, rows, columns] = [0; 4].map(|_| 1 + below(&mut generator, 40));
            let byte = below(&mut generator, 256) as u8;
            let picture = Bitmap::of_bytes([height, width, 1], vec![byte; height * width]);
            let (values, _) = fitted(&picture, [rows, columns, 1], false);
            assert!(values.iter().all(|value| *value == f32::from(byte) / 255.0));
        }
    }
}
