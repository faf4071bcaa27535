//! The command line: what it may say, how mistakes in it are worded, and how the command ends.

use std::error::Error;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use midge_core::Level;

use super::exit::{self, Exit};
use super::{
    attack, camera, classify, demo, device, evaluate, export, import, minimal_eps, report, shell, summary, train,
    verify,
};
use crate::output::{self, Verbosity, set_verbosity};

/// Threads that still start at once; with more, a slip of a finger would keep the machine busy for minutes.
const MAX_THREADS: usize = 1024;

/// Trains small CNNs, attacks them, and exports them to microcontrollers.
#[derive(Debug, Parser)]
#[command(name = "midge", version, about, max_term_width = 100, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads to use; results do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// No progress, no notes: results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Also say which files, vectors and threads are used, and how long it took
    #[arg(short, long, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the bundled model recognise the bundled digits, and then misread them (the default)
    Demo(demo::Arguments),
    /// Train a network
    Train(train::Arguments),
    /// Measure loss and accuracy on the test set; with --robust, the worst case over many attacks
    Evaluate(evaluate::Arguments),
    /// Say which class each image is of, and how sure the model is
    Classify(classify::Arguments),
    /// Measure accuracy under attack
    Attack(attack::Arguments),
    /// Find the smallest change of the pixels that fools the model, image by image
    MinimalEps(minimal_eps::Arguments),
    /// See which adversarial images survive 8-bit pixels, blur, noise, brightness and a shift
    Camera(camera::Arguments),
    /// Drive a board, or an emulated one: what is the model worth that is on it?
    Device(device::Arguments),
    /// Measure one model or two and write a page with all figures, plots and examples
    Report(report::Arguments),
    /// List layers and parameters, and what they take of flash and RAM
    Summary(summary::Arguments),
    /// Store a model with another type of weights
    Export(export::Export),
    /// Compare a model's outputs with those of the framework that it came from
    Verify(verify::Arguments),
    /// Turn a model of PyTorch, ONNX, Keras or TensorFlow Lite into one of midge's
    Import(import::Import),
    /// Print a script that completes midge's options in a shell
    Completions(shell::Completions),
    /// Write the manual pages of the command and its subcommands
    Man(shell::Manual),
}

/// The command line that midge understands.
pub fn command() -> clap::Command {
    Cli::command().long_version(LONG_VERSION.as_str()).mut_args(with_numbers).mut_subcommands(completed)
}

/// `-1` is a number, and is refused as such, not as an option that does not exist.
fn with_numbers(arg: clap::Arg) -> clap::Arg {
    let takes_value = arg.get_action().takes_values();
    if takes_value { arg.allow_negative_numbers(true) } else { arg }
}

/// A subcommand, and its own, with what all say behind what it has to say itself.
fn completed(subcommand: clap::Command) -> clap::Command {
    let own = subcommand.get_after_help().map_or(String::new(), |own| format!("{own}\n\n"));
    subcommand.mut_args(with_numbers).after_help(format!("{own}{}", exit::HELP)).mut_subcommands(completed)
}

/// What `--version` says; clap keeps no text of its own.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let level = Level::detect();
    let vectors = format!("{level:?}, {} values at a time", level.lanes());
    let features = FEATURES.iter().filter(|(_, built)| *built).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    format!("{}\nvectors: {vectors}\nfeatures: {features}", env!("CARGO_PKG_VERSION"))
});

/// Features, of the core first, and whether the program was built with them.
const FEATURES: [(&str, bool); 2] = [("std", true), ("jpeg", cfg!(feature = "jpeg"))];

/// Runs the command line.
pub fn run() -> ExitCode {
    let matches = command().try_get_matches();
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command())));
    let exit = match cli {
        Ok(cli) => match execute(cli) {
            Ok(()) => Exit::Success,
            Err(error) => {
                eprintln!("midge: {}", message(&error));
                Exit::of(&error)
            }
        },
        Err(error) => refuse(&error),
    };
    match output::finish() {
        Err(error) => {
            eprintln!("midge: standard output: cannot be written: {error}");
            Exit::Failure.into()
        }
        Ok(()) => exit.into(),
    }
}

