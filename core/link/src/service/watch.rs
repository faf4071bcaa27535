//! The line during a job.

use super::answer::send_short;
use super::{Board, Id, understand};
use crate::frame::Decoder;
use crate::message::{Fault, Request, Response};

/// Looks at the line before each gradient of a job.
pub(super) struct Watch<'a> {
    decoder: &'a mut Decoder,
    job: Id,
    /// Gradients done, and the most that there are.
    done: u32,
    of: u32,
    cancel: Option<Id>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(decoder: &'a mut Decoder, job: Id, of: u32) -> Self {
        Self { decoder, job, done: 0, of, cancel: None }
    }

    /// The request that ended the job, if one did.
    pub(super) fn cancelled(&self) -> Option<Id> {
        self.cancel
    }

    /// Whether the next gradient is still wanted.
    pub(super) fn go_on(&mut self, board: &mut impl Board) -> bool {
        while let Some(byte) = board.read() {
            self.receive(board, byte);
        }
        if board.is_time_for_progress() {
            self.tell(board);
        }
        self.done = self.done.saturating_add(1);
        self.cancel.is_none()
    }

    fn tell(&self, board: &mut impl Board) {
        send_short(board, self.job.0, &Response::Progress { done: self.done, of: self.of });
    }

    fn receive(&mut self, board: &mut impl Board, byte: u8) {
        let Some(arrived) = self.decoder.push(byte) else { return };
        let frame = match arrived {
            Ok(frame) => frame,
            Err(damage) => return send_short(board, 0, &Response::Fault(damage.into())),
        };
        let id = (frame.sequence, frame.checksum);
        if id == self.job {
            return self.tell(board);
        }
        match understand(&frame) {
            Ok(Request::Cancel) => self.cancel = Some(id),
            Ok(_) => {
                let busy = Fault::Busy { done: self.done, of: self.of };
                send_short(board, id.0, &Response::Fault(busy));
            }
            Err(fault) => send_short(board, id.0, &Response::Fault(fault)),
        }
    }
}
