//! How a network runs: layers fused into stages, and the exact length of every buffer.
//!
//! A *spatial stage* is a convolution (or the identity) with its ReLU and max-pooling. Its output rows are
//! made one at a time from a window of input rows, so only that window is ever in memory (depth first).
//! A *dense stage* is a dense layer with its ReLU.

use crate::network::{Layer, MAX_DIMENSION, MAX_ELEMENTS, NetworkError, Padding, Shape, window_count};

/// Most stages of a network.
pub(crate) const MAX_STAGES: usize = 20;

/// Most input rows under one output row: a 7x7 convolution with stride 2 under a 3x3 pooling.
pub(crate) const MAX_EXTENT: usize = 2 * 2 + 7;

/// Lanes of a word of ReLU or winner bits.
pub(crate) const WORD_BITS: usize = 32;

/// Convolution (or identity) + ReLU + max-pooling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spatial {
    pub input: Shape,
    pub output: Shape,
    /// Height and width of the convolution's map before pooling; it is never stored.
    pub conv: (usize, usize),
    /// False for a stage that only pools or rectifies.
    pub convolves: bool,
    pub kernel: usize,
    pub stride: usize,
    pub bias: bool,
    pub relu: bool,
    /// 1 where nothing is pooled.
    pub pool: usize,
    /// Rows and columns by which the first convolution window hangs over the border.
    pub conv_pad: (usize, usize),
    /// The same for the first pooling window, counted in convolution outputs.
    pub pool_pad: (usize, usize),
}

impl Spatial {
    /// Input rows between one output row and the next.
    pub(crate) const fn step(&self) -> usize {
        self.pool * self.stride
    }

    /// Input rows under one output row.
    pub(crate) const fn extent(&self) -> usize {
        (self.pool - 1) * self.stride + self.kernel
    }

    /// Rows of padding above the first input row.
    pub(crate) const fn pad_top(&self) -> usize {
        self.pool_pad.0 * self.stride + self.conv_pad.0
    }

    /// Columns of padding before the first input column.
    pub(crate) const fn pad_left(&self) -> usize {
        self.pool_pad.1 * self.stride + self.conv_pad.1
    }

    /// Input rows including padding, as far as the last window reads.
    pub(crate) const fn padded_height(&self) -> usize {
        (self.output.height - 1) * self.step() + self.extent()
    }

    /// Elements of one padded input row.
    pub(crate) const fn padded_row_len(&self) -> usize {
        let windows = (self.output.width - 1) * self.step() + self.extent();
        let whole = self.pad_left() + self.input.width;
        max(windows, whole) * self.input.channels
    }

    /// Output rows whose windows can contain one given input row.
    pub(crate) const fn live_rows(&self) -> usize {
        self.extent().div_ceil(self.step())
    }

    /// Words that hold one bit per output channel.
    pub(crate) const fn words(&self) -> usize {
        self.output.channels.div_ceil(WORD_BITS)
    }

    /// Bits that name a row (or a column) of the pooling window.
    pub(crate) const fn winner_bits(&self) -> usize {
        self.pool.div_ceil(2)
    }

    /// Bit planes of one position: alive, then winner's row, then winner's column.
    pub(crate) const fn planes(&self) -> usize {
        let winners = if self.pool > 1 { 2 * self.winner_bits() } else { 0 };
        self.relu as usize + winners
    }

    /// Words of bits of one output row.
    pub(crate) const fn mask_row_len(&self) -> usize {
        self.output.width * self.planes() * self.words()
    }

    /// Words of bits of the whole output.
    pub(crate) const fn mask_len(&self) -> usize {
        self.output.height * self.mask_row_len()
    }

    pub(crate) const fn weight_len(&self) -> usize {
        if self.convolves { self.output.channels * self.kernel * self.kernel * self.input.channels } else { 0 }
    }

    pub(crate) const fn bias_len(&self) -> usize {
        if self.bias { self.output.channels } else { 0 }
    }
}

/// Dense + ReLU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseStage {
    pub inputs: usize,
    pub units: usize,
    pub bias: bool,
    pub relu: bool,
}

impl DenseStage {
    /// Words of ReLU bits.
    pub(crate) const fn mask_len(&self) -> usize {
        if self.relu { self.units.div_ceil(WORD_BITS) } else { 0 }
    }
}

