//! The tensors of a graph of integers, stage by stage.

use anyhow::{Context, Result, bail, ensure};
use midge_core::{Layer, Network};

use super::folds::mean_multiplier;
use super::layers::{Lowered, lower};
use super::multiplier::{Scales, quantise};
use crate::quantised::{Int8Stage, Int8Weights};
use crate::tflite::{Activation, Graph, Kind, Operator, Tensor};

/// The network of a graph of integers, up to tensor `end` or to its output: what it puts out then are the logits.
///
/// # Errors
/// What midge does not have, by name, and a graph that is not well formed.
pub fn int8_network(graph: &Graph<'_>, end: Option<usize>) -> Result<Int8Weights> {
    let lowered = lower(graph, end)?;
    let network = Network::try_new(lowered.input, &lowered.layers)?.int8();
    let starts: Vec<usize> = network.int8_stages().collect();
    let stages = starts.iter().enumerate().map(|(number, first)| {
        let passes_on = starts.get(number + 1) == Some(first);
        let next = starts[number..].iter().copied().find(|start| start > first).unwrap_or(lowered.layers.len());
        let operator = *lowered.operators.get(first).context("a layer that no operator made")?;
        let built = stage(graph, &lowered, (*first, next), passes_on);
        built.with_context(|| format!("operator {operator} ({})", graph.operators[operator].kind.name()))
    });
    Ok(Int8Weights::new(network, stages.collect::<Result<_>>()?))
}

/// The tensors of the layers `first .. next`: those of the operator that began with the first of them, and the ends of all.
fn stage(graph: &Graph<'_>, lowered: &Lowered, (first, next): (usize, usize), passes_on: bool) -> Result<Int8Stage> {
    let mut builders = lowered.operators.range(first..next).map(|(_, index)| Builder {
        graph,
        operator: &graph.operators[*index],
        is_swapped: lowered.swapped.contains(index),
    });
    let mut stage = builders.next().context("a layer that no operator made")?.stage(&lowered.layers[first])?;
    for own in builders {
        let grids = (own.input_grid()?, own.output_grid()?);
        ensure!(
            grids.0 == grids.1,
            "the {} behind it has an output of another scale or zero point than its input, which midge does not have",
            own.operator.kind.name()
        );
        let (low, high) = ends(own.operator.kind.activation(), grids.1);
        (stage.range[3], stage.range[4]) = (stage.range[3].max(low), stage.range[4].min(high));
    }
    if passes_on {
        // It has the tensors of the average that it passes the map on to.
        ensure!(
            stage.range[3..] == [-128, 127],
            "an average with a ReLU, of a map that another operator reads too, which midge does not have in integers"
        );
    }
    Ok(stage)
}

/// One operator.
struct Builder<'g> {
    graph: &'g Graph<'g>,
    operator: &'g Operator,
    /// Whether it adds to its second input.
    is_swapped: bool,
}

impl<'g> Builder<'g> {
    fn input(&self, number: usize) -> Option<&'g Tensor<'g>> {
        self.operator.inputs.get(number).copied().flatten().map(|index| &self.graph.tensors[index])
    }

    fn input_grid(&self) -> Result<(f32, i32)> {
        whole(self.input(0).context("its input is missing")?)
    }

    fn output_grid(&self) -> Result<(f32, i32)> {
        whole(&self.graph.tensors[*self.operator.outputs.first().context("its output is missing")?])
    }

