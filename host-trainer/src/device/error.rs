//! What can go wrong with a board.

use std::io;

use midge_link::Fault;

/// Why a board did not do what it was asked for; each names its port.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The line cannot be opened, read or written.
    #[error("{port}: the line is down: {source}")]
    Line {
        /// The port.
        port: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing that makes sense has arrived for too long.
    #[error(
        "{port}: no answer for {seconds} seconds: expected a board that speaks midge's protocol, such as one with the program \
         `serve`"
    )]
    Silent {
        /// The port.
        port: String,
        /// How long.
        seconds: u64,
    },
    /// The board refuses.
    #[error("{port}: {fault}")]
    Fault {
        /// The port.
        port: String,
        /// Why.
        fault: Fault,
    },
    /// The board answers something else than was asked for.
    #[error("{port}: an answer that does not belong to the request")]
    Nonsense {
        /// The port.
        port: String,
    },
    /// The board says of its model what cannot be.
    #[error(
        "{port}: expected a board whose images have pixels in a finite range and at least one class, found a board that says \
         otherwise"
    )]
    Info {
        /// The port.
        port: String,
    },
    /// The board lost the image or the result again and again.
    #[error("{port}: the board was reset {resets} times during one image")]
    Resets {
        /// The port.
        port: String,
        /// How often.
        resets: usize,
    },
    /// Another board or model than before is there.
    #[error("{port}: the board runs {found} now: expected {expected}")]
    Other {
        /// The port.
        port: String,
        /// Fingerprint of the model before.
        expected: String,
        /// Fingerprint of the model that is there.
        found: String,
    },
    /// An attack with the board's answers cannot be made.
    #[error("{port}: {source}")]
    Attack {
        /// The port.
        port: String,
        /// Why.
        source: midge_core::Error,
    },
    /// The user has had enough.
    #[error("stopped")]
    Stopped,
}
