//! cargo's runner for the firmware: `midge-run ELF [options]` emulates the board that the program was built for, or
//! flashes it, and shows its log.

mod board;
mod emulator;
mod expected;
mod log;
mod results;
mod screen;
mod size;

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
    /// Write every picture on the screen to this folder, not only the last to midge-screen.png
    #[arg(long, value_name = "FOLDER")]
    screens: Option<PathBuf>,
    /// Write the benchmark's results to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print what the program takes of flash besides its model instead of running it; fail if it is more
    #[arg(long, value_name = "BYTES")]
    flash: Option<u64>,
    /// Fail if the benchmark's results are worse than those in this file
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
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
    if let Some(most) = arguments.flash {
        size::check(&elf, most).with_context(|| name.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let board = Board::of(&elf).with_context(|| format!("{name}: not a program of midge's firmware"))?;
    match board.place {
        Place::Qemu { cpu } => {
            let run =
                emulator::Run { elf: &arguments.elf, machine: board.name, cpu, screens: arguments.screens.as_deref() };
            let mut log = log::Log::new(&elf)?;
            let code = run.start(&mut log)?;
            if let Some(path) = &arguments.record {
                results::record(path, &log.lines)?;
            }
            if let Some(path) = &arguments.check {
                results::check(path, &log.lines)?;
            }
            Ok(code)
        }
        Place::Probe { chip } => emulator::flash(&arguments.elf, chip),
    }
}
