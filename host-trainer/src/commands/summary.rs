//! `midge summary`

use anyhow::Result;
use serde::Serialize;

use super::{ModelArguments, print_json};
use crate::any_weights::AnyWeights;
use crate::evaluation::classifier::Classifier as _;
use crate::summary::{Memory, Quantisation, Row, Scale, rows, thousands};
use crate::training::history::HISTORY;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Summary {
    model: String,
    dtype: String,
    network: String,
    layers: Vec<Row>,
    parameters: usize,
    multiply_adds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantisation: Option<Quantisation>,
    memory: Memory,
    metadata: std::collections::BTreeMap<String, String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let weights = arguments.model.load()?;
    let summary = summarise(arguments.model.name(), &weights)?;
    if arguments.json { print_json(super::json::SUMMARY, &summary) } else { print(&summary) }
}

fn summarise(name: &str, weights: &AnyWeights) -> Result<Summary> {
    let network = weights.network();
    Ok(Summary {
        model: name.to_string(),
        dtype: weights.dtype(),
        network: network.to_string(),
        layers: rows(weights),
        parameters: network.parameters(),
        multiply_adds: network.multiply_adds(),
        quantisation: Quantisation::of(weights),
        memory: Memory::of(weights)?,
        metadata: weights.metadata().clone(),
    })
}

/// The table of layers.
pub(super) fn print_layers(weights: &AnyWeights) {
    let network = weights.network();
    let is_int8 = matches!(weights, AnyWeights::Int8(_));
    print_table(&rows(weights), network.parameters(), network.multiply_adds(), is_int8);
}

fn print_table(layers: &[Row], parameters: usize, multiply_adds: u64, is_int8: bool) {
    let header = if is_int8 { "  output scale, zero point" } else { "" };
    let width = layers.iter().map(|row| row.layer.len() + 2).fold(24, usize::max);
    println!("{:<width$}{:<18}{:>12}{header}", "layer", "output", "parameters");
    for row in layers {
        let output: Vec<String> = row.output.iter().map(usize::to_string).collect();
        let quantised = row.quantisation.map_or(String::new(), |own| format!("  {}", words(own.output)));
        println!("{:<width$}{:<18}{:>12}{quantised}", row.layer, output.join(" x "), thousands(row.parameters));
    }
    let width = width + 18;
    println!("{:<width$}{:>12}", "total", thousands(parameters));
    println!("{:<width$}{:>12}", "multiply-adds of a forward pass", thousands(multiply_adds));
}

fn print(summary: &Summary) -> Result<()> {
    println!("{} ({})", summary.model, summary.dtype);
    print_table(&summary.layers, summary.parameters, summary.multiply_adds, summary.quantisation.is_some());
    if let Some(quantisation) = &summary.quantisation {
        print_quantisation(quantisation);
    }
    print_memory(&summary.memory);
    // The history is one long line, for the report and --json.
    for (key, value) in summary.metadata.iter().filter(|(key, _)| *key != HISTORY) {
        // The names of classes are lines of their own.
        println!("{key}: {}", value.replace('\n', ", "));
    }
    Ok(())
}

/// `0.0039, -128`
fn words(Scale { scale, zero_point }: Scale) -> String {
    format!("{scale}, {zero_point}")
}

fn print_quantisation(quantisation: &Quantisation) {
    let Quantisation { input, range: [low, high], logits, per_channel, per_tensor } = quantisation;
    println!("\nquantisation: a value is scale * (integer - zero point)");
    println!("{:<30}{}", "input", words(*input));
    println!("{:<30}{low} to {high}, a step (1q) is {}", "pixels", input.scale);
    println!("{:<30}{}", "logits", words(*logits));
    println!("{:<30}a scale for each channel in {per_channel} stages, one in {per_tensor}", "weights");
}

fn print_memory(memory: &Memory) {
    let flash = [("f32", memory.flash_bytes_f32), ("f16", memory.flash_bytes_f16), ("i8", memory.flash_bytes_i8)];
    let flash: Vec<(&str, usize)> = flash.into_iter().filter_map(|(dtype, bytes)| Some((dtype, bytes?))).collect();
    let line = |what: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
        println!("{what:<30}{cells}");
    };
    println!();
    line("bytes on a device", flash.iter().map(|(dtype, _)| dtype.to_string()).collect());
    line("flash: model file", flash.iter().map(|(_, bytes)| thousands(bytes)).collect());
    for (what, bytes) in [
        ("RAM: inference", memory.ram_bytes_inference),
        ("RAM: FGSM, BIM", memory.ram_bytes_fgsm),
        ("RAM: OTCM", memory.ram_bytes_otcm),
        ("RAM: MI-FGSM", memory.ram_bytes_mi_fgsm),
        ("RAM: PGD from one start", memory.ram_bytes_pgd),
        ("RAM: PGD with restarts", memory.ram_bytes_pgd_restarts),
    ] {
        line(what, vec![thousands(bytes); flash.len()]);
    }
    println!("RAM: images and all buffers, without the stack; weights stay in flash.");
}
