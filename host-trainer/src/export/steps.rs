//! Layers to operators: a layer with the ReLU that follows it is one, and so is a max-pooling.

use anyhow::{Context, Result, ensure};
use midge_core::{Layer, Network, Padding, Shape, Size};

use crate::tflite::{self, Activation, Conv2d, Kind, Pool2d, WeightsFormat};

/// An operator to be, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// What it does, with the ReLU behind it.
    pub kind: Kind,
    /// The layer that it began with.
    pub layer: usize,
    /// The number of the layer's stage, in the order of [`Network::int8_stages`].
    pub stage: usize,
    /// All layers that it stands for.
    pub layers: Vec<usize>,
    /// The steps whose outputs it reads; `None` is the image.
    pub inputs: Vec<Option<usize>>,
    /// Dimensions of its output.
    pub shape: Vec<usize>,
    /// How much less its bias is, because a threshold is in it.
    pub threshold: f32,
    /// Rows of zeros above and below, columns left and right, that a PAD puts around what it reads.
    pub zeros: Option<Size>,
}

impl Step {
    /// Whether its output has numbers of its own, and not those of its input.
    pub(crate) fn computes(&self) -> bool {
        self.has_weights() || matches!(self.kind, Kind::Add(_))
    }

    pub(crate) fn has_weights(&self) -> bool {
        matches!(self.kind, Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. } | Kind::FullyConnected { .. })
    }
}

/// The operators of a network, in the order in which they run.
///
/// # Errors
/// A threshold without a bias before it.
pub(crate) fn steps(network: &Network) -> Result<Vec<Step>> {
    let starts: Vec<usize> = network.int8_stages().collect();
    let mut walk = Walk { network, steps: Vec::new(), values: Vec::new() };
    for (stage, first) in starts.iter().copied().enumerate() {
        let next = starts.get(stage + 1).copied().unwrap_or(network.layers().len());
        // The first of two that begin with one layer only passes on what the second averages.
        if next > first {
            walk.stage(stage, first, next).with_context(|| format!("layer {first} ({})", network.layers()[first]))?;
        }
    }
    Ok(walk.steps)
}

struct Walk<'n> {
    network: &'n Network,
    steps: Vec<Step>,
    /// The step whose output each layer so far puts out.
    values: Vec<Option<usize>>,
}

/// What follows a stage's first operation.
struct Tail {
    activation: Activation,
    threshold: u32,
    /// The index of a max-pooling.
    pool: Option<usize>,
}

