//! Boards as a user drives them: stub boards run the service of the firmware behind a TCP port, and a proxy does to the line what
//! cables do.

mod asked;
mod cases;
mod liars;
mod others;
mod proxy;
mod stub;
