//! Borders: where the windows of a framework lie, and which padding of midge's puts them there.

use anyhow::{Context, Result, bail, ensure};
use midge_core::{Padding, Shape, Size};

/// Windows of a convolution or pooling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Windows {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub pads: Pads,
}

/// A border rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pads {
    /// `[before, after]` of rows and of columns.
    Explicit([[usize; 2]; 2]),
    /// The same, and windows that begin on the map but end beyond it.
    Ceil([[usize; 2]; 2]),
    /// As many windows as stride has multiples on the map; the odd row at the end.
    SameUpper,
    /// The same with the odd row at the start.
    SameLower,
    /// One of midge's.
    As(Padding),
}

impl Pads {
    /// None.
    pub(crate) const NONE: Self = Self::Explicit([[0; 2]; 2]);

    /// As many on both sides, as PyTorch says it.
    pub(crate) fn both([rows, columns]: [usize; 2]) -> Self {
        Self::Explicit([[rows; 2], [columns; 2]])
    }
}

/// Along one axis: how far the first window hangs over, and how many windows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    before: usize,
    count: usize,
}

impl Windows {
    /// The map that windows make of another one.
    pub(super) fn output(&self, input: Shape, channels: usize) -> Result<Shape> {
        let [rows, columns] = self.axes(input)?;
        Ok(Shape::hwc(rows.count, columns.count, channels))
    }

    fn axes(&self, input: Shape) -> Result<[Axis; 2]> {
        Ok([self.axis(0, input.height)?, self.axis(1, input.width)?])
    }

    fn axis(&self, at: usize, size: usize) -> Result<Axis> {
        let (kernel, stride) = (self.kernel[at], self.stride[at]);
        ensure!(kernel > 0 && stride > 0, "expected a kernel and a stride above 0, found {kernel} and {stride}");
        let explicit = |[before, after]: [usize; 2], more: usize| {
            let padded = size.checked_add(before).and_then(|n| n.checked_add(after));
            let rest = padded.context("the padding is too large")?.checked_sub(kernel);
            let rest = rest.with_context(|| format!("the map of {size} is smaller than the window of {kernel}"))?;
            let mut count = rest.checked_add(more).context("the stride is too large")? / stride + 1;
            // A window that begins in the padding behind the map does not count.
            if more > 0 && (count - 1) * stride >= size.saturating_add(before) {
                count -= 1;
            }
            Ok(Axis { before, count })
        };
        let pads = match self.pads {
            Pads::As(Padding::Same) => Pads::SameUpper,
            Pads::As(Padding::Valid) => Pads::NONE,
            Pads::As(Padding::Zeros(zeros)) => Pads::both([zeros.size().height.into(), zeros.size().width.into()]),
            pads => pads,
        };
        match pads {
            Pads::Explicit(pads) => explicit(pads[at], 0),
            Pads::Ceil(pads) => explicit(pads[at], stride - 1),
            Pads::SameUpper | Pads::SameLower | Pads::As(_) => {
                let count = size.div_ceil(stride);
                let all = same_rows(size, kernel, stride);
                Ok(Axis { before: if pads == Pads::SameLower { all.div_ceil(2) } else { all / 2 }, count })
            }
        }
    }

    /// Whether as many zeros behind the map as before it give these windows.
    fn is_both(&self, at: usize, size: usize, Axis { before, count }: Axis) -> bool {
        let rest = (size + 2 * before).checked_sub(self.kernel[at]);
        rest.is_some_and(|rest| rest / self.stride[at] + 1 == count)
    }

    /// The padding of midge's that puts the windows where they are; `zeros` says whether any number of zeros can be padded.
    pub(crate) fn padding(&self, input: Shape, zeros: bool) -> Result<Padding> {
        if let Pads::As(padding) = self.pads {
            return Ok(padding);
        }
        let axes = self.axes(input)?;
        let sizes = [input.height, input.width];
        let all = |rule: &dyn Fn(usize, usize, usize) -> Axis| {
            (0..2).all(|at| axes[at] == rule(sizes[at], self.kernel[at], self.stride[at]))
        };
        let is_valid = all(&|size, kernel, stride| Axis {
            before: 0,
            count: size.checked_sub(kernel).map_or(0, |rest| rest / stride + 1),
        });
        let is_same = all(&|size, kernel, stride| Axis {
            before: same_rows(size, kernel, stride) / 2,
            count: size.div_ceil(stride),
        });
        // Where both say the same, `same` is what midge writes of its own poolings.
        if is_valid && (zeros || !is_same) {
            return Ok(Padding::Valid);
        }
        if is_same {
            return Ok(Padding::Same);
        }
        if zeros && (0..2).all(|at| self.is_both(at, sizes[at], axes[at])) {
            return Ok(Padding::zeros(size([axes[0].before, axes[1].before])?));
        }
        bail!(
            "midge has no padding that is {:?} of windows of {:?} with a stride of {:?} on a map of {}x{}",
            self.pads,
            self.kernel,
            self.stride,
            input.height,
            input.width
        )
    }
}

/// Rows that `same` adds to a map.
fn same_rows(size: usize, kernel: usize, stride: usize) -> usize {
    ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size)
}

/// A size of midge's.
pub(super) fn size([height, width]: [usize; 2]) -> Result<Size> {
    let side = |n: usize| u8::try_from(n).with_context(|| format!("expected a window of at most 255, found {n}"));
    Ok(Size::hw(side(height)?, side(width)?))
}
