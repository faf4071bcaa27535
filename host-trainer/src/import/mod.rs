//! PyTorch models: the `state_dict` of a CNN as a safetensors file.
//!
//! Such a file holds weights and their names, and no word about strides, paddings, activations and poolings. Without
//! `--network` they are worked out: in a `Sequential`, modules without weights leave gaps between the numbers in the
//! names; how many inputs the first linear layer has says how large the map before it is. Every reading that explains both
//! is looked for, at one size of the image. If there is exactly one it is taken and every assumption is said; otherwise
//! the file is refused, with the readings to choose from.

mod infer;
mod order;
mod readings;
mod state;
pub mod tflite;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use midge_core::{Layer, Network, Padding, Shape, Size};

use crate::foreign;
use crate::weights::{DType, TensorInfo, Weights, tensor_infos};
use state::{Module, Tensor};

/// What a `state_dict` does not say.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The whole architecture, in midge's words.
    pub network: Option<Network>,
    /// Height and width of the image; 28x28 if absent and the first layer can read that in grey.
    pub size: Option<(usize, usize)>,
}

/// An imported model.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The model.
    pub weights: Weights,
    /// What was assumed about it, in lines.
    pub assumed: Vec<String>,
}

/// What every import assumes.
const PIXELS: &str = "pixels from 0 to 1, with no mean and standard deviation; a model that was trained on normalised \
                      pixels, (x - mean) / std, is misread";

/// Reads a PyTorch `state_dict`; [`read`] also says what was assumed.
///
/// # Errors
/// With the file's name, what was expected and what was found.
pub fn import(path: &Path, hints: &Hints) -> Result<Weights> {
    Ok(read(path, hints)?.weights)
}

/// Reads a PyTorch `state_dict`; `-` is standard input.
///
/// # Errors
/// With the file's name, what was expected and what was found.
pub fn read(path: &Path, hints: &Hints) -> Result<Imported> {
    let read = || from_bytes(&foreign::read(path)?, hints);
    read().with_context(|| format!("{}: cannot be imported", path.display()))
}

/// Converts the bytes of a `state_dict`.
///
/// # Errors
/// See [`read`].
pub fn from_bytes(bytes: &[u8], hints: &Hints) -> Result<Imported> {
    let modules = state::read(bytes)?;
    let (network, modules, mut assumed) = match hints.network {
        Some(network) => (network, in_order_of(&network, &modules)?, differences(&network)),
        None => infer::network(&modules, hints.size)?,
    };
    assumed.insert(0, PIXELS.into());
    let mut tensors = Vec::new();
    for (module, infos) in modules.iter().zip(infos(&network)) {
        for info in infos {
            let (kind, tensor) = match info.name.ends_with("bias") {
                true => ("bias", module.bias.as_ref()),
                false => ("weight", Some(&module.weight)),
            };
            let name = format!("tensor {}.{kind}", module.name);
            let tensor = tensor.with_context(|| format!("{name} is missing"))?;
            let data = convert(&network, info.layer, &info.shape, tensor).context(name)?;
            tensors.push(crate::weights::tensor(&data));
        }
    }
    let weights = Weights::new(network, tensors);
    // Written and read once, so that NaN and the like are found now.
    Ok(Imported { weights: weights.rounded(DType::F32)?, assumed })
}

/// The tensors of each layer with weights.
fn infos(network: &Network) -> Vec<Vec<TensorInfo>> {
    let mut layers: Vec<Vec<TensorInfo>> = Vec::new();
    for info in tensor_infos(network) {
        match layers.last_mut() {
            Some(layer) if layer[0].layer == info.layer => layer.push(info),
            _ => layers.push(vec![info]),
        }
    }
    layers
}

/// The modules in the order of the layers that take them.
fn in_order_of<'m>(network: &Network, modules: &'m [Module]) -> Result<Vec<&'m Module>> {
    let infos = infos(network);
    let expected: Vec<Vec<usize>> = infos.iter().map(|layer| pytorch_shape(&layer[0].shape)).collect();
    let fits = |before: &[&Module], module: &Module| {
        expected.get(before.len()) == Some(&module.weight.shape)
            && infos[before.len()].len() == 1 + usize::from(module.bias.is_some())
    };
    if expected.len() == modules.len()
        && let Some(sorted) = order::sorted(modules, &fits)?
    {
        return Ok(sorted);
    }
    let line =
        |name: &str, shape: &[usize], bias: bool| format!("{name} {shape:?}{}", if bias { " with bias" } else { "" });
    let layers = infos
        .iter()
        .zip(&expected)
        .map(|(layer, shape)| line(&format!("layer {}", layer[0].layer), shape, layer.len() > 1));
    let found = modules.iter().map(|module| line(&module.name, &module.weight.shape, module.bias.is_some()));
    bail!(
        "the weights do not fit the architecture: expected, in PyTorch's order of dimensions, {}; found {}",
        layers.collect::<Vec<_>>().join(", "),
        found.collect::<Vec<_>>().join(", ")
    )
}

