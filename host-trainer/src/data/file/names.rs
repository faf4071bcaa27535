//! What tensors of a data set are called.

/// Names of the tensor of images.
pub(super) const IMAGES: [&str; 2] = ["images", "input_int8"];
/// Names of the tensor of labels.
pub(super) const LABELS: [&str; 2] = ["labels", "label"];
