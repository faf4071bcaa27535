//! A display that the runner draws. Like a display controller it is told windows and the colours in them, in a file that
//! the runner reads afterwards (`run/src/screen.rs`); nothing is kept here but a small buffer.
//!
//! ```text
//! "midge screen"   u16 width   u16 height   then any number of, all little endian:
//!     1   u16 x   u16 y   u16 width   u16 height   one u16 (RGB565) for each pixel, row by row
//!     2   u16 x   u16 y   u16 width   u16 height   u16 colour of all of them
//!     3   the picture is complete
//! ```

use core::convert::Infallible;

use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::pixelcolor::raw::ToBytes;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use semihosting::fs::File;
use semihosting::io::Write;

#[cfg(not(feature = "square-screen"))]
const SIZE: Size = Size::new(320, 240);
#[cfg(feature = "square-screen")]
const SIZE: Size = Size::new(240, 240);

/// The display.
pub struct Screen {
    /// Opened by the first pixel.
    file: Option<File>,
    buffer: heapless::Vec<u8, 512>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { file: None, buffer: heapless::Vec::new() }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > self.buffer.capacity() {
            self.flush();
        }
        if self.buffer.extend_from_slice(bytes).is_err() {
            panic!("a command is longer than the buffer");
        }
    }

    fn flush(&mut self) {
        let file = self.file.get_or_insert_with(|| {
            let Ok(mut file) = File::create(c"midge-screen.bin") else { panic!("the screen's file cannot be made") };
            let size = [SIZE.width as u16, SIZE.height as u16].map(u16::to_le_bytes);
            if file.write_all(b"midge screen").and_then(|()| file.write_all(size.as_flattened())).is_err() {
                panic!("the screen's file cannot be written");
            }
            file
        });
        if file.write_all(&self.buffer).is_err() {
            panic!("the screen's file cannot be written");
        }
        self.buffer.clear();
    }

    fn command(&mut self, code: u8, area: &Rectangle) {
        let Rectangle { top_left: Point { x, y }, size: Size { width, height } } = *area;
        let [x, y, width, height] = [x as u16, y as u16, width as u16, height as u16].map(u16::to_le_bytes);
        self.put(&[code]);
        self.put([x, y, width, height].as_flattened());
    }

    /// Forgets all pictures: a program that draws for hours leaves the last one.
    pub(super) fn restart(&mut self) {
        self.file = None;
        self.buffer.clear();
    }

    /// Ends a picture.
    pub(super) fn present(&mut self) {
        self.put(&[3]);
        self.flush();
    }
}

impl OriginDimensions for Screen {
    fn size(&self) -> Size {
        SIZE
    }
}

impl DrawTarget for Screen {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb565>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let bounds = self.bounding_box();
        for Pixel(at, color) in pixels.into_iter().filter(|Pixel(at, _)| bounds.contains(*at)) {
            self.fill_solid(&Rectangle::new(at, Size::new_equal(1)), color)?;
        }
        Ok(())
    }

    fn fill_contiguous<I: IntoIterator<Item = Rgb565>>(
        &mut self,
        area: &Rectangle,
        colors: I,
    ) -> Result<(), Infallible> {
        if area.intersection(&self.bounding_box()) != *area {
            return self.draw_iter(area.points().zip(colors).map(|(at, color)| Pixel(at, color)));
        }
        self.command(1, area);
        let pixels = (area.size.width * area.size.height) as usize;
        let colors = colors.into_iter().chain(core::iter::repeat(Rgb565::BLACK)).take(pixels);
        colors.for_each(|color| self.put(&color.to_le_bytes()));
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb565) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        if !area.is_zero_sized() {
            self.command(2, &area);
            self.put(&color.to_le_bytes());
        }
        Ok(())
    }
}
