//! A report on one model or two, as one page that needs nothing else.
//!
//! Each file imports only from those before it: [`settings`] say what is measured, `board` is what a board says, [`card`], [`costs`], [`examples`] and
//! [`gradients`] find
//! parts of the [`figures`], [`measure`] all of them; they are drawn, laid out ([`page`]) and written ([`folder`]).

mod board;
pub mod card;
pub mod costs;
pub mod examples;
pub mod figures;
pub mod folder;
pub mod gradients;
pub mod measure;
pub mod page;
mod plots;
pub mod settings;
mod stages;

pub use crate::drawing::register_font;
pub use board::{BoardAttack, OnBoard};
pub use figures::{AttackRow, Bin, Curve, Figures, Matrix, Minimal, Report, Robust};
pub use settings::{Settings, Subject};
