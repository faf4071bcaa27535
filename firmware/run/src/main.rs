//! cargo's runner for the firmware: `midge-run ELF [options]` emulates the board that the program was built for, or
//! flashes it, and shows its log.

mod board;
mod emulator;
mod log;
mod results;
mod screen;
mod size;
mod uf2;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use board::{Board, Place};

const HELP: &str = "\
Runs midge's firmware on the board it was built for

Usage: midge-run ELF [OPTIONS]; with cargo: cargo run --release --bin PROGRAM -- [OPTIONS]

  --screens FOLDER      write every picture on the screen to this folder, not only the last to midge-screen.png
  --record FILE         write the benchmark's results to this file
  --check FILE          fail if the benchmark's results are worse than those in this file
  --flash BYTES         print what the program takes of flash besides its model instead of running it; fail if it is more
  --size                print what the program takes of flash and RAM, without the stack, instead of running it
  --uf2 FILE            write the program for a board with a USB drive to this file instead of running it
  --serial LINE         connect the serial line of the emulated board to this, as QEMU's -serial takes it [default: none]
  --time-limit SECONDS  end a program that runs longer in the emulator [default: 1200]
";

#[derive(Debug)]
struct Arguments {
    /// The program, as cargo built it.
    elf: PathBuf,
    screens: Option<PathBuf>,
    record: Option<PathBuf>,
    check: Option<PathBuf>,
    flash: Option<u64>,
    size: bool,
    uf2: Option<PathBuf>,
    serial: OsString,
    time_limit: Duration,
}

impl Arguments {
    /// Reads the command line; nothing if it asks for help.
    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Option<Self>> {
        let mut parser = lexopt::Parser::from_args(words);
        let (mut elf, mut screens, mut record, mut check) = (None, None, None, None);
        let (mut flash, mut size, mut uf2) = (None, false, None);
        let (mut serial, mut time_limit) = ("none".into(), Duration::from_secs(1200));
        while let Some(argument) = parser.next()? {
            match argument {
                Long("screens") => screens = Some(parser.value()?.into()),
                Long("record") => record = Some(parser.value()?.into()),
                Long("check") => check = Some(parser.value()?.into()),
                Long("flash") => flash = Some(parser.value()?.parse()?),
                Long("size") => size = true,
                Long("uf2") => uf2 = Some(parser.value()?.into()),
                Long("serial") => serial = parser.value()?,
                Long("time-limit") => time_limit = Duration::from_secs(parser.value()?.parse()?),
                Short('h') | Long("help") => return Ok(None),
                Value(path) if elf.is_none() => elf = Some(path.into()),
                other => return Err(other.unexpected().into()),
            }
        }
        let elf = elf.context("expected a program; --help lists the options")?;
        Ok(Some(Self { elf, screens, record, check, flash, size, uf2, serial, time_limit }))
    }
}

fn main() -> ExitCode {
    let result = Arguments::parse(std::env::args_os().skip(1)).and_then(|arguments| match arguments {
        Some(arguments) => run(&arguments),
        None => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
    });
    result.unwrap_or_else(|error| {
        eprintln!("midge-run: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let name = arguments.elf.display();
    let elf = std::fs::read(&arguments.elf).with_context(|| format!("{name}: cannot be read"))?;
    if let Some(most) = arguments.flash {
        size::check(&elf, most).with_context(|| name.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.size {
        size::print(&elf).with_context(|| name.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let board = Board::of(&elf).with_context(|| format!("{name}: not a program of midge's firmware"))?;
    if let Some(path) = &arguments.uf2 {
        let Place::Desk { uf2: Some(family), .. } = board.place else {
            bail!("--uf2: the board {} has no USB drive", board.name)
        };
        uf2::save(path, &elf, family)?;
        return Ok(ExitCode::SUCCESS);
    }
    match board.place {
        Place::Qemu { cpu } => {
            let Arguments { elf: program, screens, serial, time_limit, .. } = arguments;
            let (machine, screens) = (board.name, screens.as_deref());
            let run = emulator::Run { elf: program, machine, cpu, serial, screens, time_limit: *time_limit };
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
        Place::Desk { chip, .. } => emulator::flash(&arguments.elf, chip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_may_stand_anywhere() {
        let arguments = parse("program --flash 24576 --check=file --serial stdio --time-limit 5").unwrap().unwrap();
        assert_eq!((arguments.elf, arguments.flash), ("program".into(), Some(24_576)));
        assert_eq!((arguments.check, arguments.time_limit), (Some("file".into()), Duration::from_secs(5)));
        assert_eq!((arguments.serial, parse("program").unwrap().unwrap().serial), ("stdio".into(), "none".into()));
        assert_eq!(parse("program").unwrap().unwrap().time_limit, Duration::from_secs(1200));
        assert!(parse("program --help").unwrap().is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("", "a program"),
            ("program other", "other"),
            ("program --fast", "--fast"),
            ("program --flash", "--flash"),
            ("program --flash many", "many"),
            ("program --time-limit -1", "-1"),
        ] {
            let message = format!("{:#}", parse(line).unwrap_err());
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
