//! The board's side: from bytes to answers, over any board and any model.
//!
//! ```text
//! board.read -> Decoder --frame--> the same request as the last?  -- yes --> its answer again      (answer.rs)
//!                                       | no
//!                        put, get, info: answered at once            (memory.rs)
//!                        a job: measured; between two gradients the line is looked at  (jobs.rs, pixels.rs, watch.rs)
//! ```
//! Answers are a function of the request and of what earlier requests left in memory; the last answer is kept, so a host that did
//! not hear it may ask again.

mod answer;
mod jobs;
mod memory;
mod pixels;
mod shown;
mod watch;

use midge_core::Model;

use self::answer::{Answer, send_short};
use self::jobs::Job;
pub use self::memory::{Memory, work_len};
pub use self::pixels::{OnBoard, Pixel};
pub use self::shown::Shown;
use self::watch::Watch;
use crate::frame::{Damage, Decoder, FRAME, Frame, VERSION};
use crate::message::{CHUNK, Cost, ElementType, Fault, Info, Request, Response, Unit, read, saturated};

/// What the service needs of a board.
pub trait Board {
    /// The next byte that has arrived, if there is one.
    fn read(&mut self) -> Option<u8>;

    /// Sends bytes.
    fn write(&mut self, bytes: &[u8]);

    /// Whether the host should hear again that a job goes on: about twice a second.
    fn is_time_for_progress(&mut self) -> bool;

    /// Does some work, and says what it took.
    fn measure<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> (R, Cost);

    /// A job is done, and the host, which has no answer yet, sends nothing: time for a picture, on a board with a display.
    fn show<P: Pixel>(&mut self, _shown: &Shown<'_, P>) {}
}

/// What the service says of board and model.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The board's name.
    pub board: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The checksum of the model's file.
    pub fingerprint: &'a str,
    /// The type of the model's weights.
    pub element: ElementType,
    /// What the board counts.
    pub unit: Unit,
}

/// The service of one model on one board.
pub struct Service<'a, 'w, T: OnBoard, B: Board> {
    board: B,
    decoder: Decoder,
    answer: Answer,
    about: About<'a>,
    model: &'a Model<'w, T>,
    memory: Memory<'a, T::Pixel>,
}

/// Which request: its number and its frame's checksum. The same number with other content is another request.
type Id = (u16, u32);

/// Of a frame that arrived whole, what is left to do: a job.
struct Ordered {
    id: Id,
    job: Job,
}

impl<'a, 'w, T: OnBoard, B: Board> Service<'a, 'w, T, B> {
    /// A service that has told the line that it has started.
    pub fn new(mut board: B, about: About<'a>, model: &'a Model<'w, T>, memory: Memory<'a, T::Pixel>) -> Self {
        send_short(&mut board, 0, &Response::Started);
        Self { board, decoder: Decoder::new(), answer: Answer::new(), about, model, memory }
    }

    /// The board, for what is done between requests.
    pub fn board(&mut self) -> &mut B {
        &mut self.board
    }

    /// Takes one byte from the line, if there is one, and does what it completes.
    pub fn poll(&mut self) -> bool {
        let Some(byte) = self.board.read() else { return false };
        if let Some(ordered) = self.receive(byte) {
            self.run(&ordered);
        }
        true
    }

    /// Takes a byte; what can be answered at once is answered.
    fn receive(&mut self, byte: u8) -> Option<Ordered> {
        let Self { board, decoder, answer, about, model, memory } = self;
        let frame = match decoder.push(byte)? {
            Ok(frame) => frame,
            Err(damage) => {
                send_short(board, 0, &Response::Fault(damage.into()));
                return None;
            }
        };
        let id = (frame.sequence, frame.checksum);
        if answer.is_for(id) {
            answer.repeat(board);
            return None;
        }
        let mut bytes = [0; CHUNK];
        let response = match understand(&frame) {
            Err(fault) => Response::Fault(fault),
            Ok(Request::Info) => Response::Info(info(about, model, memory)),
            Ok(Request::Put { encoding, offset, bytes }) => memory
                .store(model, encoding, offset, bytes)
                .map_or_else(Response::Fault, |filled| Response::Stored { filled }),
            Ok(Request::Get { part, encoding, offset, count }) => {
                let elements = memory.elements(model, (part, encoding), (offset, count), &mut bytes);
                elements.map_or_else(Response::Fault, |bytes| Response::Elements { offset, bytes })
            }
            Ok(Request::Cancel) => Response::Cancelled,
            Ok(Request::Classify) => return Some(Ordered { id, job: Job::Classify }),
            Ok(Request::Logits) => return Some(Ordered { id, job: Job::Logits }),
            Ok(Request::Gradient { label, loss }) => return Some(Ordered { id, job: Job::Gradient(label, loss) }),
            Ok(Request::Attack { attack, label }) => return Some(Ordered { id, job: Job::Attack(attack, label) }),
            Ok(Request::Camera { camera, seed }) => return Some(Ordered { id, job: Job::Camera(camera, seed) }),
        };
        answer.give(board, id, &response);
        None
    }

    /// Does a job, and looks at the line between gradients.
    fn run(&mut self, Ordered { id, job }: &Ordered) {
        let Self { board, decoder, answer, model, memory, .. } = self;
        let mut watch = Watch::new(decoder, *id, job.gradients());
        let (done, cost) = board.measure(|board| job.run(model, memory, &mut || watch.go_on(board)));
        match (watch.cancelled(), done) {
            // The job has no answer then.
            (Some(cancel), _) => answer.give(board, cancel, &Response::Cancelled),
            (None, Ok(done)) => {
                board.show(&memory.shown(model, job, (done, cost.ticks)));
                answer.give(board, *id, &Response::Done { done, cost });
            }
            (None, Err(fault)) => answer.give(board, *id, &Response::Fault(fault)),
        }
    }
}

/// The request in a frame.
fn understand<'f>(frame: &Frame<'f>) -> Result<Request<'f>, Fault> {
    if frame.version != VERSION {
        return Err(Fault::Version { spoken: VERSION });
    }
    read(frame.message).ok_or(Fault::Unknown)
}

fn info<'a, T: OnBoard>(about: &About<'a>, model: &Model<'_, T>, memory: &Memory<'_, T::Pixel>) -> Info<'a> {
    let shape = model.network().input();
    let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Info {
        board: name(about.board),
        model: name(about.model),
        fingerprint: name(about.fingerprint),
        element: about.element,
        shape: [shape.height, shape.width, shape.channels].map(short),
        classes: short(model.network().classes()),
        range: model.range(),
        grid: model.grid().map(Into::into),
        abilities: T::abilities(model, memory),
        chunk: CHUNK as u8,
        memory: saturated(memory.work.len()),
        unit: about.unit,
    }
}

/// As much of a name as a message has room for.
fn name(name: &str) -> &str {
    const MOST: usize = 40;
    let end = (0..=MOST.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name.get(..end).unwrap_or("")
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Checksum => Self::Damaged,
            Damage::TooLong => Self::TooLarge { most: FRAME as u32 },
        }
    }
}

#[cfg(test)]
mod tests;
