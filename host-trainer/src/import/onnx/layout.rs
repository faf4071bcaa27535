//! Where a tensor of ONNX has rows, columns and channels: midge's maps know only how many there are.

use anyhow::{Result, bail, ensure};
use midge_core::Shape;

use crate::import::graph::Order;

/// What a dimension of a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Batch,
    Row,
    Column,
    Channel,
    /// Of one element, whatever it was.
    One,
}

/// What each dimension of a tensor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout(pub Vec<Axis>);

impl Layout {
    /// Channels first.
    pub(super) fn nchw() -> Self {
        Self(vec![Axis::Batch, Axis::Channel, Axis::Row, Axis::Column])
    }

    /// Channels last.
    pub(super) fn nhwc() -> Self {
        Self(vec![Axis::Batch, Axis::Row, Axis::Column, Axis::Channel])
    }

    /// A vector.
    pub(super) fn flat() -> Self {
        Self(vec![Axis::Batch, Axis::Channel])
    }

    /// The dimensions of a tensor whose map has this shape; the batch has one image.
    pub(super) fn dimensions(&self, shape: Shape) -> Vec<usize> {
        let size = |axis: &Axis| match axis {
            Axis::Batch | Axis::One => 1,
            Axis::Row => shape.height,
            Axis::Column => shape.width,
            Axis::Channel => shape.channels,
        };
        self.0.iter().map(size).collect()
    }

    /// With the dimensions in another order.
    pub(super) fn transposed(&self, order: &[i64]) -> Result<Self> {
        let axes = order.iter().map(|at| usize::try_from(*at).ok().and_then(|at| self.0.get(at)).copied());
        let axes: Option<Vec<Axis>> = axes.collect();
        let is_whole = axes.as_ref().is_some_and(|axes| axes.len() == self.0.len() && axes[0] == Axis::Batch);
        match axes {
            Some(axes) if is_whole => Ok(Self(axes)),
            _ => bail!("expected an order of {} dimensions, the batch first, found {order:?}", self.0.len()),
        }
    }

    /// With dimensions of 1 added, or taken away from those of these sizes.
    pub(super) fn stretched(&self, list: &[i64], adds: bool, sizes: &[usize]) -> Result<Self> {
        ensure!(list.len() <= 4, "expected at most 4 dimensions, found {list:?}");
        let mut axes = self.0.clone();
        let count = if adds { axes.len() + list.len() } else { axes.len() };
        let mut places = list.iter().map(|axis| place(*axis, count)).collect::<Result<Vec<_>>>()?;
        places.sort_unstable();
        if adds {
            places.iter().for_each(|place| axes.insert((*place).min(axes.len()), Axis::One));
            return Ok(Self(axes));
        }
        for place in places.iter().rev() {
            ensure!(sizes.get(*place) == Some(&1) && *place > 0, "expected dimensions of 1, found {sizes:?}");
            axes.remove(*place);
        }
        Ok(Self(axes))
    }

    /// With other dimensions that have the numbers in the same order; `None` if midge does not know them.
    pub(super) fn reshaped(&self, shape: Shape, to: &[usize]) -> Option<Self> {
        let Shape { height, width, channels } = shape;
        let long = |sizes: &[usize]| sizes.iter().filter(|size| **size != 1).copied().collect::<Vec<_>>();
        let is_grey = channels == 1 && long(&self.dimensions(shape)) == long(to);
        match *to {
            // The rows of an image that came as a vector.
            [1, a, b, c] if self.is_row() && channels == 1 && [a, b, c] == [1, height, width] => Some(Self::nchw()),
            [1, a, b, c] if self.is_row() && [a, b, c] == [height, width, channels] => Some(Self::nhwc()),
            [1, 1, _, _] if is_grey => Some(Self::nchw()),
            [1, _, _, 1] if is_grey => Some(Self::nhwc()),
            // A vector as a map of one position.
            [1, _, 1, 1] if height * width == 1 => Some(Self::nchw()),
            _ => None,
        }
    }

    /// Whether it is an image that came as a vector.
    pub(super) fn is_row(&self) -> bool {
        self.0[..] == [Axis::Batch, Axis::One]
    }

    /// The place of a dimension, which may be counted from the end.
    pub(super) fn place(&self, axis: i64) -> Result<usize> {
        place(axis, self.0.len())
    }

    /// In which order a flatten reads the map.
    pub(super) fn order(&self, shape: Shape) -> Result<Order> {
        let size = |axis: &Axis| self.dimensions(shape)[self.0.iter().position(|own| own == axis).unwrap_or(0)];
        let long: Vec<Axis> = self.0.iter().filter(|axis| size(axis) > 1).copied().collect();
        match long[..] {
            [Axis::Channel] | [Axis::Channel, Axis::Row | Axis::Column] | [Axis::Channel, Axis::Row, Axis::Column] => {
                Ok(Order::Chw)
            }
            []
            | [Axis::Row | Axis::Column]
            | [Axis::Row | Axis::Column, Axis::Channel]
            | [Axis::Row, Axis::Column]
            | [Axis::Row, Axis::Column, Axis::Channel] => Ok(Order::Hwc),
            _ => bail!("expected a flatten of channels, rows, columns or of rows, columns, channels, found {long:?}"),
        }
    }

    /// The numbers of a constant that stand for channels: its dimensions, from the last on, have to be 1 everywhere else.
    pub(super) fn channels(&self, dimensions: &[usize], shape: Shape) -> Result<()> {
        let own = self.dimensions(shape);
        let offset = own.len().checked_sub(dimensions.len());
        let fits = |(at, size): (usize, &usize)| {
            let place = at + offset.unwrap_or(0);
            *size == 1 || self.0[place] == Axis::Channel && *size == own[place]
        };
        ensure!(
            offset.is_some() && dimensions.iter().enumerate().all(fits),
            "expected a number, or one for each of {} channels, found a constant of dimensions {dimensions:?}",
            shape.channels
        );
        Ok(())
    }
}

/// A dimension of a tensor of `count`, which may be counted from the end.
pub(super) fn place(axis: i64, count: usize) -> Result<usize> {
    let place = if axis < 0 { axis.saturating_add(count as i64) } else { axis };
    match usize::try_from(place) {
        Ok(place) if place <= count => Ok(place),
        _ => bail!("there is no dimension {axis} of {count}"),
    }
}
