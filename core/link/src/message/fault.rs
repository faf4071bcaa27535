//! Why something was not done.

use midge_core::Error;
use serde::{Deserialize, Serialize};

use super::saturated;
use crate::frame::VERSION;

/// Why a request was not met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Fault {
    /// A frame arrived damaged; the number of the answer is 0, as nobody knows what it belonged to.
    Damaged,
    /// The version of the frame is another one.
    Version {
        /// What the board speaks.
        spoken: u8,
    },
    /// The message has no meaning, or asks for what the board cannot do.
    Unknown,
    /// A job runs.
    Busy {
        /// Input gradients done.
        done: u32,
        /// Input gradients at most.
        of: u32,
    },
    /// More than there is room for: elements of an image or of the memory, or bytes of a frame.
    TooLarge {
        /// The most that there is room for.
        most: u32,
    },
    /// Elements would be left out.
    Gap {
        /// So many are there.
        filled: u32,
    },
    /// Not all elements of the image are there.
    NoImage {
        /// So many are there.
        filled: u32,
    },
    /// No job has left such a result.
    NoResult,
    /// The model refuses image or options.
    Refused(Refusal),
}

/// Why the model refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// A pixel outside the model's range, or NaN.
    Pixel {
        /// Its number.
        index: u32,
        /// Its value.
        value: f32,
    },
    /// A class that the model does not have.
    Class {
        /// The class.
        class: u16,
    },
    /// A parameter that is negative, infinite, NaN or out of its range.
    Option {
        /// Its value.
        value: f32,
    },
    /// No step.
    NoSteps,
    /// No start.
    NoRestarts,
    /// The target is the label.
    TargetIsLabel,
    /// Logits or gradient overflowed.
    NotFinite,
    /// Anything else.
    Other,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(match error {
            Error::Length { expected, .. } => return Self::TooLarge { most: saturated(expected) },
            Error::Pixel { index, value } => Refusal::Pixel { index: saturated(index), value },
            Error::Class { class, .. } => Refusal::Class { class: u16::try_from(class).unwrap_or(u16::MAX) },
            Error::Option { value, .. } | Error::Range { value, .. } => Refusal::Option { value },
            Error::NoSteps => Refusal::NoSteps,
            Error::NoRestarts => Refusal::NoRestarts,
            Error::TargetIsLabel { .. } => Refusal::TargetIsLabel,
            Error::NotFinite { .. } => Refusal::NotFinite,
            _ => Refusal::Other,
        })
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Damaged => f.write_str("a damaged frame"),
            Self::Version { spoken } => {
                write!(f, "the board speaks version {spoken} of the protocol: expected version {VERSION}")
            }
            Self::Unknown => f.write_str("the board cannot do that, or does not understand it"),
            Self::Busy { done, of } => write!(f, "the board is busy with another job, {done} of {of} gradients done"),
            Self::TooLarge { most } => write!(f, "too large for the board: expected at most {most}"),
            Self::Gap { filled } | Self::NoImage { filled } => {
                write!(f, "the board has only {filled} elements of the image")
            }
            Self::NoResult => f.write_str("the board has no such result"),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Pixel { index, value } => write!(f, "pixel {index} is {value}: expected one in the model's range"),
            Self::Class { class } => write!(f, "class {class} is none of the model's"),
            Self::Option { value } => write!(f, "an option is {value}, which is out of its range"),
            Self::NoSteps => f.write_str("an attack needs at least one step"),
            Self::NoRestarts => f.write_str("an attack needs at least one start"),
            Self::TargetIsLabel => f.write_str("the target class is the true class"),
            Self::NotFinite => f.write_str("logits or gradient overflowed: infinite or NaN"),
            Self::Other => f.write_str("the model refused"),
        }
    }
}
