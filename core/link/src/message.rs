//! What host and board say to each other.
//!
//! Messages are written with [postcard](https://postcard.jamesmunns.com/wire-format): a variant by its number, integers of more
//! than 8 bits by 7 bits at a time, lengths in front of bytes. So the order of variants and fields is the protocol; a new one goes
//! to the end.

use midge_core::Error;
use serde::{Deserialize, Serialize};

use crate::attack::{Attack, Loss};
use crate::frame::{MESSAGE, VERSION};

/// Most bytes of an image, a gradient or logits in one message.
pub const CHUNK: usize = MESSAGE - 7;

/// What a host asks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who is there: [`Response::Info`].
    Info,
    /// Elements of an image from number `offset` on: [`Response::Stored`]. The first is put first; one that is there may be put
    /// again.
    Put {
        /// How the elements are written.
        encoding: Encoding,
        /// Number of the first.
        offset: u32,
        /// At most [`CHUNK`] bytes.
        bytes: &'a [u8],
    },
    /// Elements of what the last job left: [`Response::Elements`].
    Get {
        /// Of which result.
        part: Part,
        /// How the elements are to be written.
        encoding: Encoding,
        /// Number of the first.
        offset: u32,
        /// The most that are wanted.
        count: u8,
    },
    /// A job: which class the image is of. The jobs are answered with [`Response::Done`].
    Classify,
    /// A job: the logits of the image.
    Logits,
    /// A job: the gradient of a loss at a class with respect to the image.
    Gradient {
        /// The class.
        label: u16,
        /// The loss.
        loss: Loss,
    },
    /// A job: an attack on the image.
    Attack {
        /// Which, and how.
        attack: Attack,
        /// The class of the image.
        label: u16,
    },
    /// A job: what a camera makes of the image.
    Camera {
        /// Which changes.
        camera: Camera,
        /// Of the noise.
        seed: u64,
    },
    /// Ends the job that runs: [`Response::Cancelled`], and no other answer to the job.
    Cancel,
}

/// What a board answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Response<'a> {
    /// Not an answer: the board has just started, and knows nothing of what was before.
    Started,
    /// Who it is.
    Info(Info<'a>),
    /// So many elements of the image are there.
    Stored {
        /// Their number, from the first on.
        filled: u32,
    },
    /// Elements of a result.
    Elements {
        /// Number of the first.
        offset: u32,
        /// The elements.
        bytes: &'a [u8],
    },
    /// The job is done.
    Done {
        /// What came of it.
        done: Done,
        /// What it took.
        cost: Cost,
    },
    /// The job goes on; sent now and then, and whenever it is asked for again.
    Progress {
        /// Input gradients done.
        done: u32,
        /// Input gradients at most.
        of: u32,
    },
    /// Nothing is running any more.
    Cancelled,
    /// It was not done, and why.
    Fault(Fault),
}

/// A board and its model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Info<'a> {
    /// Name of the board, at most 40 bytes.
    pub board: &'a str,
    /// Name of the model, at most 40 bytes.
    pub model: &'a str,
    /// The checksum of the model's file, at most 40 bytes.
    pub fingerprint: &'a str,
    /// The type of the weights.
    pub element: ElementType,
    /// Height, width and channels of an image.
    pub shape: [u16; 3],
    /// Number of classes.
    pub classes: u16,
    /// The smallest and the largest pixel.
    pub range: [f32; 2],
    /// Where the pixels of a model of integers lie.
    pub grid: Option<Grid>,
    /// What it can do beside [`Request::Classify`] and [`Request::Logits`]: the sum of some [`Ability`].
    pub abilities: u8,
    /// Most bytes of elements in one message, at most [`CHUNK`].
    pub chunk: u8,
    /// Most elements of the memory for jobs.
    pub memory: u32,
    /// What [`Cost::ticks`] counts.
    pub unit: Unit,
}

/// One bit of [`Info::abilities`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// [`Request::Gradient`].
    Gradient = 1,
    /// [`Request::Attack`].
    Attack = 2,
    /// [`Request::Camera`].
    Camera = 4,
}

impl Info<'_> {
    /// Whether the board can do something.
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities & ability as u8 != 0
    }
}

/// The type of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "their names say it")]
pub enum ElementType {
    F32,
    F16,
    I8,
}

/// Real numbers that bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// From one byte to the next.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: i32,
}

impl From<midge_core::Grid> for Grid {
    fn from(midge_core::Grid { scale, zero_point }: midge_core::Grid) -> Self {
        Self { scale, zero_point }
    }
}

impl From<Grid> for midge_core::Grid {
    fn from(Grid { scale, zero_point }: Grid) -> Self {
        Self { scale, zero_point }
    }
}

/// How an element is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// An f32, little endian.
    F32,
    /// A byte of a picture: 0 is 0 and 255 is 1.
    U8,
    /// An integer of the model's grid.
    I8,
}

impl Encoding {
    /// Bytes of an element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::U8 | Self::I8 => 1,
        }
    }
}

/// A result of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// One for each class.
    Logits,
    /// An input gradient, an adversarial image or a camera's picture: one for each element of the image.
    Image,
}

/// What counts as a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Of an emulated processor.
    Instructions,
    /// Of the processor's clock.
    Cycles,
    /// Of a board that has no counter of cycles.
    Microseconds,
}

