//! The `midge` command: one file a subcommand.
//!
//! `command_line` reads the command line and says how it ends, see [`exit`]; `model_arguments` and `data_arguments` are what several
//! subcommands take.

mod attack;
mod attack_arguments;
mod attack_file;
mod attack_pictures;
mod camera;
mod classify;
mod command_line;
mod data_arguments;
mod demo;
mod device;
mod eps;
mod evaluate;
pub mod exit;
mod export;
mod import;
mod json;
mod minimal_eps;
mod model_arguments;
mod percent;
mod report;
mod robust;
mod shell;
mod summary;
mod tensor_file;
mod train;
mod verify;

pub use command_line::{command, run};
use data_arguments::{DataArguments, Expected, TestArguments, from_one, load};
use json::print_json;
use model_arguments::{ModelArguments, ModelName};
use percent::percent;
