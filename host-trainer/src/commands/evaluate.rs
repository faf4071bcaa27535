//! `midge evaluate`

use anyhow::Result;

use super::robust::RobustArguments;
use super::{TestArguments, percent, print_json};
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::evaluate;
use crate::progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    test: TestArguments,
    #[command(flatten)]
    robust: RobustArguments,
    /// Print JSON: loss, accuracy, correct, samples; with --robust also robust_accuracy, attacks, curve and gates
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    arguments.robust.check()?;
    let model = arguments.test.model()?;
    let input = model.input();
    let eps = arguments.robust.eps(&input)?;
    let data = arguments.test.images(&model)?.labelled()?;
    let bar = progress::bar(data.len() as u64, "evaluating");
    let result = evaluate(&model, &data, &bar)?;
    bar.finish_and_clear();
    if arguments.robust.is_wanted() {
        let report = arguments.robust.measure(&arguments.test, (&model, eps), &data, result)?;
        if arguments.json {
            print_json(super::json::ROBUST, &report)?
        } else {
            report.print(&input)
        }
        return arguments.robust.verdict(&report);
    }
    if arguments.json {
        return print_json(super::json::EVALUATE, &result);
    }
    println!("model     {} ({})", arguments.test.model_name(), model.dtype());
    println!("data      {}", data.name);
    println!("loss      {:.4}", result.loss);
    println!("accuracy  {}  ({} of {})", percent(result.accuracy), result.correct, result.samples);
    Ok(())
}
