//! The model and the images that `MIDGE_MODEL` and `MIDGE_DATA` name, for whoever builds or checks the firmware.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use indicatif::ProgressBar;
use midge_trainer::any_weights::AnyWeights;
use midge_trainer::data::{self, Dataset, Part, Reading, Source, Split};
use midge_trainer::evaluation;
use midge_trainer::evaluation::classifier::Classifier as _;
use midge_trainer::{bundled, random};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

/// Images that are embedded.
const MOST: usize = 4;

/// The model that `MIDGE_MODEL` names, if it names one, and its name: a file's without what follows the point, or a bundled
/// model's.
pub(crate) fn chosen() -> Result<Option<(String, AnyWeights)>> {
    let Some(value) = std::env::var_os("MIDGE_MODEL") else { return Ok(None) };
    ensure!(!value.is_empty(), "MIDGE_MODEL is set, but names no model");
    let path = Path::new(&value);
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let model = match value.to_str().and_then(bundled::any_model) {
        Some(model) => model?,
        None => AnyWeights::load(path)?,
    };
    Ok(Some((name, model)))
}

/// Some images that the model takes, and what they are: those of the file `data`, else the bundled digits, else noise. Where
/// nobody says what is on them, that is what the model reads.
pub(crate) fn images(model: &AnyWeights, data: Option<&OsStr>) -> Result<(Dataset, &'static str)> {
    let input = model.input();
    let named = data.map(Path::new);
    if let Some(missing) = named.filter(|path| !path.exists() && *path != Path::new("synthetic")) {
        bail!("{}: MIDGE_DATA names no file", missing.display());
    }
    // A folder has digits only, of which some are bundled.
    if let Some(file) = named.filter(|path| path.is_file()) {
        let part = Part { offset: 0, limit: Some(MOST) };
        let images = data::load(&Source::Path(file.into()), Split::Test, &input, part, &Reading::default())?;
        let unread = vec![0; images.len()];
        let unlabelled = Dataset::new(images.images, unread, images.shape, images.name);
        return Ok((labelled(model, unlabelled, images.labels)?, "data"));
    }
    let digits = bundled::digits()?;
    if digits.check(&input).is_ok() && input.range == [0.0, 1.0] {
        return Ok((digits, "digits"));
    }
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    let [low, high] = input.range;
    let pixels = (0..input.len()).map(|_| low + (high - low) * random::unit(&mut generator)).collect();
    Ok((labelled(model, Dataset::new(pixels, vec![0], input.shape, "noise".into()), None)?, "noise"))
}

/// With the given labels, or what the model reads.
fn labelled(model: &AnyWeights, images: Dataset, labels: Option<Vec<u16>>) -> Result<Dataset> {
    let labels = match labels {
        Some(labels) => labels,
        None => {
            let classes = evaluation::read(model, &images, &ProgressBar::hidden())?;
            classes.into_iter().map(|class| Ok(class.try_into()?)).collect::<Result<_>>()?
        }
    };
    Ok(Dataset::new(images.images, labels, images.shape, images.name))
}
