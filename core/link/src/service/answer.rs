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
        let mut message = [0; MESSAGE];
        let message = write(response, &mut message).unwrap_or(&[]);
        self.len = encode(to.0, message, &mut self.frame).map_or(0, <[u8]>::len);
        self.to = Some(to);
        self.repeat(board);
    }
}

/// Most bytes of a message that is sent beside the answers.
const SHORT: usize = 14;

/// Sends what is no answer to keep: progress, faults of the line.
#[inline(never)]
pub(super) fn send_short(board: &mut impl Board, sequence: u16, response: &Response<'_>) {
    let (mut message, mut frame) = ([0; SHORT], [0; SHORT + FRAME - MESSAGE]);
    let message = write(response, &mut message).unwrap_or(&[]);
    board.write(encode(sequence, message, &mut frame).unwrap_or(&[]));
}
