//! `random_int8 FOLDER` writes the networks of integers of these tests as model files, for the self-test of a device. (An example
//! of `midge-trainer`, which the firmware needs anyway.)

mod networks;

use std::path::PathBuf;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("expected the name of a folder to write to")?);
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    for (number, text) in networks::NETWORKS.iter().enumerate() {
        networks::weights(text, number as u64).save(&folder.join(format!("{number}.safetensors")))?;
    }
    Ok(())
}
