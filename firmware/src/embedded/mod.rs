//! What is stored in flash: models and images.
//!
//! Without the variable `MIDGE_MODEL` they are the bundled ones. With it, they are the model of that file, and images that it
//! takes; `build.rs` has `run/embed.rs` write both down as constants.

#[cfg(not(own_model))]
mod bundled;
#[cfg(own_model)]
mod own;

#[cfg(not(own_model))]
pub use bundled::*;
#[cfg(own_model)]
pub use own::*;

use midge_core::{Element, Header, METADATA_CHECKSUM, Model, Network};

/// Elements of an image.
pub const PIXELS: usize = NETWORK.input().len();
/// Number of classes.
pub const CLASSES: usize = NETWORK.classes();

/// Model `index` of [`MODELS`] with its name.
pub fn model(index: usize) -> (&'static str, Model<'static, Weights>) {
    let (_, network, file) = FILES[index];
    (name(index), open(network, file))
}

/// The name of model `index`.
pub fn name(index: usize) -> &'static str {
    let (name, ..) = FILES[index];
    name
}

fn open<T: Element>(network: &'static Network, bytes: &'static [u8]) -> Model<'static, T> {
    match Model::from_safetensors(network, bytes) {
        Ok(model) => model,
        Err(error) => panic!("the embedded model: {}", defmt::Display2Format(&error)),
    }
}

/// The checksum of the file of model `index`, as it stands in it.
pub fn fingerprint(index: usize) -> &'static str {
    let (_, _, file) = FILES[index];
    let mut found = "";
    let mut see = |key: &[u8], value| {
        if key == METADATA_CHECKSUM.as_bytes() {
            found = core::str::from_utf8(value).unwrap_or("");
        }
    };
    // A file that cannot be read has been refused by `open`.
    let _ = Header::read(file).and_then(|header| header.metadata(&mut see));
    found
}

/// Number of models.
pub const MODELS: usize = FILES.len();
