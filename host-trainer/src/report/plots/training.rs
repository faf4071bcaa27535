//! Accuracy and loss over the epochs.

use plotters::prelude::*;

use super::frame::{Axes, Frame, Marker, Series, fifths, head, percent, ticks};
use super::paper::{BLUE, GREEN, ORANGE, Plot, VERMILLION};
use crate::drawing::{Area, Drawn};
use crate::report::Figures;
use crate::training::history::Entry;

const TRAINING: Series = Series { colour: ORANGE, marker: Marker::Triangle, dashed: false };
const TEST: Series = Series { colour: BLUE, marker: Marker::Circle, dashed: false };
const HELD_OUT: Series = Series { colour: GREEN, marker: Marker::Diamond, dashed: true };
const PGD: Series = Series { colour: VERMILLION, marker: Marker::Square, dashed: true };

/// The training of one model, on the loss axis of all.
pub(crate) struct TrainingPlot<'a> {
    name: &'a str,
    entries: &'a [Entry],
    highest_loss: f64,
}

impl<'a> TrainingPlot<'a> {
    pub(crate) fn new(figures: &'a Figures, all: &[Figures]) -> Self {
        let losses = all.iter().flat_map(|figures| &figures.training).map(|e| e.epoch.loss.max(e.test_loss));
        Self { name: &figures.name, entries: &figures.training, highest_loss: losses.fold(1e-3, f64::max) }
    }

    fn points(&self, value: impl Fn(&Entry) -> Option<f64>) -> Vec<(f64, f64)> {
        self.entries.iter().filter_map(|entry| Some((entry.epoch.epoch as f64, value(entry)?))).collect()
    }

    fn axes<'b>(&self, y: (f64, Vec<f64>, &'b dyn Fn(f64) -> String), titles: (&'b str, &'b str)) -> Axes<'b> {
        let epochs = self.entries.iter().map(|entry| entry.epoch.epoch);
        let last = epochs.max().unwrap_or(1) as f64;
        let (end, y_ticks, y_label) = y;
        let x_ticks = if last <= 12.0 { (1..=last as i32).map(f64::from).collect() } else { ticks(last, 8) };
        let (x_title, y_title) = titles;
        Axes { x: (0.5, last + 0.5), y: (0.0, end), x_ticks, y_ticks, x_label: &whole, y_label, x_title, y_title }
    }
}

fn whole(x: f64) -> String {
    format!("{x:.0}")
}

impl Plot for TrainingPlot<'_> {
    fn size(&self) -> (u32, u32) {
        (540, 500)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        let holds_out = self.entries.iter().any(|entry| entry.held_out.is_some());
        let mut legend = vec![("training".to_string(), TRAINING), ("test".into(), TEST)];
        if holds_out {
            legend.extend([("held out".into(), HELD_OUT), ("held out, PGD".into(), PGD)]);
        }
        head(area, self.name, &legend)?;
        let axes = self.axes((1.0, fifths(), &percent), ("", "accuracy"));
        let frame = Frame::draw(area, (52, 320), &axes)?;
        frame.series(area, &self.points(|entry| Some(entry.epoch.accuracy)), &TRAINING)?;
        frame.series(area, &self.points(|entry| Some(entry.test_accuracy)), &TEST)?;
        if holds_out {
            frame.series(area, &self.points(|entry| Some(entry.held_out?[0])), &HELD_OUT)?;
            frame.series(area, &self.points(|entry| Some(entry.held_out?[1])), &PGD)?;
        }
        let loss = |loss: f64| format!("{}", (100.0 * loss).round() / 100.0);
        // One tick more than the highest loss needs.
        let mut marks = ticks(self.highest_loss, 4);
        marks.push(marks.len() as f64 * marks.get(1).copied().unwrap_or(1.0));
        let end = marks.last().copied().unwrap_or(self.highest_loss);
        let axes = self.axes((end, marks, &loss), ("epoch", "loss in nats"));
        let frame = Frame::draw(area, (306, 500), &axes)?;
        frame.series(area, &self.points(|entry| Some(entry.epoch.loss)), &TRAINING)?;
        frame.series(area, &self.points(|entry| Some(entry.test_loss)), &TEST)
    }
}
