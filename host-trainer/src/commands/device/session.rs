//! The boards that a command is about, the model on them and the images they are shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use midge_link::ElementType;

use super::super::{DataArguments, Expected, ModelName, from_one};
use crate::any_weights::AnyWeights;
use crate::bundled;
use crate::data::{Input, Loaded, Part, Split};
use crate::device::emulator::{BOARDS, Board};
use crate::device::line::Line;
use crate::device::{Client, Device, DeviceInfo, Way, port};
use crate::evaluation::Attack;
use crate::evaluation::classifier::Classifier as _;

/// Which boards, and which model they run.
#[derive(Debug, clap::Args)]
pub(super) struct BoardArguments {
    /// Where the board is: a serial line such as /dev/ttyACM0, or tcp:HOST:PORT; evaluate shares images out among several
    #[arg(value_name = "PORT")]
    ports: Vec<String>,
    /// Build the firmware, start an emulator with it, and end it again: mps2-an386 (Cortex-M4F), mps2-an500 (M7), mps2-an505 (M33),
    /// mps3-an547 (M55), netduinoplus2 (M4F with 1 MB of flash), or pico (M0+)
    #[arg(long, value_name = "BOARD", num_args = 0..=1, default_missing_value = "mps2-an386", value_parser = board)]
    emulator: Option<Board>,
    /// The model that is on the board: a file of midge's or a .tflite file, or the name of a bundled model [default: the bundled
    /// one that the board says; in the emulator plain, or plain-int8 on boards that are too small for that]
    #[arg(long, value_name = "MODEL", global = true)]
    model: Option<ModelName>,
    /// Silence after which a board is given up
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE, global = true, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) timeout: u64,
}

impl BoardArguments {
    /// Boards at some ports, with the default patience.
    pub(super) fn at(ports: &[String]) -> Self {
        Self { ports: ports.to_vec(), emulator: None, model: None, timeout: PATIENCE }
    }
}

/// Seconds.
const PATIENCE: u64 = 20;

fn board(name: &str) -> Result<Board, String> {
    let names = BOARDS.map(|board| board.name);
    Board::named(name).ok_or_else(|| format!("expected one of the emulated boards {}", names.join(", ")))
}

/// Which images a board is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ImageArguments {
    #[command(flatten)]
    pub(super) data: DataArguments,
    /// First image of the test set
    #[arg(long, default_value_t = 0, value_name = "I")]
    offset: usize,
    /// Number of images [default: all]
    #[arg(long, value_name = "N", value_parser = from_one)]
    limit: Option<usize>,
}

impl ImageArguments {
    pub(super) fn load(&self, input: &Input, expected: &Expected) -> Result<Loaded> {
        self.data.load(Split::Test, input, expected, Part { offset: self.offset, limit: self.limit })
    }
}

/// The boards of one run of the command.
pub(super) struct Session<'a> {
    pub(super) arguments: &'a BoardArguments,
    /// Set by Ctrl-C.
    pub(super) stop: Arc<AtomicBool>,
}

