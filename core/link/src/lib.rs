//! The line between a board that runs midge and the host that tests it. `docs/device-protocol.md` describes what goes over it.
//!
//! ```text
//! host                                         board
//! Request --message--> bytes --frame.rs-->  |  --frame.rs--> bytes --message--> Request
//!                                           |                                      | service
//! Response <-------- the same way <-------  |  <-------- the same way <-------- Response
//! ```
//! `frame` makes frames of messages and finds them again among noise; `message` says what both sides can say, `attack` how an
//! attack is written down; `service` is the board's side, from bytes to answers, over any [`service::Board`] and any model.
//!
//! Nothing here allocates, and no bytes can cause a panic.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod attack;
mod frame;
mod message;
pub mod service;

pub use attack::{Attack, Loss, Method, Target};
pub use frame::{Damage, Decoder, FRAME, Frame, HEADER, MESSAGE, VERSION, encode};
pub use message::{
    Ability, CHUNK, Camera, Cost, Done, ElementType, Encoding, Fault, Grid, Info, Part, Prediction, Refusal, Request,
    Response, Unit, read, write,
};
