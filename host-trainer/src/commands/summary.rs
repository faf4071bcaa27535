//! `midge summary`

use anyhow::Result;
use serde::Serialize;

use super::{ModelArguments, print_json};
use crate::summary::{Memory, Row, rows, thousands};
use crate::training::history::HISTORY;
use crate::weights::{DType, Weights};

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
    dtype: DType,
    network: String,
    layers: Vec<Row>,
    parameters: usize,
    multiply_adds: u64,
    memory: Memory,
    metadata: std::collections::BTreeMap<String, String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let weights = arguments.model.load()?;
    let summary = summarise(arguments.model.name(), &weights)?;
    if arguments.json { print_json(super::json::SUMMARY, &summary) } else { print(&summary) }
}

fn summarise(name: &str, weights: &Weights) -> Result<Summary> {
    let network = &weights.network;
    Ok(Summary {
        model: name.to_string(),
        dtype: weights.dtype,
        network: network.to_string(),
        layers: rows(network),
        parameters: network.parameters(),
        multiply_adds: network.multiply_adds(),
        memory: Memory::of(weights)?,
        metadata: weights.metadata.clone(),
    })
}

fn print(summary: &Summary) -> Result<()> {
    println!("{} ({})", summary.model, summary.dtype);
    println!("{:<24}{:<18}{:>12}", "layer", "output", "parameters");
    for row in &summary.layers {
        let output: Vec<String> = row.output.iter().map(usize::to_string).collect();
        println!("{:<24}{:<18}{:>12}", row.layer, output.join(" x "), thousands(row.parameters));
    }
    println!("{:<42}{:>12}", "total", thousands(summary.parameters));
    println!("{:<42}{:>12}", "multiply-adds of a forward pass", thousands(summary.multiply_adds));
    let memory = &summary.memory;
    println!("\n{:<30}{:>12}{:>12}", "bytes on a device", "f32", "f16");
    let flash = [memory.flash_bytes_f32, memory.flash_bytes_f16].map(thousands);
    println!("{:<30}{:>12}{:>12}", "flash: model file", flash[0], flash[1]);
    for (what, bytes) in [
        ("RAM: inference", memory.ram_bytes_inference),
        ("RAM: FGSM, BIM", memory.ram_bytes_fgsm),
        ("RAM: OTCM", memory.ram_bytes_otcm),
        ("RAM: MI-FGSM", memory.ram_bytes_mi_fgsm),
        ("RAM: PGD from one start", memory.ram_bytes_pgd),
        ("RAM: PGD with restarts", memory.ram_bytes_pgd_restarts),
    ] {
        println!("{what:<30}{:>12}{:>12}", thousands(bytes), thousands(bytes));
    }
    println!("RAM: images and all buffers, without the stack; weights stay in flash.");
    // The history is one long line, for the report and --json.
    for (key, value) in summary.metadata.iter().filter(|(key, _)| *key != HISTORY) {
        println!("{key}: {value}");
    }
    Ok(())
}