impl Session<'_> {
    /// All boards, which run the same model.
    pub(super) fn devices(&self) -> Result<Vec<Device>> {
        let mut lines: Vec<Box<dyn Line>> = Vec::new();
        let BoardArguments { ports, emulator, model, .. } = self.arguments;
        ensure!(
            !ports.is_empty() || emulator.is_some(),
            "no board: expected a port such as /dev/ttyACM0 or tcp:HOST:PORT, or --emulator; midge device list shows the ports \
             that there are"
        );
        check_different(ports)?;
        for name in ports {
            lines.push(port::open(name).with_context(|| format!("{name}: cannot be opened"))?);
        }
        if let Some(board) = emulator {
            let model = model.as_ref().map_or(Ok(board.default_model().into()), built_in)?;
            lines.push(Box::new(board.start(&board.build(&model)?)?));
        }
        let mut devices = Vec::new();
        for line in lines {
            let client = Client::open(line, Duration::from_secs(self.arguments.timeout), Arc::clone(&self.stop))?;
            devices.push(Device::new(client));
        }
        if let [first, others @ ..] = &devices[..] {
            for other in others {
                let (a, b) = (first.client.info(), other.client.info());
                ensure!(
                    a.fingerprint == b.fingerprint,
                    "{} runs {} ({}), {} runs {} ({}): expected the same model on all boards",
                    first.client.port(),
                    a.model,
                    a.fingerprint,
                    other.client.port(),
                    b.model,
                    b.fingerprint
                );
            }
        }
        Ok(devices)
    }

    /// The only board.
    pub(super) fn device(&self) -> Result<Device> {
        let mut devices = self.devices()?;
        ensure!(devices.len() == 1, "expected one board, found {}: only evaluate takes several", devices.len());
        devices.pop().context("no board")
    }

    /// What is known of the images of the board's model, which may be of nobody here.
    pub(super) fn expected(&self, info: &DeviceInfo) -> Result<Expected> {
        Ok(match &self.arguments.model {
            Some(named) => Expected::by(&named.load_classifier()?),
            None => bundled::with_checksum(&info.fingerprint)
                .map_or_else(Expected::default, |(_, model)| Expected::by(&model)),
        })
    }

    /// The model on the host that is on the board; `None` if the user names none and it is not a bundled one.
    pub(super) fn model(&self, info: &DeviceInfo) -> Result<Option<AnyWeights>> {
        let on_board = on_board(info);
        let bundled = bundled::with_checksum(&info.fingerprint);
        let Some(named) = &self.arguments.model else { return Ok(bundled.map(|(_, model)| model)) };
        let model = named.load_classifier()?;
        let checksum = model.checksum()?;
        if info.fingerprint.is_empty() {
            note!("the board says no checksum: whether it runs {} is not known", named.shown());
        }
        let is_bundled =
            info.fingerprint.is_empty() || bundled.as_ref().is_some_and(|(_, other)| other.has_tensors_of(&model));
        if checksum != info.fingerprint && !is_bundled {
            let hint = bundled.map_or(String::new(), |(name, _)| format!("; that is the bundled model {name}"));
            bail!("{}: its checksum is {checksum}, but {on_board}{hint}", named.shown());
        }
        let (ours, board) = (model.input(), &info.input);
        ensure!(ours.has_shape_of(board), "{}: the board takes other images than the model: {on_board}", named.shown());
        Ok(Some(model))
    }
}

/// Which model a board runs, in words.
pub(super) fn on_board(info: &DeviceInfo) -> String {
    format!("the board runs {} ({}, {})", info.model, element_name(info.element), info.fingerprint)
}

/// Whether the board gives what an attack needs.
pub(super) fn check_way(info: &DeviceInfo, attack: Attack) -> Result<Way> {
    let missing = || {
        format!(
            "--attack: {} gives no gradients, which {} needs; expected --attack square, which needs logits only, or evaluate \
             with --model, which makes the attack on the host's own model",
            info.board,
            attack.name()
        )
    };
    Way::of(info, attack.at(0.0)).with_context(missing)
}

/// Whether no two ports are the same, by whatever names.
fn check_different(ports: &[String]) -> Result<()> {
    let place = |port: &String| std::fs::canonicalize(port).unwrap_or_else(|_| port.into());
    for (number, port) in ports.iter().enumerate() {
        if let Some(same) = ports[..number].iter().find(|other| place(other) == place(port)) {
            bail!("{port}: it is the same port as {same}; expected each board once");
        }
    }
    Ok(())
}

/// What `MIDGE_MODEL` is to name for a model.
fn built_in(model: &ModelName) -> Result<PathBuf> {
    match model.shown() {
        "-" => bail!("the emulator's model: expected a file, not standard input"),
        name if bundled::names().any(|known| known == name) => Ok(name.into()),
        _ => {
            // Before anything is built.
            model.load_classifier()?;
            Ok(std::path::absolute(model.path())?)
        }
    }
}

pub(super) fn element_name(element: ElementType) -> &'static str {
    match element {
        ElementType::F32 => "f32",
        ElementType::F16 => "f16",
        ElementType::I8 => "i8",
    }
}
