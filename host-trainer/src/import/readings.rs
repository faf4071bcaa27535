//! What a convolution of a `state_dict` may have been: the strides, paddings and poolings that lead from an image of a
//! given size to the inputs of the first linear layer.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use midge_core::{Layer, Network, Padding, Shape, Size};

use super::module::Module;

/// Readings of one part of a network that are kept for each size of its map: two are as good as many.
const KEPT: usize = 16;
/// Largest padding that is tried.
const MOST_PADDING: usize = 8;

/// PyTorch's padding of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pad {
    /// As many rows and columns on both sides.
    Both(usize),
    /// `padding="same"` of an even kernel: the odd row is at the end.
    Same,
}

/// What stands behind a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tail {
    relu: bool,
    /// A max pooling of 2x2.
    pool: bool,
}

/// What the weights of a convolution do not say.
#[derive(Debug, Clone, Copy)]
struct Step {
    stride: usize,
    pad: Pad,
    tail: Tail,
}

/// How far readings go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Range {
    /// Stride 1, no padding or as much as keeps the size, a ReLU behind each convolution, where it can be one.
    Usual,
    /// Also stride 2, any padding, and poolings without a ReLU.
    Wide,
}

/// One way to read a file.
#[derive(Debug)]
pub(super) struct Reading {
    /// The network in midge's layers, or why it is none.
    pub(super) network: Result<Network, String>,
    /// In words, a line for each module.
    pub(super) words: Vec<String>,
}

/// Modules in order, and what their names say about those between them.
#[derive(Debug)]
pub(super) struct Chain<'m> {
    pub(super) modules: Vec<&'m Module>,
    /// Behind each module: how many modules without weights there are, without a flatten; `None` if that is not known.
    pub(super) between: Vec<Option<usize>>,
}

impl Chain<'_> {
    fn convolutions(&self) -> &[&Module] {
        let count = self.modules.iter().take_while(|module| !module.is_linear()).count();
        &self.modules[..count]
    }

    /// The first linear layer.
    pub(super) fn first_linear(&self) -> Option<&Module> {
        self.modules.iter().find(|module| module.is_linear()).copied()
    }

    /// All readings in `range` for images of this height and width; of very many, some.
    pub(super) fn readings(&self, size: (usize, usize), range: Range) -> Vec<Reading> {
        let Some(linear) = self.first_linear() else { return Vec::new() };
        let mut maps: BTreeMap<(usize, usize), Vec<Vec<Step>>> = BTreeMap::from([(size, vec![vec![]])]);
        for (module, between) in self.convolutions().iter().zip(&self.between) {
            let options = options(module.weight.shape[2], *between, range);
            let mut next: BTreeMap<_, Vec<Vec<Step>>> = BTreeMap::new();
            for (map, readings) in &maps {
                for step in &options {
                    let Some(map) = step.output(*map, module.weight.shape[2]) else { continue };
                    let kept = next.entry(map).or_default();
                    let longer = readings.iter().map(|reading| [reading.as_slice(), &[*step]].concat());
                    kept.extend(longer.take(KEPT - kept.len().min(KEPT)));
                }
            }
            maps = next;
        }
        let channels = self.convolutions().last().map(|last| last.outputs());
        let fits = |map: (usize, usize)| match channels {
            Some(channels) => map.0.checked_mul(map.1).and_then(|n| n.checked_mul(channels)) == Some(linear.inputs()),
            None => map.0.checked_mul(map.1).is_some_and(|n| n > 0 && linear.inputs().is_multiple_of(n)),
        };
        let fitting = maps.iter().filter(|(map, _)| fits(**map)).flat_map(|(_, readings)| readings);
        fitting.map(|steps| self.reading(size, steps)).collect()
    }

    fn reading(&self, size: (usize, usize), steps: &[Step]) -> Reading {
        Reading { network: self.network(size, steps), words: self.words(steps) }
    }

    fn network(&self, (height, width): (usize, usize), steps: &[Step]) -> Result<Network, String> {
        let (mut layers, mut map) = (Vec::new(), (height, width));
        for (module, step) in self.convolutions().iter().zip(steps) {
            let (kernel, bias) = (module.weight.shape[2], module.has_bias());
            let padding = step.padding(map, kernel);
            // A side above 255 is no kernel of midge's; neither is 255.
            let side = |n: usize| Size::square(n.try_into().unwrap_or(u8::MAX));
            let (kernel, stride) = (side(kernel), side(step.stride));
            layers.push(Layer::Conv2d { filters: module.outputs(), kernel, stride, padding, bias });
            layers.extend(step.tail.relu.then_some(Layer::Relu));
            // PyTorch's poolings drop partial windows.
            layers.extend(step.tail.pool.then_some(Layer::MaxPool2d { pool: 2, padding: Padding::Valid }));
            map = step.output(map, module.weight.shape[2]).unwrap_or((0, 0));
        }
        layers.push(Layer::Flatten);
        for (module, between) in self.modules.iter().zip(&self.between).filter(|(module, _)| module.is_linear()) {
            layers.push(Layer::Dense { units: module.outputs(), bias: module.has_bias() });
            layers.extend((*between != Some(0)).then_some(Layer::Relu));
        }
        let first = self.modules.first().map_or(0, |module| module.inputs());
        let channels = if steps.is_empty() { first.checked_div(height * width).unwrap_or(0) } else { first };
        let network = Network::try_new(Shape::hwc(height, width, channels), &layers);
        network.map(canonical).map_err(|error| error.to_string())
    }

    fn words(&self, steps: &[Step]) -> Vec<String> {
        let convolutions =
            self.convolutions().iter().zip(steps).map(|(module, step)| format!("{}: {step}", module.name));
        let linear = self.modules.iter().zip(&self.between).filter(|(module, _)| module.is_linear());
        let linear = linear.map(|(module, between)| match between {
            Some(0) => format!("{}: linear, without an activation", module.name),
            Some(2) => format!("{}: linear; behind it ReLU and a Dropout", module.name),
            _ => format!("{}: linear; behind it ReLU", module.name),
        });
        convolutions.chain(linear).collect()
    }
}

