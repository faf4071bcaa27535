//! The architecture of a `state_dict` in the words of the user, which may leave open what the weights say.

use anyhow::{Context, Result, bail, ensure};
use midge_core::Network;

use super::infer::Inferred;
use super::module::Module;
use super::order;
use super::state::State;
use crate::architecture::{Wanted, parse, says_input};
use crate::weights::{TensorInfo, tensor_infos};

/// Height and width of images that nobody says anything about, if they are grey.
const USUAL: (usize, usize) = (28, 28);
/// Numbers of channels and of classes that are tried.
const MOST: usize = 8;

/// The network of the words, the modules in the order of its layers, and what was assumed.
///
/// # Errors
/// If the words are no network, or the weights are not those of it.
pub(super) fn network<'m>(text: &str, size: Option<(usize, usize)>, state: &'m State) -> Result<Inferred<'m>> {
    ensure!(
        size.is_none() || !says_input(text),
        "--size stands beside a --network that says its input: expected one of them"
    );
    let mut refused = None;
    for wanted in left_open(text, size, state) {
        let network = parse(text, wanted).context("--network");
        match network.and_then(|network| Ok((network, in_order_of(&network, state)?))) {
            Ok((network, modules)) => return Ok((network, modules, assumed(text, size, wanted))),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.context("the file has no weights of convolutions or linear layers")?)
}

fn assumed(text: &str, size: Option<(usize, usize)>, wanted: Wanted) -> Vec<String> {
    match wanted.shape {
        Some([height, width, _]) if size.is_none() && !says_input(text) => {
            vec![format!("images of {height}x{width} pixels; --size says another size")]
        }
        _ => Vec::new(),
    }
}

/// What the modules may mean for a text that leaves channels and classes open; what fits tells which they do.
fn left_open(text: &str, size: Option<(usize, usize)>, state: &State) -> Vec<Wanted> {
    let kernels = state.modules.iter().filter(|module| !module.is_linear());
    let mut channels = distinct(kernels.map(|module| module.weight.shape[1]));
    if channels.is_empty() || says_input(text) {
        channels = vec![1];
    }
    let linear = state.modules.iter().rev().filter(|module| module.is_linear());
    let mut classes: Vec<Option<usize>> =
        distinct(linear.map(|module| module.weight.shape[0])).into_iter().map(Some).collect();
    if classes.is_empty() {
        classes.push(None);
    }
    let wanted = |channels: usize, classes: Option<usize>| {
        let size = size.or((channels == 1).then_some(USUAL));
        Wanted { shape: size.map(|(height, width)| [height, width, channels]), classes }
    };
    channels.iter().flat_map(|channels| classes.iter().map(|classes| wanted(*channels, *classes))).collect()
}

/// The first of the numbers, each once.
fn distinct(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut found = Vec::new();
    for number in numbers {
        if !found.contains(&number) && found.len() < MOST {
            found.push(number);
        }
    }
    found
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

/// The modules in the order of the layers that take them: that of the file where it is known and fits.
fn in_order_of<'m>(network: &Network, state: &'m State) -> Result<Vec<&'m Module>> {
    let (infos, modules) = (infos(network), &state.modules);
    let expected: Vec<Vec<usize>> = infos.iter().map(|layer| pytorch_shape(&layer[0].shape)).collect();
    let fits = |before: &[&Module], module: &Module| {
        let has_bias = infos.get(before.len()).is_some_and(|layer| layer.len() > 1);
        expected.get(before.len()) == Some(&module.weight.shape)
            && (has_bias == module.has_bias() || module.norm.is_some())
    };
    if expected.len() == modules.len() {
        let as_they_stand: Vec<&Module> = modules.iter().collect();
        if state.is_ordered && (0..modules.len()).all(|i| fits(&as_they_stand[..i], &modules[i])) {
            return Ok(as_they_stand);
        }
        if let Some(sorted) = order::sorted(modules, &fits)? {
            return Ok(sorted);
        }
    }
    let line =
        |name: &str, shape: &[usize], bias: bool| format!("{name} {shape:?}{}", if bias { " with bias" } else { "" });
    let layers = infos
        .iter()
        .zip(&expected)
        .map(|(layer, shape)| line(&format!("layer {}", layer[0].layer), shape, layer.len() > 1));
    let found = modules.iter().map(|module| line(&module.name, &module.weight.shape, module.has_bias()));
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
