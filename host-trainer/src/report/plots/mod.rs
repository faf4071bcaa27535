//! The report's plots. Each is drawn once by plotters, as SVG and as pixels for a PNG file, from the same coordinates.
//!
//! Colours are those of [`PALETTE`] only: a page recolours an inline SVG by rules such as `[fill="#0072B2"]`, so that the
//! same SVG is a file with colours of its own and follows the page's theme.

mod accuracy;
mod frame;
mod matrix;
mod minimal;
mod paper;
mod training;

use anyhow::Result;
use plotters::prelude::*;

use super::{Figures, Report};
use crate::drawing::{Area, Drawn, Picture, paint, register_font};
use paper::SCALE;

pub(crate) use accuracy::Accuracy;
pub(crate) use matrix::MatrixPlot;
pub(crate) use minimal::MinimalPlot;
pub(crate) use paper::{PALETTE, PAPER, Plot};
pub(crate) use training::TrainingPlot;

/// A PNG file has twice the page's pixels; each is the mean of some units, which smooths all edges.
const PNG_SCALE: u32 = 2;

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