/// Whether the level that the environment names is one of this processor's.
fn check_level() -> Result<()> {
    let Some(name) = std::env::var_os(Level::VARIABLE) else { return Ok(()) };
    let levels: Vec<_> = Level::all().map(Level::name).collect();
    let is_there = name.to_str().is_some_and(|name| levels.contains(&name));
    let (variable, name, levels) = (Level::VARIABLE, name.to_string_lossy(), levels.join(", "));
    anyhow::ensure!(is_there, "{variable} is {name}: expected one of this processor's vectors: {levels}");
    Ok(())
}

fn execute(cli: Cli) -> Result<()> {
    let start = Instant::now();
    set_verbosity(match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    });
    set_threads(cli.threads)?;
    check_level()?;
    detail!("vectors: {:?}; threads: {}", Level::detect(), rayon::current_num_threads());
    match cli.command.unwrap_or(Command::Demo(Default::default())) {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Attack(arguments) => attack::run(&arguments),
        Command::MinimalEps(arguments) => minimal_eps::run(&arguments),
        Command::Camera(arguments) => camera::run(&arguments),
        Command::Device(arguments) => device::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Summary(arguments) => summary::run(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Import(arguments) => import::import(&arguments),
        Command::Completions(arguments) => {
            shell::completions(&arguments, command());
            Ok(())
        }
        Command::Man(arguments) => shell::manual(&arguments, command()),
    }?;
    detail!("time: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n));
    threads.ok_or_else(|| format!("expected a whole number from 1 to {MAX_THREADS}"))
}

/// Starts the threads here, where a failure has a message; otherwise the first use would start them, and panic.
fn set_threads(asked: Option<usize>) -> Result<()> {
    const VARIABLE: &str = "RAYON_NUM_THREADS";
    if let (None, Ok(variable)) = (asked, std::env::var(VARIABLE)) {
        let known = variable.parse::<usize>().unwrap_or(0);
        ensure!(known <= MAX_THREADS, "{VARIABLE} is {variable}: expected at most {MAX_THREADS} threads");
    }
    // 0 leaves the number to the variable, then to the machine.
    let builder = rayon::ThreadPoolBuilder::new().num_threads(asked.unwrap_or(0));
    builder.build_global().context("threads cannot be started")
}

/// An error and its causes, each of which is said once, though some errors have their cause in their own words.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message += &format!(": {cause}");
        }
    }
    message
}

/// Prints what is asked for with `--help` and `--version`, or what is wrong with the command line.
fn refuse(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        output::remember(error.print());
        return Exit::Success;
    }
    match error.source().and_then(expectation) {
        Some((reason, expected)) => eprintln!("{}", error.to_string().trim_end().replacen(&reason, expected, 1)),
        // With colours, if there are any.
        None => drop(error.print()),
    }
    Exit::Usage
}

/// What the standard library says about a number, and what says more.
fn expectation(reason: &(dyn Error + 'static)) -> Option<(String, &'static str)> {
    let expected = match reason.downcast_ref::<ParseIntError>().map(ParseIntError::kind) {
        Some(IntErrorKind::PosOverflow) => "the number is too large",
        Some(_) => "expected a whole number, not negative",
        None => reason.downcast_ref::<ParseFloatError>().map(|_| "expected a number")?,
    };
    Some((reason.to_string(), expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let system = std::io::Error::from(std::io::ErrorKind::NotFound);
        let twice = anyhow!(system).context("folder: cannot be used: entity not found").context("--data");
        assert_eq!(message(&twice), "--data: folder: cannot be used: entity not found");
        assert_eq!(message(&anyhow!("b").context("a")), "a: b");
    }
}
