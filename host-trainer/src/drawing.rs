//! Pixels in memory: drawn by plotters, made smooth, written as PNG.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font as register;

/// Where a plotters backend draws.
pub(crate) type Area<DB> = DrawingArea<DB, Shift>;
/// What drawing on it gives.
pub(crate) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// An image of 8-bit red, green and blue, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// Asks `pixel` for the colour at each column and row.
    pub fn from_fn(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let mut pixels = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                pixels.extend_from_slice(&pixel(x, y));
            }
        }
        Self { width, height, pixels }
    }

    /// Draws on `factor` times as many units in both directions as the picture has pixels. Each pixel is the mean of its
    /// units, which smooths all edges.
    pub(crate) fn draw<F>((width, height): (usize, usize), factor: usize, draw: F) -> Result<Self>
    where
        F: for<'a> FnOnce(&Area<BitMapBackend<'a>>) -> Drawn<BitMapBackend<'a>>,
    {
        register_font()?;
        let mut units = vec![0; 3 * factor * width * factor * height];
        let size = (u32::try_from(factor * width)?, u32::try_from(factor * height)?);
        paint(&BitMapBackend::with_buffer(&mut units, size).into_drawing_area(), draw)?;
        Ok(Self { width, height, pixels: means(&units, 3 * factor * width, factor) })
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The colour at a column and a row, if they exist.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let start = 3 * (y * self.width + x);
        (x < self.width).then(|| self.pixels.get(start..)?.first_chunk().copied())?
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// If the picture has no pixel, or more columns or rows than a PNG file can have.
    pub fn png(&self) -> Result<Vec<u8>> {
        ensure!(!self.pixels.is_empty(), "a picture without pixels has no PNG file");
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().context("a picture's header")?;
        writer.write_image_data(&self.pixels).context("a picture's pixels")?;
        writer.finish().context("a picture's end")?;
        Ok(bytes)
    }
}

/// The mean colour of each square of `factor` times `factor` units, of which a row has `row_len` bytes. Whole rows are added
/// first: what is done for each unit is most of the work of a picture.
fn means(units: &[u8], row_len: usize, factor: usize) -> Vec<u8> {
    let count = (factor * factor) as u32;
    let mut sums = vec![0; row_len];
    let mut pixels = Vec::with_capacity(units.len() / (factor * factor).max(1));
    for rows in units.chunks_exact((factor * row_len).max(1)) {
        sums.fill(0);
        for row in rows.chunks_exact(row_len) {
            sums.iter_mut().zip(row).for_each(|(sum, unit)| *sum += u32::from(*unit));
        }
        for square in sums.chunks_exact(3 * factor) {
            let mean = |channel| {
                let sum: u32 = square[channel..].iter().step_by(3).sum();
                ((sum + count / 2) / count) as u8
            };
            pixels.extend([mean(0), mean(1), mean(2)]);
        }
    }
    pixels
}

/// Draws on an area, with an error of this program.
pub(crate) fn paint<DB: DrawingBackend>(area: &Area<DB>, draw: impl FnOnce(&Area<DB>) -> Drawn<DB>) -> Result<()> {
    let drawn = draw(area).and_then(|()| area.present());
    drawn.map_err(|error| anyhow!("a picture cannot be drawn: {error}"))
}

/// Makes `sans-serif` the font that text is measured with, and drawn in PNG files; in an SVG the reader's own sans-serif
/// is used. It is Roboto Regular (Google, Apache 2.0), cut by fonttools' `pyftsubset` to Latin letters, without hints.
///
/// # Errors
/// If the font is damaged.
pub fn register_font() -> Result<()> {
    static FONT: &[u8] = include_bytes!("../assets/roboto-regular.ttf");
    static SOUND: OnceLock<bool> = OnceLock::new();
    let sound = *SOUND.get_or_init(|| register("sans-serif", FontStyle::Normal, FONT).is_ok());
    if sound { Ok(()) } else { Err(anyhow!("the built-in font is damaged")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_file_holds_the_pixels() {
        let picture = Picture::from_fn(3, 2, |x, y| [x as u8, y as u8, 7]);
        let bytes = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!((reader.info().size(), pixels), ((3, 2), picture.pixels.clone()));
        assert_eq!([picture.pixel(2, 1), picture.pixel(3, 1), picture.pixel(0, 2)], [Some([2, 1, 7]), None, None]);
        assert!(Picture::from_fn(0, 5, |_, _| [0; 3]).png().is_err());
    }

    #[test]
    fn a_pixel_is_the_mean_of_its_units() {
        let picture = Picture::draw((2, 1), 2, |area| {
            area.fill(&WHITE)?;
            area.draw(&Rectangle::new([(0, 0), (1, 2)], BLACK.filled()))
        });
        assert_eq!(picture.unwrap().pixels, [128, 128, 128, 255, 255, 255]);
    }
}
