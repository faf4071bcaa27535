//! What tensors of a data set are called.

use std::path::{Path, PathBuf};

/// Names of the tensor of images, the usual one first.
pub(super) const IMAGES: [&str; 5] = ["images", "x", "X", "data", "arr_0"];
/// The images as integers on the grid of an int8 model's input.
pub(super) const INT8: &str = "input_int8";
/// Names of the tensor of labels, the usual one first.
pub(super) const LABELS: [&str; 5] = ["labels", "label", "y", "Y", "arr_1"];
/// Names of images and labels for training, and of those for testing: Keras's, those of MedMNIST, and others.
pub(super) const OF_SPLITS: [[&[&str]; 2]; 2] = [
    [&["x_train", "train_images", "X_train"], &["y_train", "train_labels", "Y_train"]],
    [&["x_test", "test_images", "X_test"], &["y_test", "test_labels", "Y_test"]],
];

/// What a file of images has in its name, and the file of their labels in the same place.
const PAIRS: [[&str; 2]; 3] = [["images", "labels"], ["x", "y"], ["X", "y"]];

/// The file of the labels that belong to the images in `path`, if it is there.
pub(super) fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let is_letter = |text: &str| text.chars().next_back().is_some_and(char::is_alphanumeric);
    let named = PAIRS.iter().filter_map(|[images, labels]| {
        let at = name.match_indices(images).find(|(at, _)| {
            let (before, after) = (&name[..*at], &name[at + images.len()..]);
            images.len() > 1 || !is_letter(before) && !after.starts_with(char::is_alphanumeric)
        });
        at.map(|(at, _)| format!("{}{labels}{}", &name[..at], &name[at + images.len()..]))
    });
    named.map(|name| path.with_file_name(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_named_as_their_images() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["test_labels.npy", "y.npy", "y_train.npy", "ayis.npy", "b_y.npy"];
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        let beside =
            |name: &str| labels_beside(&folder.path().join(name)).map(|path| path.file_name().unwrap().to_owned());
        for (images, labels) in [
            ("test_images.npy", "test_labels.npy"),
            ("x.npy", "y.npy"),
            ("X_train.npy", "y_train.npy"),
            ("b_x.npy", "b_y.npy"),
        ] {
            assert_eq!(beside(images).as_deref(), Some(labels.as_ref()), "{images}");
        }
        assert_eq!([beside("axis.npy"), beside("other.npy"), beside("images.npy")], [None, None, None]);
    }
}
