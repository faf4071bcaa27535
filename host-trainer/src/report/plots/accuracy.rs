//! Accuracy against eps, with 95 % intervals.

use plotters::prelude::*;

use super::frame::{Axes, Frame, Marker, Series, fifths, head, percent, px, ticks};
use super::paper::{BLUE, INK, MUTED, ORANGE, Plot, VERMILLION};
use crate::drawing::{Area, Drawn};
use crate::report::{Curve, Figures, Settings};

/// In the order of the curves.
const SERIES: [Series; 3] = [
    Series { colour: BLUE, marker: Marker::Circle, dashed: false },
    Series { colour: ORANGE, marker: Marker::Triangle, dashed: false },
    Series { colour: VERMILLION, marker: Marker::Square, dashed: false },
];
const CHANCE: Series = Series { colour: MUTED, marker: Marker::None, dashed: true };
const WORST: Series = Series { colour: INK, marker: Marker::Diamond, dashed: false };

/// The curves of one model, on the axes of all.
pub(crate) struct Accuracy<'a> {
    figures: &'a Figures,
    end: f64,
    robust_eps: f64,
}

impl<'a> Accuracy<'a> {
    pub(crate) fn new(figures: &'a Figures, settings: &Settings) -> Self {
        let robust_eps = round(settings.robust_eps);
        let end = settings.eps.iter().map(|eps| round(*eps)).fold(robust_eps, f64::max);
        Self { figures, end, robust_eps }
    }
}

/// The number that a user typed.
fn round(eps: f32) -> f64 {
    eps.to_string().parse().unwrap_or_else(|_| f64::from(eps))
}

impl Plot for Accuracy<'_> {
    fn size(&self) -> (u32, u32) {
        (540, 370)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        let Figures { name, curves, robust, .. } = self.figures;
        let mut legend: Vec<_> =
            curves.iter().zip(SERIES).map(|(curve, series)| (curve.attack.clone(), series)).collect();
        legend.extend([("worst case".into(), WORST), ("chance".into(), CHANCE)]);
        head(area, name, &legend)?;
        let frame = Frame::draw(
            area,
            (52, 370),
            &Axes {
                x: (0.0, 1.02 * self.end),
                y: (0.0, 1.0),
                x_ticks: ticks(self.end, 6),
                y_ticks: fifths(),
                x_label: &|eps| format!("{}", (1000.0 * eps).round() / 1000.0),
                y_label: &percent,
                x_title: "eps, largest change of a pixel",
                y_title: "images read correctly",
            },
        )?;
        for (curve, series) in curves.iter().zip(SERIES) {
            draw_curve(&frame, area, curve, &series)?;
        }
        let at = |share| frame.at((self.robust_eps, share));
        let [low, high] = robust.worst.interval;
        area.draw(&PathElement::new(vec![at(low), at(high)], INK.stroke_width(px(2) as u32)))?;
        if let Some(worst) = robust.worst.fraction {
            WORST.mark(area, at(worst))?;
        }
        let chance = self.figures.matrix.cells.len().max(1) as f64;
        frame.series(area, &[(0.0, 1.0 / chance), (1.02 * self.end, 1.0 / chance)], &CHANCE)
    }
}

fn draw_curve<DB: DrawingBackend>(frame: &Frame, area: &Area<DB>, curve: &Curve, series: &Series) -> Drawn<DB> {
    let band: Vec<_> = curve.points.iter().map(|point| (round(point.eps), point.right.interval)).collect();
    frame.band(area, &band, series.colour.mix(0.14))?;
    let points = curve.points.iter();
    let line: Vec<_> = points.filter_map(|point| Some((round(point.eps), point.right.fraction?))).collect();
    frame.series(area, &line, series)
}
