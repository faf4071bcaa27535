//! `midge evaluate`

use anyhow::Result;

use super::{DataArguments, ModelArguments, percent, print_json};
use crate::data::Split;
use crate::evaluation::evaluate;
use crate::progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    data: DataArguments,
    /// First image of the test set
    #[arg(long, default_value_t = 0, value_name = "I")]
    offset: usize,
    /// Number of images [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON: loss, accuracy, correct, samples
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let weights = arguments.model.load()?;
    let data = arguments.data.load(Split::Test)?.slice(arguments.offset, arguments.limit)?;
    let bar = progress::bar(data.len() as u64, "evaluating");
    let result = evaluate(&weights, &data, &bar)?;
    bar.finish_and_clear();
    if arguments.json {
        return print_json(&result);
    }
    println!("model     {} ({})", arguments.model.model, weights.dtype);
    println!("data      {}", data.name);
    println!("loss      {:.4}", result.loss);
    println!("accuracy  {}  ({} of {})", percent(result.accuracy), result.correct, result.samples);
    Ok(())
}
