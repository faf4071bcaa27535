//! What can be wrong with a caller's data.

/// Why a model refused to run.
///
/// ```
/// use midge_core::Error;
///
/// let error = Error::Pixel { index: 3, value: 1.5 };
/// assert_eq!(error.to_string(), "pixel 3 is 1.5: expected one in the model's range");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has the wrong length.
    Length {
        /// Which slice.
        what: &'static str,
        /// Elements it should have; a buffer may have more.
        expected: usize,
        /// Elements it has.
        found: usize,
    },
    /// A pixel outside the model's range, which is [0, 1] but for a quantised one, or NaN.
    Pixel {
        /// Index in row, column, channel order.
        index: usize,
        /// The pixel.
        value: f32,
    },
    /// Ends of the pixels' range that are not finite, or not in order.
    Pixels {
        /// The smallest pixel.
        low: f32,
        /// The largest.
        high: f32,
    },
    /// A class the model does not have.
    Class {
        /// The class given.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A negative, infinite or NaN option.
    Option {
        /// Which option: `eps`, `alpha` or `decay`.
        what: &'static str,
        /// Its value.
        value: f32,
    },
    /// An option outside its range, or NaN.
    Range {
        /// Which option.
        what: &'static str,
        /// Its value.
        value: f32,
        /// The smallest and the largest value.
        range: &'static [f32; 2],
    },
    /// An attack of zero steps.
    NoSteps,
    /// An attack of zero starts.
    NoRestarts,
    /// More than one start of each image where nobody looks at the results, so that none is the best.
    BatchRestarts {
        /// The number asked for.
        restarts: usize,
    },
    /// An attack that was told to stop.
    Stopped,
    /// A targeted attack at the true class.
    TargetIsLabel {
        /// The class.
        class: usize,
    },
    /// A batch was made for another network than the model's.
    OtherNetwork,
    /// The model's code does not run the network: it is for chains only, and this is none ([`Chain`](crate::Chain)), or one of
    /// them is planned for integers ([`Network::int8`](crate::Network::int8)) and the other is not.
    NotRun,
    /// A weight is infinite or NaN, or the weights are so large that values between the layers could overflow.
    Weights {
        /// Index of the layer.
        layer: usize,
    },
    /// The logits or the gradient overflowed.
    NotFinite {
        /// `logits` or `gradient`.
        what: &'static str,
    },
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Length { what, expected, found } => write!(f, "{what}: expected {expected} elements, found {found}"),
            Self::Pixel { index, value } => write!(f, "pixel {index} is {value}: expected one in the model's range"),
            Self::Pixels { low, high } => {
                write!(f, "pixels from {low} to {high}: expected two finite numbers, the smaller one first")
            }
            Self::Class { class, classes } => write!(f, "class {class}: expected 0 to {}", classes.saturating_sub(1)),
            Self::Option { what, value } => write!(f, "{what} is {value}: expected a finite number, not negative"),
            Self::Range { what, value, range } => {
                write!(f, "{what} is {value}: expected a number from {} to {}", range[0], range[1])
            }
            Self::NoSteps => f.write_str("an attack needs at least one step"),
            Self::NoRestarts => f.write_str("an attack needs at least one start"),
            Self::BatchRestarts { restarts } => {
                write!(f, "without a look at the results an image has one start, found {restarts}")
            }
            Self::Stopped => f.write_str("the attack was stopped"),
            Self::TargetIsLabel { class } => write!(f, "the target class {class} is the true class"),
            Self::OtherNetwork => f.write_str("the batch was made for another network than the model's"),
            Self::NotRun => f.write_str("the model's type of weights does not run this network"),
            Self::Weights { layer } => {
                write!(f, "layer {layer}: weights are infinite or NaN, or so large that its values could overflow")
            }
            Self::NotFinite { what } => write!(f, "the {what} overflowed: infinite or NaN"),
        }
    }
}

impl core::error::Error for Error {}

/// `found` must be at least `expected`.
pub(crate) fn check_buffer(expected: usize, found: usize) -> Result<(), Error> {
    if found >= expected { Ok(()) } else { Err(Error::Length { what: "buffer", expected, found }) }
}

/// `found` must be `expected`.
pub(crate) fn check_len(what: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}

/// Every pixel must be in the range.
#[inline(always)]
pub(crate) fn check_pixels(image: &[f32], [low, high]: [f32; 2]) -> Result<(), Error> {
    match image.iter().position(|x| !(low..=high).contains(x)) {
        None => Ok(()),
        Some(index) => Err(Error::Pixel { index, value: image.get(index).copied().unwrap_or(f32::NAN) }),
    }
}

/// `class` must be one of `classes`.
pub(crate) fn check_class(class: usize, classes: usize) -> Result<(), Error> {
    if class < classes { Ok(()) } else { Err(Error::Class { class, classes }) }
}

/// An option must be finite and not negative.
pub(crate) fn check_option(what: &'static str, value: f32) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(Error::Option { what, value }) }
}
