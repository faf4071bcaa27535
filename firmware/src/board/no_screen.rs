//! In place of a display, on boards that have none, or no RAM for one.

use core::convert::Infallible;

use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::*;

/// No display: what is drawn is not seen, and the log says what there is to say.
pub struct Screen;

impl OriginDimensions for Screen {
    fn size(&self) -> Size {
        Size::new(320, 240)
    }
}

impl DrawTarget for Screen {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb565>>>(&mut self, _pixels: I) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(feature = "emulated")]
impl Screen {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn restart(&mut self) {}

    pub(super) fn present(&mut self) {}
}
