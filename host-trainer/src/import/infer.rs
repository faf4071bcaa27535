//! The architecture of a `state_dict`, where it is not given.

use anyhow::{Result, bail, ensure};
use midge_core::Network;

use super::module::Module;
use super::order::{self, names};
use super::readings::{Chain, Range, Reading};
use super::state::State;

/// Readings that an error lists.
const LISTED: usize = 8;
/// Sizes of images at which readings are looked for where none is given.
const USUAL_SIZES: [usize; 10] = [28, 32, 48, 64, 96, 128, 160, 192, 224, 256];
/// Largest size that is looked at where none of the usual ones fits.
const MOST_SIZE: usize = 256;

/// The network, the modules in order, and what was assumed.
pub(super) type Inferred<'m> = (Network, Vec<&'m Module>, Vec<String>);

/// The only reading of the file at this size of the image.
///
/// # Errors
/// If there is none, or it is not the only one, or the names say too little: with the readings to choose from.
pub(super) fn network(state: &State, size: Option<(usize, usize)>) -> Result<Inferred<'_>> {
    let modules = &state.modules;
    let Some(modules) = in_order(state)? else { bail!("{}", mismatch(modules)) };
    check_square(&modules)?;
    let (between, doubt) = between(&modules)?;
    let chain = Chain { modules, between };
    let Some(linear) = chain.first_linear() else {
        bail!("there is no linear layer, and nothing says where the network ends: say it with --network")
    };
    let grey = if chain.modules[0].is_linear() { linear.inputs() == 28 * 28 } else { chain.modules[0].inputs() == 1 };
    let Some(stated) = size.or(grey.then_some((28, 28))) else {
        bail!("the file does not say how large images are: say --size HEIGHTxWIDTH{}", elsewhere(&chain))
    };
    let mut readings = chain.readings(stated, Range::Usual);
    if readings.is_empty() {
        readings = chain.readings(stated, Range::Wide);
    }
    let (height, width) = stated;
    let count = readings.len();
    let (sound, unsound): (Vec<&Reading>, Vec<&Reading>) = readings.iter().partition(|reading| reading.network.is_ok());
    match (&sound[..], &unsound[..], doubt) {
        ([], [], _) => bail!("{}", nothing_fits(&chain, stated)),
        ([], [reading, ..], _) => {
            let problem = reading.network.as_ref().err().map_or("", String::as_str);
            bail!("at {height}x{width} pixels the file can only be what midge does not have: {problem}")
        }
        ([reading], [], None) => {
            let network = *reading.network.as_ref().map_err(|problem| anyhow::anyhow!("{problem}"))?;
            let assumed = assumed(reading, stated, size.is_some());
            Ok((network, chain.modules, assumed))
        }
        (_, _, Some(doubt)) => bail!("{doubt}. At {height}x{width} pixels it could be{}", list(&readings)),
        _ => bail!(
            "{count} readings fit images of {height}x{width} pixels, and a state_dict does not say which is right. \
             Choose one{}",
            list(&readings)
        ),
    }
}

/// What taking a reading assumes.
fn assumed(reading: &Reading, (height, width): (usize, usize), is_size_said: bool) -> Vec<String> {
    let hint = if is_size_said { "" } else { "; --size says another size" };
    let images = format!("images of {height}x{width} pixels{hint}");
    let end = "behind the last layer nothing, or a softmax".to_string();
    [&[images], &reading.words[..], &[end]].concat()
}

/// The modules in the order of the file where it is known and shapes fit, otherwise in the one order that fits.
fn in_order(state: &State) -> Result<Option<Vec<&Module>>> {
    let as_they_stand: Vec<&Module> = state.modules.iter().collect();
    let fits = |i: usize| order::fits_shapes(&as_they_stand[..i], as_they_stand[i]);
    if state.is_ordered && (0..as_they_stand.len()).all(fits) {
        return Ok(Some(as_they_stand));
    }
    order::sorted(&state.modules, &order::fits_shapes)
}

/// Readings are of square kernels.
fn check_square(modules: &[&Module]) -> Result<()> {
    for Module { name, weight, .. } in modules {
        let is_square = !matches!(weight.shape[..], [_, _, rows, columns] if rows != columns);
        ensure!(
            is_square,
            "{name}.weight has dimensions {:?}: a kernel that is not square: say the architecture with --network",
            weight.shape
        );
    }
    Ok(())
}