/// `[row][column][in][out]` to `[out, in, row, column]`, `[row][column][out]` to `[out, 1, row, column]`, `[in][out]` to
/// `[out, in]`.
fn pytorch_shape(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [rows, columns, channels, filters] => vec![filters, channels, rows, columns],
        [rows, columns, filters] => vec![filters, 1, rows, columns],
        [inputs, units] => vec![units, inputs],
        _ => shape.to_vec(),
    }
}

/// Where a given architecture pads as no padding of PyTorch does that is a number.
fn differences(network: &Network) -> Vec<String> {
    let mut lines = Vec::new();
    for (i, layer) in network.layers().iter().enumerate() {
        let (Layer::Conv2d { kernel, stride, padding: Padding::Same, .. }
        | Layer::DepthwiseConv2d { kernel, stride, padding: Padding::Same, .. }) = *layer
        else {
            continue;
        };
        let Some(input) = network.input_shape(i) else { continue };
        let differs = |n: usize, kernel: u8, stride: u8| {
            let (kernel, stride) = (usize::from(kernel), usize::from(stride));
            let (rows, windows) = readings::same_rows(n, kernel, stride);
            stride > 1
                && ((n + 2 * rows).checked_sub(kernel).map(|covered| covered / stride + 1) != Some(windows)
                    || rows != kernel / 2 && kernel % 2 == 1)
        };
        if differs(input.height, kernel.height, stride.height) || differs(input.width, kernel.width, stride.width) {
            lines.push(format!(
                "layer {i} pads as TensorFlow's \"same\" does; PyTorch's stride={stride}, padding={} is another function, \
                 which midge does not have: a model trained with it is misread",
                Size::hw(kernel.height / 2, kernel.width / 2)
            ));
        }
    }
    lines
}

/// PyTorch's order of a tensor to midge's.
fn convert(network: &Network, layer: usize, shape: &[usize], tensor: &Tensor) -> Result<Vec<f32>> {
    let expect = |expected: &[usize]| {
        ensure!(tensor.shape == expected, "expected dimensions {expected:?}, found {:?}", tensor.shape);
        Ok(())
    };
    match *shape {
        [rows, columns, filters] => {
            expect(&[filters, 1, rows, columns])?;
            let order = grid([rows, columns, 1, filters]);
            Ok(order.map(|[y, x, _, o]| tensor.data[(o * rows + y) * columns + x]).collect())
        }
        [rows, columns, channels, filters] => {
            expect(&[filters, channels, rows, columns])?;
            let index = |o: usize, y: usize, x: usize, i: usize| ((o * channels + i) * rows + y) * columns + x;
            let order = grid([rows, columns, channels, filters]);
            Ok(order.map(|[y, x, i, o]| tensor.data[index(o, y, x, i)]).collect())
        }
        [inputs, units] => {
            expect(&[units, inputs])?;
            // The layer before a dense layer is flat; the map before the flatten decides the order of its inputs.
            let flatten = network.layers().iter().position(|layer| *layer == Layer::Flatten);
            let is_first = !network.layers()[..layer].iter().any(|layer| matches!(layer, Layer::Dense { .. }));
            let map = match flatten {
                Some(0) => network.input(),
                Some(flatten) => network.output_shape(flatten - 1).unwrap_or(network.input()),
                None => network.input(),
            };
            let map = if is_first { map } else { Shape::hwc(1, 1, inputs) };
            let order = grid([map.height, map.width, map.channels, units]);
            let source = |[y, x, c, u]: [usize; 4]| u * inputs + (c * map.height + y) * map.width + x;
            Ok(order.map(|at| tensor.data[source(at)]).collect())
        }
        _ => {
            expect(shape)?;
            Ok(tensor.data.clone())
        }
    }
}

/// All indices of a four-dimensional array, the last one fastest.
fn grid([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..a * b * c * d).map(move |i| [i / (b * c * d), i / (c * d) % b, i / d % c, i % d])
}