/// What a job took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// In the board's [`Unit`].
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
    /// Of [`Request::Classify`].
    Class {
        /// The class.
        class: u16,
        /// Its probability.
        confidence: f32,
    },
    /// [`Part::Logits`] can be read.
    Logits,
    /// [`Part::Image`] is the gradient, and the logits can be read.
    Gradient {
        /// The loss.
        loss: f32,
    },
    /// [`Part::Image`] is the adversarial image.
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
    /// [`Part::Image`] is the picture.
    Picture,
}

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

pub(crate) fn saturated(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
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

/// The options of [`midge_core::camera::Camera`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is described there")]
pub struct Camera {
    pub gamma: f32,
    pub rotation: f32,
    pub down: f32,
    pub right: f32,
    pub blur: f32,
    pub brightness: f32,
    pub noise: f32,
    pub eight_bit: bool,
}

impl From<Camera> for midge_core::camera::Camera {
    fn from(camera: Camera) -> Self {
        let Camera { gamma, rotation, down, right, blur, brightness, noise, eight_bit } = camera;
        Self { gamma, rotation, down, right, blur, brightness, noise, eight_bit }
    }
}

impl From<midge_core::camera::Camera> for Camera {
    fn from(camera: midge_core::camera::Camera) -> Self {
        let midge_core::camera::Camera { gamma, rotation, down, right, blur, brightness, noise, eight_bit } = camera;
        Self { gamma, rotation, down, right, blur, brightness, noise, eight_bit }
    }
}

/// Reads a [`Request`] or a [`Response`]; nothing if the bytes are none, or more than one.
///
/// ```
/// use midge_link::{MESSAGE, Request, read, write};
///
/// let mut bytes = [0; MESSAGE];
/// let written = write(&Request::Classify, &mut bytes).unwrap();
/// assert_eq!((read(written), written), (Some(Request::Classify), &[3][..]));
/// assert_eq!(read::<Request<'_>>(&[3, 3]), None);
/// ```
pub fn read<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(message).ok()?;
    rest.is_empty().then_some(value)
}

/// Writes a [`Request`] or a [`Response`]; nothing if it is too long.
pub fn write<'a>(value: &impl Serialize, message: &'a mut [u8]) -> Option<&'a [u8]> {
    let written = postcard::to_slice(value, message).ok()?;
    Some(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What another implementation has to write and to read; these bytes stand in `docs/device-protocol.md`.
    #[test]
    fn messages_are_these_bytes() {
        let requests: [(Request<'_>, &[u8]); 6] = [
            (Request::Info, &[0]),
            (Request::Put { encoding: Encoding::U8, offset: 300, bytes: &[9, 8] }, &[1, 1, 0xac, 2, 2, 9, 8]),
            (Request::Get { part: Part::Logits, encoding: Encoding::F32, offset: 0, count: 10 }, &[2, 0, 0, 0, 10]),
            (Request::Classify, &[3]),
            (Request::Logits, &[4]),
            (Request::Cancel, &[8]),
        ];
        for (request, bytes) in requests {
            assert_eq!(write(&request, &mut [0; MESSAGE]), Some(bytes));
        }
        let cost = Cost { ticks: 128, stack: 1 };
        let responses: [(Response<'_>, &[u8]); 6] = [
            (Response::Started, &[0]),
            (Response::Stored { filled: 784 }, &[2, 0x90, 6]),
            (Response::Elements { offset: 0, bytes: &[1] }, &[3, 0, 1, 1]),
            (
                Response::Done { done: Done::Class { class: 7, confidence: 1.0 }, cost },
                &[4, 0, 7, 0, 0, 0x80, 0x3f, 0x80, 1, 1],
            ),
            (Response::Done { done: Done::Logits, cost }, &[4, 1, 0x80, 1, 1]),
            (Response::Fault(Fault::NoImage { filled: 3 }), &[7, 6, 3]),
        ];
        for (response, bytes) in responses {
            assert_eq!(write(&response, &mut [0; MESSAGE]), Some(bytes));
        }
    }

    #[test]
    fn the_longest_messages_fit() {
        let bytes = [0; CHUNK];
        let mut message = [0; MESSAGE];
        let put = Request::Put { encoding: Encoding::F32, offset: 1 << 20, bytes: &bytes };
        assert!(write(&put, &mut message).is_some());
        assert!(write(&Response::Elements { offset: 1 << 20, bytes: &bytes }, &mut message).is_some());
        let name = "a name of fourty bytes, as long as it is";
        let grid = Some(Grid { scale: 0.1, zero_point: i32::MIN });
        let info = Info {
            board: name,
            model: name,
            fingerprint: name,
            element: ElementType::I8,
            shape: [u16::MAX; 3],
            classes: u16::MAX,
            range: [0.0, 1.0],
            grid,
            abilities: 7,
            chunk: 240,
            memory: u32::MAX,
            unit: Unit::Cycles,
        };
        let written = write(&Response::Info(info), &mut message).unwrap();
        assert_eq!((name.len(), read(written)), (40, Some(Response::Info(info))));
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..=MESSAGE)) {
            let mut again = [0; MESSAGE];
            if let Some(request) = read::<Request<'_>>(&bytes) {
                prop_assert!(write(&request, &mut again).is_some());
            }
            if let Some(response) = read::<Response<'_>>(&bytes) {
                prop_assert!(write(&response, &mut again).is_some());
            }
        }
    }
}