/// What a convolution can be that has `between` modules without weights behind it.
fn options(kernel: usize, between: Option<usize>, range: Range) -> Vec<Step> {
    let wide = range == Range::Wide;
    let same = if kernel % 2 == 1 { Pad::Both(kernel / 2) } else { Pad::Same };
    let mut pads = vec![Pad::Both(0)];
    if wide {
        pads.extend((1..=(kernel / 2).min(MOST_PADDING)).map(Pad::Both));
    }
    if !pads.contains(&same) {
        pads.push(same);
    }
    let mut options = Vec::new();
    for stride in 1..=if wide { 2 } else { 1 } {
        // PyTorch has no padding="same" of another stride.
        for pad in pads.iter().copied().filter(|pad| stride == 1 || *pad != Pad::Same) {
            options.extend(tails(between, range).into_iter().map(|tail| Step { stride, pad, tail }));
        }
    }
    options
}

fn tails(between: Option<usize>, range: Range) -> Vec<Tail> {
    let tail = |relu, pool| Tail { relu, pool };
    let wide = range == Range::Wide;
    match between {
        Some(0) => vec![tail(false, false)],
        Some(1) if wide => vec![tail(true, false), tail(false, true)],
        Some(1) => vec![tail(true, false)],
        // The second is a pooling, or a Dropout, which does nothing here.
        Some(_) if wide => vec![tail(true, true), tail(true, false), tail(false, true)],
        None if wide => vec![tail(true, true), tail(true, false), tail(false, true), tail(false, false)],
        Some(_) | None => vec![tail(true, true), tail(true, false)],
    }
}

impl Step {
    /// Height and width behind the convolution and its pooling; `None` if the map is too small.
    fn output(&self, (height, width): (usize, usize), kernel: usize) -> Option<(usize, usize)> {
        let output = |n: usize| {
            let padding = match self.pad {
                Pad::Both(rows) => 2 * rows,
                Pad::Same => kernel - 1,
            };
            let windows = (n + padding).checked_sub(kernel)? / self.stride + 1;
            let output = if self.tail.pool { windows / 2 } else { windows };
            (output > 0).then_some(output)
        };
        Some((output(height)?, output(width)?))
    }

    /// The same padding in midge's words.
    fn padding(&self, (height, width): (usize, usize), kernel: usize) -> Padding {
        let is_same = |rows: usize| {
            let windows = |n: usize| (n + 2 * rows - kernel) / self.stride + 1;
            [height, width].iter().all(|n| same_rows(*n, kernel, self.stride) == (rows, windows(*n)))
        };
        match self.pad {
            Pad::Both(rows) if rows > 0 && is_same(rows) => Padding::Same,
            // Never as much as a kernel has.
            Pad::Both(rows) => Padding::zeros(Size::square(rows as u8)),
            Pad::Same => Padding::Same,
        }
    }
}

/// How many rows `padding=same` puts before a map of `n`, and the windows there are.
fn same_rows(n: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let windows = n.div_ceil(stride);
    let covered = windows.saturating_sub(1) * stride + kernel;
    (covered.saturating_sub(n) / 2, windows)
}

/// Stride and padding.
struct Words<'s>(&'s Step);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.pad {
            Pad::Both(rows) => write!(f, "stride={}, padding={rows}", self.0.stride),
            Pad::Same => write!(f, "stride={}, padding=\"same\"", self.0.stride),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let behind = match self.tail {
            Tail { relu: true, pool: true } => "ReLU and max pooling 2x2",
            Tail { relu: true, pool: false } => "ReLU, no pooling",
            Tail { relu: false, pool: true } => "max pooling 2x2, no activation",
            Tail { relu: false, pool: false } => "no activation, no pooling",
        };
        write!(f, "convolution with {}; behind it {behind}", Words(self))
    }
}

/// Where a pooling has no partial windows the two border rules agree, and `same` is what midge writes itself, so that the
/// imported network equals the constant a device was built with.
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
