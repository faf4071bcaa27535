//! A picture in memory, whatever file it came from.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::problem::{MAX_PIXELS, Problem};

/// Pixels from which on pictures are decoded one at a time, however many threads there are.
const LARGE: usize = 1 << 24;

/// Held by who decodes a large picture.
static TURN: Mutex<()> = Mutex::new(());

/// The samples of a picture, each colour from 0 to [`Samples::whole`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// 0 to 255.
    Bytes(Vec<u8>),
    /// 0 to 65,535.
    Words(Vec<u16>),
}

impl Samples {
    /// The sample at `index`; 0 behind the end.
    pub fn at(&self, index: usize) -> u32 {
        match self {
            Self::Bytes(bytes) => bytes.get(index).map_or(0, |byte| u32::from(*byte)),
            Self::Words(words) => words.get(index).map_or(0, |word| u32::from(*word)),
        }
    }

    /// The sample of the brightest colour.
    pub fn whole(&self) -> u32 {
        match self {
            Self::Bytes(_) => u32::from(u8::MAX),
            Self::Words(_) => u32::from(u16::MAX),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Words(words) => words.len(),
        }
    }

    /// The samples at `indices`.
    fn chosen(&self, indices: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(indices.map(|i| bytes[i]).collect()),
            Self::Words(words) => Self::Words(indices.map(|i| words[i]).collect()),
        }
    }
}

/// An opaque upright picture: rows of pixels from the top, each grey or red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// 1 or 3.
    pub channels: usize,
    /// `height * width * channels` samples.
    pub samples: Samples,
    /// Whether there were pixels that one can see through; they lie over white.
    pub was_transparent: bool,
    /// Whether the file asked for a turn or a mirror.
    pub was_turned: bool,
}

impl Bitmap {
    /// A picture of 8-bit samples with 1 or 3 channels.
    pub fn of_bytes([height, width, channels]: [usize; 3], bytes: Vec<u8>) -> Self {
        let samples = Samples::Bytes(bytes);
        Self { height, width, channels, samples, was_transparent: false, was_turned: false }
    }

    /// A picture of 1 to 4 samples per pixel; the second and the fourth say how opaque the pixel is.
    ///
    /// # Errors
    /// [`Problem::Damaged`] if there are fewer samples than pixels ask for.
    pub(super) fn new([height, width, channels]: [usize; 3], samples: Samples) -> Result<Self, Problem> {
        if samples.len() < height * width * channels || !(1..=4).contains(&channels) {
            return Err(Problem::Damaged("it has fewer pixels than its header says".into()));
        }
        let bitmap = Self { height, width, channels, samples, was_transparent: false, was_turned: false };
        Ok(if channels.is_multiple_of(2) { bitmap.over_white() } else { bitmap })
    }

    /// Without the last channel: the page shows through where that is not full.
    fn over_white(self) -> Self {
        let (whole, all) = (self.samples.whole(), self.channels);
        let pixels = self.height * self.width;
        let was_transparent = (0..pixels).any(|pixel| self.samples.at(pixel * all + all - 1) < whole);
        let over = |index: usize| {
            let (pixel, channel) = (index / (all - 1), index % (all - 1));
            let (colour, alpha) = (self.samples.at(pixel * all + channel), self.samples.at(pixel * all + all - 1));
            // Rounded to nearest; 65,535 squared fits 32 bits.
            let sum = u64::from(colour) * u64::from(alpha) + u64::from(whole) * u64::from(whole - alpha);
            ((sum + u64::from(whole) / 2) / u64::from(whole)) as u32
        };
        let indices = 0..pixels * (all - 1);
        let samples = match self.samples {
            Samples::Bytes(_) => Samples::Bytes(indices.map(|i| over(i) as u8).collect()),
            Samples::Words(_) => Samples::Words(indices.map(|i| over(i) as u16).collect()),
        };
        Self { channels: all - 1, samples, was_transparent, ..self }
    }

    /// Whether a pixel is not grey.
    pub(crate) fn has_colours(&self) -> bool {
        let at = |index| self.samples.at(index);
        let is_grey = |first: usize| at(first) == at(first + 1) && at(first) == at(first + 2);
        self.channels == 3 && !(0..self.height * self.width).all(|pixel| is_grey(3 * pixel))
    }

