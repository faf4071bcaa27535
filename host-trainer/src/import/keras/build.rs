//! Layers of Keras to operators.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use midge_core::Shape;
use serde_json::Value as Json;

use super::config::{Arrays, Config, Layer};
use crate::import::graph::{Affine, Array, Graph, Op, Order, Pads, Value, Windows};
use crate::import::hints::Hints;
use crate::import::norms;

/// Classes of layers that are read.
const KNOWN: [&str; 20] = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "InputLayer",
    "MaxPooling2D",
    "Normalization",
    "ReLU",
    "Rescaling",
    "Softmax",
    "SpatialDropout2D",
    "ZeroPadding2D",
];

/// What a layer puts out, and the softmax that it is behind.
type Known = (Value, Option<String>);

struct Build<'c> {
    graph: Graph,
    arrays: &'c Arrays,
    values: BTreeMap<&'c str, Known>,
    /// What the layer before put out.
    last: Known,
}

/// The graph of a model.
pub(super) fn build(config: &Config, arrays: &Arrays, hints: &Hints) -> Result<Graph> {
    ensure!(hints.network.is_none(), "a Keras file says its architecture itself: expected no --network");
    check_classes(config)?;
    let shape = input(config, hints)?;
    let (graph, start) = hints.start(shape)?;
    let mut build = Build { graph, arrays, values: BTreeMap::new(), last: (start, None) };
    for layer in &config.layers {
        let known = build.layer(layer, start).with_context(|| format!("layer {:?} ({})", layer.name, layer.class))?;
        build.last = known.clone();
        build.values.insert(&layer.name, known);
    }
    let (value, _) = match &config.output {
        None => build.last.clone(),
        Some(name) => build.values.get(name.as_str()).cloned().context("the output is of a layer that is not there")?,
    };
    build.graph.output = value;
    Ok(build.graph)
}

/// All classes that midge does not have, at once.
fn check_classes(config: &Config) -> Result<()> {
    let mut unknown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for layer in config.layers.iter().filter(|layer| !KNOWN.contains(&layer.class.as_str())) {
        unknown.entry(&layer.class).or_default().push(&layer.name);
    }
    let named: Vec<String> =
        unknown.iter().map(|(class, names)| format!("{class} ({})", names[..names.len().min(4)].join(", "))).collect();
    ensure!(named.is_empty(), "midge has no {}", named.join(", no "));
    Ok(())
}

/// Rows, columns, channels of the image.
fn input(config: &Config, hints: &Hints) -> Result<Shape> {
    let inputs = config.layers.iter().filter(|layer| layer.class == "InputLayer").count();
    ensure!(inputs <= 1, "expected one input, found {inputs}");
    let sizes = config
        .layers
        .iter()
        .find_map(|layer| ["batch_shape", "batch_input_shape"].iter().find_map(|key| layer.config[*key].as_array()));
    let sizes = sizes.context("nothing says how large images are: expected an InputLayer with a shape")?;
    let sizes: Vec<Option<usize>> = sizes.iter().skip(1).map(|n| n.as_u64().and_then(|n| n.try_into().ok())).collect();
    let (height, width) = hints.size.map_or((None, None), |(height, width)| (Some(height), Some(width)));
    let side = |size: Option<usize>, hint: Option<usize>| {
        ensure!(size.is_none() || hint.is_none() || size == hint, "--size: the model has images of {sizes:?}");
        size.or(hint).with_context(|| format!("the model has images of {sizes:?}, open ones: say --size HEIGHTxWIDTH"))
    };
    Ok(match sizes[..] {
        [a, b, Some(channels)] => Shape::hwc(side(a, height)?, side(b, width)?, channels),
        [a, b] => Shape::hwc(side(a, height)?, side(b, width)?, 1),
        [Some(length)] => Shape::hwc(1, 1, length),
        _ => bail!("expected images of 1 to 3 dimensions, found {sizes:?}"),
    })
}

impl<'c> Build<'c> {
    fn layer(&mut self, layer: &'c Layer, start: Value) -> Result<Known> {
        let inputs: Vec<Known> = match &layer.inputs {
            _ if layer.class == "InputLayer" => return Ok((start, None)),
            None => vec![self.last.clone()],
            Some(names) => names
                .iter()
                .map(|name| {
                    self.values
                        .get(name.as_str())
                        .cloned()
                        .with_context(|| format!("it reads {name:?}, which is not before it"))
                })
                .collect::<Result<_>>()?,
        };
        let (input, over) = inputs.first().cloned().context("it reads nothing")?;
        if layer.class.contains("Dropout") || layer.class == "GaussianNoise" {
            self.graph.notes.push(format!("{}: {} dropped", layer.name, layer.class));
            return Ok((input, over));
        }
        ensure!(over.is_none(), "it reads what a softmax puts out, and midge has that at the end only");
        let config = &layer.config;
        if layer.class == "Softmax" {
            return Ok((input, Some(self.softmax(&layer.name))));
        }
        if let Some(format) = config["data_format"].as_str() {
            ensure!(format == "channels_last", "expected data_format channels_last, found {format}");
        }
        let value = self.compute(layer, &inputs, input)?;
        self.activation(layer, value)
    }