/// How many modules without weights stand behind each module, apart from a flatten; and why the names do not say enough
/// to take a reading, if so.
fn between(modules: &[&Module]) -> Result<(Vec<Option<usize>>, Option<String>)> {
    let mut doubt = match modules[0].place() {
        // A linear layer may have a flatten before it.
        Some((_, index)) if index > usize::from(modules[0].is_linear()) => {
            Some(format!("nothing says what stands before module {}, the first with weights", modules[0].name))
        }
        _ => None,
    };
    let mut between = Vec::new();
    for pair in modules.windows(2) {
        let [a, b] = pair else { continue };
        let gap = match (a.last_place(), b.place()) {
            (Some((parent, first)), Some((other, second))) if parent == other => {
                second.checked_sub(first).and_then(|gap| gap.checked_sub(1))
            }
            _ => None,
        };
        let flatten = usize::from(a.is_linear() != b.is_linear());
        let most = if a.is_linear() { 2 } else { 3 + flatten };
        match gap {
            None => {
                let why = format!(
                    "nothing says what stands between {} and {}: they are not numbers of one Sequential",
                    a.name, b.name
                );
                doubt = doubt.or(Some(why));
            }
            Some(gap) => ensure!(
                (flatten..=most).contains(&gap),
                "between {} and {} are {gap} modules without weights, expected {flatten} to {most}: say --network",
                a.name,
                b.name
            ),
        }
        between.push(gap.map(|gap| gap - flatten));
    }
    // What stands behind the last layer leaves no trace.
    between.push(Some(0));
    Ok((between, doubt))
}

fn mismatch(modules: &[Module]) -> String {
    let modules: Vec<&Module> = modules.iter().collect();
    let shapes: Vec<String> =
        modules.iter().map(|module| format!("{} {:?}", module.name, module.weight.shape)).collect();
    format!(
        "the modules {} are no sequence: no layer's inputs are the outputs of the one before in an order that their names \
         allow (a layer may stand beside another one, or be grouped); found {}",
        names(&modules),
        shapes.join(", ")
    )
}

fn nothing_fits(chain: &Chain<'_>, (height, width): (usize, usize)) -> String {
    let inputs = chain.first_linear().map_or(0, Module::inputs);
    let before = chain.modules.iter().take_while(|module| !module.is_linear()).last();
    let map = match before.map(|module| module.outputs()) {
        Some(channels) if channels == inputs => {
            " (one for each channel: is there a global average pooling? say it with --network)".to_string()
        }
        Some(channels) => format!(" ({channels} channels of {} positions)", inputs / channels.max(1)),
        None => String::new(),
    };
    format!(
        "images of {height}x{width} pixels do not give the first linear layer its {inputs} inputs{map}, whatever strides, \
         paddings and poolings of 2x2 there are: say --size or --network{}",
        elsewhere(chain)
    )
}

/// Readings at other sizes than the stated one.
fn elsewhere(chain: &Chain<'_>) -> String {
    let at = |sizes: &mut dyn Iterator<Item = usize>| -> Vec<Reading> {
        let readings = sizes.flat_map(|n| chain.readings((n, n), Range::Usual));
        readings.filter(|reading| reading.network.is_ok()).take(LISTED).collect()
    };
    let mut readings = at(&mut USUAL_SIZES.into_iter());
    if readings.is_empty() {
        readings = at(&mut (1..=MOST_SIZE));
    }
    if readings.is_empty() { String::new() } else { format!(". At some sizes it could be{}", list(&readings)) }
}

/// Readings as options to paste.
fn list(readings: &[Reading]) -> String {
    let mut lines = vec![":".to_string()];
    for reading in readings.iter().take(LISTED) {
        lines.push(match &reading.network {
            Ok(network) => format!("  --network \"{network}\""),
            Err(problem) => format!("  what midge does not have: {problem}"),
        });
    }
    if readings.len() > LISTED {
        lines.push("  and more; all of them assume ReLU and max pooling of 2x2".into());
    } else {
        lines.push(
            "  (assuming ReLU and max pooling of 2x2; where the model's class does otherwise, write what it does)"
                .into(),
        );
    }
    lines.join("\n")
}