    /// Upright, for an orientation of Exif: 1 is upright already, 2 to 8 are mirrored and turned.
    pub(super) fn upright(self, orientation: u16) -> Self {
        let (height, width, channels) = (self.height, self.width, self.channels);
        let (new_height, new_width) = if orientation >= 5 { (width, height) } else { (height, width) };
        // Row and column in the file of what stands at a row and a column.
        let source = |y: usize, x: usize| match orientation {
            2 => (y, width - 1 - x),
            3 => (height - 1 - y, width - 1 - x),
            4 => (height - 1 - y, x),
            5 => (x, y),
            6 => (height - 1 - x, y),
            7 => (height - 1 - x, width - 1 - y),
            8 => (x, width - 1 - y),
            _ => (y, x),
        };
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let pixels = (0..new_height).flat_map(|y| (0..new_width).map(move |x| (y, x)));
        let indices = pixels.flat_map(|(y, x)| {
            let (y, x) = source(y, x);
            (0..channels).map(move |channel| (y * width + x) * channels + channel)
        });
        let samples = self.samples.chosen(indices);
        Self { height: new_height, width: new_width, samples, was_turned: true, ..self }
    }
}

/// Leave to decode a picture: large ones wait for each other until this is dropped.
pub(crate) type Turn = Option<MutexGuard<'static, ()>>;

/// Height and width, if a picture may have them.
///
/// # Errors
/// [`Problem::TooLarge`], [`Problem::NoPixels`].
pub(crate) fn check_size(height: usize, width: usize) -> Result<([usize; 2], Turn), Problem> {
    match height.checked_mul(width) {
        Some(0) => Err(Problem::NoPixels([height, width])),
        Some(pixels) if pixels <= MAX_PIXELS => {
            let turn = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(([height, width], (pixels > LARGE).then(turn)))
        }
        _ => Err(Problem::TooLarge([height, width])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bitmap: &Bitmap) -> &[u8] {
        match &bitmap.samples {
            Samples::Bytes(bytes) => bytes,
            Samples::Words(_) => panic!("words"),
        }
    }

    /// What Exif 2.3 says in 4.6.4 A: where row 0 and column 0 of the file are.
    #[test]
    fn every_orientation_is_made_upright() {
        let file = || Bitmap::of_bytes([2, 3, 1], vec![1, 2, 3, 4, 5, 6]);
        for (orientation, size, expected) in [
            (0, [2, 3], [1, 2, 3, 4, 5, 6]),
            (1, [2, 3], [1, 2, 3, 4, 5, 6]),
            (2, [2, 3], [3, 2, 1, 6, 5, 4]),
            (3, [2, 3], [6, 5, 4, 3, 2, 1]),
            (4, [2, 3], [4, 5, 6, 1, 2, 3]),
            (5, [3, 2], [1, 4, 2, 5, 3, 6]),
            (6, [3, 2], [4, 1, 5, 2, 6, 3]),
            (7, [3, 2], [6, 3, 5, 2, 4, 1]),
            (8, [3, 2], [3, 6, 2, 5, 1, 4]),
            (9, [2, 3], [1, 2, 3, 4, 5, 6]),
        ] {
            let upright = file().upright(orientation);
            assert_eq!(([upright.height, upright.width], bytes(&upright)), (size, &expected[..]), "{orientation}");
            assert_eq!(upright.was_turned, (2..=8).contains(&orientation));
        }
        let colour = Bitmap::of_bytes([1, 2, 3], vec![1, 2, 3, 4, 5, 6]).upright(6);
        assert_eq!(([colour.height, colour.width], bytes(&colour)), ([2, 1], &[1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn what_is_transparent_lies_over_white() {
        let samples = Samples::Bytes(vec![0, 255, 0, 0, 100, 128]);
        let grey = Bitmap::new([1, 3, 2], samples).unwrap();
        assert_eq!((grey.channels, bytes(&grey), grey.was_transparent), (1, &[0, 255, 177][..], true));
        let opaque = Bitmap::new([1, 1, 4], Samples::Bytes(vec![1, 2, 3, 255])).unwrap();
        assert_eq!((opaque.channels, bytes(&opaque), opaque.was_transparent), (3, &[1, 2, 3][..], false));
        let words = Bitmap::new([1, 1, 2], Samples::Words(vec![0, 0x8000])).unwrap();
        assert_eq!(words.samples, Samples::Words(vec![0x7fff]));
        assert!(Bitmap::new([2, 2, 1], Samples::Bytes(vec![0; 3])).is_err());
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(check_size(1 << 13, 1 << 13).is_ok());
        assert!(matches!(check_size(1 << 13, (1 << 13) + 1), Err(Problem::TooLarge(_))));
        assert!(matches!(check_size(usize::MAX, usize::MAX), Err(Problem::TooLarge(_))));
        assert!(matches!(check_size(0, usize::MAX), Err(Problem::NoPixels(_))));
    }
}
