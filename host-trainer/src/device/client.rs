//! One request at a time, asked until it is answered.
//!
//! Every request has a number, which its answer repeats. What arrives damaged, on either side, and what does not arrive at all is
//! asked for again under the same number; the board then gives the answer that it gave before, so nothing is done twice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use midge_link::{
    Ability, Decoder, ElementType, FRAME, Fault, Frame, Grid, Info, MESSAGE, Request, Response, Unit, encode, read,
    write,
};

use super::error::DeviceError;
use super::line::Line;
use crate::data::Input;

/// Bytes a second of a serial line at 115,200 baud.
const SPEED: f64 = 11_520.0;
/// Wait for an answer before it is asked for again, beside the time of the bytes; a job may be silent for longer.
const WAIT: Duration = Duration::from_millis(200);
const JOB_WAIT: Duration = Duration::from_secs(2);
const LEAST_WAIT: Duration = Duration::from_millis(20);
/// What is left of the longest wait with each answer.
const FORGET: f64 = 0.9;
/// Where waits stop to double.
const MOST_WAIT: Duration = Duration::from_secs(4);
/// How long a line is listened to before Ctrl-C is looked for.
const SLICE: Duration = Duration::from_millis(100);

/// A board and its model.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceInfo {
    /// Name of the board.
    pub board: String,
    /// Name of the model.
    pub model: String,
    /// Checksum of the model's file.
    pub fingerprint: String,
    /// Type of the weights.
    pub element: ElementType,
    /// What the model takes.
    pub input: Input,
    /// What the board can do, see [`Ability`].
    pub abilities: u8,
    /// Most bytes of elements in one message.
    pub chunk: usize,
    /// Elements of the memory for jobs.
    pub memory: usize,
    /// What ticks are.
    pub unit: Unit,
}

impl DeviceInfo {
    /// Whether the board can do something.
    pub fn can(&self, ability: Ability) -> bool {
        self.abilities & ability as u8 != 0
    }

    /// `None` of a board whose images or classes nobody can work with.
    fn of(info: &Info<'_>) -> Option<Self> {
        let shape = info.shape.map(usize::from);
        let classes = usize::from(info.classes);
        let [low, high] = info.range;
        let has_pixels = !shape.contains(&0) && low.is_finite() && high.is_finite() && low < high;
        let is_grid =
            |grid: &Grid| grid.scale.is_normal() && grid.scale > 0.0 && (-128..=127).contains(&grid.zero_point);
        if !has_pixels || classes == 0 || !info.grid.as_ref().is_none_or(is_grid) {
            return None;
        }
        let input = match info.grid {
            Some(grid) => Input::int8(shape, classes, grid.into()),
            None => Input { range: info.range, ..Input::pixels(shape, classes) },
        };
        Some(Self {
            board: printable(info.board),
            model: printable(info.model),
            fingerprint: printable(info.fingerprint),
            element: info.element,
            input,
            abilities: info.abilities,
            chunk: usize::from(info.chunk).clamp(1, midge_link::CHUNK),
            memory: info.memory as usize,
            unit: info.unit,
        })
    }
}

/// A board may say anything, and a terminal must not obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What was heard of a request.
enum Heard<R> {
    Answer(R),
    /// The board refuses.
    Fault(Fault),
    /// An answer to something else.
    Nonsense,
    /// The board is at work.
    Progress,
    /// Something arrived damaged, here or there, or the board has just started.
    Damage,
    Nothing,
}

/// What a frame says of the request with that number.
fn hear<R>(frame: &Frame<'_>, sequence: u16, read_answer: &mut impl FnMut(Response<'_>) -> Option<R>) -> Heard<R> {
    match read::<Response<'_>>(frame.message) {
        Some(Response::Started | Response::Fault(Fault::Damaged | Fault::TooLarge { .. })) if frame.sequence == 0 => {
            Heard::Damage
        }
        // Noise, or an answer to what was asked before.
        None => Heard::Nothing,
        Some(_) if frame.sequence != sequence => Heard::Nothing,
        Some(Response::Progress { .. }) => Heard::Progress,
        Some(Response::Fault(fault)) => Heard::Fault(fault),
        Some(answer) => read_answer(answer).map_or(Heard::Nonsense, Heard::Answer),
    }
}

