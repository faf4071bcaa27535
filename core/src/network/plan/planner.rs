//! Layers to stages: checks the order and every shape, when compiling if the network is a constant.
//!
//! Each layer joins the stage before it or opens a new one; a flatten and the start of a branch do neither. A stage that
//! another layer names ends there, because what it puts out has to be what that layer is named for. All is `const fn`, so
//! loops count an index: `?` and iterators are not allowed there.

use super::lengths::Lengths;
use super::schedule;
use super::spatial::{Operation, Spatial};
use super::stage::{DenseStage, Stage};
use super::stages::{MAX_CHAIN, MAX_STAGES, Stages};
use crate::network::layer::{Layer, MAX_DIMENSION, MAX_ELEMENTS, MAX_KERNEL, MAX_LAYERS, MAX_STRIDE, NetworkError};
use crate::network::shape::{Padding, Shape, Size, windows};

const fn in_range(n: usize) -> bool {
    n >= 1 && n <= MAX_DIMENSION
}

const fn check_shape(shape: Shape, layer: usize) -> Result<(), NetworkError> {
    let small = in_range(shape.height) && in_range(shape.width) && in_range(shape.channels);
    // Each factor is at most 2^14, so the product of two fits in 32 bits and the division is exact enough.
    if small && shape.height * shape.width <= MAX_ELEMENTS / shape.channels {
        Ok(())
    } else {
        Err(NetworkError::Dimension { layer })
    }
}

/// The stages so far, and what the next layer reads.
struct Planner<'a> {
    layers: &'a [Layer],
    stages: [Stage; MAX_STAGES],
    count: usize,
    spatial: usize,
    /// The value that the next layer reads: 0 is the image, `i + 1` what stage `i` puts out.
    value: usize,
    shape: Shape,
    flat: bool,
    /// The value and the shape that each layer puts out.
    outputs: [(u8, Shape); MAX_LAYERS],
}

