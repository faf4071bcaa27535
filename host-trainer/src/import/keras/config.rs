//! The layers of a Keras model, from its JSON.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::import::graph::Array;

/// The arrays of each layer.
pub(super) type Arrays = std::collections::BTreeMap<String, Vec<Array>>;

/// Most layers of a model, of which some are dropped.
const MOST_LAYERS: usize = 1024;

/// A model's layers, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Config {
    pub layers: Vec<Layer>,
    /// The name of the layer whose output is the model's; none for a sequence.
    pub output: Option<String>,
}

/// A layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub name: String,
    pub class: String,
    pub config: Value,
    /// Names of the layers that it reads; none if it reads the one before it.
    pub inputs: Option<Vec<String>>,
}

impl Config {
    /// Reads a model.
    pub(super) fn read(json: &[u8]) -> Result<Self> {
        let model: Value = serde_json::from_slice(json).context("expected JSON")?;
        let class = model["class_name"].as_str().unwrap_or_default();
        ensure!(
            matches!(class, "Sequential" | "Functional" | "Model"),
            "expected a Sequential or Functional model, found {class:?}, whose network is a program"
        );
        let config = &model["config"];
        let list = config["layers"].as_array().context("expected a list of layers")?;
        ensure!(list.len() <= MOST_LAYERS, "expected at most {MOST_LAYERS} layers, found {}", list.len());
        let is_sequence = class == "Sequential";
        let layers = list.iter().map(|layer| Layer::read(layer, is_sequence)).collect::<Result<Vec<_>>>()?;
        let output = match is_sequence {
            true => None,
            false => Some(output(&config["output_layers"])?),
        };
        Ok(Self { layers, output })
    }
}

/// The one layer of `["dense", 0, 0]` or `[["dense", 0, 0]]`.
fn output(layers: &Value) -> Result<String> {
    let first = match layers.as_array().map(Vec::as_slice) {
        Some([Value::String(name), ..]) => Some(name.clone()),
        Some([Value::Array(inner)]) => inner.first().and_then(Value::as_str).map(str::to_string),
        _ => None,
    };
    first.with_context(|| format!("expected one output, found {layers}"))
}

impl Layer {
    fn read(layer: &Value, is_sequence: bool) -> Result<Self> {
        let class = layer["class_name"].as_str().context("expected a layer's class_name")?.to_string();
        let config = layer["config"].clone();
        let name = config["name"].as_str().or(layer["name"].as_str()).context("expected a layer's name")?.to_string();
        let inputs = if is_sequence || class == "InputLayer" {
            None
        } else {
            let nodes = layer["inbound_nodes"].as_array().context("expected inbound_nodes")?;
            let [node] = &nodes[..] else {
                bail!("layer {name:?} is used {} times: midge has layers that are used once", nodes.len())
            };
            Some(sources(node))
        };
        Ok(Self { name, class, config, inputs })
    }
}

/// The layers that a node reads: in Keras 3 those in its tensors' history, before `[["conv", 0, 0, {}], ..]`.
fn sources(node: &Value) -> Vec<String> {
    let mut found = Vec::new();
    // As deep as JSON was read.
    let mut waiting = vec![node];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(list) => match (&list[..], node.is_array()) {
                ([Value::String(name), Value::Number(_), Value::Number(_), ..], true) => found.push(name.clone()),
                _ => waiting.extend(list.iter().rev()),
            },
            Value::Object(map) => match map.get("keras_history").and_then(|history| history.get(0)) {
                Some(name) => found.extend(name.as_str().map(str::to_string)),
                None => waiting.extend(map.values().rev()),
            },
            _ => {}
        }
    }
    found
}
