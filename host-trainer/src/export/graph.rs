//! Operators and their numbers as a graph.

use std::borrow::Cow;

use anyhow::{Context, Result};
use midge_core::{Network, Shape, Size};

use super::Step;
use crate::tflite::{ElementType, Graph, Kind, Operator, Quantisation, Tensor};

/// The constants of an operator with weights.
pub(crate) struct Constants {
    /// The weights: dimensions, bytes, and how their integers stand for numbers.
    pub weights: (Vec<usize>, Vec<u8>, Quantisation),
    /// Bytes of the biases, and how their integers stand for numbers.
    pub bias: Option<(Vec<u8>, Quantisation)>,
}

/// The numbers of a graph.
pub(crate) trait Numbers {
    /// Types of maps and weights, and of biases.
    const ELEMENTS: [ElementType; 2];

    /// How the integers of the image stand for numbers.
    fn image(&self) -> Result<Quantisation>;

    /// How those of a step's output do; `input` is that of its first input.
    fn output(&mut self, step: &Step, input: &Quantisation) -> Result<Quantisation>;

    /// Weights and biases of a step that has some.
    fn constants(&mut self, step: &Step, input: &Quantisation) -> Result<Constants>;
}

/// The graph of these steps, whose last one puts the logits out.
pub(crate) fn graph<N: Numbers>(network: &Network, steps: &[Step], numbers: &mut N) -> Result<Graph<'static>> {
    let Shape { height, width, channels } = network.input();
    let mut builder = Builder { tensors: Vec::new(), operators: Vec::new() };
    let image = numbers.image()?;
    let mut last = builder.tensor::<N>("image".into(), vec![1, height, width, channels], image);
    let mut outputs = Vec::new();
    for step in steps {
        last = builder
            .step(step, numbers, &outputs)
            .with_context(|| format!("layer {} ({})", step.layer, network.layers()[step.layer]))?;
        outputs.push(last);
    }
    if builder.tensors[last].shape.len() != 2 {
        last = builder.flatten::<N>(last);
    }
    let Builder { tensors, operators } = builder;
    Ok(Graph { tensors, operators, inputs: vec![0], outputs: vec![last], subgraphs: 1 })
}

struct Builder {
    tensors: Vec<Tensor<'static>>,
    operators: Vec<Operator>,
}

impl Builder {
    /// A map, which has no elements yet.
    fn tensor<N: Numbers>(&mut self, name: String, shape: Vec<usize>, quantisation: Quantisation) -> usize {
        self.push(name, (shape, N::ELEMENTS[0]), quantisation, None)
    }

    fn push(
        &mut self,
        name: String,
        (shape, element): (Vec<usize>, ElementType),
        quantisation: Quantisation,
        data: Option<Vec<u8>>,
    ) -> usize {
        let data = data.map(Cow::Owned);
        self.tensors.push(Tensor { name: name.into(), shape, element, quantisation, data, peculiarity: None });
        self.tensors.len() - 1
    }

    /// Adds an operator; gives the tensor that it puts out.
    fn step<N: Numbers>(&mut self, step: &Step, numbers: &mut N, outputs: &[usize]) -> Result<usize> {
        let inputs: Vec<usize> = step.inputs.iter().map(|input| input.map_or(0, |step| outputs[step])).collect();
        let input = self.tensors[inputs[0]].quantisation.clone();
        let mut operands: Vec<Option<usize>> = inputs.into_iter().map(Some).collect();
        if let Some(zeros) = step.zeros {
            operands[0] = operands[0].map(|map| self.pad::<N>(step.layer, map, zeros));
        }
        let quantisation = numbers.output(step, &input)?;
        if step.has_weights() {
            let Constants { weights: (shape, bytes, own), bias } = numbers.constants(step, &input)?;
            let [element, of_bias] = N::ELEMENTS;
            let name = |what: &str| format!("{}.{what}", step.layer);
            operands.push(Some(self.push(name("weight"), (shape, element), own, Some(bytes))));
            if let Some((bytes, own)) = bias {
                let shape = vec![bytes.len() / size_of::<f32>()];
                operands.push(Some(self.push(name("bias"), (shape, of_bias), own, Some(bytes))));
            }
        }
        if matches!(step.kind, Kind::Mean { .. }) {
            operands.push(Some(self.integers("axes", &[1, 2])));
        }
        let name = format!("layer {}", step.layers.last().copied().unwrap_or(step.layer));
        let output = self.tensor::<N>(name, step.shape.clone(), quantisation);
        let version = self.version(&step.kind, &operands);
        self.operators.push(Operator { kind: step.kind.clone(), version, inputs: operands, outputs: vec![output] });
        Ok(output)
    }

