//! PyTorch models: the `state_dict` of a sequential CNN as a safetensors file.
//!
//! Keys are `<index>.weight` and `<index>.bias` with the module's index in the `Sequential`. Modules without weights
//! leave no trace but gaps between the indices, so the architecture is worked out from them: between a convolution
//! and the next layer, one missing index is a ReLU and two are a ReLU and a pooling; before the first linear layer
//! there is also the flatten. `--network` says it outright where that does not fit.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use half::{bf16, f16};
use midge_core::{Layer, Network, Padding, Shape};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::weights::{DType, Weights, tensor_infos};

/// A tensor of a `state_dict`.
#[derive(Debug, Clone, PartialEq)]
struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// What a `state_dict` does not say.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The whole architecture, in midge's words.
    pub network: Option<Network>,
    /// Height and width of the image; worked out for a square image if absent.
    pub size: Option<(usize, usize)>,
}

/// Reads a PyTorch `state_dict`.
///
/// # Errors
/// With the file's name, what was expected and what was found.
pub fn import(path: &Path, hints: &Hints) -> Result<Weights> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    import_bytes(&bytes, hints).with_context(|| format!("{}: cannot be imported", path.display()))
}

/// Converts the bytes of a `state_dict`.
///
/// # Errors
/// See [`import`].
pub fn import_bytes(bytes: &[u8], hints: &Hints) -> Result<Weights> {
    let tensors = read(bytes)?;
    let network = match hints.network {
        Some(network) => network,
        None => infer(&tensors, hints)?,
    };
    // PyTorch's modules with weights, in order, against midge's layers with weights, in order.
    let modules: Vec<usize> = modules(&tensors).collect();
    let infos = tensor_infos(&network);
    let mut layers: Vec<usize> = infos.iter().map(|info| info.layer).collect();
    layers.dedup();
    ensure!(
        layers.len() == modules.len(),
        "the architecture has {} layers with weights, the file {}",
        layers.len(),
        modules.len()
    );
    let count = tensors.len();
    ensure!(count == infos.len(), "the architecture has {} tensors, the file {count}", infos.len());
    let mut converted = Vec::new();
    for info in &infos {
        let module = layers.iter().position(|layer| *layer == info.layer).and_then(|i| modules.get(i));
        let module = module.ok_or_else(|| anyhow!("layer {} has no module", info.layer))?;
        let kind = if info.name.ends_with("bias") { "bias" } else { "weight" };
        let tensor = tensors.get(&(*module, kind)).with_context(|| format!("{module}.{kind} is missing"))?;
        let data = convert(&network, info.layer, &info.shape, tensor);
        converted.push(crate::weights::tensor(&data.with_context(|| format!("tensor {module}.{kind}"))?));
    }
    let weights = Weights { network, tensors: converted, dtype: DType::F32, metadata: BTreeMap::new() };
    // Written and read once, so that NaN and the like are found now.
    weights.rounded(DType::F32)
}

/// All tensors, by module and kind.
fn read(bytes: &[u8]) -> Result<BTreeMap<(usize, &'static str), Tensor>> {
    let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let (module, kind) = name.rsplit_once('.').unwrap_or((&name, ""));
        // `features.0.weight` and the like: the last number is what orders them.
        let module = module.rsplit('.').next().and_then(|number| number.parse::<usize>().ok());
        let kind = ["weight", "bias"].into_iter().find(|known| *known == kind);
        let (Some(module), Some(kind)) = (module, kind) else {
            bail!("tensor {name:?}: expected names like 0.weight and 0.bias, as a Sequential gives");
        };
        let data = to_f32(&view).with_context(|| format!("tensor {name:?}"))?;
        let tensor = Tensor { shape: view.shape().to_vec(), data };
        ensure!(tensors.insert((module, kind), tensor).is_none(), "two tensors are {module}.{kind}");
    }
    ensure!(!tensors.is_empty(), "no tensors");
    Ok(tensors)
}

fn to_f32(view: &TensorView<'_>) -> Result<Vec<f32>> {
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => bytemuck::pod_collect_to_vec(bytes),
        Dtype::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(bytes).into_iter().map(|x| x as f32).collect(),
        Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f16::to_f32).collect(),
        Dtype::BF16 => bytemuck::pod_collect_to_vec::<u8, bf16>(bytes).into_iter().map(bf16::to_f32).collect(),
        other => bail!("expected elements of type F32, F64, F16 or BF16, found {other:?}"),
    })
}

