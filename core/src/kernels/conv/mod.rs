//! Convolution + ReLU + max-pooling in one go, forward and backward; the map before pooling never exists.
//!
//! Dimension letters: output row `p` and column `q`, window row `wy` and column `wx` inside a pooling
//! window, kernel row `ky` and column `kx`, input channel `i`, output channel (filter) `o`.
//!
//! ```text
//! out[p, q, o] = max over (wy, wx) of relu(b[o] + sum over (ky, kx, i) of w[ky, kx, i, o] * x[row, column, i])
//!     row    = (p * pool + wy) * stride + ky - padding        column likewise
//! ```
//!
//! In a row-major, channel-last row, the values under one kernel row are `kernel * channels` neighbours, and so are
//! their rows of weights. So `kx` and `i` are one loop, here called a *run*.

mod forward;
mod gather;
mod patches;
mod scatter;
mod transposed;
mod views;
mod weight_gradient;
mod window;
mod winograd;

pub(crate) use gather::{InputGradientRow, WindowGradients};
pub(crate) use scatter::InputGradientMap;
pub(crate) use transposed::{SLACK, transpose, transposed_len};
pub(crate) use views::{Columns, Conv, GradientMap, GradientRow, Window};
pub(crate) use weight_gradient::WeightGradientMap;
