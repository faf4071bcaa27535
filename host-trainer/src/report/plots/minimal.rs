//! Images by the smallest eps that fools the model; those that none fools have a bin of their own.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{Axes, Frame, TEXT, head, percent, px, ticks, write};
use super::paper::{BLUE, INK, MUTED, Plot, VERMILLION};
use crate::drawing::{Area, Drawn};
use crate::evaluation::Share;
use crate::report::{Figures, Minimal};

/// The histogram of one model, on the axes of all.
pub(crate) struct MinimalPlot<'a> {
    name: &'a str,
    minimal: &'a Minimal,
    highest: f64,
}

impl<'a> MinimalPlot<'a> {
    pub(crate) fn new(figures: &'a Figures, all: &[Figures]) -> Self {
        let bins = all.iter().flat_map(|figures| shares(&figures.minimal));
        Self { name: &figures.name, minimal: &figures.minimal, highest: bins.fold(0.05, f64::max) }
    }
}

/// The bins as shares of the images searched, "not found" last; all empty if none was searched.
fn shares(minimal: &Minimal) -> Vec<f64> {
    let bins = minimal.bins.iter().map(|bin| bin.images).chain([minimal.not_found.count]);
    bins.map(|images| Share::new(images, minimal.not_found.of).fraction.unwrap_or(0.0)).collect()
}

impl Plot for MinimalPlot<'_> {
    fn size(&self) -> (u32, u32) {
        (540, 310)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        head(area, self.name, &[])?;
        let count = self.minimal.bins.len();
        let end = self.minimal.bins.last().map_or(1.0, |bin| f64::from(bin.eps));
        let step = end / count.max(1) as f64;
        let unit = ticks(self.highest, 5);
        let top = unit.last().copied().unwrap_or(1.0) + unit.get(1).copied().unwrap_or(0.0);
        let frame = Frame::draw(
            area,
            (28, 310),
            &Axes {
                x: (0.0, end + 4.0 * step),
                y: (0.0, top.min(1.0).max(self.highest)),
                x_ticks: ticks(end, 5),
                y_ticks: ticks(top.min(1.0).max(self.highest), 6),
                x_label: &|eps| format!("{}", (1000.0 * eps).round() / 1000.0),
                y_label: &percent,
                x_title: "smallest eps that fools the model",
                y_title: "of the images read correctly",
            },
        )?;
        for (k, share) in shares(self.minimal).into_iter().enumerate() {
            let (start, width, colour) =
                if k < count { (k as f64, 1.0, BLUE) } else { (count as f64 + 1.5, 2.0, VERMILLION) };
            let (left, top) = frame.at((start * step, share));
            let (right, bottom) = frame.at(((start + width) * step, 0.0));
            if share > 0.0 {
                area.draw(&Rectangle::new([(left + px(1), top), (right - px(1), bottom)], colour.filled()))?;
            }
            if k == count {
                let middle = (left + right) / 2;
                write(area, "not found", (middle, bottom + px(14)), (TEXT, &MUTED, HPos::Center))?;
                let text = if self.minimal.not_found.of > 0 { percent(share) } else { "none searched".into() };
                write(area, &text, (middle, top - px(9)), (TEXT, &INK, HPos::Center))?;
            }
        }
        self.draw_median(area, &frame)
    }
}

impl MinimalPlot<'_> {
    fn draw_median<DB: DrawingBackend>(&self, area: &Area<DB>, frame: &Frame) -> Drawn<DB> {
        let Some(median) = self.minimal.quartiles[1] else { return Ok(()) };
        let (x, bottom) = frame.at((f64::from(median), 0.0));
        let top = frame.top();
        area.draw(&PathElement::new(vec![(x, top), (x, bottom)], INK.stroke_width(px(1) as u32)))?;
        write(area, &format!("median {median}"), (x + px(6), top + px(9)), (TEXT, &INK, HPos::Left))
    }
}