impl Walk<'_> {
    /// The layers `first .. next`, of which branches and flattens only lead on.
    fn stage(&mut self, stage: usize, first: usize, next: usize) -> Result<()> {
        while self.values.len() < first {
            self.lead_on();
        }
        let is_own = |index: &usize| !matches!(self.network.layers()[*index], Layer::From { .. } | Layer::Flatten);
        let own: Vec<usize> = (first..next).filter(is_own).collect();
        let (layer, tail) = (self.network.layers()[first], self.tail(&own));
        check_threshold(layer, &tail)?;
        let source = self.values.last().copied().flatten();
        let (rest, pooling): (Vec<usize>, Vec<usize>) = own.iter().partition(|index| Some(**index) != tail.pool);
        match (self.main(first, layer, &tail), tail.pool) {
            (Some((kind, inputs)), pool) => {
                let threshold = tail.threshold as f32 / 100.0;
                self.push((stage, first), kind, rest, ([vec![source], inputs].concat(), threshold));
                if let Some(pool) = pool {
                    let (kind, source) = (self.max_pool(pool, Activation::None), self.steps.len() - 1);
                    self.push((stage, first), kind, pooling, (vec![Some(source)], 0.0));
                }
            }
            (None, Some(pool)) => {
                let kind = self.max_pool(pool, tail.activation);
                self.push((stage, first), kind, own, (vec![source], 0.0));
            }
            (None, None) => {
                let kind = if tail.activation == Activation::Relu6 { Kind::Relu6 } else { Kind::Relu };
                self.push((stage, first), kind, own, (vec![source], 0.0));
            }
        }
        while self.values.len() < next {
            self.lead_on();
        }
        Ok(())
    }

    /// An operator of a stage that begins with layer `first`, for these layers: what it reads, and its threshold.
    fn push(
        &mut self,
        (stage, first): (usize, usize),
        kind: Kind,
        layers: Vec<usize>,
        (inputs, threshold): (Vec<Option<usize>>, f32),
    ) {
        let is_pool = |index: &&usize| matches!(self.network.layers()[**index], Layer::MaxPool2d { .. });
        let last = layers.iter().find(is_pool).copied().unwrap_or(first);
        let shape = dimensions(self.network.output_shape(last).unwrap_or(Shape::hwc(1, 1, 1)), &kind);
        let zeros = match self.network.layers()[first] {
            Layer::Conv2d { padding: Padding::Zeros(zeros), .. }
            | Layer::DepthwiseConv2d { padding: Padding::Zeros(zeros), .. }
                if matches!(kind, Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. }) =>
            {
                Some(zeros.size())
            }
            _ => None,
        };
        self.steps.push(Step { kind, layer: first, stage, layers, inputs, shape, threshold, zeros });
    }

    fn max_pool(&self, index: usize, activation: Activation) -> Kind {
        let (pool, padding) = match self.network.layers()[index] {
            Layer::MaxPool2d { pool, padding } => (pool, padding),
            _ => (1, Padding::Valid),
        };
        Kind::MaxPool2d(Pool2d { padding: to_tflite(padding), stride: [pool; 2], filter: [pool; 2], activation })
    }

    /// The value of the next layer.
    fn lead_on(&mut self) {
        let value = match self.network.layers()[self.values.len()] {
            Layer::From { layer } => self.values[layer],
            Layer::Flatten => self.values.last().copied().flatten(),
            _ => self.steps.len().checked_sub(1),
        };
        self.values.push(value);
    }

    fn tail(&self, own: &[usize]) -> Tail {
        let mut tail = Tail { activation: Activation::None, threshold: 0, pool: None };
        for index in own {
            match self.network.layers()[*index] {
                Layer::Relu6 => tail.activation = Activation::Relu6,
                Layer::Relu if tail.activation == Activation::None => tail.activation = Activation::Relu,
                Layer::ShiftedRelu { hundredths } => {
                    tail.activation = Activation::Relu;
                    tail.threshold += u32::from(hundredths);
                }
                Layer::MaxPool2d { .. } => tail.pool = Some(*index),
                _ => {}
            }
        }
        tail
    }

    /// The operator of a stage's first layer and what it reads besides; none if the stage only rectifies or pools.
    fn main(&self, index: usize, layer: Layer, tail: &Tail) -> Option<(Kind, Vec<Option<usize>>)> {
        let activation = tail.activation;
        let conv = |stride: Size, padding| Conv2d {
            padding: to_tflite(padding),
            stride: pair(stride),
            dilation: [1, 1],
            activation,
        };
        let kind = match layer {
            Layer::Conv2d { stride, padding, .. } => Kind::Conv2d(conv(stride, padding)),
            Layer::DepthwiseConv2d { multiplier, stride, padding, .. } => {
                Kind::DepthwiseConv2d { conv: conv(stride, padding), multiplier }
            }
            Layer::AvgPool2d { pool, padding } => {
                let map = self.network.input_shape(index)?;
                // A window beyond the map sees no more than the map.
                let whole = usize::from(pool.height) >= map.height && usize::from(pool.width) >= map.width;
                let (filter, padding) = if whole {
                    ([map.height, map.width], tflite::Padding::Valid)
                } else {
                    (pair(pool), to_tflite(padding))
                };
                Kind::AveragePool2d(Pool2d { padding, stride: filter, filter, activation })
            }
            Layer::Add { layer } => return Some((Kind::Add(activation), vec![self.values[layer]])),
            Layer::Dense { .. } => Kind::FullyConnected {
                activation,
                format: WeightsFormat::Default,
                keep_num_dims: false,
                asymmetric_quantize_inputs: false,
            },
            _ => return None,
        };
        Some((kind, Vec::new()))
    }
}

/// A threshold goes into a bias.
fn check_threshold(layer: Layer, tail: &Tail) -> Result<()> {
    let has_bias = matches!(layer, Layer::Conv2d { .. } | Layer::DepthwiseConv2d { .. } | Layer::Dense { .. });
    ensure!(
        tail.threshold == 0 || has_bias,
        "a ReLU with a threshold behind it: expected one behind a convolution or a dense layer, in whose bias the threshold goes"
    );
    Ok(())
}

fn dimensions(shape: Shape, kind: &Kind) -> Vec<usize> {
    match kind {
        Kind::FullyConnected { .. } => vec![1, shape.channels],
        _ => vec![1, shape.height, shape.width, shape.channels],
    }
}

fn pair(size: Size) -> [usize; 2] {
    [size.height.into(), size.width.into()]
}

fn to_tflite(padding: Padding) -> tflite::Padding {
    match padding {
        Padding::Same => tflite::Padding::Same,
        // A PAD puts the zeros there.
        Padding::Valid | Padding::Zeros(_) => tflite::Padding::Valid,
    }
}
