//! `midge device`: boards at the end of a line.

mod evaluate;
mod evaluate_file;
mod hosts;
mod report;
mod session;
mod show;

use std::time::Duration;

use anyhow::Result;

pub(super) use report::Boards;
use session::{BoardArguments, Session};

#[derive(Debug, clap::Args)]
#[command(subcommand_precedence_over_arg = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    boards: BoardArguments,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say which serial lines there are, and which boards answer
    List,
    /// Say which board it is, and which model runs on it
    Info(show::InfoOptions),
    /// Have the board classify images
    Classify(show::ClassifyOptions),
    /// Have the board attack images
    Attack(show::AttackOptions),
    /// Measure the same images on the host, in f32 and in the board's type of weights, and on the board
    Evaluate(Box<evaluate::Arguments>),
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if matches!(arguments.action, Action::List) {
        return show::list(Duration::from_secs(arguments.boards.timeout.min(2)));
    }
    let stop = super::attack::stop_on_interrupt()?;
    let session = Session { arguments: &arguments.boards, stop };
    match &arguments.action {
        Action::List => Ok(()),
        Action::Info(info) => show::info(&session, info),
        Action::Classify(classify) => show::classify(&session, classify),
        Action::Attack(attack) => show::attack(&session, attack),
        Action::Evaluate(evaluate) => evaluate::run(&session, evaluate),
    }
}
