//! The report's plots. Each is drawn once by plotters, as SVG and as pixels for a PNG file, from the same coordinates.
//!
//! Colours are those of [`PALETTE`] only: a page recolours an inline SVG by rules such as `[fill="#0072B2"]`, so that the
//! same SVG is a file with colours of its own and follows the page's theme.

mod accuracy;
mod frame;
mod matrix;
mod minimal;
mod training;

use anyhow::Result;
use plotters::prelude::*;

use super::{Figures, Report};
use crate::drawing::{Area, Drawn, Picture, paint, register_font};

pub(crate) use accuracy::Accuracy;
pub(crate) use matrix::MatrixPlot;
pub(crate) use minimal::MinimalPlot;
pub(crate) use training::TrainingPlot;

/// Units of a plot per pixel of a page: backends round to whole units.
const SCALE: u32 = 4;
/// A PNG file has twice the page's pixels; each is the mean of some units, which smooths all edges.
const PNG_SCALE: u32 = 2;

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

/// A plot in both forms.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    /// A whole SVG file.
    pub(crate) svg: String,
    /// A PNG file.
    pub(crate) png: Vec<u8>,
    /// Its size in units.
    size: (u32, u32),
}

impl Drawing {
    /// The SVG as part of a page, which says how wide it is; `label` says what it shows to those who cannot see it.
    pub(crate) fn inline(&self, label: &str) -> String {
        let (width, height) = self.size;
        let body = self.svg.split_once('>').map_or("", |(_, body)| body);
        let label = label.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        format!("<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{body}")
    }
}

/// Draws a plot in both forms.
pub(crate) fn draw(plot: &impl Plot) -> Result<Drawing> {
    register_font()?;
    let (width, height) = plot.size();
    let size @ (w, h) = (SCALE * width, SCALE * height);
    let mut svg = String::new();
    paint(&SVGBackend::with_string(&mut svg, size).into_drawing_area(), |area| on_paper(plot, area))?;
    // The file opens at the size of the page.
    svg = with_true_font_sizes(&svg).replacen(
        &format!("width=\"{w}\" height=\"{h}\""),
        &format!("width=\"{width}\" height=\"{height}\""),
        1,
    );
    let pixels = ((PNG_SCALE * width) as usize, (PNG_SCALE * height) as usize);
    let picture = Picture::draw(pixels, (SCALE / PNG_SCALE) as usize, |area| on_paper(plot, area))?;
    Ok(Drawing { svg, png: picture.png()?, size })
}

fn on_paper<DB: DrawingBackend>(plot: &impl Plot, area: &Area<DB>) -> Drawn<DB> {
    area.fill(&PAPER)?;
    plot.draw(area)
}

/// plotters-svg writes font sizes divided by 1.24, its bitmaps do not.
fn with_true_font_sizes(svg: &str) -> String {
    const SIZE: &str = " font-size=\"";
    let mut parts = svg.split(SIZE);
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |done, part| {
        let (size, rest) = part.split_once('"').unwrap_or((part, ""));
        let size = size.parse::<f64>().map_or_else(|_| size.to_string(), |size| (1.24 * size).round().to_string());
        done + SIZE + &size + "\"" + rest
    })
}

/// All plots of a model, with the names of their files: those that exist.
pub(crate) fn of_model(figures: &Figures, report: &Report) -> Result<Vec<(&'static str, Drawing)>> {
    let all = &report.models;
    let mut plots = vec![
        ("accuracy", draw(&Accuracy::new(figures, &report.settings))?),
        ("matrix", draw(&MatrixPlot::new(figures))?),
        ("minimal-eps", draw(&MinimalPlot::new(figures, all))?),
    ];
    if !figures.training.is_empty() {
        plots.push(("training", draw(&TrainingPlot::new(figures, all))?));
    }
    Ok(plots)
}
