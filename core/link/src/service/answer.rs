//! Answers on their way out: the last one is kept.

use super::{Board, Id};
use crate::frame::{FRAME, MESSAGE, encode};
use crate::message::{Response, write};

/// The last answer, as it was sent.
pub(super) struct Answer {
    frame: [u8; FRAME],
    len: usize,
    to: Option<Id>,
}

impl Answer {
    pub(super) fn new() -> Self {
        Self { frame: [0; FRAME], len: 0, to: None }
    }

    /// Whether this is the answer to that request.
    pub(super) fn is_for(&self, id: Id) -> bool {
        self.to == Some(id)
    }

    /// Sends it again.
    pub(super) fn repeat(&self, board: &mut impl Board) {
        board.write(self.frame.get(..self.len).unwrap_or(&[]));
    }

    /// Sends an answer and keeps it.
    #[inline(never)]
    pub(super) fn give(&mut self, board: &mut impl Board, to: Id, response: &Response<'_>) {
        self.len = framed(to.0, response, &mut [0; MESSAGE], &mut self.frame);
        self.to = Some(to);
        self.repeat(board);
    }
}

/// Writes the frame of a response and returns its length. One without room is a mistake of who calls, and is not sent.
#[inline(always)]
fn framed(sequence: u16, response: &Response<'_>, message: &mut [u8], frame: &mut [u8]) -> usize {
    let written = write(response, message).and_then(|message| encode(sequence, message, frame));
    debug_assert!(written.is_some(), "no room for an answer");
    written.map_or(0, <[u8]>::len)
}

/// Most bytes of a message that is sent beside the answers.
const SHORT: usize = 14;

/// Sends what is no answer to keep: progress, faults of the line.
#[inline(never)]
pub(super) fn send_short(board: &mut impl Board, sequence: u16, response: &Response<'_>) {
    let mut frame = [0; SHORT + FRAME - MESSAGE];
    let len = framed(sequence, response, &mut [0; SHORT], &mut frame);
    board.write(frame.get(..len).unwrap_or(&[]));
}