/// The modules that have weights, in order.
fn modules<'t>(tensors: &'t BTreeMap<(usize, &'static str), Tensor>) -> impl Iterator<Item = usize> + 't {
    tensors.keys().filter(|(_, kind)| *kind == "weight").map(|(module, _)| *module)
}

/// Works the architecture out from the gaps between the indices and from the shapes.
fn infer(tensors: &BTreeMap<(usize, &'static str), Tensor>, hints: &Hints) -> Result<Network> {
    let modules: Vec<usize> = modules(tensors).collect();
    let shape = |module: usize| tensors.get(&(module, "weight")).map_or(&[][..], |tensor| &tensor.shape);
    let first_linear = modules.iter().copied().find(|module| shape(*module).len() == 2);
    let mut layers = Vec::new();
    for (i, &module) in modules.iter().enumerate() {
        let bias = tensors.contains_key(&(module, "bias"));
        let gap = modules.get(i + 1).map_or(0, |next| next - module - 1);
        match *shape(module) {
            [filters, _, kernel, width] if kernel == width => {
                layers.push(Layer::Conv2d { filters, kernel, stride: 1, padding: Padding::Same, bias });
                // The flatten stands in the gap before the first linear layer.
                let to_linear = modules.get(i + 1).copied() == first_linear;
                let inner = gap.checked_sub(usize::from(to_linear));
                layers.extend(activation(inner, module)?);
            }
            [units, _] => {
                if Some(module) == first_linear {
                    layers.push(Layer::Flatten);
                }
                layers.push(Layer::Dense { units, bias });
                ensure!(gap <= 1, "{gap} modules after linear layer {module}: say --network");
                layers.extend((gap == 1).then_some(Layer::Relu));
            }
            ref other => bail!("{module}.weight has dimensions {other:?}: expected [out, in, k, k] or [out, in]"),
        }
    }
    let channels = modules.first().map_or(0, |module| *shape(*module).get(1).unwrap_or(&0));
    let features = first_linear.and_then(|module| shape(module).get(1).copied());
    let first_is_linear = first_linear == modules.first().copied();
    find_size(&layers, if first_is_linear { 1 } else { channels }, features, hints.size)
}

/// What stands between a convolution and the next layer with weights.
fn activation(gap: Option<usize>, module: usize) -> Result<Vec<Layer>> {
    let pool = Layer::MaxPool2d { pool: 2, padding: Padding::Valid };
    match gap {
        Some(0) => Ok(vec![]),
        Some(1) => Ok(vec![Layer::Relu]),
        Some(2) => Ok(vec![Layer::Relu, pool]),
        _ => bail!("the modules after convolution {module} are not a ReLU and a pooling: say --network"),
    }
}

/// The image's size: given, or the square one that gives the first linear layer its inputs. Where several do, the one
/// that every pooling divides, then the smallest.
fn find_size(
    layers: &[Layer],
    channels: usize,
    features: Option<usize>,
    size: Option<(usize, usize)>,
) -> Result<Network> {
    let fits = |(height, width): (usize, usize)| {
        let network = Network::try_new(Shape::hwc(height, width, channels), layers).ok()?;
        let flatten = layers.iter().position(|layer| *layer == Layer::Flatten)?;
        let inputs = network.output_shape(flatten)?.len();
        (features.is_none_or(|features| features == inputs)).then_some(network)
    };
    let fits = |size| fits(size).map(canonical);
    let pools = layers.iter().filter(|layer| matches!(layer, Layer::MaxPool2d { .. })).count() as u32;
    let network = match size {
        Some(size) => fits(size),
        None => {
            let squares = || (1..=1024).map(|n| (n, n));
            let even = squares().filter(|(n, _)| n % 2usize.pow(pools.min(10)) == 0).find_map(fits);
            even.or_else(|| squares().find_map(fits))
        }
    };
    network.with_context(|| match size {
        Some((h, w)) => format!("an image of {h}x{w} does not give the first linear layer its {features:?} inputs"),
        None => "no square image gives the first linear layer its inputs: say --network".to_string(),
    })
}

/// PyTorch's poolings drop partial windows. Where there are none the two border rules agree, and `same` is what midge
/// writes itself, so that the imported network equals the constant a device was built with.
fn canonical(network: Network) -> Network {
    let mut layers = network.layers().to_vec();
    for (i, layer) in layers.iter_mut().enumerate() {
        let input = i.checked_sub(1).map_or(Some(network.input()), |before| network.output_shape(before));
        if let (Layer::MaxPool2d { pool, padding }, Some(input)) = (layer, input)
            && input.height % *pool == 0
            && input.width % *pool == 0
        {
            *padding = Padding::Same;
        }
    }
    Network::try_new(network.input(), &layers).unwrap_or(network)
}

/// PyTorch's order of a tensor to midge's.
fn convert(network: &Network, layer: usize, shape: &[usize], tensor: &Tensor) -> Result<Vec<f32>> {
    let expect = |expected: &[usize]| {
        ensure!(tensor.shape == expected, "expected dimensions {expected:?}, found {:?}", tensor.shape);
        Ok(())
    };
    match *shape {
        [kernel, width, channels, filters] => {
            expect(&[filters, channels, kernel, width])?;
            let index = |o: usize, y: usize, x: usize, i: usize| ((o * channels + i) * kernel + y) * width + x;
            let order = grid([kernel, width, channels, filters]);
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
