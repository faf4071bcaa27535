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
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// What another implementation has to write and to read, as `docs/device-protocol.md` describes it.
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

    fn floats(all: &[f32]) -> Vec<u8> {
        all.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    /// Of every field another value, so that none can take another's place.
    #[test]
    fn the_fields_of_a_job_are_in_this_order() {
        use crate::attack::{Method, Target};

        let (eps, alpha, decay) = (1.0, 0.5, 2.0);
        let target = Some(Target::Random(5));
        let attack = Attack {
            method: Method::Pgd,
            eps,
            alpha,
            steps: 300,
            decay,
            restarts: 2,
            seed: 128,
            loss: Loss::Margin,
            target,
        };
        let (gamma, rotation, down, right, blur, brightness, noise) = (1.0, 2.0, -1.0, 0.5, 4.0, -2.0, 0.25);
        let camera = Camera { gamma, rotation, down, right, blur, brightness, noise, eight_bit: true };
        let requests = [
            (Request::Gradient { label: 2, loss: Loss::Margin }, [5, 2, 1].to_vec()),
            (
                Request::Attack { attack, label: 9 },
                [&[6, 3][..], &floats(&[eps, alpha]), &[0xac, 2], &floats(&[decay]), &[2, 0x80, 1, 1, 1, 3, 5, 9]]
                    .concat(),
            ),
            (
                Request::Camera { camera, seed: 3 },
                [&[7][..], &floats(&[gamma, rotation, down, right, blur, brightness, noise]), &[1, 3]].concat(),
            ),
        ];
        for (request, bytes) in requests {
            assert_eq!(write(&request, &mut [0; MESSAGE]), Some(&bytes[..]));
        }
        let [before, after] =
            [(1, 0.5, 2.0), (2, 0.25, 4.0)].map(|(class, confidence, loss)| Prediction { class, confidence, loss });
        let done = Done::Attack { before, after, zero_gradient_steps: 3, largest_change: 0.125, target: Some(6) };
        let cost = Cost { ticks: 7, stack: 8 };
        for (done, bytes) in [
            (Done::Gradient { loss: 1.5 }, [&[4, 2][..], &floats(&[1.5]), &[7, 8]].concat()),
            (
                done,
                [
                    &[4, 3, 1][..],
                    &floats(&[0.5, 2.0]),
                    &[2],
                    &floats(&[0.25, 4.0]),
                    &[3],
                    &floats(&[0.125]),
                    &[1, 6, 7, 8],
                ]
                .concat(),
            ),
            (Done::Picture, [4, 4, 7, 8].to_vec()),
        ] {
            assert_eq!(write(&Response::Done { done, cost }, &mut [0; MESSAGE]), Some(&bytes[..]));
        }
    }

    #[test]
    fn faults_and_what_a_board_says_of_itself_are_these_bytes() {
        let refused = |refusal| Fault::Refused(refusal);
        for (fault, bytes) in [
            (Fault::Damaged, &[0][..]),
            (Fault::Version { spoken: 1 }, &[1, 1]),
            (Fault::Unknown, &[2]),
            (Fault::Busy { done: 3, of: 10 }, &[3, 3, 10]),
            (Fault::TooLarge { most: 4 }, &[4, 4]),
            (Fault::Gap { filled: 5 }, &[5, 5]),
            (Fault::NoResult, &[7]),
            (refused(Refusal::Pixel { index: 2, value: 1.0 }), &[8, 0, 2, 0, 0, 0x80, 0x3f]),
            (refused(Refusal::Class { class: 3 }), &[8, 1, 3]),
            (refused(Refusal::Option { value: 1.0 }), &[8, 2, 0, 0, 0x80, 0x3f]),
            (refused(Refusal::NoSteps), &[8, 3]),
            (refused(Refusal::NoRestarts), &[8, 4]),
            (refused(Refusal::TargetIsLabel), &[8, 5]),
            (refused(Refusal::NotFinite), &[8, 6]),
            (refused(Refusal::Other), &[8, 7]),
        ] {
            let bytes = [&[7], bytes].concat();
            assert_eq!(write(&Response::Fault(fault), &mut [0; MESSAGE]), Some(&bytes[..]));
        }
        for (response, bytes) in
            [(Response::Progress { done: 3, of: 10 }, &[5, 3, 10][..]), (Response::Cancelled, &[6])]
        {
            assert_eq!(write(&response, &mut [0; MESSAGE]), Some(bytes));
        }
        let info = Info {
            board: "b",
            model: "mo",
            fingerprint: "",
            element: ElementType::I8,
            shape: [1, 300, 3],
            classes: 4,
            range: [-1.0, 1.0],
            grid: Some(Grid { scale: 0.5, zero_point: -3 }),
            abilities: 7,
            chunk: 240,
            memory: 129,
            unit: Unit::Microseconds,
        };
        let text = &[1, 1, b'b', 2, b'm', b'o', 0];
        let (range, scale) = (floats(&info.range), floats(&[0.5]));
        let bytes = [&text[..], &[2, 1, 0xac, 2, 3, 4], &range, &[1], &scale, &[5], &[7, 240, 0x81, 1, 2]].concat();
        assert_eq!(write(&Response::Info(info), &mut [0; MESSAGE]), Some(&bytes[..]));
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
