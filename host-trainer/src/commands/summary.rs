//! `midge summary`

use anyhow::Result;
use midge_core::{Layer, Network, Shape};
use serde::Serialize;

use super::{ModelArguments, print_json};
use crate::memory::{Memory, thousands};
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
struct Row {
    layer: String,
    output: Vec<usize>,
    parameters: usize,
}

#[derive(Debug, Serialize)]
struct Summary {
    model: String,
    dtype: DType,
    network: String,
    layers: Vec<Row>,
    parameters: usize,
    multiply_adds: usize,
    memory: Memory,
    metadata: std::collections::BTreeMap<String, String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let weights = arguments.model.load()?;
    let summary = summarise(&arguments.model.model, &weights)?;
    if arguments.json { print_json(&summary) } else { print(&summary) }
}

fn summarise(name: &str, weights: &Weights) -> Result<Summary> {
    let network = &weights.network;
    let layers = network.layers().iter().enumerate().map(|(i, layer)| {
        let (weight, bias) = network.layer_parameters(i);
        Row { layer: title(layer), output: dimensions(network, i), parameters: weight + bias }
    });
    Ok(Summary {
        model: name.to_string(),
        dtype: weights.dtype,
        network: network.to_string(),
        layers: layers.collect(),
        parameters: network.parameters(),
        multiply_adds: network.multiply_adds(),
        memory: Memory::of(weights)?,
        metadata: weights.metadata.clone(),
    })
}

fn title(layer: &Layer) -> String {
    match layer {
        Layer::Conv2d { kernel, stride, padding, .. } => {
            let stride = if *stride == 1 { String::new() } else { format!(", stride {stride}") };
            format!("Conv2d {kernel}x{kernel}, {padding}{stride}")
        }
        Layer::Relu => "ReLU".into(),
        Layer::MaxPool2d { pool, .. } => format!("MaxPool2d {pool}x{pool}"),
        Layer::Flatten => "Flatten".into(),
        Layer::Dense { .. } => "Dense".into(),
    }
}

/// Output dimensions; one number once the network is flat.
fn dimensions(network: &Network, layer: usize) -> Vec<usize> {
    let Shape { height, width, channels } = network.output_shape(layer).unwrap_or(network.input());
    let flat = network.layers()[..=layer].contains(&Layer::Flatten);
    if flat { vec![channels] } else { vec![height, width, channels] }
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
        ("RAM: FGSM", memory.ram_bytes_fgsm),
        ("RAM: OTCM", memory.ram_bytes_otcm),
        ("RAM: MI-FGSM", memory.ram_bytes_mi_fgsm),
    ] {
        println!("{what:<30}{:>12}{:>12}", thousands(bytes), thousands(bytes));
    }
    println!("RAM: images and all buffers, without the stack; weights stay in flash.");
    for (key, value) in &summary.metadata {
        println!("{key}: {value}");
    }
    Ok(())
}
