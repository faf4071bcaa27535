//! cargo's runner for the firmware: `midge-run ELF [options]` emulates the board that the program was built for, or
//! flashes it, and shows its log.

mod board;
mod emulator;
mod log;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use board::{Board, Place};

/// Runs midge's firmware on the board it was built for
#[derive(Debug, Parser)]
struct Arguments {
    /// The program, as cargo built it
    elf: PathBuf,
    /// Also write the log's plain lines to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("midge-run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let name = arguments.elf.display();
    let elf = std::fs::read(&arguments.elf).with_context(|| format!("{name}: cannot be read"))?;
    let board = Board::of(&elf).with_context(|| format!("{name}: not a program of midge's firmware"))?;
    match board.place {
        Place::Qemu { cpu } => {
            let run = emulator::Run { elf: &arguments.elf, machine: board.name, cpu };
            let mut log = log::Log::new(&elf, arguments.log.as_deref())?;
            run.start(&mut log)
        }
        Place::Probe { chip } => emulator::flash(&arguments.elf, chip),
    }
}