    /// A constant that an operator is told by.
    fn integers(&mut self, name: &str, values: &[i32]) -> usize {
        self.array(name, vec![values.len()], values)
    }

    fn array(&mut self, name: &str, shape: Vec<usize>, values: &[i32]) -> usize {
        let bytes = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.push(name.into(), (shape, ElementType::I32), Quantisation::default(), Some(bytes))
    }

    /// The map with zeros around it.
    fn pad<N: Numbers>(&mut self, layer: usize, map: usize, zeros: Size) -> usize {
        let Tensor { mut shape, quantisation, .. } = self.tensors[map].clone();
        let (rows, columns) = (zeros.height, zeros.width);
        for (side, more) in shape.iter_mut().skip(1).zip([rows, columns]) {
            *side += 2 * usize::from(more);
        }
        let amounts = [0, 0, rows, rows, columns, columns, 0, 0].map(i32::from);
        let amounts = self.array(&format!("{layer}.padding"), vec![4, 2], &amounts);
        let output = self.tensor::<N>(format!("layer {layer} padded"), shape, quantisation);
        let version = self.version(&Kind::Pad, &[Some(map)]);
        let inputs = vec![Some(map), Some(amounts)];
        self.operators.push(Operator { kind: Kind::Pad, version, inputs, outputs: vec![output] });
        output
    }

    /// The map as a vector, for a network that ends with one.
    fn flatten<N: Numbers>(&mut self, map: usize) -> usize {
        let Tensor { shape, quantisation, .. } = self.tensors[map].clone();
        let flat = vec![1, shape.iter().product()];
        let sizes: Vec<i32> = flat.iter().map(|n: &usize| *n as i32).collect();
        let sizes_of = self.integers("shape", &sizes);
        let output = self.tensor::<N>("logits".into(), flat, quantisation);
        self.operators.push(Operator {
            kind: Kind::Reshape(Some(sizes)),
            version: 1,
            inputs: vec![Some(map), Some(sizes_of)],
            outputs: vec![output],
        });
        output
    }

    /// The version of an operator that runtimes have to know, as TensorFlow's converter writes it.
    fn version(&self, kind: &Kind, operands: &[Option<usize>]) -> i32 {
        let of = |place: usize| operands.get(place).copied().flatten().map(|index| &self.tensors[index]);
        let is_int8 = of(0).is_some_and(|tensor| tensor.element == ElementType::I8);
        let is_per_unit = of(1).is_some_and(|weights| weights.quantisation.scales.len() > 1);
        match kind {
            Kind::FullyConnected { .. } if is_int8 && is_per_unit => 12,
            Kind::FullyConnected { .. } if is_int8 => 4,
            Kind::FullyConnected { .. } if of(2).is_none() => 6,
            Kind::Conv2d(_) | Kind::DepthwiseConv2d { .. } if is_int8 => 3,
            Kind::Add(_)
            | Kind::MaxPool2d(_)
            | Kind::AveragePool2d(_)
            | Kind::Relu
            | Kind::Relu6
            | Kind::Pad
            | Kind::Mean { .. }
                if is_int8 =>
            {
                2
            }
            _ => 1,
        }
    }
}
