//! What every plot is drawn on and with.

use plotters::prelude::*;

use crate::drawing::{Area, Drawn};

/// Units of a plot per pixel of a page: backends round to whole units.
pub(super) const SCALE: u32 = 4;

/// A colour's name in the page's style sheet, and its value on white and on dark paper.
pub(crate) struct Paint {
    pub(crate) name: &'static str,
    pub(crate) light: RGBColor,
    pub(crate) dark: RGBColor,
}

const fn of_theme(name: &'static str, light: RGBColor, dark: RGBColor) -> Paint {
    Paint { name, light, dark }
}

pub(crate) const PAPER: RGBColor = RGBColor(255, 255, 255);
pub(crate) const INK: RGBColor = RGBColor(31, 35, 40);
pub(crate) const MUTED: RGBColor = RGBColor(91, 100, 112);
pub(crate) const GRID: RGBColor = RGBColor(226, 230, 234);
/// Okabe and Ito's colours, which colour-blind eyes can tell apart; the orange is darker, for contrast on white.
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const ORANGE: RGBColor = RGBColor(201, 125, 0);
pub(crate) const VERMILLION: RGBColor = RGBColor(192, 73, 0);
pub(crate) const GREEN: RGBColor = RGBColor(0, 128, 96);

/// All colours of all plots.
pub(crate) const PALETTE: [Paint; 8] = [
    of_theme("paper", PAPER, RGBColor(27, 31, 36)),
    of_theme("ink", INK, RGBColor(230, 233, 237)),
    of_theme("muted", MUTED, RGBColor(154, 164, 176)),
    of_theme("grid", GRID, RGBColor(52, 58, 66)),
    of_theme("blue", BLUE, RGBColor(86, 180, 233)),
    of_theme("orange", ORANGE, RGBColor(240, 178, 60)),
    of_theme("vermillion", VERMILLION, RGBColor(255, 126, 64)),
    of_theme("green", GREEN, RGBColor(70, 204, 162)),
];

/// Something to draw.
pub(crate) trait Plot {
    /// Width and height on a page, in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws on an area of [`SCALE`] times that size.
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB>;
}