/// What a stage computes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Spatial(Spatial),
    Dense(DenseStage),
}

/// A stage and the layer whose weights it uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage {
    pub kind: Kind,
    /// Index in the list of layers; names the tensors `<layer>.weight` and `<layer>.bias`.
    pub layer: usize,
}

impl Stage {
    /// Elements of `weight` and of `bias`.
    pub(crate) const fn parameters(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Spatial(s) => (s.weight_len(), s.bias_len()),
            Kind::Dense(d) => (d.inputs * d.units, if d.bias { d.units } else { 0 }),
        }
    }

    pub(crate) const fn mask_len(&self) -> usize {
        match &self.kind {
            Kind::Spatial(s) => s.mask_len(),
            Kind::Dense(d) => d.mask_len(),
        }
    }
}

/// The stages of a network: first the spatial, then the dense ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stages {
    stages: [Stage; MAX_STAGES],
    count: usize,
    spatial: usize,
    input: Shape,
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

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
        if kernel < 1 || kernel > 7 || stride < 1 || stride > 2 {
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
            conv_pad: (top, left),
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
        let kind = Kind::Spatial(Spatial { output, pool, pool_pad: (top, left), ..stage });
        self.shape = output;
        if joined.is_some() {
            self.stages[self.count - 1].kind = kind;
            return Ok(());
        }
        self.push(kind, index)
    }

    /// A ReLU joins the stage before it, also behind a pooling: `relu(max(x)) = max(relu(x))`, and so are
    /// the gradients, because a window whose largest value is not positive passes none in either order.
    const fn relu(&mut self, index: usize) -> Result<(), NetworkError> {
        if self.count == 0 {
            return self.push(Kind::Spatial(Spatial { relu: true, ..self.identity() }), index);
        }
        let kind = match self.stages[self.count - 1].kind {
            Kind::Spatial(stage) => Kind::Spatial(Spatial { relu: true, ..stage }),
            Kind::Dense(stage) => Kind::Dense(DenseStage { relu: true, ..stage }),
        };
        self.stages[self.count - 1].kind = kind;
        Ok(())
    }

    const fn dense(&mut self, units: usize, bias: bool, index: usize) -> Result<(), NetworkError> {
        let inputs = self.shape.len();
        if !in_range(units) || inputs > MAX_ELEMENTS / units {
            return Err(NetworkError::Dimension { layer: index });
        }
        self.shape = Shape::hwc(1, 1, units);
        self.push(Kind::Dense(DenseStage { inputs, units, bias, relu: false }), index)
    }

    const fn layer(&mut self, layer: &Layer, index: usize) -> Result<(), NetworkError> {
        match *layer {
            Layer::Conv2d { .. } if !self.flat => self.conv2d(layer, index),
            Layer::MaxPool2d { pool, padding } if !self.flat => self.pool(pool, padding, index),
            Layer::Relu => self.relu(index),
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
    pub(crate) const fn plan(input: Shape, layers: &[Layer]) -> Result<Self, NetworkError> {
        if let Err(error) = check_shape(input, layers.len()) {
            return Err(error);
        }
        let nothing = Kind::Dense(DenseStage { inputs: 0, units: 0, bias: false, relu: false });
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
        Ok(Self { stages: planner.stages, count: planner.count, spatial: planner.spatial, input })
    }

    /// All stages.
    pub(crate) fn all(&self) -> &[Stage] {
        self.stages.get(..self.count).unwrap_or(&[])
    }

    /// Number of spatial stages; they come first.
    pub(crate) const fn spatial_count(&self) -> usize {
        self.spatial
    }

    /// The spatial stage `index`.
    pub(crate) fn spatial(&self, index: usize) -> Option<&Spatial> {
        match self.stages.get(..self.spatial)?.get(index) {
            Some(Stage { kind: Kind::Spatial(stage), .. }) => Some(stage),
            _ => None,
        }
    }

    /// Stage `index`, counted among all stages, if it is dense.
    pub(crate) fn dense(&self, index: usize) -> Option<&DenseStage> {
        match self.all().get(index) {
            Some(Stage { kind: Kind::Dense(stage), .. }) => Some(stage),
            _ => None,
        }
    }

    /// Number of stages.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The part of the network's bits that belongs to stage `index`.
    pub(crate) fn mask_range(&self, index: usize) -> core::ops::Range<usize> {
        let (before, after) = self.all().split_at_checked(index).unwrap_or((&[], &[]));
        let start = before.iter().map(Stage::mask_len).sum();
        start..start + after.first().map_or(0, Stage::mask_len)
    }

    pub(crate) const fn classes(&self) -> usize {
        if self.count == 0 {
            return self.input.len();
        }
        match &self.stages[self.count - 1].kind {
            Kind::Spatial(stage) => stage.output.len(),
            Kind::Dense(stage) => stage.units,
        }
    }

    pub(crate) const fn parameters(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.count {
            let (weight, bias) = self.stages[i].parameters();
            sum += weight + bias;
            i += 1;
        }
        sum
    }

    pub(crate) const fn multiply_adds(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.count {
            sum += match &self.stages[i].kind {
                Kind::Spatial(s) => s.conv.0 * s.conv.1 * s.weight_len(),
                Kind::Dense(d) => d.inputs * d.units,
            };
            i += 1;
        }
        sum
    }

    /// Words of ReLU and winner bits of the whole network.
    pub(crate) const fn mask_len(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.count {
            sum += self.stages[i].mask_len();
            i += 1;
        }
        sum
    }

    /// Windows of input rows of all spatial stages.
    pub(crate) const fn forward_rows_len(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.spatial {
            if let Kind::Spatial(s) = &self.stages[i].kind {
                sum += s.extent() * s.padded_row_len();
            }
            i += 1;
        }
        sum
    }

    /// Output gradients of all spatial stages: the rows that one input row needs. The first stage adds to the
    /// whole image's gradient instead, so one row is enough there.
    pub(crate) const fn backward_rows_len(&self) -> usize {
        let (mut sum, mut i) = (0, 0);
        while i < self.spatial {
            if let Kind::Spatial(s) = &self.stages[i].kind {
                sum += Self::gradient_slots(s, i) * s.output.row_len();
            }
            i += 1;
        }
        sum
    }

    /// Rows of output gradient that spatial stage `index` keeps.
    pub(crate) const fn gradient_slots(stage: &Spatial, index: usize) -> usize {
        if index == 0 { 1 } else { stage.live_rows() }
    }

    /// One position of the last spatial stage, on its way to the dense layers.
    pub(crate) const fn tail_len(&self) -> usize {
        if self.spatial == 0 {
            return 0;
        }
        match &self.stages[self.spatial - 1].kind {
            Kind::Spatial(s) => s.output.channels,
            Kind::Dense(_) => 0,
        }
    }

    /// Largest number of units among the dense stages number `parity`, `parity + 2`, ...; the last stage
    /// counts only if `with_last`. Two such buffers take turns as input and output.
    pub(crate) const fn dense_len(&self, parity: usize, with_last: bool) -> usize {
        let end = if with_last { self.count } else { self.count.saturating_sub(1) };
        let (mut largest, mut i) = (0, self.spatial + parity);
        while i < end {
            if let Kind::Dense(d) = &self.stages[i].kind {
                largest = max(largest, d.units);
            }
            i += 2;
        }
        largest
    }

    /// Rows, tail and hidden dense vectors of a forward pass, without the logits.
    pub(crate) const fn forward_len(&self) -> usize {
        self.forward_rows_len() + self.tail_len() + self.dense_len(0, false) + self.dense_len(1, false)
    }

    /// Gradients of the dense stages' outputs, or of the logits where there is no dense stage.
    pub(crate) const fn flat_gradient_len(&self) -> usize {
        if self.spatial == self.count {
            return self.classes();
        }
        self.dense_len(0, true) + self.dense_len(1, true)
    }

    /// Image gradient, rows and dense vectors of a backward pass.
    pub(crate) const fn backward_len(&self) -> usize {
        self.input.len() + self.backward_rows_len() + self.flat_gradient_len()
    }

    pub(crate) const fn inference_len(&self) -> usize {
        self.classes() + self.forward_len()
    }

    /// Forward and backward never overlap in time, so they share their space.
    pub(crate) const fn gradient_len(&self) -> usize {
        self.classes() + self.mask_len() + max(self.forward_len(), self.backward_len())
    }
}