    /// What a layer makes of its inputs, before its activation.
    fn compute(&mut self, layer: &Layer, inputs: &[Known], input: Value) -> Result<Value> {
        match &layer.class[..] {
            "Activation" => Ok(input),
            "Add" => {
                let [(a, _), (b, _)] = inputs[..] else { bail!("expected a sum of two, found {}", inputs.len()) };
                self.graph.push(&layer.name, Op::Add, &[a, b])
            }
            _ => {
                let mut input = input;
                // Behind an average that keeps its dimensions, or on an image that is a vector.
                if layer.class == "Dense" && !self.graph.shape(input).1 {
                    input = self.graph.push(&layer.name, Op::Flatten(Order::Hwc), &[input])?;
                }
                let op = self.operator(layer, &layer.config)?;
                self.graph.push(&layer.name, op, &[input])
            }
        }
    }

    fn softmax(&mut self, name: &str) -> String {
        self.graph.notes.push(format!("{name}: softmax at the end dropped, which changes no class"));
        name.to_string()
    }

    /// The activation in a layer.
    fn activation(&mut self, layer: &Layer, value: Value) -> Result<Known> {
        let activation = &layer.config["activation"];
        let name = activation.as_str().or(activation["config"]["name"].as_str()).or(activation["config"].as_str());
        let is_last = |value| Ok((value, None));
        match name {
            None | Some("linear") if activation.is_null() || name.is_some() => is_last(value),
            Some("relu") => is_last(self.graph.push(&layer.name, Op::Relu, &[value])?),
            Some("relu6") => is_last(self.graph.push(&layer.name, Op::Relu6, &[value])?),
            Some("softmax") => Ok((value, Some(self.softmax(&layer.name)))),
            _ => bail!("midge has the activations relu, relu6, and softmax at the end; found {activation}"),
        }
    }

    fn operator(&self, layer: &Layer, config: &Json) -> Result<Op> {
        Ok(match &layer.class[..] {
            "Conv2D" | "DepthwiseConv2D" => self.convolution(layer, config)?,
            "Dense" => {
                let weight = self.array(layer, 0)?;
                let [inputs, units] = weight.shape[..] else { bail!("expected a matrix, found {:?}", weight.shape) };
                let turned = (0..units).flat_map(|unit| weight.data.iter().skip(unit).step_by(units).copied());
                let weight = Array { shape: vec![units, inputs], data: turned.collect() };
                Op::Dense { weight, bias: self.bias(layer)? }
            }
            "BatchNormalization" => self.norm(layer, config)?,
            "Normalization" => self.normalization(layer, config)?,
            "Rescaling" => Op::Affine(Affine { scale: numbers(&config["scale"])?, shift: numbers(&config["offset"])? }),
            "ReLU" => relu(config)?,
            "MaxPooling2D" | "AveragePooling2D" => {
                let kernel = pair(&config["pool_size"])?;
                let stride = if config["strides"].is_null() { kernel } else { pair(&config["strides"])? };
                let windows = Windows { kernel, stride, pads: pads(config)? };
                if layer.class == "MaxPooling2D" { Op::MaxPool(windows) } else { Op::AvgPool(windows) }
            }
            "GlobalAveragePooling2D" => Op::GlobalAvgPool,
            "Flatten" => Op::Flatten(Order::Hwc),
            "ZeroPadding2D" => Op::Pad(padding(&config["padding"])?),
            class => bail!("midge has no {class}"),
        })
    }

