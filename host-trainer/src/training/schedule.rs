//! What changes from update to update: the learning rate and the eps of adversarial training. Time is measured in
//! epochs from the start of training, with fractions.
//!
//! Cyclic: up from 0 over the first two fifths, then down to 0, both linear. Smith: Cyclical Learning Rates for Training
//! Neural Networks, WACV 2017; Wong, Rice, Kolter: Fast is better than free, ICLR 2020, use one such cycle.
//! Piecewise: a tenth from half of the epochs on, a hundredth from three quarters on.

use std::fmt::{self, Display, Formatter};

/// The learning rate over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Schedule {
    /// The same all the time
    Constant,
    /// A tenth from half of the epochs on, a hundredth from three quarters on
    Piecewise,
    /// Up from 0 for two fifths of the epochs, then down to 0
    Cyclic,
}

impl Schedule {
    /// The learning rate, at most `peak`, at `time` of `epochs`.
    pub fn learning_rate(self, peak: f32, time: f64, epochs: usize) -> f32 {
        let done = time / epochs.max(1) as f64;
        match self {
            Self::Constant => peak,
            Self::Piecewise if done >= 0.75 => peak / 100.0,
            Self::Piecewise if done >= 0.5 => peak / 10.0,
            Self::Piecewise => peak,
            Self::Cyclic => peak * (done / 0.4).min((1.0 - done) / 0.6).max(0.0) as f32,
        }
    }
}

impl Display for Schedule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Piecewise => "piecewise",
            Self::Cyclic => "cyclic",
        })
    }
}

/// The share of eps at `time`: grows from 0 to 1 over `warm_up` epochs.
pub fn warm_up(time: f64, warm_up: f64) -> f32 {
    if time < warm_up { (time / warm_up) as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_pass_through_their_corners() {
        let at = |schedule: Schedule, times: [f64; 5]| times.map(|time| schedule.learning_rate(0.5, time, 10));
        assert_eq!(at(Schedule::Constant, [0.0, 1.0, 5.0, 9.0, 10.0]), [0.5; 5]);
        assert_eq!(at(Schedule::Piecewise, [0.0, 4.99, 5.0, 7.49, 7.5]), [0.5, 0.5, 0.05, 0.05, 0.005]);
        assert_eq!(at(Schedule::Cyclic, [0.0, 2.0, 4.0, 7.0, 10.0]), [0.0, 0.25, 0.5, 0.25, 0.0]);
        assert_eq!([0.0, 0.5, 2.0, 9.0].map(|time| warm_up(time, 2.0)), [0.0, 0.25, 1.0, 1.0]);
        assert_eq!(warm_up(0.0, 0.0), 1.0);
    }
}