impl Planner<'_> {
    const fn push(&mut self, stage: Stage) -> Result<(), NetworkError> {
        if self.count == MAX_STAGES {
            return Err(NetworkError::TooManyLayers);
        }
        self.stages[self.count] = stage;
        self.count += 1;
        self.value = self.count;
        if matches!(stage, Stage::Spatial(_)) {
            self.spatial = self.count;
        }
        Ok(())
    }

    /// The last stage if layer `index` reads it, and no other layer names what it puts out so far.
    const fn open(&self, index: usize) -> Option<Stage> {
        if self.count == 0 || self.value != self.count {
            return None;
        }
        let mut i = 0;
        while i < self.layers.len() {
            if let Some(layer) = self.layers[i].reference()
                && layer + 1 == index
            {
                return None;
            }
            i += 1;
        }
        Some(self.stages[self.count - 1])
    }

    /// A convolution or an average: checks the windows and opens a stage.
    const fn windows(
        &mut self,
        operation: Operation,
        channels: usize,
        (kernel, stride): (Size, Size),
        (padding, has_bias): (Padding, bool),
        index: usize,
    ) -> Result<(), NetworkError> {
        let ((height, width), pad) = windows(self.shape, kernel, stride, padding);
        if height == 0 || width == 0 {
            return Err(NetworkError::TooSmall { layer: index });
        }
        let output = Shape::hwc(height, width, channels);
        if let Err(error) = check_shape(output, index) {
            return Err(error);
        }
        let stage = Spatial::identity(self.shape, self.value, index);
        let stage = Spatial { has_bias, ..stage.with_windows(operation, output, (kernel, stride), pad) };
        if matches!(operation, Operation::Conv) && channels * kernel.area() > MAX_ELEMENTS / self.shape.channels {
            return Err(NetworkError::Dimension { layer: index });
        }
        self.shape = output;
        self.push(Stage::Spatial(stage))
    }

    const fn max_pool(&mut self, pool: usize, padding: Padding, index: usize) -> Result<(), NetworkError> {
        if pool < 2 || pool > 3 || matches!(padding, Padding::Zeros(_)) {
            return Err(NetworkError::Window { layer: index });
        }
        let side = Size::square(pool as u8);
        let ((height, width), pad) = windows(self.shape, side, side, padding);
        if height == 0 || width == 0 {
            return Err(NetworkError::TooSmall { layer: index });
        }
        let output = Shape::hwc(height, width, self.shape.channels);
        let joined = match self.open(index) {
            Some(Stage::Spatial(s))
                if s.pool == 1 && !s.capped && matches!(s.operation, Operation::Conv | Operation::Identity) =>
            {
                Some(s)
            }
            _ => None,
        };
        let stage = match joined {
            Some(stage) => stage,
            None => Spatial::identity(self.shape, self.value, index),
        };
        let stage = Stage::Spatial(stage.with_pool(output, pool, pad));
        self.shape = output;
        if joined.is_some() {
            self.stages[self.count - 1] = stage;
            return Ok(());
        }
        self.push(stage)
    }

    /// A ReLU joins the stage before it, also behind a pooling: `relu(max(x)) = max(relu(x))`, and so are
    /// the gradients, because a window whose largest value is not positive passes none in either order. The thresholds of
    /// ReLUs behind each other add up. Nothing joins a ReLU that ends at 6.
    const fn relu(&mut self, shift: u8, caps: bool, index: usize) -> Result<(), NetworkError> {
        let joined = match self.open(index) {
            Some(Stage::Spatial(Spatial { capped: true, .. }) | Stage::Dense(DenseStage { capped: true, .. })) => None,
            open => open,
        };
        let Some(stage) = joined else {
            if self.count > self.spatial {
                // Behind a dense layer's ReLU that ends at 6: another one changes nothing, but a threshold does.
                return if shift == 0 { Ok(()) } else { Err(NetworkError::Threshold { layer: index }) };
            }
            let stage = Spatial::identity(self.shape, self.value, index);
            return self.push(Stage::Spatial(Spatial { relu: true, shift, capped: caps, ..stage }));
        };
        let (Stage::Spatial(Spatial { shift: before, .. }) | Stage::Dense(DenseStage { shift: before, .. })) = stage;
        let Some(shift) = before.checked_add(shift) else {
            return Err(NetworkError::Threshold { layer: index });
        };
        self.stages[self.count - 1] = match stage {
            Stage::Spatial(stage) => Stage::Spatial(Spatial { relu: true, shift, capped: caps, ..stage }),
            Stage::Dense(stage) => Stage::Dense(DenseStage { relu: true, shift, capped: caps, ..stage }),
        };
        Ok(())
    }

    const fn dense(&mut self, units: usize, bias: bool, index: usize) -> Result<(), NetworkError> {
        let inputs = self.shape.len();
        if !in_range(units) || inputs > MAX_ELEMENTS / units {
            return Err(NetworkError::Dimension { layer: index });
        }
        self.shape = Shape::hwc(1, 1, units);
        self.push(Stage::Dense(DenseStage::new(inputs, units, bias, index)))
    }

    /// The value and the shape of an earlier layer's output.
    const fn earlier(&self, layer: usize, index: usize) -> Result<(usize, Shape), NetworkError> {
        if layer >= index {
            return Err(NetworkError::Reference { layer: index });
        }
        let (value, shape) = self.outputs[layer];
        Ok((value as usize, shape))
    }

    const fn add(&mut self, layer: usize, index: usize) -> Result<(), NetworkError> {
        let (value, shape) = match self.earlier(layer, index) {
            Ok(earlier) => earlier,
            Err(error) => return Err(error),
        };
        let Shape { height, width, channels } = self.shape;
        if shape.height != height || shape.width != width || shape.channels != channels {
            return Err(NetworkError::Reference { layer: index });
        }
        let stage = Spatial::identity(shape, self.value, index);
        self.push(Stage::Spatial(Spatial { operation: Operation::Add, skip: value as u8, ..stage }))
    }

    const fn from(&mut self, layer: usize, index: usize) -> Result<(), NetworkError> {
        match self.earlier(layer, index) {
            Ok(earlier) => {
                (self.value, self.shape) = earlier;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    const fn flatten(&mut self) -> Result<(), NetworkError> {
        self.flat = true;
        if self.value == self.count { Ok(()) } else { Err(NetworkError::Unread { layer: self.last_layer() }) }
    }

    const fn last_layer(&self) -> usize {
        if self.count == 0 { 0 } else { self.stages[self.count - 1].layer() }
    }

    const fn spatial_layer(&mut self, layer: &Layer, index: usize) -> Result<(), NetworkError> {
        match *layer {
            Layer::Conv2d { filters, kernel, stride, padding, bias } => {
                if !kernel.fits(MAX_KERNEL) || !stride.fits(MAX_STRIDE) || !padding.fits(kernel) {
                    return Err(NetworkError::Window { layer: index });
                }
                self.windows(Operation::Conv, filters, (kernel, stride), (padding, bias), index)
            }
            Layer::DepthwiseConv2d { multiplier, kernel, stride, padding, bias } => {
                if !kernel.fits(MAX_KERNEL) || !stride.fits(MAX_STRIDE) || !padding.fits(kernel) {
                    return Err(NetworkError::Window { layer: index });
                }
                if multiplier != 1 && (multiplier == 0 || self.shape.channels != 1) {
                    return Err(NetworkError::Multiplier { layer: index });
                }
                let filters = self.shape.channels * multiplier;
                self.windows(Operation::Depthwise, filters, (kernel, stride), (padding, bias), index)
            }
            Layer::AvgPool2d { pool, padding } => {
                if !pool.fits(u8::MAX as usize) || matches!(padding, Padding::Zeros(_)) {
                    return Err(NetworkError::Window { layer: index });
                }
                // An average adds up rows as they come, so nobody else may ask for them: a stage of its own passes them on.
                if self.value > 0
                    && self.open(index).is_none()
                    && let Err(error) = self.push(Stage::Spatial(Spatial::identity(self.shape, self.value, index)))
                {
                    return Err(error);
                }
                self.windows(Operation::Average, self.shape.channels, (pool, pool), (padding, false), index)
            }
            Layer::MaxPool2d { pool, padding } => self.max_pool(pool, padding, index),
            Layer::Add { layer } => self.add(layer, index),
            Layer::From { layer } => self.from(layer, index),
            Layer::Flatten => self.flatten(),
            _ => Err(NetworkError::Order { layer: index }),
        }
    }

    const fn layer(&mut self, layer: &Layer, index: usize) -> Result<(), NetworkError> {
        let planned = match *layer {
            Layer::Relu => self.relu(0, false, index),
            Layer::Relu6 => self.relu(0, true, index),
            Layer::ShiftedRelu { hundredths } => self.relu(hundredths, false, index),
            Layer::Dense { units, bias } if self.flat => self.dense(units, bias, index),
            _ if self.flat => Err(NetworkError::Order { layer: index }),
            _ => self.spatial_layer(layer, index),
        };
        self.outputs[index] = (self.value as u8, self.shape);
        planned
    }

    /// Every stage but the last one has to be read by another.
    const fn check_readers(&self) -> Result<(), NetworkError> {
        let mut value = 1;
        while value < self.spatial {
            let mut is_read = false;
            let mut i = 0;
            while i < self.spatial {
                if let Stage::Spatial(stage) = &self.stages[i] {
                    is_read |= stage.source() == value || stage.skip as usize == value;
                }
                i += 1;
            }
            if !is_read {
                return Err(NetworkError::Unread { layer: self.stages[value - 1].layer() });
            }
            value += 1;
        }
        Ok(())
    }
}

/// Whether each stage reads the one before it and is of a kind that chains have.
const fn is_chain(stages: &[Stage; MAX_STAGES], count: usize) -> bool {
    let mut i = 0;
    while i < count && count <= MAX_CHAIN {
        match &stages[i] {
            Stage::Spatial(s) if s.capped || s.source() != i || s.skip().is_some() => return false,
            Stage::Spatial(s) if !matches!(s.operation, Operation::Conv | Operation::Identity) => return false,
            Stage::Dense(DenseStage { capped: true, .. }) => return false,
            _ => i += 1,
        }
    }
    count <= MAX_CHAIN
}

impl Stages {
    /// The stages of a list of at most [`MAX_LAYERS`] layers.
    pub(crate) const fn plan(input: Shape, layers: &[Layer]) -> Result<Self, NetworkError> {
        if let Err(error) = check_shape(input, layers.len()) {
            return Err(error);
        }
        let nothing = Stage::Dense(DenseStage::new(0, 0, false, 0));
        let mut planner = Planner {
            layers,
            stages: [nothing; MAX_STAGES],
            count: 0,
            spatial: 0,
            value: 0,
            shape: input,
            flat: false,
            outputs: [(0, input); MAX_LAYERS],
        };
        let mut index = 0;
        while index < layers.len() {
            if let Err(error) = planner.layer(&layers[index], index) {
                return Err(error);
            }
            index += 1;
        }
        if !planner.flat {
            return Err(NetworkError::NotFlat);
        }
        if planner.shape.len() < 2 {
            return Err(NetworkError::TooFewClasses);
        }
        if let Err(error) = planner.check_readers() {
            return Err(error);
        }
        let Planner { mut stages, count, spatial, .. } = planner;
        if let Err(error) = schedule::count_rows(&mut stages, spatial) {
            return Err(error);
        }
        let is_chain = is_chain(&stages, count);
        let lengths = Lengths::of(input, &stages, (count, spatial), false);
        if !lengths.fit(input) {
            return Err(NetworkError::Buffers);
        }
        let is_linear = schedule::is_linear(&stages, spatial);
        Ok(Self { stages, count, spatial, is_chain, is_linear, is_int8: false, lengths })
    }
}