    fn array(&self, layer: &Layer, at: usize) -> Result<&'c Array> {
        let arrays = self.arrays.get(&layer.name).map_or(&[][..], Vec::as_slice);
        arrays.get(at).with_context(|| format!("expected more than {at} arrays of weights, found {}", arrays.len()))
    }

    fn bias(&self, layer: &Layer) -> Result<Option<Vec<f32>>> {
        match layer.config["use_bias"].as_bool() {
            Some(false) => Ok(None),
            _ => Ok(Some(self.array(layer, 1)?.data.clone())),
        }
    }

    fn convolution(&self, layer: &Layer, config: &Json) -> Result<Op> {
        let mut weight = self.array(layer, 0)?.clone();
        let [rows, columns, channels, last] = weight.shape[..] else {
            bail!("expected weights of four dimensions, found {:?}", weight.shape)
        };
        ensure!(pair(&config["dilation_rate"]).unwrap_or([1, 1]) == [1, 1], "expected a dilation_rate of 1");
        let mut groups = usize::try_from(config["groups"].as_u64().unwrap_or(1)).context("too many groups")?;
        if layer.class == "DepthwiseConv2D" {
            groups = channels;
            weight.shape = vec![rows, columns, 1, channels.checked_mul(last).context("too many filters")?];
        }
        let windows = Windows { kernel: [rows, columns], stride: pair(&config["strides"])?, pads: pads(config)? };
        Ok(Op::Conv { weight, bias: self.bias(layer)?, windows, groups })
    }

    fn norm(&self, layer: &Layer, config: &Json) -> Result<Op> {
        let has = |key: &str| config[key].as_bool().unwrap_or(true);
        let mut at = 0;
        let mut next = |is_there: bool| {
            let array = is_there.then(|| self.array(layer, at)).transpose()?;
            at += usize::from(is_there);
            Ok::<_, anyhow::Error>(array.map(|array| &array.data[..]))
        };
        let (gamma, beta) = (next(has("scale"))?, next(has("center"))?);
        let statistics = next(true)?.zip(next(true)?).context("expected a mean and a variance")?;
        let epsilon = config["epsilon"].as_f64().unwrap_or(1e-3);
        Ok(Op::Affine(norms::affine(statistics, epsilon, (gamma, beta))?))
    }

    /// A normalisation with statistics of the data.
    fn normalization(&self, layer: &Layer, config: &Json) -> Result<Op> {
        let invert = config["invert"].as_bool().unwrap_or(false);
        ensure!(!invert, "expected invert=False");
        let (mean, variance) = if config["mean"].is_null() {
            (self.array(layer, 0)?.data.clone(), self.array(layer, 1)?.data.clone())
        } else {
            let floats = |json: &Json| Ok::<_, anyhow::Error>(numbers(json)?.iter().map(|n| *n as f32).collect());
            (floats(&config["mean"])?, floats(&config["variance"])?)
        };
        // Keras divides by no less than this.
        let deviation: Vec<f64> = variance.iter().map(|v| f64::from(*v).sqrt().max(1e-7)).collect();
        ensure!(mean.len() == deviation.len(), "expected as many means as variances");
        let shift = mean.iter().zip(&deviation).map(|(mean, deviation)| -f64::from(*mean) / deviation).collect();
        Ok(Op::Affine(Affine { scale: deviation.iter().map(|deviation| 1.0 / deviation).collect(), shift }))
    }
}

fn relu(config: &Json) -> Result<Op> {
    let of = |key: &str| config[key].as_f64().or(config[key]["config"]["value"].as_f64()).unwrap_or(0.0);
    ensure!(of("negative_slope") == 0.0 && of("threshold") == 0.0, "expected no negative_slope and no threshold");
    match &config["max_value"] {
        Json::Null => Ok(Op::Relu),
        value if value.as_f64() == Some(6.0) => Ok(Op::Relu6),
        value => bail!("midge has a max_value of 6, found {value}"),
    }
}

/// One number or two.
fn pair(json: &Json) -> Result<[usize; 2]> {
    let size = |json: &Json| json.as_u64().and_then(|n| usize::try_from(n).ok());
    let pair = match json.as_array().map(Vec::as_slice) {
        Some([a, b]) => size(a).zip(size(b)),
        None => size(json).zip(size(json)),
        _ => None,
    };
    pair.map(|(a, b)| [a, b]).with_context(|| format!("expected one or two whole numbers, found {json}"))
}

fn pads(config: &Json) -> Result<Pads> {
    match config["padding"].as_str() {
        Some("same") => Ok(Pads::SameUpper),
        Some("valid") => Ok(Pads::NONE),
        _ => bail!("expected a padding of same or valid, found {}", config["padding"]),
    }
}

/// `1`, `[1, 2]` or `[[0, 1], [0, 1]]`.
fn padding(json: &Json) -> Result<[[usize; 2]; 2]> {
    match json.as_array().map(Vec::as_slice) {
        Some([rows, columns]) => Ok([pair(rows)?, pair(columns)?]),
        _ => {
            let [rows, columns] = pair(json)?;
            Ok([[rows; 2], [columns; 2]])
        }
    }
}

/// One number, or a list of them, however deep.
fn numbers(json: &Json) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    let mut waiting = vec![json];
    while let Some(value) = waiting.pop() {
        match value {
            Json::Array(list) => waiting.extend(list.iter().rev()),
            Json::Number(number) => found.extend(number.as_f64()),
            other => bail!("expected numbers, found {other}"),
        }
    }
    ensure!(!found.is_empty(), "expected a number, found none");
    Ok(found)
}
