//! Trains, attacks, measures and exports the networks that `midge-core` runs.
//!
//! [`data`] brings images, [`architecture`] reads a network in words, [`weights`] the model file, [`training`] the recipe,
//! [`evaluation`] the measurements over a data set; [`import`] and [`tflite`] read the models of others; [`pixels`], [`picture`],
//! [`terminal`] and [`report`] show what was measured, [`device`] drives boards, [`commands`] is the `midge` command.

// First, because its macros are for all that follow.
#[macro_use]
pub mod output;

pub mod any_weights;
pub mod architecture;
pub mod bundled;
pub mod commands;
pub mod data;
pub mod device;
pub mod drawing;
pub mod evaluation;
pub mod export;
pub mod files;
mod foreign;
pub mod import;
pub mod names;
pub mod picture;
pub mod pixels;
pub mod progress;
pub mod quantise;
pub mod quantised;
pub mod random;
pub mod report;
pub mod summary;
pub mod tensors;
pub mod terminal;
pub mod tflite;
pub mod training;
pub mod twin;
pub mod weights;
pub mod zip;