    fn stage(&self, layer: &Layer) -> Result<Int8Stage> {
        let ((input_scale, input_zero), (output_scale, output_zero)) = (self.input_grid()?, self.output_grid()?);
        let (low, high) = ends(self.operator.kind.activation(), (output_scale, output_zero));
        let mut stage = Int8Stage {
            range: [input_zero, output_zero, 0, low, high],
            scales: [input_scale, output_scale],
            ..Int8Stage::default()
        };
        match layer {
            _ if matches!(self.operator.kind, Kind::Mean { .. }) => self.mean(&mut stage)?,
            Layer::Conv2d { .. } | Layer::DepthwiseConv2d { .. } | Layer::Dense { .. } => {
                self.weights(&mut stage, matches!(layer, Layer::Dense { .. }))?;
            }
            Layer::Add { .. } => self.sum(&mut stage)?,
            _ => ensure!(
                (input_scale, input_zero) == (output_scale, output_zero),
                "expected an output with the input's quantisation"
            ),
        }
        Ok(stage)
    }

    /// Weights, bias and multipliers.
    fn weights(&self, stage: &mut Int8Stage, is_dense: bool) -> Result<()> {
        let weights = self.input(1).context("its weights are missing")?;
        stage.weights = weights.i8s()?.to_vec();
        let outputs = *match self.operator.kind {
            Kind::DepthwiseConv2d { .. } => weights.shape.last(),
            _ => weights.shape.first(),
        }
        .context("its weights have no dimension")?;
        stage.bias = match self.input(2) {
            Some(bias) => bias.i32s()?,
            None => vec![0; outputs],
        };
        let [input, output] = stage.scales;
        let scales = &weights.quantisation.scales;
        let around = Scales { input, output, is_product_f32: is_dense && scales.len() == 1 };
        stage.multipliers = match scales.len() {
            1 => vec![around.multiplier(scales[0]); outputs],
            count if count == outputs => scales.iter().map(|scale| around.multiplier(*scale)).collect(),
            count => bail!("expected one scale of the weights or {outputs}, found {count}"),
        };
        Ok(())
    }

    /// A sum of all of a map, as a depthwise convolution of ones.
    fn mean(&self, stage: &mut Int8Stage) -> Result<()> {
        let shape = &self.input(0).context("its input is missing")?.shape;
        let [_, height, width, channels] = shape[..] else { bail!("expected a map, found dimensions {shape:?}") };
        let [input, output] = stage.scales;
        stage.weights = vec![1; height * width * channels];
        stage.bias = vec![0; channels];
        stage.multipliers = vec![mean_multiplier(input, output, height * width); channels];
        Ok(())
    }

    /// Multipliers of both operands and the result. The first operand of the layer is the one that it adds to.
    fn sum(&self, stage: &mut Int8Stage) -> Result<()> {
        let operands =
            [self.input(0), self.input(1)].map(|tensor| tensor.context("an operand is missing").and_then(whole));
        let [first, second] = operands;
        let (mut main, mut added) = (first?, second?);
        if self.is_swapped {
            (main, added) = (added, main);
        }
        let largest = 2.0 * f64::from(main.0).max(f64::from(added.0));
        let output = largest / (f64::from(1 << 20) * f64::from(stage.scales[1]));
        let scales = [f64::from(main.0) / largest, f64::from(added.0) / largest, output];
        stage.multipliers = scales.map(quantise).to_vec();
        (stage.range[0], stage.range[2], stage.scales[0]) = (main.1, added.1, main.0);
        Ok(())
    }
}

/// Scale and zero point of a whole tensor.
fn whole(tensor: &Tensor<'_>) -> Result<(f32, i32)> {
    let (scale, zero_point) =
        tensor.quantisation.whole().with_context(|| format!("tensor {:?} has not one scale", tensor.name))?;
    Ok((scale, i32::try_from(zero_point).context("a zero point is out of range")?))
}

/// The smallest and the largest output under an activation.
fn ends(activation: Activation, (scale, zero_point): (f32, i32)) -> (i32, i32) {
    let byte = |x: f32| zero_point.saturating_add((x / scale).round() as i32);
    match activation {
        Activation::Relu => (byte(0.0).max(-128), 127),
        Activation::Relu6 => (byte(0.0).max(-128), byte(6.0).min(127)),
        _ => (-128, 127),
    }
}
