//! Layers to stages: checks the order and every shape, when compiling if the network is a constant.
//!
//! Each layer joins the stage before it or opens a new one; a flatten does neither. All is `const fn`, so loops count an
//! index: `?` and iterators are not allowed there.

use super::lengths::Lengths;
use super::stage::{DenseStage, Kind, Spatial, Stage};
use super::stages::{MAX_STAGES, Stages};
use crate::network::layer::{Layer, MAX_DIMENSION, MAX_ELEMENTS, MAX_KERNEL, NetworkError};
use crate::network::shape::{Padding, Shape, window_count};

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

/// The stages so far and the shape of what they put out.
struct Planner {
    stages: [Stage; MAX_STAGES],
    count: usize,
    spatial: usize,
    shape: Shape,
    flat: bool,
}

impl Planner {
    /// A stage that passes its input on as it is, to be changed.
    const fn identity(&self) -> Spatial {
        Spatial {
            input: self.shape,
            output: self.shape,
            conv: (self.shape.height, self.shape.width),
            convolves: false,
            kernel: 1,
            stride: 1,
            bias: false,
            relu: false,
            shift: 0,
            pool: 1,
            conv_pad: (0, 0),
            pool_pad: (0, 0),
        }
    }

    const fn push(&mut self, kind: Kind, layer: usize) -> Result<(), NetworkError> {
        if self.count == MAX_STAGES {
            return Err(NetworkError::TooManyLayers);
        }
        self.stages[self.count] = Stage { kind, layer };
        self.count += 1;
        if matches!(kind, Kind::Spatial(_)) {
            self.spatial = self.count;
        }
        Ok(())
    }

    /// The last stage if a pooling can still join it.
    const fn unpooled(&self) -> Option<Spatial> {
        if self.count == 0 {
            return None;
        }
        match self.stages[self.count - 1].kind {
            Kind::Spatial(s) if s.pool == 1 => Some(s),
            _ => None,
        }
    }

    const fn conv2d(&mut self, layer: &Layer, index: usize) -> Result<(), NetworkError> {
        let Layer::Conv2d { filters, kernel, stride, padding, bias } = *layer else {
            return Err(NetworkError::Order { layer: index });
        };
        if kernel < 1 || kernel > MAX_KERNEL || stride < 1 || stride > 2 {
            return Err(NetworkError::Window { layer: index });
        }
        let (height, top) = window_count(self.shape.height, kernel, stride, padding);
        let (width, left) = window_count(self.shape.width, kernel, stride, padding);
        if height == 0 || width == 0 {
            return Err(NetworkError::TooSmall { layer: index });
        }
        let output = Shape::hwc(height, width, filters);
        if let Err(error) = check_shape(output, index) {
            return Err(error);
        }
        if filters * kernel * kernel > MAX_ELEMENTS / self.shape.channels {
            return Err(NetworkError::Dimension { layer: index });
        }
        let stage = Spatial {
            output,
            conv: (height, width),
            convolves: true,
            kernel,
            stride,
            bias,
            conv_pad: (top as u8, left as u8),
            ..self.identity()
        };
        self.shape = output;
        self.push(Kind::Spatial(stage), index)
    }

    const fn pool(&mut self, pool: usize, padding: Padding, index: usize) -> Result<(), NetworkError> {
        if pool < 2 || pool > 3 {
            return Err(NetworkError::Window { layer: index });
        }
        let (height, top) = window_count(self.shape.height, pool, pool, padding);
        let (width, left) = window_count(self.shape.width, pool, pool, padding);
        if height == 0 || width == 0 {
            return Err(NetworkError::TooSmall { layer: index });
        }
        let output = Shape::hwc(height, width, self.shape.channels);
        let joined = self.unpooled();
        let stage = match joined {
            Some(stage) => stage,
            None => self.identity(),
        };
        let kind = Kind::Spatial(Spatial { output, pool, pool_pad: (top as u8, left as u8), ..stage });
        self.shape = output;
        if joined.is_some() {
            self.stages[self.count - 1].kind = kind;
            return Ok(());
        }
        self.push(kind, index)
    }

    /// A ReLU joins the stage before it, also behind a pooling: `relu(max(x)) = max(relu(x))`, and so are
    /// the gradients, because a window whose largest value is not positive passes none in either order. The thresholds of
    /// ReLUs behind each other add up.
    const fn relu(&mut self, shift: u8, index: usize) -> Result<(), NetworkError> {
        let Some(last) = self.count.checked_sub(1) else {
            return self.push(Kind::Spatial(Spatial { relu: true, shift, ..self.identity() }), index);
        };
        let (Kind::Spatial(Spatial { shift: before, .. }) | Kind::Dense(DenseStage { shift: before, .. })) =
            self.stages[last].kind;
        let Some(shift) = before.checked_add(shift) else {
            return Err(NetworkError::Threshold { layer: index });
        };
        self.stages[last].kind = match self.stages[last].kind {
            Kind::Spatial(stage) => Kind::Spatial(Spatial { relu: true, shift, ..stage }),
            Kind::Dense(stage) => Kind::Dense(DenseStage { relu: true, shift, ..stage }),
        };
        Ok(())
    }

    const fn dense(&mut self, units: usize, bias: bool, index: usize) -> Result<(), NetworkError> {
        let inputs = self.shape.len();
        if !in_range(units) || inputs > MAX_ELEMENTS / units {
            return Err(NetworkError::Dimension { layer: index });
        }
        self.shape = Shape::hwc(1, 1, units);
        self.push(Kind::Dense(DenseStage { inputs, units, bias, relu: false, shift: 0 }), index)
    }

    const fn layer(&mut self, layer: &Layer, index: usize) -> Result<(), NetworkError> {
        match *layer {
            Layer::Conv2d { .. } if !self.flat => self.conv2d(layer, index),
            Layer::MaxPool2d { pool, padding } if !self.flat => self.pool(pool, padding, index),
            Layer::Relu => self.relu(0, index),
            Layer::ShiftedRelu { hundredths } => self.relu(hundredths, index),
            Layer::Flatten if !self.flat => {
                self.flat = true;
                Ok(())
            }
            Layer::Dense { units, bias } if self.flat => self.dense(units, bias, index),
            _ => Err(NetworkError::Order { layer: index }),
        }
    }
}

impl Stages {
    /// The stages of a list of layers.
    pub(crate) const fn plan(input: Shape, layers: &[Layer]) -> Result<Self, NetworkError> {
        if let Err(error) = check_shape(input, layers.len()) {
            return Err(error);
        }
        let nothing = Kind::Dense(DenseStage { inputs: 0, units: 0, bias: false, relu: false, shift: 0 });
        let mut planner = Planner {
            stages: [Stage { kind: nothing, layer: 0 }; MAX_STAGES],
            count: 0,
            spatial: 0,
            shape: input,
            flat: false,
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
        let Planner { stages, count, spatial, .. } = planner;
        let lengths = Lengths::of(input, &stages, count, spatial);
        if !lengths.fit(input) {
            return Err(NetworkError::Buffers);
        }
        Ok(Self { stages, count, spatial, lengths })
    }
}
