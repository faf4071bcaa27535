//! What host and board say to each other.
//!
//! Messages are written with [postcard](https://postcard.jamesmunns.com/wire-format): a variant by its number, integers of more
//! than 8 bits by 7 bits at a time, lengths in front of bytes. So the order of variants and fields is the protocol; a new one goes
//! to the end.
//!
//! `info.rs` is what a board says of itself, `done.rs` what came of a job, `fault.rs` why something was not done.

mod done;
mod fault;
mod info;

use serde::{Deserialize, Serialize};

use crate::attack::{Attack, Loss};
use crate::frame::MESSAGE;
pub use done::{Cost, Done, Prediction};
pub use fault::{Fault, Refusal};
pub use info::{Ability, ElementType, Grid, Info, Unit};

/// Most bytes of an image, a gradient or logits in one message, wherever in the image they are: the longest is a [`Request::Put`] with
/// its number and encoding, an offset of 5 bytes and a length of 2.
pub const CHUNK: usize = MESSAGE - 9;

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

    /// The element that some bytes stand for; NaN if they are not [`Self::bytes`], or integers of no grid.
    ///
    /// ```
    /// use midge_link::{Encoding, Grid};
    ///
    /// let grid = Grid { scale: 0.5, zero_point: 3 };
    /// assert_eq!(Encoding::I8.value(Some(grid), &[0x80]), -65.5);
    /// assert_eq!(Encoding::U8.value(None, &[51]), 0.2);
    /// assert_eq!(Encoding::F32.value(None, &1.5_f32.to_le_bytes()), 1.5);
    /// ```
    pub fn value(self, grid: Option<Grid>, bytes: &[u8]) -> f32 {
        match (self, bytes, grid) {
            (Self::F32, [a, b, c, d], _) => f32::from_le_bytes([*a, *b, *c, *d]),
            (Self::U8, [byte], _) => f32::from(*byte) / 255.0,
            (Self::I8, [byte], Some(grid)) => midge_core::Grid::from(grid).value(i8::from_le_bytes([*byte])),
            _ => f32::NAN,
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

/// A number as messages have it.
pub(crate) fn saturated(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
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
mod tests;