/// A board at the other end of a line.
pub struct Client {
    line: Box<dyn Line>,
    decoder: Decoder,
    /// Bytes that have arrived and were not looked at.
    pending: Vec<u8>,
    sequence: u16,
    /// Silence after which the board is given up.
    patience: Duration,
    stop: Arc<AtomicBool>,
    info: Option<DeviceInfo>,
    /// How long short requests take on this line: the longest of late, which is slowly forgotten.
    late: Option<Duration>,
    /// How often the line was opened again: who is at its end then may have been given something else.
    reopened: usize,
}

impl Client {
    /// Ends what the board may still be doing, and asks who it is. `stop` ends every wait.
    ///
    /// # Errors
    /// A line that is down, and a board that does not answer for `patience`.
    pub fn open(line: Box<dyn Line>, patience: Duration, stop: Arc<AtomicBool>) -> Result<Self, DeviceError> {
        // Another number than the last program began with, so that no old answer fits.
        let sequence =
            std::process::id() as u16 ^ std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_millis() as u16);
        let (decoder, pending) = (Decoder::new(), Vec::new());
        let mut client = Self { line, decoder, pending, sequence, patience, stop, info: None, late: None, reopened: 0 };
        client.ask(&Request::Cancel, |response| (response == Response::Cancelled).then_some(()))?;
        client.info = Some(client.who()?);
        Ok(client)
    }

    /// The board's name for messages.
    pub fn port(&self) -> String {
        self.line.name().to_string()
    }

    /// What the board said of itself.
    ///
    /// # Panics
    /// Never: a client is only made of a board that has said it.
    pub fn info(&self) -> &DeviceInfo {
        self.info.as_ref().expect("asked when the line was opened")
    }

    /// How often the line was opened again.
    pub(super) fn reopened(&self) -> usize {
        self.reopened
    }

    fn who(&mut self) -> Result<DeviceInfo, DeviceError> {
        let info = self.ask(&Request::Info, |response| match response {
            Response::Info(info) => Some(DeviceInfo::of(&info)),
            _ => None,
        })?;
        info.ok_or_else(|| DeviceError::Info { port: self.port() })
    }

    /// Asks until there is an answer.
    ///
    /// # Panics
    /// If a request has more than [`CHUNK`](midge_link::CHUNK) bytes of elements.
    ///
    /// # Errors
    /// A fault of line or board, or silence.
    pub fn ask<R>(
        &mut self,
        request: &Request<'_>,
        read: impl FnMut(Response<'_>) -> Option<R>,
    ) -> Result<R, DeviceError> {
        let answer = self.try_to_ask(request, usize::MAX, read)?;
        answer.ok_or_else(|| self.silent())
    }

    /// [`Self::ask`], but gives up without an answer after so many tries.
    ///
    /// # Panics
    /// As [`Self::ask`].
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn try_to_ask<R>(
        &mut self,
        request: &Request<'_>,
        tries: usize,
        mut read: impl FnMut(Response<'_>) -> Option<R>,
    ) -> Result<Option<R>, DeviceError> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let (mut message, mut frame) = ([0; MESSAGE], [0; FRAME]);
        let frame = write(request, &mut message).and_then(|message| encode(sequence, message, &mut frame));
        let frame = frame.expect("elements of a request are at most CHUNK").to_vec();
        let mut wait = self.first_wait(request, frame.len());
        let mut deadline = Instant::now() + self.patience;
        for number in 0..tries {
            let sent = Instant::now();
            let heard = match self.line.write(&frame) {
                Ok(()) => self.listen(sequence, sent + wait, &mut deadline, &mut read),
                Err(error) => Err(error),
            };
            match heard {
                Ok(Heard::Answer(answer)) => {
                    if number == 0 && !is_job(request) {
                        let late = self.late.unwrap_or(WAIT).mul_f64(FORGET);
                        self.late = Some(late.max(sent.elapsed()));
                    }
                    return Ok(Some(answer));
                }
                Ok(Heard::Fault(fault)) => return Err(DeviceError::Fault { port: self.port(), fault }),
                Ok(Heard::Nonsense) => return Err(DeviceError::Nonsense { port: self.port() }),
                Ok(Heard::Damage) => {}
                Ok(Heard::Progress | Heard::Nothing) => wait = (2 * wait).min(MOST_WAIT),
                Err(error) => self.reopen(error, deadline)?,
            }
            self.check_patience(deadline)?;
        }
        Ok(None)
    }

    /// Whether neither the user nor this client has had enough.
    fn check_patience(&self, deadline: Instant) -> Result<(), DeviceError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DeviceError::Stopped);
        }
        if Instant::now() >= deadline { Err(self.silent()) } else { Ok(()) }
    }

    /// Hears what arrives until then, or until it says something of the request.
    fn listen<R>(
        &mut self,
        sequence: u16,
        mut until: Instant,
        deadline: &mut Instant,
        read_answer: &mut impl FnMut(Response<'_>) -> Option<R>,
    ) -> io::Result<Heard<R>> {
        loop {
            match self.look(sequence, read_answer) {
                Heard::Nothing => {}
                Heard::Progress => {
                    until = Instant::now() + JOB_WAIT;
                    *deadline = Instant::now() + self.patience;
                    continue;
                }
                heard => return Ok(heard),
            }
            let now = Instant::now();
            if now >= until || self.stop.load(Ordering::Relaxed) {
                return Ok(Heard::Nothing);
            }
            let mut bytes = [0; 4096];
            let len = self.line.read(&mut bytes, (until - now).min(SLICE))?;
            self.pending.extend_from_slice(&bytes[..len]);
        }
    }

    /// Looks at the bytes that have arrived, up to the first frame that says something of the request.
    fn look<R>(&mut self, sequence: u16, read_answer: &mut impl FnMut(Response<'_>) -> Option<R>) -> Heard<R> {
        let pending = std::mem::take(&mut self.pending);
        for (place, byte) in pending.iter().enumerate() {
            let Some(frame) = self.decoder.push(*byte) else { continue };
            let heard = frame.map_or(Heard::Damage, |frame| hear(&frame, sequence, read_answer));
            if !matches!(heard, Heard::Nothing) {
                self.pending = pending[place + 1..].to_vec();
                return heard;
            }
        }
        Heard::Nothing
    }

    /// How long an answer may take to arrive: several times what it took of late, or, before anything is known, what the bytes
    /// of both directions take.
    fn first_wait(&self, request: &Request<'_>, len: usize) -> Duration {
        let bytes = Duration::from_secs_f64((len + FRAME) as f64 / SPEED);
        match self.late {
            _ if is_job(request) => JOB_WAIT,
            Some(late) => (4 * late).clamp(LEAST_WAIT, WAIT + bytes),
            None => WAIT + bytes,
        }
    }

    /// Waits for a line that is down, and makes sure that the same board is at its end.
    fn reopen(&mut self, source: io::Error, deadline: Instant) -> Result<(), DeviceError> {
        self.pending.clear();
        self.decoder = Decoder::new();
        self.reopened += 1;
        // An end that closes every line at once is not asked without a pause.
        std::thread::sleep(SLICE);
        while let Err(error) = self.line.reopen() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(DeviceError::Stopped);
            }
            if error.kind() == io::ErrorKind::Unsupported || Instant::now() >= deadline {
                return Err(DeviceError::Line { port: self.port(), source });
            }
            std::thread::sleep(SLICE);
        }
        // Taken, so that a line that is down again while it is asked does not begin another question in this one.
        let Some(before) = self.info.take() else { return Ok(()) };
        let now = self.who();
        self.info = Some(before.clone());
        let now = now?;
        if now == before {
            return Ok(());
        }
        let (expected, found) = (before.fingerprint, now.fingerprint);
        Err(DeviceError::Other { port: self.port(), expected, found })
    }

    fn silent(&self) -> DeviceError {
        DeviceError::Silent { port: self.port(), seconds: self.patience.as_secs() }
    }
}

impl Drop for Client {
    /// Nobody will hear what the board is still doing.
    fn drop(&mut self) {
        let (mut message, mut frame) = ([0; 8], [0; 18]);
        let cancel = write(&Request::Cancel, &mut message);
        let cancel = cancel.and_then(|cancel| encode(self.sequence.wrapping_add(1), cancel, &mut frame));
        let _ = self.line.write(cancel.expect("a request of one byte"));
    }
}

fn is_job(request: &Request<'_>) -> bool {
    match request {
        Request::Classify
        | Request::Logits
        | Request::Gradient { .. }
        | Request::Attack { .. }
        | Request::Camera { .. } => true,
        Request::Info | Request::Put { .. } | Request::Get { .. } | Request::Cancel => false,
    }
}
