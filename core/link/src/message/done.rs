//! What came of a job.

use serde::{Deserialize, Serialize};

/// What a job took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// In the board's [`Unit`](crate::Unit).
    pub ticks: u64,
    /// Most bytes of stack.
    pub stack: u32,
}

/// What a model makes of an image in an attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The class.
    pub class: u16,
    /// Its probability.
    pub confidence: f32,
    /// The attack's loss.
    pub loss: f32,
}

/// What came of a job.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Done {
    /// Of [`Request::Classify`](crate::Request::Classify).
    Class {
        /// The class.
        class: u16,
        /// Its probability.
        confidence: f32,
    },
    /// [`Part::Logits`](crate::Part::Logits) can be read.
    Logits,
    /// [`Part::Image`](crate::Part::Image) is the gradient, and the logits can be read.
    Gradient {
        /// The loss.
        loss: f32,
    },
    /// [`Part::Image`](crate::Part::Image) is the adversarial image.
    Attack {
        /// Of the clean image.
        before: Prediction,
        /// Of the adversarial image.
        after: Prediction,
        /// Steps whose gradient was exactly zero.
        zero_gradient_steps: u32,
        /// Largest change of a pixel.
        largest_change: f32,
        /// The class to reach.
        target: Option<u16>,
    },
    /// [`Part::Image`](crate::Part::Image) is the picture.
    Picture,
}
