//! How far a report is, over all its bars.

use std::time::Instant;

use super::settings::{GRID_POINTS, Settings};

/// Counts the stages of a report, and estimates what is left from their gradients per image.
pub(super) struct Stages {
    costs: Vec<f64>,
    done: usize,
    start: Instant,
}

impl Stages {
    /// Before the first stage of the first of `models`, which know so many classes.
    pub(super) fn new(models: usize, classes: usize, settings: &Settings) -> Self {
        let (points, steps) = (settings.eps.len() as f64, settings.steps as f64);
        let targets = classes.saturating_sub(1) as f64;
        let costs = [
            // PGD on two losses and at every target, APGD once and at every target, the curve, and twice the steps; a query is a
            // third of a gradient.
            (2.0 * settings.restarts as f64 + 2.0 * targets + 1.0 + 5.0 + 2.0) * steps + settings.queries as f64 / 3.0,
            points * (11.0 + steps),
            targets * steps,
            GRID_POINTS as f64 / 2.0 * steps,
            steps,
        ];
        Self { costs: costs.repeat(models), done: 0, start: Instant::now() }
    }

    /// Says which stage begins. Weak models fall early, so what is left is an estimate from above.
    pub(super) fn next(&mut self, what: &str) {
        let (past, left) = self.costs.split_at(self.done.min(self.costs.len()));
        let (past, left): (f64, f64) = (past.iter().sum(), left.iter().sum());
        let seconds = self.start.elapsed().as_secs_f64() * left / past;
        let eta = if past > 0.0 { format!("  ETA {seconds:.0}s") } else { String::new() };
        self.done += 1;
        note!("[{}/{}] {what}{eta}", self.done, self.costs.len());
    }
}
