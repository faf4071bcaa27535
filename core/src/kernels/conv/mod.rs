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
//!
//! The ways through a stage, the first that suits is taken:
//!
//! | pass | way | where |
//! |---|---|---|
//! | forward, one lane | position by position, 16 filters at a time | `forward.rs` |
//! | forward, vectors | Winograd: 3x3, stride 1, whole 2x2 windows, 8 channels, half of the inputs not 0, transposed weights | `winograd/` |
//! | | whole 2x2 windows behind a ReLU: four positions share each weight | `window.rs` |
//! | | position by position, blocks of vectors of filters | `forward.rs` |
//! | backward by rows | first stage, kernels of at most 32 weights: window by window | `gather.rs` |
//! | | input by input: the winners over it times its weights | `gather.rs` |
//! | backward by maps, vectors | 3x3 on one channel under whole 2x2 windows: patches of 16 inputs | `patches.rs` |
//! | | winner by winner: its filter times its gradient, added to the inputs under it | `scatter.rs` |
//! | weight gradient | patches as above | `patches.rs` |
//! | | filter by filter, summed over the places where it won | `weight_gradient.rs` |

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
pub(crate) use transposed::{all_transposed_len, transpose, transposed_len};
pub(crate) use views::{Columns, Conv, GradientMap, GradientRow, Window};
pub(crate) use weight_gradient::WeightGradientMap;
