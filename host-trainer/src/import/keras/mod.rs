//! Models of Keras: what model.save writes, as a `.keras` archive or as an HDF5 file.
//!
//! ```text
//! .keras    zip archive: config.json, the layers; model.weights.h5, layers/NAME/vars/0, 1, ..
//! .h5       the attribute model_config, the layers; model_weights/NAME with the attribute weight_names
//! ```
//! `hdf5.rs` reads the arrays, `config.rs` the layers, `build.rs` makes operators of them.

mod build;
mod config;
mod hdf5;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::graph::{Array, Graph};
use super::hints::Hints;
use crate::zip::Archive;
use config::{Arrays, Config, Layer};
use hdf5::Hdf5;
pub use hdf5::Hdf5Error;

/// Whether the entries of an archive are those of a `.keras` file.
pub(super) fn is_keras(archive: &Archive<'_>) -> bool {
    ["config.json", "model.weights.h5"].iter().all(|name| archive.entries.iter().any(|entry| entry.name == *name))
}

/// Reads a `.keras` file.
pub(super) fn read_archive(archive: &Archive<'_>, hints: &Hints) -> Result<Graph> {
    let config = Config::read(&archive.content("config.json")?).context("config.json")?;
    let bytes = archive.content("model.weights.h5")?;
    let weights = Hdf5::open(&bytes).and_then(|file| archive_arrays(&file, &config)).context("model.weights.h5")?;
    build::build(&config, &weights, hints)
}

/// Reads an HDF5 file.
pub(super) fn read_hdf5(bytes: &[u8], hints: &Hints) -> Result<Graph> {
    let file = Hdf5::open(bytes)?;
    let Some(config) = file.texts("", "model_config")?.and_then(|texts| texts.into_iter().next()) else {
        bail!("the file has weights only (no attribute model_config): expected one of model.save, not of save_weights")
    };
    let config = Config::read(config.as_bytes()).context("model_config")?;
    let mut arrays = Arrays::new();
    let groups = file.names("model_weights")?;
    for Layer { name, .. } in config.layers.iter().filter(|layer| groups.contains(&layer.name)) {
        let group = format!("model_weights/{name}");
        let Some(names) = file.texts(&group, "weight_names")? else { continue };
        let of_layer = names.iter().map(|name| array(&file, &format!("{group}/{name}"))).collect::<Result<_, _>>()?;
        arrays.insert(name.clone(), of_layer);
    }
    build::build(&config, &arrays, hints)
}

/// The arrays of the HDF5 file in an archive, whose groups have the names of layers' classes with a number for each.
fn archive_arrays(file: &Hdf5<'_>, config: &Config) -> Result<Arrays, Hdf5Error> {
    let groups = file.names("layers")?;
    let mut said = BTreeMap::new();
    for group in &groups {
        if let Some(name) =
            file.texts(&format!("layers/{group}/vars"), "name").ok().flatten().and_then(|t| t.into_iter().next())
        {
            said.insert(name, group.clone());
        }
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut arrays = Arrays::new();
    for Layer { name, class, .. } in &config.layers {
        let snake = snake_case(class);
        let count = counts.entry(snake.clone()).or_default();
        let counted = if *count == 0 { snake } else { format!("{snake}_{count}") };
        *count += 1;
        let group = said.get(name).unwrap_or(&counted);
        if !groups.contains(group) {
            continue;
        }
        let mut numbers = file.names(&format!("layers/{group}/vars"))?;
        numbers.sort_by_key(|number| number.parse::<usize>().unwrap_or(usize::MAX));
        let of_layer = numbers.iter().map(|number| array(file, &format!("layers/{group}/vars/{number}")));
        arrays.insert(name.clone(), of_layer.collect::<Result<_, _>>()?);
    }
    Ok(arrays)
}

fn array(file: &Hdf5<'_>, path: &str) -> Result<Array, Hdf5Error> {
    let (shape, data) = file.array(path)?;
    Ok(Array { shape, data })
}

/// `BatchNormalization` as `batch_normalization`, `Conv2D` as `conv2d`, `ReLU` as `re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let is_start = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase() || letters.get(at + 1).is_some_and(char::is_ascii_lowercase)
            });
        if is_start {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn classes_have_the_names_that_keras_gives_them() {
        for (class, name) in [
            ("Conv2D", "conv2d"),
            ("ReLU", "re_lu"),
            ("BatchNormalization", "batch_normalization"),
            ("ZeroPadding2D", "zero_padding2d"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("Add", "add"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }
}
